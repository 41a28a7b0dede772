from __future__ import annotations

from pathlib import Path

import pytest
from tests.end_to_end.command import SCRIPT, Command


@pytest.fixture
def nncirc(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that works."""
    path = tmp_path / "script.circ"
    path.write_text(SCRIPT)
    return path
