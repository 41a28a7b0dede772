"""Running a program: what is asked for is built, written as soon as it is there, and claims are checked."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace as with_fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import NncircError, ScriptError
from nncirc.circuits.names import Position
from nncirc.circuits.words import counted, did_you_mean, visible
from nncirc.dsl.check.program import Declaration, Program, Ref
from nncirc.dsl.check.types import kinds_in_words
from nncirc.dsl.check.written import DRAWN, PROVENANCE, result_file, written
from nncirc.engine.blocks import blocks
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.program import folder as files
from nncirc.engine.program.build import Builder, Progress
from nncirc.engine.program.claims import Claim, check_rows, intervals_of, measure
from nncirc.engine.program.places import placed
from nncirc.engine.program.results import Curve, Table, areas, printed
from nncirc.engine.program.store import Store
from nncirc.engine.runs.memory import peak
from nncirc.engine.shortage import shortage

PREPARED = ("model", "dataset", "corruption", "graph", "metric")


@dataclass(frozen=True, slots=True)
class Result:
    """A named result, or a picture, with the file in the run's folder, if one was written.

    Attributes:
        summary: a few words on it.
        seconds: wall-clock time that building it took.
        stored: whether all that a model has to run for came from the store.
    """

    name: str
    kind: str
    using: str
    file: str | None
    summary: str
    seconds: float
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did.

    Attributes:
        folder: where everything was written.
        results: in the order in which they were built.
        claims: the assertions; empty with `only`.
        tables: the comparisons and the shorter curves, by name.
        notes: sentences on the data and the store that a user should read.
        missing: of an interrupted run, the results and pictures that were asked for and are not there.
    """

    folder: Path
    results: tuple[Result, ...]
    claims: tuple[Claim, ...]
    tables: Mapping[str, Table]
    notes: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every claim holds."""
        return all(claim.holds for claim in self.claims)


@dataclass(frozen=True, slots=True)
class Options:
    """How a program is run.

    Attributes:
        only: names of declarations (or families) to build; () for all.
        batch: most prompts in one trace.
        memory: most bytes of activations; None for half of what is free.
        threads: of torch; None for as many as are free.
        overrides: what `--set` changed, for the provenance.
        allow_code: whether functions of the script's own may be called.
    """

    only: tuple[str, ...] = ()
    batch: int | None = None
    memory: int | None = None
    threads: int | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    allow_code: bool = False


def run_program(
    program: Program,
    out: str | Path,
    options: Options = Options(),
    *,
    progress: Callable[[str], Progress | None] = lambda _: None,
    store: Store | None = None,
    finished: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Build what a program asks for and write it into a folder.

    Everything that can be checked without long work is checked first: models, prompts, alignment, answers,
    positions, reference circuits. Results are written one by one as they are finished. A picture that cannot
    be drawn and a claim that cannot be measured do not take the others with them: the first such error is
    raised at the end.

    Args:
        program: a checked program.
        out: the folder; it is made if it is not there.
        options: what to build, and how.
        progress: gives each declaration's name a callback for work done and work in all.
        store: results of earlier runs, which are not computed again; None to compute everything.
        finished: called with the report of all that was made, at the end, and before an error of a picture
            or a claim or an interruption is raised.

    Raises:
        ProgramError: whatever went wrong, with its place in the script.
        NncircError: what has no place: C606, C607 the folder; C115 a name that `only` does not know;
            C701 not enough memory.
    """
    folder = Path(out)
    wanted = requested(program, options.only)
    files.prepare(folder)
    files.writable(folder, "run.json")
    for declaration in wanted:
        with placed(declaration):
            files.writable(folder, _file(declaration))
    files.tidy(folder, (str(d.values["file"]) for d in wanted if d.kind in DRAWN))
    began, wall, cpu = datetime.now(UTC), time.perf_counter(), time.process_time()
    threads = min(options.threads or free_cores(), cores())  # thousands would hardly end
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    builder = Builder(program, blocks(), options.batch, options.memory, progress, store, options.allow_code)
    results: list[Result] = []
    claims: list[Claim] = []
    asserted = () if options.only else program.assertions

    def write_provenance() -> None:
        seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        how = {
            "threads": threads,
            "began": began.isoformat(timespec="seconds"),
            "seconds": {clock: round(time_taken, 3) for clock, time_taken in seconds.items()},
            "memory": {"limit": options.memory, "peak": peak()},
        }
        content = provenance(builder, options, results, claims, how)
        with files.disk():
            files.write_json(files.inside(folder, PROVENANCE), content)

    try:
        prepare(builder, wanted)
        check_rows(builder, asserted)
        broken: Exception | None = None
        for declaration in wanted:
            # One by one: what was finished before an error is in the provenance.
            try:
                results.append(_result(builder, folder, declaration))
            except Exception as error:
                if declaration.kind not in DRAWN:
                    raise
                # A picture that cannot be drawn takes neither results nor claims with it.
                broken = broken or error
        for assertion in asserted:
            # One that cannot be measured does not take the others with it.
            try:
                with placed(assertion):
                    claims.append(measure(builder, assertion))
            except NncircError as error:
                broken = broken or error
        if broken is not None:
            finished(_report(builder, folder, options, results, claims))
            raise broken
    except BaseException as error:
        with suppress(NncircError):  # what went wrong first is what the user has to hear of
            write_provenance()
        if isinstance(error, KeyboardInterrupt):
            made = {result.name for result in results}
            missing = tuple(_file(d) if d.kind in DRAWN else d.name for d in wanted if d.name not in made)
            finished(with_fields(_report(builder, folder, options, results, claims), missing=missing))
        if short := shortage(error):
            raise short from None
        raise
    else:
        write_provenance()
    finally:
        torch.set_num_threads(before)
    report = _report(builder, folder, options, results, claims)
    finished(report)
    return report


def _report(
    builder: Builder, folder: Path, options: Options, results: Iterable[Result], claims: Iterable[Claim]
) -> Report:
    """What was made, its tables, and what there is to say of the data and the store."""
    results, claims = tuple(results), tuple(claims)
    datasets = [builder.built[each.name] for each in _built(builder, "dataset")]
    notes = tuple(dict.fromkeys(note for dataset in datasets for note in dataset.notes))
    notes += builder.store.notes if builder.store else ()
    notes += tuple(claim.note for claim in claims if claim.note)
    if (options.threads or 0) > cores():
        notes += (f"this machine has {counted(cores(), 'core')}; no more threads were used",)
    tables: dict[str, Table] = {}
    for result in results:
        tables |= printed(result.name, builder.built.get(result.name))
    return Report(folder, results, claims, tables, notes)


def cores() -> int:
    """Cores of this machine."""
    return os.cpu_count() or 1


def free_cores() -> int:
    """Cores that nothing else is busy with: more threads than free cores are far slower than fewer."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores()
    try:
        busy = os.getloadavg()[0]
    except OSError:
        busy = 0.0
    return max(1, ours - round(busy))


def requested(program: Program, only: Iterable[str]) -> tuple[Declaration, ...]:
    """The declarations to build and write: all results and outputs of the script itself, or those named.

    Raises:
        ScriptError: C119, a name is none of the script's results.
    """
    everything = written(program.declarations.values())
    names = tuple(only)
    known = [*dict.fromkeys(name for each in everything for name in (each.family, each.name) if name)]
    for name in names:
        if name not in known:
            declared = program.declarations.get(name)
            listed = f"expected {', '.join(known)}" if known else "this script has no results"
            raise ScriptError(
                "C119",
                f"unknown result {name!r}"
                + ("" if declared is None else f": it is {kinds_in_words([declared.kind])}"),
                hint=listed if declared is not None else did_you_mean(name, known, listed, shown="'{}'"),
            )
    return tuple(each for each in everything if not names or each.name in names or each.family in names)


def prepare(builder: Builder, wanted: Iterable[Declaration]) -> None:
    """Build all that is cheap and check all that can be checked before the first long computation."""
    program = builder.program
    needed = program.needed(each.name for each in wanted)
    for declaration in needed:
        if declaration.kind in PREPARED:
            builder.get(declaration.name)
    for declaration in needed:
        if declaration.kind in ("scores", "circuit"):
            builder.check(declaration)
    for declaration in needed:
        if declaration.implementation == "reference" and not _is_long(program, declaration):
            builder.get(declaration.name)


def _is_long(program: Program, declaration: Declaration) -> bool:
    return any(program.declarations[name].kind == "scores" for name in declaration.references())


def _file(declaration: Declaration) -> str:
    """Where a result or a picture is written, in the folder."""
    drawn = declaration.kind in DRAWN
    return str(declaration.values["file"]) if drawn else result_file(declaration.name)


def _result(builder: Builder, folder: Path, declaration: Declaration) -> Result:
    name = declaration.name
    if declaration.kind in DRAWN:
        file, wall = _file(declaration), time.perf_counter()
        block = blocks()[declaration.kind, declaration.implementation]
        assert block.draw is not None
        for needed in declaration.references():
            builder.get(needed)
        with placed(declaration), files.disk():
            block.draw(builder, declaration, files.inside(folder, file))
        builder.seconds[name] = {"wall": round(time.perf_counter() - wall, 4)}
        return Result(name, declaration.kind, declaration.kind, file, "", builder.seconds[name]["wall"])
    made = builder.get(name)
    summary, seconds = summarize(made), builder.seconds[name]["wall"]
    using, restored = declaration.implementation, name in builder.restored
    # Last: whoever interrupts between the file and its place in the provenance has to be quick.
    with placed(declaration), files.disk():
        written = files.write_result(folder, name, made)
    return Result(name, declaration.kind, using, written, summary, seconds, restored)


def summarize(result: Any) -> str:
    """A few words on a result."""
    if isinstance(result, Circuit):
        return f"{len(result):,} of {result.graph.n_edges:,} edges, {counted(len(result.nodes), 'node')}"
    if isinstance(result, EdgeScores):
        best = result.ranked()[0]
        return f"{len(result.values):,} edges; strongest {best} ({result.values[best]:+.3g})"
    if isinstance(result, NodeScores):
        return counted(len(result.nodes), "node") + (
            f" x {len(result.positions)}" if result.positions else ""
        )
    if isinstance(result, Curve):
        return ", ".join(areas(result)) or counted(len(result.points), "point")
    if isinstance(result, Table):
        return counted(len(result.rows), "row")
    return ""


def provenance(
    builder: Builder,
    options: Options,
    results: Iterable[Result],
    claims: Iterable[Claim],
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that made a run's results; JSON values only."""
    program = builder.program
    text = program.source.text
    return {
        "format": "nncirc run",
        "version": files.VERSION,
        "script": {
            "name": visible(Path(program.source.name).name),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "text": text,
        },
        "constants": {name: _plain(value) for name, value in program.constants.items()},
        "set": dict(options.overrides),
        "only": list(options.only),
        "batch": options.batch,
        **how,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("nncirc", "torch", "transformers", "nnsight")},
        },
        "platform": f"{sys.platform} {platform.machine()}",
        "models": {d.name: dict(builder.built[d.name].made) for d in _built(builder, "model")},
        "datasets": {d.name: dict(builder.built[d.name].made) for d in _built(builder, "dataset")},
        "declarations": {
            name: {
                "kind": declaration.kind,
                "using": declaration.implementation,
                "values": {key: _plain(value) for key, value in declaration.values.items()},
                "seconds": builder.seconds[name],
            }
            for name, declaration in program.declarations.items()
            if name in builder.seconds
        },
        "results": {
            r.name: {"kind": r.kind, "file": r.file, "summary": r.summary, "stored": r.stored}
            for r in results
        },
        "assertions": [
            {
                "claim": claim.assertion.text,
                "about": claim.assertion.about,
                "left": claim.left,
                "right": claim.right,
                "holds": claim.holds,
                **intervals_of(claim),
                **({"note": claim.note} if claim.note else {}),
            }
            for claim in claims
        ],
    }


def _built(builder: Builder, kind: str) -> Iterator[Declaration]:
    return (each for each in builder.program.of_kind(kind) if each.name in builder.built)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list) and not isinstance(value, Position):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.name if isinstance(value, Ref) else getattr(value, "text", None) or str(value)
