"""What a run would compute, and how long that would take: graphs, prompts, passes, seconds, memory.

Prompts are built and aligned where the tokenizer is at hand, so that what a run would refuse is refused here.
Passes are counted in plain forwards: all prompts, logits at every position. It needs no weights; where
they are at hand they are loaded, since how much ACDC computes depends on what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nncirc.circuits.door import at_home, is_there
from nncirc.circuits.errors import ModelError, NncircError
from nncirc.circuits.graph import Graph
from nncirc.circuits.models import COMPILED, model_folder
from nncirc.circuits.parts import rows_of
from nncirc.circuits.words import counted, in_columns, memory_in_words
from nncirc.dsl.check.program import Apply, Assertion, Declaration, Program, Ref, leaves
from nncirc.dsl.check.shapes import model_sizes
from nncirc.engine.blocks import blocks
from nncirc.engine.blocks.functions import cost_of_claim
from nncirc.engine.blocks.models import OnlyShape
from nncirc.engine.data.examples import Dataset
from nncirc.engine.data.gguf_file import SUFFIX
from nncirc.engine.data.load import check_json, is_local, load_tokenizer, no_folder
from nncirc.engine.methods.costs import FREE
from nncirc.engine.model.configs import empty, parameters, read_config
from nncirc.engine.model.model import Model
from nncirc.engine.model.structure import entries_of
from nncirc.engine.program.at_hand import is_at_hand, stand_in
from nncirc.engine.program.claims import check_rows
from nncirc.engine.program.costing import Costing
from nncirc.engine.program.places import placed
from nncirc.engine.program.run import Options, free_cores, requested
from nncirc.engine.program.store import Store
from nncirc.engine.runs.memory import machine_memory, resident


@dataclass(frozen=True, slots=True)
class Step:
    """One declaration of the plan; what cannot be known is None.

    Attributes:
        what: a few words: prompts and tokens, nodes and edges, what is tested.
        forwards: multiplications, in those of a plain forward.
        memory: bytes of activations held at once.
        tested: of ACDC, how many edges will be tested.
        at_most: whether these are upper bounds.
        stored: whether a run would take the result from the store.
    """

    name: str
    what: str
    forwards: float | None = None
    memory: int | None = None
    seconds: float | None = None
    tested: int | None = None
    at_most: bool = False
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would compute, and what could not be found out.

    Attributes:
        steps: a declaration each; the claims of the script are the last.
        notes: what could not be found out, and what a user should read.
        memory: bytes of the whole process at its largest: Python and libraries, weights, activations.
    """

    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    memory: int

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        steps = [asdict(step) for step in self.steps]
        return {"format": "nncirc plan", "steps": steps, "memory": self.memory, "notes": self.notes}

    def as_text(self) -> str:
        """As a table."""
        rows = [("", "", "forwards", "seconds", "memory")]
        for step in self.steps:
            most = "≤ " if step.at_most else ""
            passes = "" if step.forwards is None else f"{most}{step.forwards:,.0f}"
            seconds = "" if step.seconds is None else f"{most}{step.seconds:,.1f}"
            memory = "" if step.memory is None else _mebibytes(step.memory)
            rows.append((step.name, step.what, passes, "stored" if step.stored else seconds, memory))
        timed = [step for step in self.steps if step.seconds is not None]
        most = "≤ " if any(step.at_most for step in timed) else ""
        rows.append(("", "", "", f"{most}{sum(step.seconds or 0.0 for step in timed):,.1f}", ""))
        rows.append(("peak memory of the process", "", "", "", _mebibytes(self.memory)))
        lines = in_columns(rows, right={2, 3, 4})
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def plan_program(
    program: Program,
    options: Options = Options(),  # noqa: B008 (frozen)
    *,
    store: Store | None = None,
) -> Plan:
    """The plan of a checked program, for as many threads as a run would use.

    What is in the store a run would not compute again.

    Raises:
        ProgramError: what a run would refuse about prompts, alignment, graphs, or a damaged folder.
        ScriptError: C119, a name that `only` does not know.
    """
    wanted = requested(program, options.only)
    before = torch.get_num_threads()
    torch.set_num_threads(free_cores())
    try:
        planner = _Planner(
            program, blocks(), options.batch, options.memory, store=store, allow_code=options.allow_code
        )
        return planner.plan(wanted, () if options.only else program.assertions)
    finally:
        torch.set_num_threads(before)


@dataclass
class _Planner(Costing):
    """A builder whose models may have sizes and a tokenizer, and no weights."""

    notes: dict[str, None] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def plan(self, wanted: Iterable[Declaration], claims: Sequence[Assertion]) -> Plan:
        steps, before = [], resident()
        # What only claims ask for: circuits of other scripts, or written in a claim.
        asked = (name for claim in claims for name in claim.references())
        needed = self.program.needed([*(each.name for each in wanted), *asked])
        for declaration in needed:
            step = self.step(declaration)
            if step is None or not self.is_known(declaration):
                self.unknown.add(declaration.name)
            if step is not None:
                steps.append(step)
        known = {declaration.name for declaration in needed} - self.unknown
        check_rows(self, [claim for claim in claims if set(claim.references()) <= known])
        if claims and not self.unknown:
            steps.append(self.of_claims(claims))
        kinds = {name: declaration.kind for name, declaration in self.program.declarations.items()}
        weights = sum(step.memory or 0 for step in steps if kinds.get(step.name) == "model")
        held = [step.memory or 0 for step in steps if kinds.get(step.name) != "model" and not step.stored]
        largest = before + weights + max(held, default=0)
        there = machine_memory()
        if largest > there:
            part = "the weights alone need" if weights > there else "the run needs"
            self.notes[
                f"this machine has {memory_in_words(there)} of memory, but {part} more:"
                " use another machine, a smaller model, or a narrower dtype"
            ] = None
        return Plan(tuple(steps), tuple(self.notes), largest)

    def of_claims(self, claims: Sequence[Assertion]) -> Step:
        """What measuring claims will take, as far as that is known."""
        total = FREE
        for side in (leaf for claim in claims for leaf in (*leaves(claim.left), *leaves(claim.right))):
            if isinstance(side, Apply) and isinstance(side.arguments.get("corruption"), Ref):
                total += self.priced(side.arguments, partial(cost_of_claim, side.function)) or FREE
        most = total.at_most
        return Step("claims", f"{len(claims)}", total.forwards, None, total.seconds, at_most=most)

    def step(self, declaration: Declaration) -> Step | None:
        """The step of a declaration, or None where too little is known."""
        if declaration.kind == "model":
            return self.model_step(declaration)
        if declaration.kind in ("scores", "circuit", "curve", "compare"):
            return self.method_step(declaration)
        if not self.is_known(declaration):
            return None
        if declaration.kind == "dataset" and self.model_of(declaration).tokenizer is None:
            return None
        return Step(declaration.name, self.in_words(declaration))

    def in_words(self, declaration: Declaration) -> str:
        """What a declaration is that takes no time."""
        match declaration.kind:
            case "dataset":
                dataset: Dataset = self.get(declaration.name)
                self.notes.update(dict.fromkeys(dataset.notes))
                lengths = sorted({len(example.tokens) for example in dataset.examples})
                tokens = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
                most = 1 + max(example.forced for example in dataset.examples)
                forced = f", answers of up to {most} tokens" if dataset.answers == "forced" else ""
                return f"{counted(len(dataset.examples), 'prompt')} of {tokens} tokens{forced}"
            case "graph":
                graph: Graph = self.get(declaration.name)
                nodes = f"{len(graph.senders)} senders, {len(graph.receivers)} receivers"
                return f"{nodes}, {graph.n_edges:,} edges"
            case "corruption":
                contrast = self.contrast(declaration)
                fitting = contrast.fitting(max(batch.clean.shape[1] for batch in contrast.batches))
                return f"{declaration.implementation}; up to {counted(fitting, 'prompt')} in a pass"
            case "metric":
                self.get(declaration.name)
        return declaration.implementation

    def is_known(self, declaration: Declaration) -> bool:
        return not any(name in self.unknown for name in declaration.references())

    def model_step(self, declaration: Declaration) -> Step | None:
        if declaration.implementation == "shape":
            return Step(declaration.name, f"{_sizes(self.get(declaration.name))}, only a shape")
        small = ("compiled", "transformer_lens")
        if declaration.implementation in small or declaration.values.get("name") in COMPILED:
            # So that they are loaded.
            model: Model = self.get(declaration.name)
            size = sum(weight.nbytes for weight in model.module.parameters())
            return Step(declaration.name, _sizes(model), memory=size)
        with placed(declaration):
            config, place = _config(declaration)
        if config is None:
            self.notes[
                f"{declaration.name}: its config is not at hand, so what depends on it is not planned"
            ] = None
            return None
        with placed(declaration):
            size = parameters(config) * getattr(torch, str(declaration.values["dtype"])).itemsize
        model = self.loaded(declaration, size) or self.unloaded(declaration, config, place)
        return Step(declaration.name, _sizes(model), memory=size)

    def loaded(self, declaration: Declaration, size: int) -> Model | None:
        """The model itself, if it is at hand; what is wrong with it becomes a note."""
        if not is_at_hand(declaration, size):
            return None
        try:
            model: Model = self.get(declaration.name)
        except NncircError as error:
            self.notes[f"{declaration.name} cannot be loaded: {error.message}"] = None
            return None
        return model

    def unloaded(self, declaration: Declaration, config: Any, place: str | Path) -> Model:
        """The model without its weights: modules that have shapes and no memory."""
        name, dtype = declaration.name, getattr(torch, str(declaration.values["dtype"]))
        tokenizer: Any = None
        given = declaration.values.get("tokenizer")
        with placed(declaration):
            try:
                tokenizer = load_tokenizer(str(given) if given else place)
            except NncircError as error:
                if error.code not in ("C423", "C424"):
                    raise
                self.notes[f"{name}: {error.message}; its prompts are not tokenized"] = None
            module = empty(config, dtype, str(place))
            model = _Unloaded(module, tokenizer, {}, name, entry=entries_of(module)[0])
            self.built[name] = model
            self.notes[f"{name}: its weights are not at hand; costs of ACDC are upper bounds"] = None
            # What is stored is known by the weights that it was made with.
            self.store = None
            self.timed[name] = stand_in(config, dtype, str(place))
        return model

    def method_step(self, declaration: Declaration) -> Step | None:
        if declaration.implementation == "reference":
            return self.reference_step(declaration)
        if self.is_known(declaration):
            self.check_lengths(declaration)
        corruption = declaration.values.get("corruption")
        graph = declaration.values.get("graph")
        built = self.built.get(graph.name) if isinstance(graph, Ref) else None
        is_measured = isinstance(declaration.values.get("metric"), Ref)
        if is_measured and isinstance(corruption, Ref) and corruption.name not in self.unknown:
            self.check_readings(declaration)
        threshold = declaration.values.get("threshold")
        what = declaration.implementation + ("" if threshold is None else f", threshold {threshold}")
        found = self.foretold(declaration) if self.is_known(declaration) else None
        if found is None:
            passes = _forwards(declaration, built) if isinstance(built, Graph) else None
            return Step(declaration.name, what, passes, at_most=passes is not None)
        if found.tested:
            what += f"; {'at most' if found.at_most else 'about'} {found.tested:,} edges tested"
        return Step(
            declaration.name,
            what,
            found.forwards,
            found.memory or None,
            found.seconds,
            found.tested or None,
            found.at_most,
            self.is_there(declaration),
        )

    def reference_step(self, declaration: Declaration) -> Step | None:
        if not self.is_known(declaration) or any(
            self.program.declarations[name].kind == "scores" for name in declaration.references()
        ):
            return Step(declaration.name, "reference")
        circuit = self.get(declaration.name)
        return Step(
            declaration.name,
            f"reference, {counted(len(circuit), 'edge')}, {counted(len(circuit.nodes), 'node')}",
        )


def _sizes(model: Model | OnlyShape) -> str:
    return f"{model.shape.n_layers} layers x {model.shape.n_heads} heads"


def _forwards(declaration: Declaration, graph: Graph) -> float | None:
    """The most passes, in forwards of all prompts, of which nothing else is known."""
    values: Mapping[str, Any] = declaration.values
    match declaration.implementation:
        case "attribution_patching":
            return 2.0 + 3 * values["steps"]
        case "activation_patching" if values["positions"] != "all":
            return 2.0 + len(rows_of(graph, values["of"])) * len(values["positions"] or "1")
        case "acdc":
            return 2.0 + graph.n_edges
    return None


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _config(declaration: Declaration) -> tuple[Any, str | Path]:
    """The config of a model that is at hand, and where its tokenizer is."""
    from transformers import GPT2Config

    if declaration.implementation == "bundled":
        folder = model_folder(str(declaration.values["name"]))
    else:
        name = str(declaration.values["id"])
        if not is_local(name):
            sizes = model_sizes(declaration.implementation, declaration.values)
            if sizes is None:
                return None, name
            heads = sizes.shape.n_heads
            return GPT2Config(n_layer=sizes.shape.n_layers, n_head=heads, n_embd=64 * heads), name
        if name.endswith(SUFFIX):
            return None, name
        folder = at_home(name)
    what = no_folder(folder)
    if not what and not is_there(folder / "config.json"):
        what = "has no config.json"
    if what:
        raise ModelError("C402", f"the model folder {folder} {what}", about=str(folder))
    check_json(folder / "config.json")
    return read_config(str(folder)), folder


class _Unloaded(Model):
    """A model whose weights have shapes and no memory; its prompts are where they would be."""

    @property
    def device(self) -> torch.device:
        """Where prompts are."""
        return torch.device("cpu")
