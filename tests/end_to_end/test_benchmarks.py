"""The benchmarks run: on the smallest model, in this process, in a few seconds."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.end_to_end.command import ROOT


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """Its command; the folder is a namespace package of the repository's root."""
    monkeypatch.syspath_prepend(str(ROOT))
    command: Callable[[list[str]], int] = importlib.import_module("benchmarks.__main__").main
    return command


@pytest.mark.parametrize("method", ["attribution", "acdc"])
def test_a_method_is_measured_and_is_its_oracle(
    measure: Callable[[list[str]], int], method: str, tmp_path: Path
) -> None:
    file = tmp_path / "results.json"
    assert measure(["--here", "--quick", "--size", "tiny", "--method", method, "--json", str(file)]) == 0
    (result,) = json.loads(file.read_text(encoding="utf-8"))["results"]
    assert result["same_as_oracle"] is True
    # Which of the two takes longer is the machine's business; that the ratio is theirs is ours.
    assert min(result["plain_forward_cpu_s"], result["cpu_s"]) > 0
    ratio = result["cpu_s"] / result["plain_forward_cpu_s"]
    assert result["forwards"] == pytest.approx(ratio, rel=0.01)
    assert result["edges"] == 110
