"""A family that a user makes up and adds from the docs alone: its entry is the one on the page of models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.compared import by_mask
from tests.engine.folders import not_loaded, saved
from tests.engine.tiny import VOCABULARY, contrast
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from nncirc.circuits import families
from nncirc.circuits.names import END
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.inspection import inspect_model
from nncirc.engine.model.loading import load_huggingface

METRIC = Metric("logit_diff", (END,))


class WrenConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Keys that no other family has."""

    model_type = "wren"
    vocab_size: int = VOCABULARY
    n_blocks: int = 2
    n_heads: int = 4
    n_group: int = 2
    width: int = 32
    inner: int = 48
    share: float = 0.7


class Attend(nn.Module):
    """Grouped-query attention whose queries, keys and values stand group by group in one projection."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.heads, self.groups = config.n_heads, config.n_group
        self.size = config.width // config.n_heads
        self.read = nn.Linear(config.width, (config.n_heads + 2 * config.n_group) * self.size)
        self.write = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        units = self.read(x).view(*x.shape[:2], self.groups, -1, self.size)
        query = units[..., :-2, :].flatten(2, 3).transpose(1, 2)
        key, value = (
            units[..., at, :].repeat_interleave(self.heads // self.groups, 2).transpose(1, 2)
            for at in (-2, -1)
        )
        scores = query @ key.transpose(-1, -2) / self.size**0.5
        later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        z = scores.masked_fill(later, -torch.inf).softmax(-1) @ value
        written: Tensor = self.write(z.transpose(1, 2).flatten(2))
        return written


class Think(nn.Module):
    """An MLP without a gate."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(config.width, config.inner), nn.Linear(config.inner, config.width)
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        written: Tensor = self.down(self.act(self.up(x)))
        return written


class Block(nn.Module):
    """Attention and MLP read the same norm, and add a share of what they make."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.norm, self.attend, self.think = nn.LayerNorm(config.width), Attend(config), Think(config)
        self.share = config.share

    def forward(self, x: Tensor) -> Tensor:
        read = self.norm(x)
        written: Tensor = self.share * self.attend(read) + self.share * self.think(read)
        return x + written


class WrenForCausalLM(PreTrainedModel):
    """The whole model."""

    config_class = WrenConfig
    _supports_sdpa = False

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.trunk = nn.ModuleDict(
            {
                "blocks": nn.ModuleList(Block(config) for _ in range(config.n_blocks)),
                "last": nn.LayerNorm(config.width),
            }
        )
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: Tensor, logits_to_keep: Any = 0, **_: Any) -> CausalLMOutput:
        x = self.embed(input_ids)
        blocks: Any = self.trunk["blocks"]
        for block in blocks:
            x = block(x)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return CausalLMOutput(logits=self.head(self.trunk["last"](x)[:, kept]))


def entry() -> tuple[str, Any]:
    """The entry on the page of models, as text and made."""
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    (text,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def wren(" in code]
    made: dict[str, Any] = {}
    exec(text, made)
    return text, made["wren"]


class Installed:
    """What a package says in the group `nncirc.families`."""

    name = "wren"

    def load(self) -> Any:
        return entry()[1]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    AutoConfig.register("wren", WrenConfig, exist_ok=True)
    AutoModelForCausalLM.register(WrenConfig, WrenForCausalLM, exist_ok=True)
    monkeypatch.setattr(families, "entry_points", lambda group: [Installed()] * (group == "nncirc.families"))
    families.families.cache_clear()
    yield
    families.families.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = WrenForCausalLM(WrenConfig())
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(
                torch.randn(weight.shape) * (1.5 * weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.5)
            )
    return saved(module, tmp_path)


def test_the_entry_is_short() -> None:
    assert len([line for line in entry()[0].splitlines() if line.strip()]) < 20


def test_a_made_up_family_is_as_defined(folder: Path) -> None:
    model = load_huggingface(folder, dtype="float64")
    assert (model.shape.n_layers, model.shape.n_heads, model.shape.n_kv_heads) == (2, 4, 2)
    assert (model.d_model, model.d_head, model.shape.parallel, model.alone) == (32, 8, True, True)
    about, graph = contrast(model, size=2, lengths=(7,)), model.graph()
    fast, slow = (acdc(about, graph, METRIC, threshold=0.02, sequential=each) for each in (False, True))
    assert fast.edges == slow.edges
    assert 0 < len(fast) < graph.n_edges
    scores, gradient = attribution_patching(about, graph, METRIC), -by_mask(about, graph, METRIC)
    for edge in graph.edges():
        assert scores[edge] == pytest.approx(float(gradient[graph.order(edge)]), abs=1e-9), edge
    assert inspect_model(model).facts["family"] == "wren, of a package"


def test_without_an_entry_the_error_shows_one_to_complete(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "entry_points", lambda **_: [])
    families.families.cache_clear()
    error = not_loaded(folder, "C411", "unsupported model type 'wren'")
    for line in ('blocks="trunk.blocks"', 'units=side_by_side("attend.read"),  # or by_group', 'mlp="think"'):
        assert line in str(error.hint)
