"""The command line. Only this module prints, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from nncirc import __version__
from nncirc.circuits.door import read_text
from nncirc.circuits.errors import GraphError, NncircError, ResourceError, ScriptError
from nncirc.circuits.words import counted, visible
from nncirc.progress import shown
from nncirc.streams import usable

if TYPE_CHECKING:
    from nncirc.circuits.circuit import Circuit
    from nncirc.dsl.check.program import Program
    from nncirc.dsl.text.diagnostics import Diagnostic
    from nncirc.engine.program.run import Options, Report

FINE, FALSE, WRONG = 0, 1, 2
_MOST, _MOST_BYTES = 10**9, 2**60
_FORMATS = ".json, .circ, .pt, .graphml, .csv"
_COMPUTED = ("scores", "circuit", "curve", "compare", "plot", "render")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status: 0, 1 (a claim does not hold, or interrupted), 2 (wrong input)."""
    # Of these nothing is used, and what is wrong with them would be an error when a library is imported: a
    # notebook's backend that is not installed here, a folder for settings that nobody may enter.
    os.environ.pop("MPLBACKEND", None)
    os.environ["NNSIGHT_CONFIG"] = os.devnull
    with usable():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    options = argparse.Namespace()
    try:
        options = _parsed(arguments)
        status: int = options.command(options)
        sys.stdout.flush()
    except NncircError as error:
        as_json = getattr(options, "json", False) and error.code != "C711"
        return _failed(error, as_json=as_json, status=FALSE if error.code == "C702" else WRONG)
    except KeyboardInterrupt:
        return _failed(ResourceError("C702", "interrupted"), as_json=False, status=FALSE)
    except BrokenPipeError:
        return FALSE  # The reader of our output went away: nothing to say, and nothing to say it to.
    except Exception as error:
        if os.environ.get("NNCIRC_TRACEBACK"):
            raise
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        hint = "this is a bug in nncirc: please report it, with the traceback that NNCIRC_TRACEBACK=1 prints"
        return _failed(NncircError("C799", f"internal error: {message}", hint=hint), as_json=False)
    return status


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        return _parser().parse_args(arguments)
    except SystemExit:
        sys.stdout.flush()  # the help, or the version
        raise


class _Parser(argparse.ArgumentParser):
    """A parser that makes invisible characters visible in its errors."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nncirc", description="Find and test circuits in transformer language models.")
    parser.add_argument("--version", action="version", version=f"nncirc {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[Any], int], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(command=function)
        return made

    run = command("run", _run, "run a script: compute scores and circuits, draw pictures, test claims")
    check = command("check", _check, "report errors in a script, without loading a model")
    plan = command("plan", _plan, "predict the cost of a run: forward passes, seconds, memory")
    for each in (run, check, plan):
        each.add_argument("script", metavar="SCRIPT", help="a .circ file")
        each.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="override a constant of the script; may be repeated",
        )
        each.add_argument("--json", action="store_true", help="print JSON")
    run.add_argument("--out", metavar="DIR", help="folder for results (default: out/SCRIPT)")
    for each in (run, plan):
        each.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="NAME",
            help="compute only this result and its inputs; may be repeated",
        )
        each.add_argument("--batch", type=_positive, metavar="N", help="at most N prompts per forward pass")
        each.add_argument(
            "--memory",
            type=_bytes,
            metavar="SIZE",
            help="memory limit for activations, such as 800MB or 2GiB (default: half of the free memory)",
        )
        each.add_argument(
            "--allow-code", action="store_true", help="allow the script to run its own Python functions"
        )
    run.add_argument("--fresh", action="store_true", help="ignore cached results of earlier runs")
    run.add_argument("--threads", type=_positive, metavar="N", help="number of threads (default: free cores)")

    render = command("render", _render, "draw a saved circuit")
    render.add_argument("circuit", metavar="CIRCUIT", help=f"a circuit: {_FORMATS}")
    render.add_argument("--highlight", metavar="CIRCUIT", help="a circuit to highlight for comparison")
    render.add_argument("--out", metavar="FILE", help=".svg, .png, .pdf or .dot (default: beside CIRCUIT)")
    _add_fold(render)

    _add_exchange(command)
    explain = command("explain", _explain, "explain an error code, such as C301")
    explain.add_argument("code", metavar="CODE")
    models = command("models", _models, "list the bundled models, or show what is found about another")
    models.add_argument(
        "--inspect",
        metavar="MODEL",
        help="load a folder, a Hub id or a bundled model: its parts, what the guards measured, what is fast",
    )
    models.add_argument(
        "--dtype", choices=("float32", "float64", "bfloat16", "float16"), help="of the inspected model"
    )
    models.add_argument("--json", action="store_true", help="print JSON")
    cache = command("cache", _cache, "show where results of earlier runs are cached, and their size")
    cache.add_argument("--clear", action="store_true", help="remove the cached results")
    cache.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_fold(command: argparse.ArgumentParser) -> None:
    text = "simplify the drawing to at most N lines (caption says how)"
    command.add_argument("--fold", type=_positive, metavar="N", help=text)


def _fold(options: argparse.Namespace) -> dict[str, Any]:
    return {} if options.fold is None else {"max_edges": options.fold}


def _add_exchange(command: Callable[[str, Callable[[Any], int], str], argparse.ArgumentParser]) -> None:
    """The commands for files of circuits."""
    diff = command("diff", _diff, "compare two circuits: nodes and edges in both, and in only one")
    diff.add_argument("first", metavar="A", help=f"a circuit: {_FORMATS}; FILE.circ:NAME for one in a script")
    diff.add_argument("second", metavar="B", help="the circuit to compare with")
    diff.add_argument("--out", metavar="FILE", help="draw both as one picture: .svg, .png, .pdf or .dot")
    _add_fold(diff)
    diff.add_argument(
        "--collapse",
        action="store_true",
        help="merge inputs, heads or positions until both graphs match, summing scores",
    )
    diff.add_argument("--json", action="store_true", help="print JSON")
    bring = command("import", _import, "convert a circuit from EAP-IG, MIB, GraphML, CSV or .circ")
    bring.add_argument("source", metavar="FILE", help=f"{_FORMATS}, or the folder of an MIB submission")
    bring.add_argument(
        "--to", required=True, metavar="FILE", help=".json or .circ; for several circuits, a folder"
    )
    bring.add_argument(
        "--like", metavar="CIRCUIT", help="a circuit on the same graph, if FILE does not record its graph"
    )
    bring.add_argument("--kv-heads", type=_positive, metavar="N", help="number of key-value heads (EAP-IG)")
    bring.add_argument(
        "--all", action="store_true", help="import all scored edges, not only those in the circuit (EAP-IG)"
    )
    send = command("export", _export, "convert a circuit or scores for another program, or to a script")
    send.add_argument("source", metavar="CIRCUIT", help="a file of a circuit or scores, saved by a run")
    send.add_argument(
        "--to", required=True, metavar="FILE", help=".circ, .json (EAP-IG), .graphml, .csv, or a folder (MIB)"
    )
    send.add_argument(
        "--d-model",
        type=_positive,
        metavar="N",
        help="width of the residual stream (EAP-IG), if CIRCUIT does not record it",
    )


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() and len(text) < 20 else 0
    if not 1 <= value <= _MOST:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 1 to {_MOST:,}, found {visible(text, 40)!r}"
        )
    return value


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(i?)B?", text, re.IGNORECASE)
    factor = (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " ") if found else 0
    size = float(found[1]) * factor if found else 0.0
    if not 1 <= size <= _MOST_BYTES:
        raise argparse.ArgumentTypeError(
            f"expected a size such as 800MB or 2GiB, found {visible(text, 40)!r}"
        )
    return int(size)


# What is said ---------------------------------------------------------------------------------------------


def _say(text: str, stream: TextIO | None = None) -> None:
    """Print; names of files and what stands in them cannot move the cursor, nor be beyond the encoding."""
    print(visible(text, lines=True), file=stream or sys.stdout)


def _say_json(value: Any, **how: Any) -> None:
    """Print as JSON of ASCII characters, which every terminal and every locale can take."""
    print(json.dumps(value, indent=1, **how))


# What went wrong ------------------------------------------------------------------------------------------


def _failed(error: NncircError, *, as_json: bool, status: int = WRONG) -> int:
    with suppress(OSError, ResourceError):  # where nothing can be said, the status says it
        _tell(error, as_json=as_json)
    return status


def _tell(error: NncircError, *, as_json: bool) -> None:
    diagnostic: Diagnostic | None = getattr(error, "diagnostic", None)
    if as_json:
        from nncirc.dsl.text.diagnostics import diagnostics_to_json

        if diagnostic is not None:
            print(diagnostics_to_json([diagnostic]))
        else:
            found = {"code": error.code, "severity": "error", "message": error.message, "help": error.hint}
            _say_json([found])
        sys.stdout.flush()
    elif diagnostic is not None:
        _show([diagnostic])
    else:
        _say(f"error[{error.code}]: {error.message}", sys.stderr)
        if error.hint:
            _say(f"  help: {error.hint}", sys.stderr)


def _show(diagnostics: Sequence[Diagnostic]) -> None:
    from nncirc.dsl.text.diagnostics import render_diagnostics

    if diagnostics:
        print(render_diagnostics(diagnostics, color=_colored(sys.stderr)), file=sys.stderr)


def _colored(stream: Any) -> bool:
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


# check, explain, models -----------------------------------------------------------------------------------


def _checked(options: Any) -> Program | None:
    """The checked program, or None after its errors have been shown."""
    from nncirc.dsl.check.checker import check_file
    from nncirc.dsl.text.diagnostics import diagnostics_to_json

    result = check_file(options.script, set=_settings(options.set))
    if options.json and result.program is None:
        print(diagnostics_to_json(result.diagnostics))
    elif not options.json:
        _show(result.diagnostics)
    return result.program


def _settings(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in given:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or not name:
            raise NncircError(
                "C206",
                f"expected --set NAME=VALUE, found --set {setting}",
                hint=f"write --set {name or 'NAME'}=VALUE",
            )
        if name in found:
            values = f"{found[name]!r} and {value!r}"
            hint = f"for a family, give a list: --set '{name}=[0.01, 0.02]'"
            raise NncircError("C206", f"--set gives {name} two values, {values}", hint=hint)
        found[name] = value
    return found


def _check(options: Any) -> int:
    program = _checked(options)
    if program is None:
        return WRONG
    if options.json:
        print("[]")
    else:
        own = sum("." not in name for name in program.declarations)
        claims = len(program.assertions)
        _say(f"{options.script}: {counted(own, 'declaration')}, {counted(claims, 'claim')}, no errors")
    return FINE


def _explain(options: Any) -> int:
    from nncirc.dsl.codes import explain

    text = explain(f"C{options.code.zfill(3)}" if options.code.isdecimal() else options.code)
    if text is None:
        hint = "docs/language.md lists the codes of the language; write C001 to C799"
        raise NncircError("C104", f"unknown error code {options.code}", hint=hint)
    print(text)
    return FINE


def _models(options: Any) -> int:
    from nncirc.circuits.models import BUNDLED, model_info

    if options.inspect is not None:
        return _inspect(options)
    infos = [model_info(name) for name in BUNDLED]
    if options.json:
        fields = ("name", "layers", "heads", "width", "vocabulary", "positions", "attention_only", "compiled")
        rows = [{field: getattr(info, field) for field in (*fields, "scores")} for info in infos]
        _say_json(rows, default=dict)
        return FINE
    for info in infos:
        kind = ", attention only" if info.attention_only else ", compiled" if info.compiled else ""
        heads = counted(info.heads, "head")
        print(f"{info.name}: {info.layers} layers x {heads}, width {info.width}{kind}")
        print(f"  vocabulary of {info.vocabulary} tokens, at most {info.positions} positions")
        for name, value in info.scores.items():
            if isinstance(value, int | float | str):
                print(f"  {name.replace('_', ' ')}: {value}")
            elif all(isinstance(each, Mapping) and "accuracy" in each for each in value.values()):
                least = min(each["accuracy"] for each in value.values())
                print(f"  accuracy: at least {least} on each of {counted(len(value), name.rstrip('s'))}")
    return FINE


def _inspect(options: Any) -> int:
    from nncirc.circuits.models import BUNDLED
    from nncirc.engine.model.inspection import inspect_model
    from nncirc.engine.model.loading import load_bundled, load_huggingface
    from nncirc.report import print_inspection

    load: Callable[..., Any] = load_bundled if options.inspect in BUNDLED else load_huggingface
    dtype = {} if options.dtype is None else {"dtype": options.dtype}
    found = inspect_model(load(options.inspect, **dtype))
    if options.json:
        _say_json(found.as_json())
    else:
        print_inspection(found, colored=_colored(sys.stdout))
    return FINE


def _cache(options: Any) -> int:
    from nncirc.engine.program.store import Store

    store = Store()
    results, size = store.size()
    removed = store.clear() if options.clear else 0
    if options.json:
        found = {"folder": str(store.folder), "results": results, "bytes": size, "removed": removed}
        _say_json(found)
    else:
        _say(f"{store.folder}{os.sep}: {results:,} results, {size / 2**20:.1f} MiB")
        if options.clear:
            _say(f"removed {removed:,} of them")
        for note in store.notes:
            _say(f"note: {note}")
    return FINE


# run, plan, render ----------------------------------------------------------------------------------------


def _run(options: Any) -> int:
    program = _checked(options)
    if program is None:
        return WRONG
    if not program.assertions and not program.of_kind(*_COMPUTED):
        hint = "add a block `scores` or `circuit`; docs/language.md begins with a complete script"
        raise ScriptError("C123", f"{options.script} has nothing to run", hint=hint)
    out = Path(options.out) if options.out else Path("out") / Path(options.script).stem
    from nncirc.engine.program.run import run_program
    from nncirc.engine.program.store import Store
    from nncirc.report import print_report

    reports: list[Report] = []
    try:
        with shown(sys.stderr) as progress:
            store = Store(fresh=options.fresh)
            report = run_program(
                program, out, _how(options), progress=progress, store=store, finished=reports.append
            )
    except KeyboardInterrupt:
        raise _interrupted(reports) from None
    finally:
        # Also what was made before a picture could not be drawn, or a claim not be measured.
        for made in reports if not options.json else ():
            print_report(made, colored=_colored(sys.stdout))
    if options.json:
        _say_json(json.loads(read_text(report.folder / "run.json")))
    return FINE if report.holds else FALSE


def _how(options: Any) -> Options:
    from nncirc.engine.program.run import Options

    threads, overrides = getattr(options, "threads", None), _settings(options.set)
    return Options(tuple(options.only), options.batch, options.memory, threads, overrides, options.allow_code)


def _interrupted(reports: Sequence[Report]) -> ResourceError:
    """The error of a run that Ctrl-C ended, with the results it leaves."""
    hint = "run the same command again to continue"
    if not reports or not reports[0].results:
        return ResourceError("C702", "interrupted before any result was finished", hint=hint)
    (report,) = reports
    there = [each.file if each.kind in ("plot", "render") else each.name for each in report.results]
    said = f"interrupted: {', '.join(map(str, there))} {_is(there)} in {report.folder}{os.sep}"
    if report.missing:
        said += f"; {', '.join(report.missing)} {_is(report.missing)} missing"
    return ResourceError("C702", said, hint=hint)


def _is(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _plan(options: Any) -> int:
    program = _checked(options)
    if program is None:
        return WRONG
    from nncirc.engine.program.plan import plan_program
    from nncirc.engine.program.store import Store

    plan = plan_program(program, _how(options), store=Store())
    if options.json:
        _say_json(plan.as_json())
    else:
        _say(plan.as_text())
    return FINE


def _render(options: Any) -> int:
    from nncirc.circuits.pictures.render import render
    from nncirc.dsl.exchange import read_any

    circuit = read_any(options.circuit)
    highlight = read_any(options.highlight) if options.highlight else None
    out = Path(options.out) if options.out else Path(options.circuit).with_suffix(".svg")
    render(circuit, out, highlight=highlight, title=Path(options.circuit).stem, **_fold(options))
    _say(str(out))
    return FINE


# diff, import, export -------------------------------------------------------------------------------------


def _diff(options: Any) -> int:
    from nncirc.circuits.compare import as_json, as_text, collapsed, compare
    from nncirc.dsl.exchange import read_any

    first, second = read_any(options.first), read_any(options.second)
    if options.collapse:
        first, second = collapsed(first, second)
    elif first.graph != second.graph:
        raise GraphError(
            "C455",
            f"the circuits are on different graphs: {first.graph}; and {second.graph}",
            hint=_advice(first, second),
        )
    found = compare(first, second)
    names = _names(options.first, options.second)
    if options.out:
        from nncirc.circuits.pictures.pair import render_pair

        render_pair(found, names, options.out, **_fold(options))
    if options.json:
        _say_json(as_json(found, names))
    else:
        _say(as_text(found, names))
        if options.out:
            _say(f"\ndrawn in {options.out}")
    return FINE


def _advice(first: Circuit, second: Circuit) -> str:
    """What to do about circuits of two graphs: those of one model can be collapsed."""
    from nncirc.circuits.compare import collapsed

    try:
        collapsed(first, second)
    except GraphError:
        return "compare circuits of one model: these belong to two models, and share no edges"
    return "add --collapse to merge whatever only one of the graphs separates"


def _names(first: str, second: str) -> tuple[str, str]:
    """Names for two files: their file names, or their paths if these are equal."""
    short = Path(first).name, Path(second).name
    if short[0] != short[1]:
        return short
    return (first, second) if first != second else ("the first", "the second")


def _import(options: Any) -> int:
    from nncirc.dsl.exchange import import_file, read_any

    like = read_any(options.like, scores=True).graph if options.like else None
    written = import_file(
        options.source, options.to, like=like, n_kv_heads=options.kv_heads, everything=options.all
    )
    _say("\n".join(written))
    return FINE


def _export(options: Any) -> int:
    from nncirc.dsl.exchange import export_file

    _say(export_file(options.source, options.to, d_model=options.d_model))
    return FINE
