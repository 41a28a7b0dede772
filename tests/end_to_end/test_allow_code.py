"""A script's own functions: refused by default, run where allowed, and told apart by the store."""

from __future__ import annotations

import json
from pathlib import Path

from tests.end_to_end.command import Command
from tests.engine.texts import MODULE, SCRIPT

SCORES = """
scores effect using attribution_patching {
  graph      = residual(model = small)
  corruption = other
  metric     = mine
}
"""


def test_code_runs_only_where_it_is_allowed(nncirc: Command, tmp_path: Path) -> None:
    (tmp_path / "my_metrics.py").write_text(MODULE, encoding="utf-8")
    script = tmp_path / "script.circ"
    text = SCRIPT.replace("METRIC", "my_metrics:measure").replace("CORRUPTION", "my_metrics:swapped")
    script.write_text(text + SCORES, encoding="utf-8")
    assert nncirc("check", script).status == 0
    commands: list[list[str | Path]] = [["run", script, "--out", tmp_path / "out"], ["plan", script]]
    for command in commands:
        nncirc(*command).refused("C584")
        assert nncirc(*command, "--allow-code").status == 0
    made = json.loads((tmp_path / "out/effect.json").read_text(encoding="utf-8"))["made"]
    assert made["metric"] == "my_metrics:measure"
    assert len(made["metric_sha256"]) == len(made["corruption_sha256"]) == 64
