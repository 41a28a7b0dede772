"""The model of most scripts, loaded once for all tests."""

from __future__ import annotations

import pytest
from tests.engine.program.scripts import model

from nncirc.engine.model import loading


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever bundled model a script names, it gets the one of `scripts`."""
    monkeypatch.setattr(loading, "load_bundled", lambda *_, **__: model())
