"""`python -m benchmarks`: every method at every size, in plain forwards of the same model in the same run.

Where there are several cases, each runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.clock import Conditions
from benchmarks.measure import Result, measure
from benchmarks.report import as_json, line, read, table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Its status is 1 if a target is missed or an oracle found something else, 2 for misuse."""
    parser = _parser()
    options = parser.parse_args(arguments)
    conditions = Conditions(options.device, options.threads)
    try:
        conditions.enter()
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["PyTorch refuses it"])[0]
        parser.error(f"cannot run with {options.threads} threads on {options.device!r}: {reason}")
    if options.check:
        from benchmarks.check import check

        return 1 if check(options.size or ["tiny", "small"], options.device) else 0
    chosen = [case for case in CASES if _is_chosen(case, options)]
    if not chosen:
        parser.error("there is no such case; --list prints them, with --full the long ones, too")
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    results = []
    for case in chosen:
        if options.here or options.quick or len(chosen) == 1:
            result = measure(
                case,
                conditions,
                oracle=options.oracle,
                floor=options.floor,
                quick=options.quick,
                peak=len(chosen) == 1,
            )
        else:
            result = _apart(case, options)
        results.append(result)
        print(line(result), file=sys.stderr, flush=True)
    text = as_json(results, conditions)
    if options.json not in (None, "-"):
        Path(options.json).write_text(text, encoding="utf-8")
    print(text.rstrip() if options.json == "-" else table(results))
    return 0 if all(result.is_good() for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--size",
        action="append",
        help="tiny, small, ioi-4l, gpt2; smollm2-135m, gemma-3-270m in NNCIRC_REAL_MODELS; may be repeated",
    )
    parser.add_argument("--method", action="append", help="attribution, integrated, activation, acdc, family")
    parser.add_argument("--case", action="append", help="run only this case of --list; may be repeated")
    parser.add_argument("--full", action="store_true", help="also run the cases that take minutes")
    parser.add_argument("--list", action="store_true", help="only print the cases")
    parser.add_argument(
        "--threads", type=int, default=1, help="number of PyTorch threads; more than 1 use wall time"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; GPUs use wall time")
    parser.add_argument(
        "--json", help="write the results to this file; - for standard output, instead of the table"
    )
    parser.add_argument("--no-oracle", dest="oracle", action="store_false", help="skip the oracles")
    parser.add_argument("--no-floor", dest="floor", action="store_false", help="do not count multiplications")
    parser.add_argument("--here", action="store_true", help="run all cases in this process; no peak memory")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="time once, in this process; size tiny by default",
    )
    parser.add_argument("--check", action="store_true", help="compare with the oracle, edge by edge")
    return parser


def _is_chosen(case: Case, options: argparse.Namespace) -> bool:
    if options.case is not None:
        return case.name in options.case
    sizes = options.size or (["tiny"] if options.quick else None)
    pairs = ((sizes, case.size), (options.method, case.method))
    return (options.full or not case.long) and all(
        wanted is None or value in wanted for wanted, value in pairs
    )


def _apart(case: Case, options: argparse.Namespace) -> Result:
    """Measure a case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "--case", case.name, "--json", "-"]
    command += ["--threads", str(options.threads), "--device", options.device]
    command += [*["--no-oracle"] * (not options.oracle), *["--no-floor"] * (not options.floor)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"{case.name} failed:\n{done.stderr}")
    (result,) = read(done.stdout)
    return result


if __name__ == "__main__":
    sys.exit(main())
