"""No test reads or writes the store of who runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For fixtures that outlive a test; commands in processes of their own inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNCIRC_CACHE", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the store that commands use in this test, and in no other."""
    folder = tmp_path_factory.mktemp("store")
    monkeypatch.setenv("NNCIRC_CACHE", str(folder))
    return folder
