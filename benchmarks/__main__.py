"""`python -m benchmarks`: every method at every size, in plain forwards of the same model in the same run.

Each case runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from benchmarks.cases import CASES, Case
from benchmarks.setups import Clock, fresh, plain_forward, random_contrast, random_model, timed, typical

from nncirc.circuits.circuit import Circuit

ENOUGH = 0.3
"""Seconds of plain forwards before and after each time that something is measured."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    if options.check:
        from benchmarks.check import check

        return check(options.size or ["tiny", "small"])
    chosen = [case for case in CASES if _is_chosen(case, options)]
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    results = []
    for case in chosen:
        if options.here:
            results.append(measure(case, oracle=options.oracle, quick=options.quick))
        else:
            results.append(_apart(case, options))
        print(line(results[-1]), file=sys.stderr, flush=True)
    if options.json:
        text = json.dumps({"machine": machine(), "results": results}, indent=1) + "\n"
        if options.json == "-":
            print(text, end="")
        else:
            Path(options.json).write_text(text, encoding="utf-8")
    else:
        print(table(results))
    return 0 if all(result["met"] is not False for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", action="append", help="tiny, small or gpt2; may be repeated")
    parser.add_argument("--method", action="append", help="attribution, integrated, activation, acdc, family")
    parser.add_argument("--case", action="append", help="one case, as --list prints it")
    parser.add_argument("--list", action="store_true", help="print the cases and do nothing")
    parser.add_argument("--json", help="write the results to this file; - for the standard output")
    parser.add_argument("--no-oracle", dest="oracle", action="store_false", help="leave the oracle out")
    parser.add_argument("--here", action="store_true", help="no processes of their own; no peak memory")
    parser.add_argument("--quick", action="store_true", help="time everything once")
    parser.add_argument("--check", action="store_true", help="compare with the oracle, edge for edge")
    return parser


def _is_chosen(case: Case, options: argparse.Namespace) -> bool:
    pairs = ((options.size, case.size), (options.method, case.method), (options.case, case.name))
    return all(wanted is None or value in wanted for wanted, value in pairs)


def _apart(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "--here", "--json", "-", "--case", case.name]
    command += [*["--no-oracle"] * (not options.oracle), *["--quick"] * options.quick]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if not done.stdout:
        raise SystemExit(f"{case.name} failed: {' '.join(command[1:])}")
    result: dict[str, Any] = json.loads(done.stdout)["results"][0]
    result["peak_gib"] = result.pop("process_peak_gib")
    if case.memory is not None and result["peak_gib"] > case.memory:
        result["met"] = False
    return result


def measure(case: Case, *, oracle: bool = True, quick: bool = False) -> dict[str, Any]:
    """One row of the table."""
    model = random_model(case.size, spread=case.spread)
    contrast = random_contrast(model)
    graph = model.graph()
    plain, lean = plain_forward(contrast), plain_forward(contrast, keep=1)
    enough = 0 if quick else ENOUGH
    units = _for_a_while(plain, enough)
    clocks: list[Clock] = []
    found: Any = None
    for _ in range(1 if quick else case.repeats):
        about = fresh(contrast)
        clock, found = timed(lambda about=about: case.run(about, graph))
        clocks.append(clock)
        units += _for_a_while(plain, enough)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    unit, clock = typical(units), typical(clocks)
    forwards = clock.cpu / unit.cpu / case.rows
    result: dict[str, Any] = {
        "method": case.method,
        "size": case.size,
        "setting": case.setting,
        "edges": graph.n_edges,
        "cpu_s": _short(clock.cpu),
        "wall_s": _short(clock.wall),
        "plain_forward_cpu_s": _short(unit.cpu),
        "lean_forward_cpu_s": _short(typical(_for_a_while(lean, enough)).cpu),
        "rows": case.rows,
        "forwards": _short(forwards),
        "target": case.target,
        "met": None if case.target is None else forwards <= case.target,
        "process_peak_gib": _short(peak),
        **_counts(found),
    }
    if oracle and case.oracle is not None:
        slow, expected = timed(lambda: case.oracle(fresh(contrast), graph))  # type: ignore[misc]
        result["oracle_cpu_s"] = _short(slow.cpu)
        result["faster_than_oracle"] = _short(slow.cpu / clock.cpu)
        result["same_as_oracle"] = _same(found, expected)
    return result


def _for_a_while(run: Callable[[], object], seconds: float) -> list[Clock]:
    """Clocks of at least three runs, after one that does not count."""
    run()
    clocks = [timed(run)[0] for _ in range(3)]
    while sum(clock.cpu for clock in clocks) < seconds:
        clocks.append(timed(run)[0])
    return clocks


def _counts(found: Any) -> dict[str, Any]:
    circuits = [found] if isinstance(found, Circuit) else found
    if not isinstance(circuits, (tuple, list)):
        return {}
    return {
        "kept": [len(circuit) for circuit in circuits],
        "tested": [circuit.made["tested"] for circuit in circuits],
    }


def _same(found: Any, expected: Any) -> bool:
    """Whether a method found what its oracle did: circuits edge for edge, scores within rounding."""
    if isinstance(found, Circuit):
        return bool(found.edges == expected.edges)
    if isinstance(found, tuple):
        return all(a.edges == b.edges for a, b in zip(found, expected, strict=True))
    # Scores in float32 are given with five digits behind the point.
    values = torch.tensor(list(found.values.values()))
    rows = zip(found.graph.reach, expected, strict=True)
    wanted = torch.tensor([value for reach, row in rows for value in row[:reach]])
    return bool(torch.allclose(values, wanted, rtol=1e-3, atol=1e-5))


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    cpu = Path("/proc/cpuinfo")
    names = cpu.read_text(encoding="utf-8").splitlines() if cpu.is_file() else []
    model = next((n.split(":", 1)[1].strip() for n in names if n.startswith("model name")), "")
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


COLUMNS = (
    *("method", "size", "setting", "CPU s", "wall s", "forwards", "target"),
    *("kept", "tested", "of", "oracle", "same", "GiB"),
)


def row(result: dict[str, Any]) -> list[str]:
    """A result as the cells of its row."""
    ratio = result.get("faster_than_oracle")
    target = result["target"]
    limit = "" if target is None else f"≤ {target:g}: {'yes' if result['met'] else 'NO'}"
    same = result.get("same_as_oracle")
    return [
        result["method"],
        result["size"],
        result["setting"],
        f"{result['cpu_s']:.3g}",
        f"{result['wall_s']:.3g}",
        f"{result['forwards']:.3g}" + (" a patch" if result["rows"] > 1 else ""),
        limit,
        " ".join(map(str, result.get("kept", ""))),
        " ".join(f"{n:,}" for n in result.get("tested", ())),
        f"{result['edges']:,}",
        "" if ratio is None else f"{ratio:.3g} x",
        "" if same is None else ("yes" if same else "NO"),
        f"{result['peak_gib']:.2f}" if "peak_gib" in result else "",
    ]


def line(result: dict[str, Any]) -> str:
    """A result in one line, as it comes."""
    return "  ".join(filter(None, row(result)))


def table(results: Iterable[dict[str, Any]]) -> str:
    """The results as a table in Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(row, results)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
