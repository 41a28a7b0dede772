"""Our scores are those of TransformerLens and of EAP-IG's formula, where there is an environment with it.

    NNCIRC_PEERS_PYTHON=/somewhere/bin/python pytest tests/end_to_end/test_peers.py

`docs/evaluation.md` says how to make one, and what came of it.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from tests.end_to_end.command import ROOT

PYTHON = os.environ.get("NNCIRC_PEERS_PYTHON")


@pytest.mark.skipif(
    PYTHON is None, reason="NNCIRC_PEERS_PYTHON names no Python with nncirc and transformer-lens"
)
@pytest.mark.parametrize("size", ["tiny", "ioi-4l"])
def test_scores_are_the_peers(size: str) -> None:
    assert PYTHON is not None
    done = subprocess.run(
        [PYTHON, "-m", "benchmarks.peers", size], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    methods = [line.split(" | ")[0] for line in done.stdout.splitlines() if "TransformerLens |" in line]
    assert methods == ["| EAP", "| nodes", "| EAP-IG, 5 steps"]
