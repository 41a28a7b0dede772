"""Noise on embeddings, means by slot, and prompts as each other's counterparts, against loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.tiny import contrast, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some

from nncirc import Dataset, Example, check_alignment, roles, shuffle
from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.names import END, Position
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.program.stored import identity
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Gaussian, Mean, Resample

SUBJECT = (Position("A"), Position("B", 1))
LOGIT_DIFF = Metric("logit_diff")


def noised_logits(about: Contrast, prompt: int, sample: int) -> torch.Tensor:
    """The last logits of one noised prompt, by a hook that adds 3 standard deviations."""
    assert isinstance(about.corruption, Gaussian)
    module, example = about.model.module, about.dataset.examples[prompt]
    weight = module.get_input_embeddings().weight.double()
    deviation = (weight - weight.mean()).square().mean().sqrt()
    drawn = about.corruption.draw(example, prompt, sample, about.model.d_model)
    with oracle.noised(module, (about.corruption.scale * deviation * drawn).to(about.model.dtype)):
        logits: torch.Tensor = module(input_ids=torch.tensor([example.tokens])).logits[0, -1]
    return logits


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("batch", [None, 1, 2])
def test_the_corrupted_run_has_noise_on_its_embeddings(make: Any, batch: int | None) -> None:
    """The same whatever runs together; what is measured of a prompt is the mean over its samples."""
    noise = Gaussian(SUBJECT, samples=3, seed=4)
    about = contrast(make(), size=4, lengths=(7, 6), batch=batch, corruption=noise)
    wanted = []
    for i, example in enumerate(about.dataset.examples):
        rows = [noised_logits(about, i, sample) for sample in range(3)]
        assert isinstance(example.answer, int)
        assert isinstance(example.foil, int)
        wanted.append(sum(float(row[example.answer] - row[example.foil]) for row in rows) / 3)
    assert about.corrupt_values(LOGIT_DIFF).tolist() == pytest.approx(wanted, rel=1e-5)
    assert about.clean_values(LOGIT_DIFF).tolist() == pytest.approx(
        contrast(about.model, size=4, lengths=(7, 6)).clean_values(LOGIT_DIFF).tolist(), rel=1e-9
    )


def test_noise_is_where_it_belongs_and_of_its_size() -> None:
    data = random_prompts(size=1)
    noise = Gaussian(SUBJECT, seed=1)
    found = noise.draw(data.examples[0], 0, 0, 4000)
    assert [p for p in range(6) if found[p].any()] == [1, 3, 4] == noise.positions(data.examples[0])
    assert float(found[[1, 3, 4]].std()) == pytest.approx(1, abs=0.02)
    assert float(found[[1, 3, 4]].mean()) == pytest.approx(0, abs=0.02)


@settings(max_examples=12)
@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9))
def test_draws_differ_by_seed_prompt_and_sample_and_by_nothing_else(
    seed: int, prompt: int, sample: int
) -> None:
    (example,) = random_prompts(size=1).examples
    other = replace(example, tokens=tuple(reversed(example.tokens)))
    noise = Gaussian(SUBJECT, seed=seed)
    one = noise.draw(example, prompt, sample, 8)
    assert torch.equal(one, noise.draw(other, prompt, sample, 8))
    for changed in (
        noise.draw(example, prompt + 1, sample, 8),
        noise.draw(example, prompt, sample + 1, 8),
        Gaussian(SUBJECT, seed=seed + 1).draw(example, prompt, sample, 8),
    ):
        assert not torch.equal(one, changed)


def test_every_method_takes_noise() -> None:
    """Several samples are as many prompts, each with noise of its own, and a mean over them."""
    model = tiny_gpt2()
    noise = Gaussian(SUBJECT, samples=2, seed=7)
    about = contrast(model, size=3, corruption=noise)
    again = contrast(model, size=3, corruption=noise, batch=1)
    graph = model.graph()
    metric = Metric("logit_diff", normalize=True)
    restored = activation_patching(about, graph, metric, direction="denoise")
    assert restored["embed"][0] == pytest.approx(1)
    assert restored.values == activation_patching(again, graph, metric, direction="denoise").values
    steps = attribution_patching(about, graph, LOGIT_DIFF, steps=3)
    assert steps.values == pytest.approx(
        attribution_patching(again, graph, LOGIT_DIFF, steps=3).values, abs=2e-8
    )
    fast, slow = (acdc(about, graph, LOGIT_DIFF, threshold=0.02, sequential=s) for s in (False, True))
    assert fast.edges == slow.edges
    assert 0 < len(fast) < graph.n_edges
    assert about.facts(metric)["noise"] == {"at": ["A", "B.1"], "scale": 3.0, "samples": 2, "seed": 7}


def test_integrated_gradients_of_samples_sum_to_the_whole_difference() -> None:
    """Of a linear way all edges into the logits together explain the fall; divided by prompts and samples."""
    model = tiny_gpt2(layers=1)
    one = contrast(model, size=2, corruption=Gaussian(SUBJECT, samples=1, seed=3, scale=0.01))
    twice = contrast(model, size=2, corruption=Gaussian(SUBJECT, samples=2, seed=3, scale=0.01))
    for about in (one, twice):
        scores = attribution_patching(about, model.graph(), LOGIT_DIFF)
        into = sum(value for edge, value in scores.values.items() if edge.receiver == "logits")
        fall = about.clean(LOGIT_DIFF) - about.corrupt(LOGIT_DIFF)
        assert into == pytest.approx(fall, rel=0.05)


@pytest.mark.parametrize(
    ("options", "at", "code"),
    [({"scale": 0.0}, SUBJECT, "C580"), ({"samples": 0}, SUBJECT, "C580"), ({}, (), "C512")],
)
def test_what_is_no_noise(options: Any, at: Any, code: str) -> None:
    with refused(MethodError, code):
        Gaussian(at, **options)


def test_the_store_tells_noise_apart() -> None:
    one = Gaussian(SUBJECT)
    others = [
        Gaussian((Position("A"),)),
        Gaussian(SUBJECT, scale=2.0),
        Gaussian(SUBJECT, samples=2),
        Gaussian(SUBJECT, seed=1),
        Mean(("prompts", "slots")),
        Mean(("prompts",)),
    ]
    assert identity(one) == identity(Gaussian(SUBJECT))
    assert len({identity(each) for each in (one, *others)}) == 7


def test_noise_at_a_place_that_is_not_there() -> None:
    with refused(DataError, "C308"):
        contrast(tiny_gpt2(), corruption=Gaussian((Position("C"),)))


# Means by slot -------------------------------------------------------------------------------------------


def prompts_of_slots(seed: int) -> Dataset:
    """Two phrasings, with names of one to three tokens."""
    draw = torch.Generator().manual_seed(seed)

    def some(count: int) -> list[int]:
        return torch.randint(0, 50, (count,), generator=draw).tolist()

    examples = []
    for i in range(6):
        long = 1 + i % 3
        parts: list[tuple[str, list[int]]] = [
            ("", some(2)),
            ("X 1", some(long)),
            ("", some(1 + i % 2)),
            ("Y 1", some(1)),
        ]
        parts += [("X 2", some(long)), ("", some(1))] if i % 2 else [("", some(2))]
        tokens: list[int] = []
        spans = {}
        for name, each in parts:
            if name:
                spans[Position(name[0], int(name[2]))] = (len(tokens), len(tokens) + len(each))
            tokens += each
        examples.append(Example("", tuple(tokens), spans, 1, 2, {}, phrasing=i % 2))
    return Dataset(tuple(examples), "token", None, {}, tokenizer=None)  # type: ignore[arg-type]


def role_by_hand(example: Example, position: int) -> Any:
    """The slot that a token is in; or its phrasing, and how far behind which slot it stands."""
    for place, (start, stop) in example.spans.items():
        if start <= position < stop:
            return place
    ended = [(stop, place) for place, (_, stop) in example.spans.items() if stop <= position]
    stop, place = max(ended, default=(0, Position("")))
    return example.phrasing, place, position - stop


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("other_source", [False, True])
def test_means_by_slot(seed: int, other_source: bool) -> None:
    model = tiny_gpt2()
    data, source = prompts_of_slots(seed), prompts_of_slots(seed + 100)
    used = source if other_source else data
    about = Contrast(model, data, Mean(("prompts", "slots"), source if other_source else None), batch=2)
    graph = model.graph()
    found: dict[Any, list[torch.Tensor]] = {}
    for example in used.examples:
        outputs = oracle.forward(model.module, torch.tensor([example.tokens])).outputs
        for position in range(len(example.tokens)):
            stack = torch.stack([outputs[sender][0, position] for sender in graph.senders])
            found.setdefault(role_by_hand(example, position), []).append(stack)
    for batch in some(about.batches):
        substitute = about.substitute(batch, graph)
        for row, example in enumerate(some(batch.examples)):
            for position in range(len(example.tokens)):
                wanted = torch.stack(found[role_by_hand(example, position)]).mean(0)
                torch.testing.assert_close(substitute[:, row, position], wanted, rtol=0, atol=1e-12)


def test_roles_tell_places_apart() -> None:
    for example in some(prompts_of_slots(0).examples):
        by_hand = [role_by_hand(example, p) for p in range(len(example.tokens))]
        pairs = set(zip(roles(example), by_hand, strict=True))
        assert len(pairs) == len(set(by_hand)) == len(set(roles(example)))


def test_a_mean_by_slot_needs_the_slots() -> None:
    data = prompts_of_slots(0)
    source = replace(data, examples=data.examples[::2])
    about = Contrast(tiny_gpt2(), data, Mean(("prompts", "slots"), source))
    with refused(DataError, "C341"):
        about.corrupt(LOGIT_DIFF)


# Shuffled prompts ----------------------------------------------------------------------------------------


@settings(max_examples=18)
@given(st.integers(2, 9), st.integers(0, 1000))
def test_shuffled_prompts_are_anothers(size: int, seed: int) -> None:
    """A derangement within prompts that align, with the answers of the clean prompt."""
    data = random_prompts(size=2 * size, lengths=(6, 8), seed=seed)
    found = shuffle(data, seed=seed)
    check_alignment(data, found)
    for clean, other in zip(data.examples, found, strict=True):
        assert other.tokens != clean.tokens
        assert (other.answer, other.foil, dict(other.spans)) == (clean.answer, clean.foil, dict(clean.spans))
    assert sorted(e.tokens for e in found) == sorted(e.tokens for e in data.examples)
    assert shuffle(data, seed=seed) == found
    if size > 4:
        assert any(shuffle(data, seed=seed + more) != found for more in range(1, 9))
    assert Contrast(tiny_gpt2(), data, Resample(found, "shuffle")).corrupt(Metric("logprob", at=END_ONLY)) < 0


END_ONLY = (END,)


def test_a_prompt_that_has_nobody_to_change_with() -> None:
    data = random_prompts(size=3, lengths=(6, 6, 7))
    with refused(DataError, "C342", "prompt 3"):
        shuffle(data, seed=0)


def test_equal_prompts_do_not_change_with_each_other() -> None:
    data = random_prompts(size=4)
    twice = replace(data, examples=(*data.examples, *data.examples))
    check_alignment(twice, shuffle(twice, seed=1))
    with refused(DataError, "C342"):
        shuffle(replace(data, examples=(*data.examples[:1] * 3, data.examples[1])), seed=1)
