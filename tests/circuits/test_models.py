"""The bundled models: what their cards claim is measured again on the saved files."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from tests.refused import refused
from training.measure import induction_scores, ioi_scores, task_scores
from training.prompts import every_text
from training.sentences import (
    TEMPLATES,
    held_out,
    held_out_prompts,
    seen_in_training,
    training_sentence,
    vocabulary,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from nncirc.circuits.data import WORD_LISTS, word_list
from nncirc.circuits.errors import DataError, ModelError
from nncirc.circuits.models import BUNDLED, COMPILED, TRAINED, model_folder, model_info
from nncirc.circuits.tasks import TASKS

MEASURE: dict[str, Callable[..., dict[str, Any]]] = {
    "induction-2l": induction_scores,
    "ioi-4l": ioi_scores,
    "tasks-4l": task_scores,
}


@cache
def load(name: str) -> tuple[Any, Any]:
    folder = model_folder(name)
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@cache
def measured(name: str) -> dict[str, Any]:
    return MEASURE[name](*load(name))


def numbers(scores: dict[str, Any], path: str = "") -> dict[str, float]:
    """Nested scores as one flat table."""
    flat: dict[str, float] = {}
    for key, value in scores.items():
        flat |= numbers(value, f"{path}{key}/") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat


@pytest.mark.parametrize("name", TRAINED)
def test_the_saved_scores_are_what_the_saved_weights_do(name: str) -> None:
    assert numbers(measured(name)) == pytest.approx(numbers(dict(model_info(name).scores)), abs=2e-3)


@pytest.mark.parametrize("name", TRAINED)
def test_a_folder_is_small_float32_and_complete(name: str) -> None:
    model, _ = load(name)
    folder = model_folder(name)
    assert {file.name for file in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "scores.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert (folder / "model.safetensors").stat().st_size < 4_000_000
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", TRAINED)
def test_info_agrees_with_the_loaded_model(name: str) -> None:
    model, tokenizer = load(name)
    info = model_info(name)
    assert info.layers == len(model.transformer.h)
    assert info.heads == model.transformer.h[0].attn.num_heads
    assert (info.vocabulary, info.width) == tuple(model.transformer.wte.weight.shape)
    assert info.positions == model.transformer.wpe.num_embeddings == tokenizer.model_max_length
    assert info.vocabulary == len(tokenizer)
    assert f"# {name}" in (model_folder(name) / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_folder_is_complete(name: str) -> None:
    folder, info = model_folder(name), model_info(name)
    files = {"README.md", "config.json", "model.safetensors", "scores.json"}
    assert {file.name for file in folder.iterdir()} == files
    assert info.compiled and not info.attention_only
    assert (info.heads, info.positions) == (1, 6)
    assert info.scores["wrong"] == 0
    assert f"# {name}" in (model_folder(name) / "README.md").read_text(encoding="utf-8")


def test_every_model_is_trained_or_compiled() -> None:
    assert set(BUNDLED) == {*TRAINED, *COMPILED}
    assert [model_info(name).compiled for name in BUNDLED] == [False, False, False, True, True]


def test_one_previous_token_head_and_induction_heads() -> None:
    scores = measured("induction-2l")
    previous = {head for head, score in scores["previous_token"].items() if score > 0.5}
    matching = {head for head, score in scores["prefix_matching"].items() if score > 0.5}
    assert len(previous) == 1
    assert {head[:2] for head in previous} == {"L0"}
    assert 1 <= len(matching) <= 2
    assert {head[:2] for head in matching} == {"L1"}
    assert max(scores["previous_token"].values()) > 0.9
    assert max(scores["prefix_matching"].values()) > 0.9
    assert scores["accuracy"] > 0.99
    assert scores["logprob"] > -0.1
    assert scores["logprob_unrepeated"] < -4.0


@pytest.mark.parametrize("block", [6, 17, 29])
def test_induction_is_not_a_matter_of_distance(block: int) -> None:
    assert induction_scores(*load("induction-2l"), block=block)["accuracy"] > 0.99


def test_the_attention_only_model_has_mlps_that_write_exactly_zero() -> None:
    model, tokenizer = load("induction-2l")
    assert model_info("induction-2l").attention_only
    assert not model_info("ioi-4l").attention_only
    outputs: list[torch.Tensor] = []
    hooks = [
        block.mlp.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for block in model.transformer.h
    ]
    with torch.no_grad():
        model(**tokenizer(" Mary John Mary", return_tensors="pt"))
    for hook in hooks:
        hook.remove()
    assert [output.abs().max().item() for output in outputs] == [0.0, 0.0]


def test_the_receiver_is_known_on_combinations_never_seen() -> None:
    scores = measured("ioi-4l")
    assert set(scores["templates"]) == {f"{order} {t}" for order in ("ABBA", "BABA") for t in TEMPLATES}
    for template, score in scores["templates"].items():
        assert score["accuracy"] > 0.99, template
        assert score["logit_diff"] > 3, template
    for template, score in scores["unrepeated"].items():
        assert score["either"] > 0.9, template
        assert score["third"] < 0.05, template


@pytest.mark.parametrize("order", ["ABBA", "BABA"])
def test_the_head_that_the_card_names_looks_at_the_giver_most(order: str) -> None:
    _, tokenizer = load("ioi-4l")
    model = AutoModelForCausalLM.from_pretrained(model_folder("ioi-4l"), attn_implementation="eager")
    prompts = held_out_prompts(TEMPLATES[0], order, random.Random(0), 64)
    ids = tokenizer([prompt.text for prompt in prompts], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        patterns = torch.stack(model(ids, output_attentions=True).attentions)
    to_giver = patterns[:, :, :, -1, 9].mean(dim=1)  # layer, head; "... store, John" is token 9
    assert tokenizer.decode(ids[0, 9]) == f" {prompts[0].giver}"
    assert divmod(int(to_giver.argmax()), to_giver.shape[1]) == (2, 1)
    assert to_giver.max() > 0.5


def test_no_test_combination_is_in_the_training_data() -> None:
    source = random.Random(7)
    sentences = [training_sentence(source) for _ in range(5000)]
    assert all(map(seen_in_training, sentences))
    pairs = {frozenset(pair) for s in sentences for pair in zip(s.names, s.names[1:], strict=False)}
    things = {(s.place, s.gift) for s in sentences if s.gift is not None}
    for template in TEMPLATES:
        for prompt in held_out_prompts(template, "ABBA", source, 50):
            assert held_out(prompt.receiver, prompt.giver)
            assert held_out(prompt.place, prompt.gift)
            assert frozenset((prompt.receiver, prompt.giver)) not in pairs
            assert (prompt.place, prompt.gift) not in things


def test_the_vocabulary_is_every_word_of_the_sentences_and_no_other() -> None:
    _, tokenizer = load("ioi-4l")
    source = random.Random(8)
    texts = [training_sentence(source).text for _ in range(5000)]
    seen = set[int]().union(*tokenizer(texts)["input_ids"])
    assert seen == set(range(len(tokenizer))) - set(tokenizer.all_special_ids)
    assert len(vocabulary()) == len(seen)
    for text in texts[:200]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_has_one_length(template: str) -> None:
    _, tokenizer = load("ioi-4l")
    prompts = held_out_prompts(template, "BABA", random.Random(0), 50)
    assert len({len(tokenizer(prompt.text)["input_ids"]) for prompt in prompts}) == 1
    assert prompts[0].text.count(prompts[0].giver) == 2
    assert prompts[0].unrepeated.count(prompts[0].giver) == 1


@pytest.mark.parametrize("name", TRAINED)
def test_every_name_is_one_token_and_nothing_is_added(name: str) -> None:
    _, tokenizer = load(name)
    for word in word_list("names"):
        (token,) = tokenizer(f" {word}")["input_ids"]
        assert tokenizer.decode([token]) == f" {word}"
    assert tokenizer(" xyzzy")["input_ids"] == [tokenizer.unk_token_id]
    assert tokenizer.all_special_tokens == ["<end>", "<unk>"]


def test_a_sentence_is_split_as_gpt2_splits_it() -> None:
    _, tokenizer = load("ioi-4l")
    encoded = tokenizer(
        "When Mary and John went to the store, John gave a drink to", return_offsets_mapping=True
    )
    tokens = [tokenizer.decode([token]) for token in encoded["input_ids"]]
    assert tokens[:4] == ["When", " Mary", " and", " John"]
    assert tokens[8:11] == [",", " John", " gave"]
    assert encoded["offset_mapping"][:2] == [(0, 4), (4, 9)]


@pytest.mark.parametrize("name", WORD_LISTS)
def test_word_lists_are_single_distinct_words(name: str) -> None:
    words = word_list(name)
    assert len(words) == len(set(words)) >= 30
    assert all(word.isalpha() for word in words)


def test_word_lists_share_no_word() -> None:
    together = [word.lower() for name in WORD_LISTS for word in word_list(name)]
    assert len(together) == len(set(together))


def test_every_task_is_done() -> None:
    found = measured("tasks-4l")["tasks"]
    assert set(found) == {name for name, task in TASKS.items() if not task.symbols}
    for name, scores in found.items():
        assert scores["accuracy"] > 0.98, name
        assert scores.get("preferred", 1) > 0.98, name
        assert scores.get("difference", 1) > 0.85, name


def test_the_vocabulary_of_the_tasks_is_every_piece_of_their_prompts_and_no_other() -> None:
    _, tokenizer = load("tasks-4l")
    texts = list(every_text())
    seen = set[int]().union(*tokenizer(texts)["input_ids"])
    assert seen == set(range(len(tokenizer))) - set(tokenizer.all_special_ids)
    for text in texts[::500]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with refused(ModelError, "C401") as model_error:
        model_folder("induction2l")
    assert model_error.value.hint == "did you mean `induction-2l`?"
    with refused(DataError, "C305") as data_error:
        word_list("name")
    assert data_error.value.hint == "did you mean `names`?"
