"""What `nncirc models --inspect` shows of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.command import Command
from tests.engine.every import module_of
from tests.engine.folders import change_config, saved
from tests.some import some

from nncirc.engine.model.guards import GUARDS

RIGHT = {"gemma2": "steering of single heads", "gpt_neo": "path_patching"}
"""What is refused of a model."""


def inspected(nncirc: Command, folder: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(nncirc("models", "--inspect", folder, "--json", *options).out)
    return found


@pytest.mark.parametrize("name", RIGHT)
def test_a_model_is_shown(nncirc: Command, tmp_path: Path, name: str) -> None:
    folder = saved(module_of(name).float(), tmp_path)
    found = inspected(nncirc, folder)
    facts = found["facts"]
    assert (facts["type"], facts["family"], facts["layers"], facts["heads"]) == (name, name, 2, 4)
    assert facts["graph"].startswith("11 nodes")
    assert len(found["guards"]) == len(GUARDS)
    for guard in some(each for each in found["guards"] if "single heads" not in each["claim"]):
        assert guard["error"] is None or guard["error"] <= guard["allowed"]
    assert bool(found["fast"]["single heads"]) == (name == "gpt_neo")
    assert RIGHT[name] in " ".join(each["what"] for each in found["refused"])
    said = nncirc("models", "--inspect", folder).out
    for guard in some(found["guards"]):
        assert guard["claim"] in said
    assert ("does not hold" in said) == (name == "gpt_neo")


def test_a_bundled_model_and_its_dtype(nncirc: Command) -> None:
    found = json.loads(nncirc("models", "--inspect", "tracr-reverse", "--json", "--dtype", "float32").out)
    assert found["facts"]["dtype"] == "float32"
    assert found["facts"]["special tokens"] == "BOS before every prompt"


def test_a_model_that_is_refused(nncirc: Command, tmp_path: Path) -> None:
    folder = saved(module_of("llama").float(), tmp_path)
    change_config(folder, model_type="mamba", architectures=["MambaForCausalLM"])
    nncirc("models", "--inspect", folder).refused("C411")
    assert nncirc("models", "--inspect", folder, "--json").status == 2
    nncirc("models", "--inspect", tmp_path / "none").refused("C402")
