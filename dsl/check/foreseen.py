"""What a run would refuse once models and prompts are there, said by `check` as far as the script tells.

The codes are those with which a run refuses.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nncirc.circuits.errors import GraphError
from nncirc.circuits.models import COMPILED
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.check.datasets import answers_follow, has_column, teacher_forced
from nncirc.dsl.check.program import Apply, Choices, Ref, Template, Where
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.shapes import ModelShape
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = [
    "check_bound",
    "check_counted",
    "check_drawn",
    "check_foil",
    "check_graph",
    "check_heads",
    "check_layers",
    "check_outputs",
    "check_paired",
    "check_shuffled",
    "check_values",
    "size_of",
]


def check_graph(meaning: Meaning, graph: Draft) -> None:
    """The model has such a graph; what is wrong with a key by itself has been said."""
    shape, nodes = meaning.shape(graph), graph.values.get("nodes")
    if shape is None or not isinstance(nodes, tuple):
        return
    model = meaning.get(graph, "model")
    name = "the model" if model is None else f"`{model.name}`"
    if shape.mlps and "mlps" not in nodes:
        meaning.scope.report(
            "C460",
            f"the MLPs of {name} write into the residual stream, and this graph leaves them out",
            graph.where("nodes"),
            help="add `mlps`: what is no node could be neither cut nor corrupted",
        )
        return
    error = meaning.graph_or_error(graph)
    if isinstance(error, GraphError):
        key = {"C453": "inputs", "C465": "positions", "C467": "neurons"}.get(error.code, "nodes")
        meaning.scope.report(error.code, error.message, graph.where(key), help=error.hint)


def check_heads(meaning: Meaning, circuit: Draft) -> None:
    """What `where(…)` picks heads by has numbers for heads."""
    for name, group in circuit.groups.items():
        for member, span in zip(group, circuit.member_spans[name], strict=True):
            if not isinstance(member, Where):
                continue
            scores = meaning.drafts[member.scores.name]
            graph = meaning.get(scores, "graph")
            nodes = None if graph is None else graph.values.get("nodes")
            if (
                scores.implementation == "logit_attribution"
                and isinstance(nodes, tuple)
                and "heads" not in nodes
            ):
                assert graph is not None
                meaning.scope.report(
                    "C579",
                    f"`{scores.name}` scores no heads",
                    span,
                    labels=(Label(graph.where("nodes"), "the nodes of its graph"),),
                    help="add `heads` to the nodes of its graph",
                )


def _shape(meaning: Meaning, draft: Draft) -> tuple[Draft | None, ModelShape | None]:
    """The model that a method runs, and its shape where that is known."""
    data = meaning.data_of(draft) or meaning.get(draft, "source") or meaning.get(draft, "data")
    model = meaning.get(draft, "model") or (None if data is None else meaning.get(data, "model"))
    return model, None if model is None else meaning.shapes(model.implementation, model.values)


def check_layers(meaning: Meaning, draft: Draft) -> None:
    """The model has the layers and MLPs that a method is about."""
    model, shape = _shape(meaning, draft)
    if model is None or shape is None:
        return
    values, found = draft.values, None
    match draft.implementation:
        case "causal_tracing" if not shape.mlps and "mlps" in (values.get("of"), values.get("sever")):
            key = "of" if values.get("of") == "mlps" else "sever"
            found = "C591", key, f"`{model.name}` has no MLPs", "trace `states` or `attention`"
        case "attribution_patching" if values.get("grad_drop") is True and shape.layers < 2:
            found = "C547", "grad_drop", "with one layer `grad_drop` has nothing to drop", "leave it out"
        case "composition" if shape.layers < 2:
            problem = f"`{model.name}` has one layer, so that no head reads what another writes"
            found = "C577", "model", problem, "pairs of heads need two layers"
        case "in_context_learning" if (longest := _longest(meaning.get(draft, "data"))) is not None:
            late = values.get("late")
            if _above(late, longest):
                problem = f"there is no token {late} in prompts of {longest} tokens"
                found = "C578", "late", problem, "tokens are counted from 1: use longer prompts"
        case "patchscopes":
            given = values.get("layer")
            beyond = [n for n in (given if isinstance(given, tuple) else (given,)) if _above(n, shape.layers)]
            if beyond:
                advice = f"0 to {shape.layers - 1}, or {shape.layers} for what the final norm reads"
                found = "C574", "layer", f"there is no layer {beyond[0]} in `{model.name}`", advice
    if found is not None:
        code, key, problem, advice = found
        labels = (Label(model.place, "the model"),)
        meaning.scope.report(code, problem, draft.where(key), labels=labels, help=advice)


def _longest(data: Draft | None) -> int | None:
    """How many tokens random prompts have, with as many as tokenizers add at their ends; None of others."""
    length, copies = (None if data is None else data.values.get(key) for key in ("length", "copies"))
    if data is None or data.implementation != "tokens":
        return None
    return length * copies + 2 if isinstance(length, int) and isinstance(copies, int) else None


def _above(number: object, most: int) -> bool:
    return isinstance(number, int) and number > most


# Prompts --------------------------------------------------------------------------------------------------


def size_of(data: Draft) -> int | None:
    """How many prompts a dataset has; None where that is seen only when they are made."""
    if data.implementation in ("template", "tokens", "task"):
        size = data.values.get("size")
        return size if isinstance(size, int) else None
    clean = data.values.get("clean")
    return len(clean) if data.implementation == "prompts" and isinstance(clean, tuple) else None


def check_drawn(meaning: Meaning, data: Draft) -> None:
    """A template's lists of words make as many different prompts as are asked for."""
    size, prompts = data.values.get("size"), data.values.get("prompt")
    if not isinstance(size, int) or not isinstance(prompts, tuple):
        return
    lines: dict[int, set[str]] = {}
    words: dict[int, int] = {}
    for slot in data.slots.values():
        lines.setdefault(slot.group, set()).add(slot.name)
        if isinstance(slot.generator, Choices):
            words[slot.group] = len(slot.generator.items)
    most = 0
    for prompt in prompts:
        used = set(prompt.slots) if isinstance(prompt, Template) else set()
        if not used <= {name for names in lines.values() for name in names}:
            return
        asked = {line: len(names & used) for line, names in lines.items() if names & used}
        if any(len(lines[line]) > words.get(line, math.inf) for line in asked):
            return  # said where the words stand
        if asked.keys() - words.keys():
            return  # words of a named list, or tokens: as many as the tokenizer has
        most += math.prod(math.perm(words[line], count) for line, count in asked.items())
    if most < size:
        there = "is 1 different prompt" if most == 1 else f"are {most:,} different prompts"
        meaning.scope.report(
            "C310",
            f"`size = {size}`, and there {there} in this template",
            data.where("size"),
            help=f"set `size = {most}` or less, or give the slots more words",
        )


def check_foil(meaning: Meaning, data: Draft) -> None:
    """A foil has an answer that it is compared with, and is another one."""
    answer, foil = data.values.get("answer"), data.values.get("foil")
    if foil is None or data.implementation not in ("template", "prompts"):
        return
    if answers_follow(data) or (has_column(data, "answer") is False and not teacher_forced(data)):
        meaning.scope.report(
            "C304",
            "there is a foil and no answer that it could be compared with",
            data.where("foil"),
            help="give `answer = …` as well, or leave the foil out",
        )
        return
    for one, other in zip(*(_each(value, data) for value in (answer, foil)), strict=False):
        both = [text for text in one if text in other]
        if both:
            meaning.scope.report(
                "C304",
                f'answer and foil are the same, "{both[0]}"',
                data.where("foil"),
                labels=(Label(data.where("answer"), "the answer"),),
                help="their difference is 0 whatever the model does; write another foil",
            )
            return


def _each(value: object, data: Draft) -> list[list[str]]:
    """The texts of an answer or a foil, of each prompt of which they are written by themselves."""
    items = value if isinstance(value, tuple) else (value,)
    sets = (
        [items] if data.implementation == "template" else [i if isinstance(i, tuple) else (i,) for i in items]
    )
    return [[str(getattr(text, "text", text)) for text in each if text is not None] for each in sets]


def check_shuffled(meaning: Meaning, corruption: Draft) -> None:
    """A prompt has another one to change with."""
    data = meaning.get(corruption, "data")
    if corruption.implementation == "shuffle" and data is not None and size_of(data) == 1:
        meaning.scope.report(
            "C342",
            f"the one prompt of `{data.name}` has no other to change with",
            corruption.where("data"),
            labels=(Label(data.where("size" if "size" in data.spans else "clean"), "one prompt"),),
            help="draw more prompts",
        )


def check_paired(meaning: Meaning, draft: Draft) -> None:
    """Patchscopes carry states into one prompt, or each into one of its own."""
    source, target = meaning.get(draft, "source"), meaning.get(draft, "target")
    sizes = [None if each is None else size_of(each) for each in (source, target)]
    if draft.implementation == "patchscopes" and None not in sizes and sizes[1] not in (1, sizes[0]):
        meaning.scope.report(
            "C575",
            f"{sizes[0]} source prompts and {sizes[1]} target prompts",
            draft.where("target"),
            help="give one target for all, or one for each",
        )


def check_bound(meaning: Meaning, applied: Apply, span: Span) -> None:
    """One prompt bounds nothing."""
    if not applied.arguments.get("bound"):
        return
    for key in ("corruption", "curve", "scores"):
        value = applied.arguments.get(key)
        draft = meaning.drafts.get(value.name) if isinstance(value, Ref) else None
        if draft is None:
            continue
        corruption = draft if draft.kind == "corruption" else meaning.get(draft, "corruption")
        data = meaning.get(draft if corruption is None else corruption, "data")
        if data is not None and size_of(data) == 1:
            meaning.scope.report(
                "C561",
                "one prompt does not bound this: an interval is over prompts",
                span,
                labels=(Label(data.where("size" if "size" in data.spans else "clean"), "one prompt"),),
                help="use more prompts, or leave `bound` out",
            )


# What is measured -----------------------------------------------------------------------------------------


def predicts(model: Draft) -> bool:
    """Whether a model's outputs are logits of tokens; those of compiled programs are values."""
    return model.implementation != "compiled" and model.values.get("name") not in COMPILED


def check_outputs(meaning: Meaning, draft: Draft) -> None:
    """What is read of a model's outputs is what they are; answers are tokens."""
    model, _ = _shape(meaning, draft)
    if model is None or predicts(model):
        return
    label = (Label(model.place, "a program"),)
    if draft.kind == "dataset":
        column = next((key for key in ("answer", "answer_ids") if key in draft.spans), None)
        if column is not None or answers_follow(draft):
            meaning.scope.report(
                "C434",
                f"these prompts have answers, and `{model.name}` predicts no tokens: its outputs are values",
                draft.where(column or "model"),
                labels=label,
                help="leave the answers out, and measure `mse`",
            )
    elif draft.implementation == "in_context_learning" or (
        draft.implementation == "weight_statistics" and "copying" in _of(draft)
    ):
        meaning.scope.report(
            "C433",
            f"this is about logits of tokens, and the outputs of `{model.name}` are values",
            draft.where("of" if "of" in draft.spans else "data"),
            labels=label,
            help="read what is about attention",
        )


def _of(draft: Draft) -> tuple[object, ...]:
    of = draft.values.get("of")
    return of if isinstance(of, tuple) else ()


def check_values(meaning: Meaning, span: Span, metric: Draft, data: Draft) -> bool:
    """Whether a metric has a meaning for the outputs of the model that reads the prompts; reports if not."""
    model = meaning.get(data, "model")
    if model is None or predicts(model) or METRICS[metric.implementation].of_values:
        return True
    meaning.scope.report(
        "C433",
        f"`{metric.implementation}` is about logits of tokens, and the outputs of `{model.name}` are values",
        span,
        labels=(Label(model.place, "a program"),),
        help="measure `mse`, the squared difference from the clean run's outputs",
    )
    return False


def check_counted(meaning: Meaning, circuit: Draft | None, by: object, span: Span) -> None:
    """The graph has something of what circuits are compared by."""
    graph = meaning.drafts.get((circuit.graph if circuit else None) or "")
    nodes, inputs = (None if graph is None else graph.values.get(key) for key in ("nodes", "inputs"))
    for each in by if isinstance(by, tuple) else (by,):
        lacks = (
            each == "heads" and isinstance(nodes, tuple) and not {"heads", "attention"} & set(nodes)
        ) or (each == "mlps" and isinstance(nodes, tuple) and "mlps" not in nodes)
        lacks = lacks or (each in ("q", "k", "v") and inputs == ())
        if lacks:
            assert graph is not None
            meaning.scope.report(
                "C462",
                f"there are no {each} to compare by in this graph",
                span,
                labels=(Label(graph.where("inputs" if each in ("q", "k", "v") else "nodes"), "the graph"),),
                help="compare by `nodes` or by `edges`",
            )
