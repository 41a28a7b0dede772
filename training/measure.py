"""What is measured on a bundled model after training, and again by the tests."""

from __future__ import annotations

import random
from typing import Any

import torch
from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

from training.prompts import WORDED, prompt
from training.sentences import TEMPLATES, held_out_prompts


@torch.no_grad()
def induction_scores(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, *, block: int = 24, size: int = 128
) -> dict[str, Any]:
    """How well a model copies, and what its heads attend to, on `{block}{block}` of distinct random tokens.

    Returns:
        `previous_token`: by head, the mean attention from a token to the one before it.
        `prefix_matching`: by head, the mean attention from the second copy of a token to the token after
        its first copy (Olsson et al. 2022).
        `accuracy`, `logprob`: of the second copy from its second token on, the mean share of tokens that are
        the most likely, and the mean log-probability (nats).
        `logprob_unrepeated`: the same log-probability when the first copy is another block.
    """
    special = set(tokenizer.all_special_ids)
    tokens = [i for i in range(len(tokenizer)) if i not in special]
    source = random.Random(0)
    rows = [source.sample(tokens, 2 * block) for _ in range(size)]
    clean = torch.tensor([row[:block] * 2 for row in rows])
    corrupt = torch.tensor([row[block:] + row[:block] for row in rows])

    was = model.config._attn_implementation or "eager"
    model.set_attn_implementation("eager")  # the fused kernel does not return its attention pattern
    output = model(clean, output_attentions=True, use_cache=False)
    model.set_attn_implementation(was)
    previous, matching = {}, {}
    for layer, pattern in enumerate(output.attentions):
        to_previous = pattern.diagonal(-1, dim1=2, dim2=3).mean(dim=(0, 2))
        to_match = pattern.diagonal(1 - block, dim1=2, dim2=3)[..., 1:].mean(dim=(0, 2))
        for head in range(pattern.shape[1]):
            previous[f"L{layer}H{head}"] = round(to_previous[head].item(), 4)
            matching[f"L{layer}H{head}"] = round(to_match[head].item(), 4)

    answers = clean[:, block + 1 :]

    def logprob(logits: torch.Tensor) -> float:
        logprobs = logits[:, block:-1].log_softmax(dim=-1)
        return round(logprobs.gather(-1, answers.unsqueeze(-1)).mean().item(), 4)

    return {
        "previous_token": previous,
        "prefix_matching": matching,
        "accuracy": round((output.logits[:, block:-1].argmax(-1) == answers).float().mean().item(), 4),
        "logprob": logprob(output.logits),
        "logprob_unrepeated": logprob(model(corrupt, use_cache=False).logits),
    }


@torch.no_grad()
def ioi_scores(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, *, size: int = 128
) -> dict[str, Any]:
    """How well a model knows who receives, on prompts whose words training never showed together.

    Returns:
        `prompts`: how many by template and order.
        `templates`: by template, in both orders of the names (ABBA: the receiver first), over `size` prompts:
        `accuracy`, the share of prompts where the receiver is the most likely of all tokens; `logit_diff`,
        the mean difference of the receiver's logit and the giver's, and `least`, the smallest.
        `unrepeated`: the same prompts with a third giver: `either`, the mean probability of the first two
        names together; `balance`, the mean of the smaller one's share of it; `third`, the giver's.
    """
    source = random.Random(1)
    templates, unrepeated = {}, {}
    for template in TEMPLATES:
        for order in ("ABBA", "BABA"):
            prompts = held_out_prompts(template, order, source, size)
            logits = _last_logits(model, tokenizer, [prompt.text for prompt in prompts])
            receiver = torch.tensor([tokenizer.convert_tokens_to_ids(f"Ġ{p.receiver}") for p in prompts])
            giver = torch.tensor([tokenizer.convert_tokens_to_ids(f"Ġ{p.giver}") for p in prompts])
            difference = (logits.gather(1, receiver[:, None]) - logits.gather(1, giver[:, None])).squeeze(1)
            templates[f"{order} {template}"] = {
                "accuracy": round((logits.argmax(-1) == receiver).float().mean().item(), 4),
                "logit_diff": round(difference.mean().item(), 4),
                "least": round(difference.min().item(), 4),
            }
        probabilities = _last_logits(model, tokenizer, [prompt.unrepeated for prompt in prompts]).softmax(-1)
        third = torch.tensor([tokenizer.convert_tokens_to_ids(f"Ġ{p.third}") for p in prompts])
        first_two = torch.stack([probabilities.gather(1, w[:, None])[:, 0] for w in (receiver, giver)])
        unrepeated[template] = {
            "either": round(first_two.sum(0).mean().item(), 4),
            "balance": round((first_two.min(0).values / first_two.sum(0)).mean().item(), 4),
            "third": round(probabilities.gather(1, third[:, None]).mean().item(), 4),
        }
    return {"prompts": size, "templates": templates, "unrepeated": unrepeated}


@torch.no_grad()
def task_scores(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, *, size: int = 256, block: int = 16
) -> dict[str, Any]:
    """How well a model does the tasks of `nncirc.circuits.tasks` that are about words, and induction.

    Returns:
        `prompts`: how many of each task.
        `tasks`: by name, `accuracy`: the share of prompts where a right answer is the likeliest of all
        tokens, of induction the share of tokens of the second block, from its second on; `preferred`: the
        share where the likeliest right answer is likelier than every wrong one; `difference`: the mean
        probability of the right answers together less that of the wrong ones.
    """
    source, tasks = random.Random(1), {}
    for task in WORDED:
        drawn = [prompt(task, source) for _ in range(size)]
        right = wrong = 0
        difference = 0.0
        for each in drawn:
            logits = _last_logits(model, tokenizer, [each.text])[0]
            ids = [
                [tokenizer(each.text + target)["input_ids"][-1] for target in targets]
                for targets in (each.answers, each.foils)
            ]
            right += int(logits.argmax()) in ids[0]
            wrong += bool(logits[ids[0]].max() <= logits[ids[1]].max())
            probabilities = logits.softmax(-1)
            difference += float(probabilities[ids[0]].sum() - probabilities[ids[1]].sum())
        tasks[task.name] = {
            "accuracy": round(right / size, 4),
            "preferred": round(1 - wrong / size, 4),
            "difference": round(difference / size, 4),
        }
    special = set(tokenizer.all_special_ids)
    tokens = [i for i in range(len(tokenizer)) if i not in special]
    rows = torch.tensor([source.sample(tokens, block) * 2 for _ in range(size)])
    found = model(rows, use_cache=False).logits[:, block:-1].argmax(-1) == rows[:, block + 1 :]
    tasks["induction"] = {"accuracy": round(found.float().mean().item(), 4)}
    return {"prompts": size, "tasks": tasks}


def _last_logits(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> torch.Tensor:
    ids = tokenizer(texts, return_tensors="pt")["input_ids"]
    logits: torch.Tensor = model(ids, use_cache=False, logits_to_keep=1).logits[:, -1]
    return logits
