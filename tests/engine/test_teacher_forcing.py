"""Answers of several tokens, which the model gets one after another: against plain runs of the model."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from tests.engine.data.conftest import shared
from tests.engine.tiny import VOCABULARY, Case, cases, random_prompts, tiny_gpt2
from tests.refused import refused
from tests.some import some

from nncirc import (
    NEXT,
    Dataset,
    Tokenizer,
    counterpart,
    file_dataset,
    load_tokenizer,
    prompt_dataset,
    resolve,
    shuffle,
    template_dataset,
)
from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position
from nncirc.engine.data.corrupt import check_alignment, replace as replaced
from nncirc.engine.data.targets import asked_as, forced
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.metrics.expressions import combined
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.metrics.reading import reading
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample, Zero

JOINT = ("logprob", "cross_entropy", "prob", "accuracy")


def dataset(lengths: tuple[int, ...] = (6, 7), size: int = 4, seed: int = 0) -> Dataset:
    """Random prompts with random answers of 1, 2, 3, 1, ... tokens."""
    draw = random.Random(seed)
    prompts = random_prompts(size=size, lengths=lengths, seed=seed)
    examples = tuple(
        forced(replace(e, foil=None), tuple(draw.choices(range(VOCABULARY), k=1 + i % 3)))
        for i, e in enumerate(prompts.examples)
    )
    return replace(prompts, examples=examples, answers="forced")


def contrast(model: Model, *, lengths: tuple[int, ...] = (6, 7), batch: int | None = None) -> Contrast:
    clean = dataset(lengths)
    other = random_prompts(size=len(clean.examples), lengths=lengths, seed=1000)
    pairs = zip(other.examples, clean.examples, strict=True)
    return Contrast(model, clean, Resample(tuple(asked_as(*pair) for pair in pairs)), batch=batch)


def by_hand(model: Model, prompt: list[int], answer: list[int], name: str) -> float:
    """A metric of one answer: a plain run for each of its tokens."""
    total, right = 0.0, True
    for i, token in enumerate(answer):
        logits = model.module(torch.tensor([prompt + answer[:i]])).logits[0, -1].double()
        total += float(logits.log_softmax(-1)[token])
        right = right and int(logits.argmax()) == token
    return {
        "logprob": total,
        "cross_entropy": -total,
        "prob": math.exp(total),
        "accuracy": float(right),
    }[name]


def parts(example: Any, prompt: Any = None) -> tuple[list[int], list[int]]:
    """The prompt and the whole answer of an example, from how it was put together."""
    tokens = list((prompt or example).tokens)
    cut = len(tokens) - example.forced
    return tokens[:cut], [*list(example.tokens)[len(example.tokens) - example.forced :], example.answer]


@pytest.mark.parametrize("name", JOINT)
def test_a_metric_is_that_of_the_whole_answer(name: str) -> None:
    model = tiny_gpt2()
    about = contrast(model)
    assert about.clean_values(Metric(name)).tolist() == pytest.approx(
        [by_hand(model, *parts(e), name) for e in about.dataset.examples], abs=1e-9
    )
    assert isinstance(about.corruption, Resample)
    corrupted = zip(about.dataset.examples, about.corruption.examples, strict=True)
    assert about.corrupt_values(Metric(name)).tolist() == pytest.approx(
        [by_hand(model, *parts(e, other), name) for e, other in corrupted], abs=1e-9
    )


def test_results_say_that_the_answer_was_forced() -> None:
    about = contrast(tiny_gpt2())
    assert about.facts(Metric("logprob"))["teacher_forced"] is True
    plain = replace(about, dataset=random_prompts(size=4, lengths=(6, 7), seed=0), corruption=Zero())
    assert "teacher_forced" not in plain.facts(Metric("logprob"))


def test_accuracy_is_that_of_greedy_decoding() -> None:
    model = tiny_gpt2(seed=3)
    prompts = random_prompts(size=6, lengths=(6,), seed=5)
    examples = []
    for i, example in enumerate(prompts.examples):
        tokens = list(example.tokens)
        for _ in range(3):
            tokens.append(int(model.module(torch.tensor([tokens])).logits[0, -1].argmax()))
        answer = tokens[6:]
        if i % 2:
            answer[i // 2] = (answer[i // 2] + 1) % VOCABULARY
        examples.append(forced(replace(example, foil=None), tuple(answer)))
    data = replace(prompts, examples=tuple(examples), answers="forced")
    other = tuple(
        asked_as(e, c) for e, c in zip(random_prompts(size=6, seed=9).examples, examples, strict=True)
    )
    values = Contrast(model, data, Resample(other)).clean_values(Metric("accuracy"))
    assert values.tolist() == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("name", ["logprob", "prob", "cross_entropy"])
def test_the_fast_acdc_is_the_definition(name: str) -> None:
    model = tiny_gpt2()
    about, graph, metric = contrast(model), model.graph(), Metric(name, normalize=True)
    slow = acdc(about, graph, metric, threshold=0.1, sequential=True)
    fast = acdc(about, graph, metric, threshold=0.1)
    assert fast.edges == slow.edges
    assert 0 < len(slow) < graph.n_edges
    assert acdc(contrast(model, batch=1), graph, metric, threshold=0.1).edges == slow.edges


@settings(max_examples=10)
@given(cases(layers=2, corruption="resample"))
def test_the_fast_acdc_is_the_definition_on_any_model(case: Case) -> None:
    model = case.model()
    about, graph = contrast(model, lengths=case.lengths), case.graph(model)
    slow = acdc(about, graph, Metric("logprob"), threshold=0.05, sequential=True)
    assert acdc(about, graph, Metric("logprob"), threshold=0.05).edges == slow.edges


def test_patching_the_embedding_everywhere_is_the_corrupted_run() -> None:
    model = tiny_gpt2()
    about, graph = contrast(model), model.graph()
    scores = activation_patching(about, graph, Metric("prob"), direction="noise")
    found = scores.values[scores.nodes.index("embed")][0]
    assert found == pytest.approx(about.corrupt(Metric("prob")), abs=1e-7)


def test_attribution_follows_the_gradient_of_the_joint_probability() -> None:
    """log of a product: its gradient is that of the sum of logs, divided by the probability."""
    model = tiny_gpt2()
    one = dataset(lengths=(6,), size=3)
    one = replace(one, examples=one.examples[2:3])
    other = tuple(
        asked_as(e, c) for e, c in zip(random_prompts(size=1, seed=8).examples, one.examples, strict=True)
    )
    about = Contrast(model, one, Resample(other))
    p = about.clean(Metric("prob"))
    of_p = attribution_patching(about, model.graph(), Metric("prob"))
    of_log = attribution_patching(about, model.graph(), Metric("logprob"))
    assert one.examples[0].forced == 2
    for edge, score in of_log.values.items():
        assert of_p[edge] == pytest.approx(p * score, abs=1e-6)


def test_sums_of_log_probabilities_can_be_scaled_and_added_and_nothing_else() -> None:
    model = tiny_gpt2()
    about = contrast(model)
    lp, ce = Metric("logprob"), Metric("cross_entropy")
    values = about.clean_values(lp)
    assert about.clean_values(combined("-", lp, ce)).tolist() == pytest.approx((2 * values).tolist())
    assert about.clean_values(combined("/", lp, 4.0)).tolist() == pytest.approx((values / 4).tolist())
    for wrong in (combined("+", lp, 1.0), combined("/", lp, ce), combined("*", 2.0, Metric("prob"))):
        with pytest.raises(DataError, match="C343"):
            about.clean_values(wrong)


@pytest.mark.parametrize(
    "metric", [Metric("logit_diff"), Metric("logprob", at=(Position("A"),)), Metric("paired_accuracy")]
)
def test_metrics_without_a_meaning_are_refused(metric: Metric) -> None:
    with refused(DataError, "C331" if "foil" in metric.measure.needs else "C343"):
        contrast(tiny_gpt2()).clean_values(metric)


def test_what_is_read_at_one_position_is_refused() -> None:
    model, data = tiny_gpt2(), dataset()
    with pytest.raises(DataError, match="C343"):
        logit_lens(model, data, of="prob")
    logit_lens(model, data, of="kl_divergence")


# How such prompts are made ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    return load_tokenizer(shared("gpt2-tokenizer"))


def text(tokenizer: Tokenizer, tokens: Any) -> str:
    return str(tokenizer.decode(list(tokens)))


def make(tokenizer: Tokenizer, **changes: Any) -> Dataset:
    options: dict[str, Any] = {
        "prompt": "{A} lives in the capital of {C}, which is called",
        "slots": {"C": ["Austria", "Hungary", "Peru"], "D": ["Poland", "Chile"], "A": ["Mary", "John"]},
        "size": 4,
        "answer": " {C}ville, as {A} says",
        "teacher_forced": True,
    }
    return template_dataset(tokenizer, **{**options, **changes})


def test_templates(gpt2: Tokenizer) -> None:
    data = make(gpt2)
    assert data.answers == "forced" and data.made["teacher_forced"] is True
    for example in data.examples:
        wanted = example.text + f" {example.values['C']}ville, as {example.values['A']} says"
        assert text(gpt2, [*example.tokens, example.answer]) == wanted
        assert text(gpt2, example.tokens[: example.end + 1]) == example.text
        assert resolve(example, "end") == (example.end,)
        assert example.forced > 2


def test_corrupted_prompts_get_the_clean_answer(gpt2: Tokenizer) -> None:
    data = make(gpt2)
    other = replaced(data, {("C", None): "D"})
    check_alignment(data, other)
    for clean, corrupt in some(zip(data.examples, other, strict=True)):
        assert (clean.continuation, clean.answer) == (corrupt.continuation, corrupt.answer)
        assert clean.tokens[: clean.end] != corrupt.tokens[: corrupt.end]
    shuffled = shuffle(make(gpt2, size=6), seed=1)
    for clean, corrupt in some(zip(make(gpt2, size=6).examples, shuffled, strict=True)):
        assert clean.continuation == corrupt.continuation and clean.tokens != corrupt.tokens


def test_an_answer_of_one_token_is_the_same_either_way(gpt2: Tokenizer) -> None:
    plain = make(gpt2, answer=" {C}", teacher_forced=False)
    assert make(gpt2, answer=" {C}").examples == plain.examples


def test_pairs_and_files(gpt2: Tokenizer, tmp_path: Path) -> None:
    pairs = prompt_dataset(
        gpt2,
        clean=["Rome is in", "Lima is in"],
        corrupt=["Oslo is in", "Rome is in"],
        answer=[" the middle of Italy", " Peru"],
        teacher_forced=True,
    )
    first, second = pairs.examples
    assert text(gpt2, first.continuation) == " the middle of" and second.forced == 0
    assert [e.continuation for e in counterpart(pairs)] == [first.continuation, ()]
    file = tmp_path / "data.csv"
    file.write_text("clean,answer\nRome is in, the middle of Italy\nLima is in, Peru\n", encoding="utf-8")
    read = file_dataset(gpt2, file, clean="clean", answer="answer", teacher_forced=True)
    assert read.examples == pairs.examples


@pytest.mark.parametrize("teacher_forced", [False, True])
def test_a_file_without_the_column_has_no_answers(
    gpt2: Tokenizer, tmp_path: Path, teacher_forced: bool
) -> None:
    """As a script asks for it: a column that it does not name is used if it is there."""
    file = tmp_path / "data.csv"
    file.write_text("clean\nRome is in\nLima is in\n", encoding="utf-8")
    options: dict[str, Any] = {"clean": "clean", "answer": "answer", "optional": ["answer"]}
    if teacher_forced:
        with refused(DataError, "C343"):
            file_dataset(gpt2, file, teacher_forced=True, **options)
    else:
        data = file_dataset(gpt2, file, **options)
        assert data.answers is None
        with refused(DataError, "C331"):
            reading(Metric("logprob"), data, data.examples)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"foil": " {D}"}, "C343"),
        ({"answer": [" {C}", " {D}"]}, "C343"),
        ({"answer": NEXT}, "C343"),
        ({"answer": None}, "C343"),
        ({"answer": ""}, "C303"),
    ],
)
def test_refused(gpt2: Tokenizer, changes: dict[str, Any], code: str) -> None:
    with refused(DataError, code):
        make(gpt2, **changes)
