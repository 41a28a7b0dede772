"""What a plan says of weights that are not there: all of them, and whether this machine can hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.checked import program_of
from tests.engine.data.vocabulary import word_tokenizer
from tests.refused import refused

from nncirc import check_text
from nncirc.engine.model.configs import parameters
from nncirc.engine.program import at_hand, plan
from nncirc.engine.program.places import ProgramError
from nncirc.engine.program.plan import Plan, plan_program

SCRIPT = """
model big using huggingface {
  id    = "FOLDER"
  dtype = DTYPE
}
graph full using residual {
  model = big
}
dataset words using prompts {
  model = big
  clean = ["the cat"]
}
corruption nothing using zero {
  data = words
}
metric distance using kl_divergence {
  at = end
}
scores eap using attribution_patching {
  graph      = full
  corruption = nothing
  metric     = distance
  steps      = 5
}
"""


def llama(vocab: int, width: int, inner: int, layers: int, heads: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
        **more,
    }


def counted(config: dict[str, Any]) -> int:
    """By the layout of a Llama: four matrices of attention, three of the MLP, two norms, two embeddings."""
    width, head = config["hidden_size"], config["hidden_size"] // config["num_attention_heads"]
    attention = 2 * width * width + 2 * width * head * config["num_key_value_heads"]
    block = attention + 3 * width * config["intermediate_size"] + 2 * width
    embeddings = (1 if config["tie_word_embeddings"] else 2) * config["vocab_size"] * width
    found: int = config["num_hidden_layers"] * block + embeddings + width
    return found


BIG = {
    "8B": (llama(128_256, 4096, 14_336, 32, 32), 8_030_261_248),
    "70B": (llama(128_256, 8192, 28_672, 80, 64), 70_553_706_496),
    "1B, tied": (llama(128_256, 2048, 8192, 16, 32, tie_word_embeddings=True), 1_235_814_400),
}


def planned(folder: Path, config: dict[str, Any], dtype: str = "float32") -> Plan:
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer: Any = word_tokenizer()
    tokenizer.save_pretrained(folder)
    text = SCRIPT.replace("FOLDER", str(folder)).replace("DTYPE", dtype)
    return plan_program(program_of(check_text(text)))


@pytest.mark.parametrize("name", BIG)
def test_every_weight_is_counted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published numbers of parameters of Llama 3, and what the layout makes."""
    config, published = BIG[name]
    assert counted(config) == published
    monkeypatch.setattr(plan, "stand_in", lambda *_: None)
    found = planned(tmp_path, config)
    assert found.steps[0].memory == 4 * published
    assert found.memory > 4 * published


def test_gpt2_is_counted_with_its_tied_embedding() -> None:
    from transformers import GPT2Config

    assert parameters(GPT2Config()) == 124_439_808


def test_more_than_the_machine_has_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, published = BIG["70B"]
    monkeypatch.setattr(plan, "stand_in", lambda *_: None)
    monkeypatch.setattr(plan, "machine_memory", lambda: 23 * 2**30)
    (said,) = (note for note in planned(tmp_path, config, "bfloat16").notes if "machine" in note)
    assert said.startswith("this machine has 23 GiB of memory, but the weights alone need more")
    monkeypatch.setattr(plan, "machine_memory", lambda: 2 * published + 2**20)
    (said,) = (note for note in planned(tmp_path, config, "bfloat16").notes if "machine" in note)
    assert "but the run needs more" in said
    monkeypatch.setattr(plan, "machine_memory", lambda: 4 * published)
    assert not [note for note in planned(tmp_path, config, "bfloat16").notes if "machine" in note]


def test_a_stand_in_that_is_too_large_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers of 70B are 15 GB: the plan is there all the same, and times nothing."""
    monkeypatch.setattr(at_hand, "default_memory", lambda device: 2**30)
    found = planned(tmp_path, BIG["70B"][0])
    steps = {step.name: step for step in found.steps}
    assert (steps["big"].memory, steps["eap"].seconds) == (4 * BIG["70B"][1], None)
    assert steps["eap"].forwards


def test_a_config_that_makes_no_model_that_runs(tmp_path: Path) -> None:
    """Its sizes are those of a model, and what runs is refused as it is when it is loaded."""
    rope = {"rope_type": "linear", "rope_theta": 10.0, "factor": 2.0}
    small = llama(50, 32, 64, 2, 8, rope_parameters=rope)
    assert planned(tmp_path, small).steps[-1].seconds is not None
    with refused(ProgramError, "C430", "a plain run fails"):
        planned(tmp_path, {**small, "rope_parameters": {**rope, "partial_rotary_factor": 0.5}})
