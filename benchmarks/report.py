"""Results as a table in Markdown, and as JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from benchmarks.clock import Conditions
from benchmarks.measure import Result

COLUMNS = (
    *("method", "size", "setting", "CPU s", "wall s", "forwards", "target", "floor", "of floor"),
    *("kept", "tested", "of", "oracle", "of alone", "same", "GiB"),
)


def machine(conditions: Conditions) -> dict[str, Any]:
    """What the numbers depend on."""
    cpu = Path("/proc/cpuinfo")
    names = cpu.read_text(encoding="utf-8").splitlines() if cpu.is_file() else []
    model = next((n.split(":", 1)[1].strip() for n in names if n.startswith("model name")), "")
    is_gpu = torch.device(conditions.device).type == "cuda"
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name(conditions.device) if is_gpu else conditions.device,
        "threads": conditions.threads,
        "clock": conditions.by,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def as_json(results: Iterable[Result], conditions: Conditions) -> str:
    """Results and what they depend on; numbers with four digits."""
    rows = [{key: _short(value) for key, value in asdict(result).items()} for result in results]
    return json.dumps({"machine": machine(conditions), "results": rows}, indent=1) + "\n"


def read(text: str) -> list[Result]:
    """Results from what `as_json` gives."""
    return [Result(**row) for row in json.loads(text)["results"]]


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def row(result: Result) -> list[str]:
    """A result as the cells of its row."""
    return [
        result.method,
        result.size,
        result.setting,
        f"{result.cpu_s:.3g}",
        f"{result.wall_s:.3g}",
        f"{result.forwards:.3g}" + (" a patch" if result.rows > 1 else ""),
        _limit(result.target, result.within()),
        _number(result.floor),
        _number(result.of_floor, " x"),
        _several(result.kept),
        _several(result.tested),
        f"{result.edges:,}",
        _number(result.faster_than_oracle, " x"),
        _number(result.of_alone, " x ") + _limit(result.share, result.shares()),
        {None: "", True: "yes", False: "NO"}[result.same_as_oracle],
        _number(result.peak_gib) + (" " + _limit(result.memory, result.fits())).rstrip(),
    ]


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.3g}{unit}"


def _limit(limit: float | None, kept: bool | None) -> str:
    """What was asked, and whether it is so."""
    return "" if limit is None or kept is None else f"≤ {limit:g}: {'yes' if kept else 'NO'}"


def _several(numbers: Sequence[int]) -> str:
    """Every number if there are few, else the first and the last."""
    shown = [f"{n:,}" for n in numbers]
    return " ".join(shown) if len(shown) <= 3 else f"{shown[0]} ... {shown[-1]}"


def line(result: Result) -> str:
    """A result in one line, as it comes."""
    return "  ".join(filter(None, row(result)))


def table(results: Iterable[Result]) -> str:
    """The results as a table."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *map(row, results)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
