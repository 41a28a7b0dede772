"""Adapters of other packages, the broken ones among them, and what is said of models that have none."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.checked import program_of
from tests.engine.folders import saved
from tests.engine.tiny import tiny_gpt2
from tests.refused import refused
from transformers import BertConfig, BioGptConfig, MambaConfig, OPTConfig, T5Config

from nncirc import check_text
from nncirc.circuits import families
from nncirc.circuits.errors import ModelError, NncircError
from nncirc.circuits.families import family_of
from nncirc.circuits.families.table import FAMILIES, LLAMA
from nncirc.engine.model.loading import load_bundled, load_huggingface
from nncirc.engine.program.plan import plan_program
from nncirc.engine.program.run import run_program


class Package:
    """An entry point of an installed package."""

    def __init__(self, name: str, load: Callable[[], Any], package: str = "more-models") -> None:
        self.name, self.load = name, load
        self.dist = type("Distribution", (), {"name": package})


def missing() -> Any:
    raise ModuleNotFoundError("No module named 'more_models'\nand so on")


def leaving() -> Any:
    raise SystemExit(7)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def installed(*entries: Package) -> None:
        def found(group: str) -> list[Package]:
            return list(entries) if group == "nncirc.families" else []

        for module in (families, importlib.metadata):
            monkeypatch.setattr(module, "entry_points", found)
        families.families.cache_clear()

    installed()
    yield installed
    families.families.cache_clear()


Install = Callable[..., None]


def test_a_family_is_a_file() -> None:
    assert {"compiled", "gpt2", "llama"} <= FAMILIES.keys()
    assert "compiled" not in families.adapted()


def test_a_broken_package_does_not_concern_our_models(install: Install, tmp_path: Path) -> None:
    """It is not even loaded."""
    install(Package("rwkv", missing), Package("other", leaving))
    assert load_bundled("induction-2l").made["guards"]
    folder = tmp_path / "gpt2"
    saved(tiny_gpt2(dtype=torch.float32).module, folder)
    assert load_huggingface(folder).made["guards"]


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (missing, "ModuleNotFoundError: No module named 'more_models'"),
        (leaving, "SystemExit: 7"),
        (lambda: 3, "found a value of type int"),
        (lambda: 3.0, "found a value of type float"),
        (lambda: LLAMA.nothing, "AttributeError"),  # type: ignore[attr-defined]
    ],
)
def test_a_broken_adapter_is_named_when_it_is_asked_for(
    install: Install, load: Callable[[], Any], said: str
) -> None:
    install(Package("rwkv", load), Package("newest", lambda: replace(LLAMA, mlp="other")))
    with refused(ModelError, "C436", said) as caught:
        family_of("rwkv")
    assert caught.value.message.endswith("of the package more-models")
    assert "\n" not in caught.value.message
    # Others are there, and models of other types hear of it where it may be what they lack.
    assert family_of("newest").mlp == "other"
    assert "rwkv" not in families.families()
    with refused(ModelError, "C411") as caught:
        family_of("xlnet")
    assert "llama, mistral" in str(caught.value.hint)
    assert "the adapter 'rwkv' was skipped" in str(caught.value.hint)


def test_ours_are_not_replaced(install: Install) -> None:
    install(Package("llama", lambda: replace(LLAMA, mlp="other")))
    assert family_of("llama") == LLAMA
    assert families.families()["llama"] == LLAMA


# Models that have none -------------------------------------------------------------------------------------

SCRIPT = """
model other using huggingface {
  id = "FOLDER"
}
graph full using residual {
  model = other
}
circuit direct using reference {
  graph = full
  embed -> logits
}
"""
KINDS: dict[str, tuple[Any, str, str]] = {
    "bert": (
        BertConfig(architectures=["BertForMaskedLM"]),
        "BertForMaskedLM does not predict",
        "decoder-only",
    ),
    "t5": (T5Config(), "an encoder and a decoder", "decoder-only"),
    "mamba": (MambaConfig(architectures=["MambaForCausalLM"]), "no attention heads", "decoder-only"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_of_other_models(install: Install, tmp_path: Path, kind: str) -> None:
    """The same from the checker, a plan, a run and Python; and it is said of the model, not of its graph."""
    config, message, hint = KINDS[kind]
    config.save_pretrained(tmp_path)
    text = SCRIPT.replace("FOLDER", str(tmp_path))
    (found,) = check_text(text).diagnostics
    assert (found.code, text[found.span.start : found.span.end]) == ("C411", f'"{tmp_path}"')
    assert message in found.message
    assert hint in str(found.help)
    with pytest.raises(ModelError) as caught:
        family_of(kind, json.loads((tmp_path / "config.json").read_text()))
    assert (caught.value.message, caught.value.hint) == (found.message, found.help)
    # With a package that may have an adapter nothing is known before it is loaded.
    install(Package("newest", lambda: replace(LLAMA, mlp="other")))
    program = program_of(check_text(text))
    (tmp_path / "model.safetensors").write_bytes(b"")
    for refuse in (lambda: plan_program(program), lambda: run_program(program, tmp_path / "out")):
        with pytest.raises(NncircError) as refused:
            refuse()
        span = refused.value.diagnostic.span  # type: ignore[attr-defined]
        assert (refused.value.code, text[span.start : span.end]) == ("C411", f'"{tmp_path}"')
        assert message in refused.value.message


def test_what_may_be_tried_by_structure_is_not_refused_before(install: Install, tmp_path: Path) -> None:
    """The checker knows no modules; a plan and a run do."""
    install()
    BioGptConfig(architectures=["BioGptForCausalLM"]).save_pretrained(tmp_path)
    program = program_of(check_text(SCRIPT.replace("FOLDER", str(tmp_path))))
    (tmp_path / "model.safetensors").write_bytes(b"")
    for refuse in (lambda: plan_program(program), lambda: run_program(program, tmp_path / "out")):
        with refused(NncircError, "C411", "unsupported model type 'biogpt': none of the known entries"):
            refuse()


def test_what_is_said_of_a_kind_of_ours_that_cannot_be_parted(tmp_path: Path) -> None:
    OPTConfig(do_layer_norm_before=False).save_pretrained(tmp_path)
    text = SCRIPT.replace("FOLDER", str(tmp_path))
    (found,) = check_text(text).diagnostics
    assert (found.code, text[found.span.start : found.span.end]) == ("C411", f'"{tmp_path}"')
    assert "normalizes the residual stream after every sum" in found.message


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("{}", "no model_type", "saved with the weights"),
        ('{"model_type": 3}', "no model_type", "saved with the weights"),
        ('{"input_encoder": [], "key_size": 3}', "a compiled program", "using compiled"),
        ('{"d_vocab": 9, "d_head": 3}', "one of TransformerLens", "using transformer_lens"),
    ],
)
def test_odd_configs(install: Install, tmp_path: Path, content: str, message: str, hint: str) -> None:
    install()
    (tmp_path / "config.json").write_text(content)
    (found,) = check_text(SCRIPT.replace("FOLDER", str(tmp_path))).diagnostics
    assert (found.code, message in found.message, hint in str(found.help)) == ("C411", True, True)


def test_the_checker_says_nothing_of_what_it_cannot_read(install: Install, tmp_path: Path) -> None:
    install()
    text = SCRIPT.replace("FOLDER", str(tmp_path))
    for content in (None, "[", "[]", "[" * 50_000):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        assert not check_text(text).diagnostics
