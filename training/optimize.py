"""What the training scripts share: a tokenizer of whole words, the optimiser's loop, and saving a folder.

Only the scripts `train_*.py` import this, so the package stays free of torch until a model is asked for.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging

UNKNOWN, END = "<unk>", "<end>"
END_ID = 1
"""The special tokens have ids 0 and 1. Neither is ever added to a prompt; `<end>` also serves as padding."""

Batch = tuple[Int[Tensor, "batch pos"], Float[Tensor, "batch pos"]]
"""Token ids, and for each token the weight of predicting it (the first column's weight is not used)."""


BYTE_LEVEL = str.maketrans({" ": "Ġ", "\n": "Ċ"})
"""GPT-2's way of writing white space in a vocabulary, so that what reads GPT-2's tokens reads these."""


def word_tokenizer(
    words: Iterable[str], *, positions: int, add_prefix_space: bool, split: Any = None
) -> PreTrainedTokenizerFast:
    """A tokenizer in GPT-2's manner whose vocabulary is whole words.

    Text is split as GPT-2 splits it, a word with the space before it, and each piece is one token: " Mary" is
    a token, as is "," and, at the start of a sentence, "When". A piece outside the vocabulary is `<unk>`.
    No special token is added, as with GPT-2.

    Args:
        words: with their leading spaces; ids follow this order, after the special tokens.
        positions: the longest input in tokens.
        add_prefix_space: read a first word without a space as if it had one.
        split: how text is split instead, by a pre-tokenizer of bytes.
    """
    vocabulary = [UNKNOWN, END, *(word.translate(BYTE_LEVEL) for word in words)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = split or pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=positions,
    )


@dataclass(frozen=True, slots=True)
class BaseRecipe:
    """What every model's weights depend on.

    Attributes:
        seed: of the first weights and of the data.
        threads: sums are split by thread.
        positions: the longest input in tokens.
        layers: how many.
        heads: in each layer.
        width: of the residual stream.
        spread: standard deviation of the first weights.
        steps: batches.
        rate: peak learning rate.
        weight_decay: of matrices.
    """

    seed: int
    threads: int
    positions: int
    layers: int
    heads: int
    width: int
    spread: float
    steps: int
    rate: float
    weight_decay: float


def new_model(tokenizer: PreTrainedTokenizerFast, recipe: BaseRecipe, **config: Any) -> GPT2LMHeadModel:
    """An untrained small GPT-2 for a `word_tokenizer`; `config` is what else `GPT2Config` is told."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=recipe.positions,
            n_embd=recipe.width,
            n_layer=recipe.layers,
            n_head=recipe.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            initializer_range=recipe.spread,
            bos_token_id=END_ID,
            eos_token_id=END_ID,
            pad_token_id=END_ID,
            **config,
        )
    )


def make_deterministic(seed: int, threads: int) -> None:
    """Fix what can be fixed: seeds, the number of threads (sums are split by thread), deterministic kernels.

    The same torch on the same kind of processor then gives the same weights; another version or instruction
    set may round differently, and training amplifies it. Scores hold, bits may not.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def train(
    model: GPT2LMHeadModel,
    batches: Callable[[int], Batch],
    *,
    steps: int,
    rate: float,
    weight_decay: float,
    penalty: Callable[[int], Tensor] | None = None,
    warmup: int = 100,
) -> None:
    """Train on next-token prediction with AdamW, a linear warm-up and a cosine decay to zero.

    Args:
        model: changed in place; parameters that need no gradient stay as they are.
        batches: from the step's number to its batch.
        steps: how many batches.
        rate: peak learning rate.
        weight_decay: for matrices only; biases and norms are not decayed.
        penalty: from the step's number to what is added to the loss (nats).
        warmup: steps until the peak.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ],
        lr=rate,
        betas=(0.9, 0.98),
    )
    model.train()
    start = time.monotonic()
    for step in range(steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * decay * min(1.0, (step + 1) / warmup)
        ids, weights = batches(step)
        # What follows the end of a row weighs nothing and is seen by nothing before it: no mask is needed.
        logits = model(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        loss = (losses * weights[:, 1:]).sum() / weights[:, 1:].sum()
        total = loss + penalty(step) if penalty is not None else loss
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 200 == 0 or step == steps - 1:
            seconds = time.monotonic() - start
            print(
                f"step {step:5d}  loss {loss.item():.4f}  total {total.item():.4f}  {seconds:.0f} s",
                flush=True,
            )
    model.train(False)


def blocks(model: GPT2LMHeadModel) -> list[Any]:
    """The layers; `Any`, since torch types a submodule as a tensor or a module."""
    return list(model.transformer.h)


def head_norms(model: GPT2LMHeadModel) -> Tensor:
    """The sum over heads of the norm of all the weights of a head.

    As a penalty it is a group lasso: a head that is not needed falls silent instead of helping a little,
    which keeps the circuit small. It is penalised from when the task is learned until some time before the
    end: what is silent by then stays so, and what is left can become sharp.
    """
    norms: list[Tensor] = []
    for block in blocks(model):
        attention = block.attn
        heads, width = model.config.n_head, model.config.n_embd
        reads = attention.c_attn.weight.view(width, 3, heads, -1)  # into q, k and v
        writes = attention.c_proj.weight.view(heads, -1, width)
        norms.append(
            (reads.square().sum(dim=(0, 1, 3)) + writes.square().sum(dim=(1, 2)) + 1e-12).sqrt().sum()
        )
    return torch.stack(norms).sum()


def mlp_norms(model: GPT2LMHeadModel) -> Tensor:
    """The sum over MLPs of the norm of all its matrices; a penalty in the manner of `head_norms`."""
    mlps = [block.mlp for block in blocks(model)]
    squares = [mlp.c_fc.weight.square().sum() + mlp.c_proj.weight.square().sum() for mlp in mlps]
    return (torch.stack(squares) + 1e-12).sqrt().sum()


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line of a training script.

    Attributes:
        out: the folder to write.
        seed: of the weights and of the data.
    """

    out: Path
    seed: int


def command_line(out: Path, seed: int) -> Arguments:
    """Read `--out DIR` and `--seed N`; the defaults make the bundled model again."""
    parser = argparse.ArgumentParser(description="Train a bundled model again and save its folder.")
    parser.add_argument("--out", type=Path, default=out, help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=seed, help="seed of the weights and the data (default: %(default)s)"
    )
    given = parser.parse_args()
    return Arguments(given.out, given.seed)


def save_folder(
    folder: Path,
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    scores: Mapping[str, Any],
    card: str,
) -> None:
    """Write a folder that `transformers` loads, with its card and scores; each file is renamed into place."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        made = Path(temporary)
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        (made / "generation_config.json").unlink(missing_ok=True)
        (made / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        (made / "README.md").write_text(card, encoding="utf-8")
        for file in sorted(made.iterdir()):
            file.replace(folder / file.name)
