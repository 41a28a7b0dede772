"""Activation patching against one run with plain hooks a patch, and against the masked forward.

And that it computes no more than it has to, keeps to the memory that is allowed, and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.compared import Remembered, close, values_of
from tests.engine.data.vocabulary import word_tokenizer
from tests.engine.loops import measured, tokens_at
from tests.engine.peak import peak_bytes
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2, tiny_llama, with_biased_unembedding
from tests.refused import refused
from tests.some import some

from nncirc import Dataset, Example
from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import END, Position
from nncirc.engine.evaluation.faithfulness import cut_metric
from nncirc.engine.methods import activation_patching as activation
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.columns import by_position, token_labels, token_texts
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Direction, Gaussian, Resample, Zero
from nncirc.engine.runs.memory import pass_bytes

METRICS = st.sampled_from(
    [
        Metric("logit_diff"),
        Metric("logprob", at=(END, Position("A", 1))),
        Metric("kl_divergence", at=(Position("B"),)),
        Metric("kl_divergence", at=(Position("A", 1), END)),
    ]
)
PLACES: tuple[Position, ...] = (END, Position("A"), Position("A", 2), Position("B", 1), Position("start"))


def noise_of(about: Contrast, prompt: int) -> torch.Tensor:
    """The noise of one prompt, the only sample of it."""
    assert isinstance(about.corruption, Gaussian)
    weight = about.model.module.get_input_embeddings().weight
    scale = about.corruption.scale * (weight - weight.mean()).square().mean().sqrt()
    drawn = about.corruption.draw(about.dataset.examples[prompt], prompt, 0, about.model.d_model)
    return float(scale) * drawn.to(about.model.dtype)


def by_hooks(
    about: Contrast, graph: Graph, metric: Metric, direction: Direction, places: list[Position | int | None]
) -> list[list[float]]:
    """The metric's mean for every sender and place: one run of the plain model for each."""
    module = about.model.module
    assert isinstance(about.corruption, Resample | Gaussian | Zero)

    def tokens(example: Example) -> torch.Tensor:
        return torch.tensor([example.tokens])

    table = []
    for sender in graph.senders:
        row = []
        for place in places:
            total = 0.0
            for i, example in enumerate(about.dataset.examples):
                clean = oracle.activations(module, tokens(example))
                base, values = tokens(example), {k: torch.zeros_like(v) for k, v in clean.items()}
                begun: Any = nullcontext()
                if isinstance(about.corruption, Resample):
                    corrupt = tokens(about.corruption.examples[i])
                    values = oracle.activations(module, corrupt)
                    if direction == "denoise":
                        base, values = corrupt, clean
                if isinstance(about.corruption, Gaussian):
                    noise = noise_of(about, i)
                    with oracle.noised(module, noise):
                        values = oracle.activations(module, base)
                    if direction == "denoise":
                        begun, values = oracle.noised(module, noise), clean
                with begun:
                    logits = oracle.patched(module, base, sender, values, [tokens_at(example, place)])[0]
                total += measured(metric, example, logits, module(input_ids=tokens(example)).logits[0])
            row.append(total / len(about.dataset.examples))
        table.append(row)
    return table


@settings(max_examples=9)
@given(
    cases(layers=2),
    METRICS,
    st.sampled_from(["noise", "denoise"]),
    st.sampled_from(["named", "all", "together"]),
    st.sampled_from([None, 2]),
    st.sampled_from([5, 2048]),
)
def test_every_patch_is_one_run_with_a_hook(
    case: Case,
    metric: Metric,
    direction: Direction,
    positions: Literal["named", "all", "together"],
    batch: int | None,
    tokens: int,
) -> None:
    if case.corruption.startswith("mean"):
        case = Case(**{**case.__dict__, "corruption": "zero"})
    if case.corruption == "zero":
        direction = "noise"
    if positions == "all":
        case = Case(**{**case.__dict__, "lengths": case.lengths[:1]})
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=batch)
    chosen: Any = {"named": PLACES, "all": "all", "together": None}[positions]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activation, "TOKENS_IN_A_TRACE", tokens)
        found = activation_patching(about, graph, metric, direction=direction, positions=chosen)
    places: Any = {"named": list(PLACES), "all": list(range(case.lengths[0])), "together": [None]}[positions]
    wanted = by_hooks(about, graph, metric, direction, places)
    assert found.nodes == graph.senders
    for row, expected in zip(found.values, wanted, strict=True):
        assert row == pytest.approx(expected, rel=1e-6, abs=close(case))


@settings(max_examples=12)
@given(cases(), METRICS)
def test_noise_is_a_cut_of_every_edge_out_of_the_node(case: Case, metric: Metric) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    found = activation_patching(about, graph, metric, direction="noise")
    for sender in some(graph.senders):
        cut = [edge for edge in graph.edges() if edge.sender == sender]
        wanted = float(cut_metric(about, graph, metric, cut).mean())
        assert found[sender][0] == pytest.approx(wanted, rel=1e-6, abs=close(case))


@settings(max_examples=10)
@given(cases(corruption="resample"), METRICS)
def test_denoise_is_a_cut_of_every_edge_out_of_the_other_nodes_run_backwards(
    case: Case, metric: Metric
) -> None:
    """In the swapped contrast, where the corrupted prompts are the clean ones."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    assert isinstance(about.corruption, Resample)
    found = activation_patching(about, graph, metric, direction="denoise")
    for sender in graph.senders:
        cut: dict[oracle.Pair, float] = {edge: 1.0 for edge in graph.edges() if edge.sender == sender}

        def run(batch: Batch, cut: dict[oracle.Pair, float] = cut) -> torch.Tensor:
            assert batch.corrupt is not None
            clean = dict(zip(graph.senders, about.clean_outputs(batch, graph), strict=True))
            options: dict[str, Any] = {"attention": case.attention, "split": case.split}
            return oracle.forward(model.module, batch.corrupt, cut=cut, substitute=clean, **options).logits

        wanted = float(values_of(about, metric, run).mean())
        assert found[sender][0] == pytest.approx(wanted, rel=1e-4, abs=max(2e-5, close(case)))


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_normalised_no_effect_is_one_in_noise_and_zero_in_denoise(make: Any) -> None:
    """The embedding at every position is the whole run; a node that nobody hears does nothing."""
    model = make()
    about, metric = contrast(model, lengths=(5, 6)), Metric("logit_diff", normalize=True)
    noise = activation_patching(about, model.graph(), metric, direction="noise")
    denoise = activation_patching(about, model.graph(), metric, direction="denoise")
    assert noise["embed"][0] != pytest.approx(1, abs=0.01)
    early = activation_patching(
        about,
        model.graph(),
        metric,
        direction="noise",
        positions=[END, ("start", None)],
    )
    last = model.graph().senders[-1]
    assert early[last][1] == pytest.approx(1, abs=1e-5)  # behind the last layer only the end is read
    assert early[last][0] == pytest.approx(noise[last][0], abs=1e-5)
    assert early.positions == ("end", "start")
    back = activation_patching(about, model.graph(), metric, direction="denoise", positions=[("start", None)])
    assert back[last][0] == pytest.approx(0, abs=1e-5)
    assert denoise.made["direction"] == "denoise"


def test_what_cannot_be_patched() -> None:
    model = tiny_gpt2()
    with refused(MethodError, "C523"):
        activation_patching(contrast(model, corruption=Zero()), model.graph(), Metric("logit_diff"))
    split = replace(model.graph(), positions=("end", "other"))
    with refused(MethodError, "C594", "split by position"):
        activation_patching(contrast(model), split, Metric("logit_diff"))
    about = contrast(model, lengths=(5, 6))
    with refused(DataError, "C334"):
        activation_patching(about, model.graph(), Metric("logit_diff"), positions="all")
    with refused(DataError, "C308"):
        activation_patching(about, model.graph(), Metric("logit_diff"), positions=[("nowhere", None)])


def test_progress_counts_every_patch() -> None:
    model = tiny_gpt2()
    about = contrast(model, size=4, lengths=(5, 6))
    told: list[tuple[int, int]] = []
    activation_patching(
        about, model.graph(), Metric("logit_diff"), positions=PLACES, progress=lambda *now: told.append(now)
    )
    whole = 2 * len(model.graph().senders) * len(PLACES)
    assert told[-1] == (whole, whole)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


# What is computed -----------------------------------------------------------------------------------------


@contextmanager
def counted(model: Model) -> Iterator[list[list[int]]]:
    """Tokens that every layer's MLP sees, call by call; a single token is that of a trace's own forward."""
    seen: list[list[int]] = [[] for _ in model.blocks]
    handles = [
        mlp.register_forward_hook(lambda _, a, out, n=n: seen[n].append(a[0][..., 0].numel()))
        for n, mlp in enumerate(oracle.sites(model.module)[2])
    ]
    with oracle.hooks(handles):
        yield seen


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_only_what_a_patch_can_change_is_computed(make: Any) -> None:
    """Not what is before it, in tokens or in layers, nor in the last block what nobody reads."""
    model = make(layers=3)
    about, metric = contrast(model, size=2, lengths=(7,), corruption=Zero()), Metric("logit_diff")
    heads = model.shape.n_heads
    # What the embedding changes goes through all layers, what a layer changes through those behind it.
    rows = [1 + heads, 1 + 2 * heads + 1, 1 + 3 * heads + 2]
    for place, tokens in ((("A", 2), 4), (END, 1)):  # A.2 is the fourth token of seven
        activation_patching(about, model.graph(), metric, direction="noise", positions=[place])
        with counted(model) as seen:
            activation_patching(about, model.graph(), metric, direction="noise", positions=[place])
        # two prompts, first in the run that is patched
        assert [sum(each) for each in seen] == [
            2 * (7 + tokens * rows[0]),
            2 * (7 + tokens * rows[1]),
            2 * (7 + rows[2]),
        ]


def test_patches_that_change_nothing_are_not_run() -> None:
    """Nothing is different before the first token that is, and nothing behind the last token read is seen."""
    model = tiny_gpt2(layers=2)
    clean = contrast(model, size=3)
    examples = [
        Example("", (*e.tokens[:3], (e.tokens[3] + 1) % 50, *e.tokens[4:]), e.spans, None, None, {})
        for e in clean.dataset.examples
    ]
    about = Contrast(model, clean.dataset, Resample(tuple(examples)))
    metric = Metric("logprob", at=(Position("A", 1), Position("A", 2)))  # tokens 1 and 3
    activation_patching(about, model.graph(), metric, positions=["start"])
    with counted(model) as seen:
        idle = activation_patching(about, model.graph(), metric, positions=["start", "A.1", END])
    assert [sum(each) for each in seen] == [18, 18]  # the run that is patched, and no other
    assert {value for row in idle.values for value in row} == {round(about.corrupt(metric), 8)}
    found = activation_patching(about, model.graph(), metric, positions=["start", "A.1", "A.2", END])
    assert len({row[2] for row in found.values}) > 1
    wanted = by_hooks(
        about,
        model.graph(),
        metric,
        "denoise",
        [Position("start"), Position("A", 1), Position("A", 2), Position("end")],
    )
    for row, expected in zip(found.values, wanted, strict=True):
        assert row == pytest.approx(expected, abs=2e-8)


def test_an_unembedding_with_a_bias_is_not_read_by_columns_alone() -> None:
    """No family here has one, but one of another package may."""
    model = with_biased_unembedding(tiny_gpt2())
    about, graph, metric = contrast(model), model.graph(), Metric("logit_diff")
    found = activation_patching(about, graph, metric, positions=[END])
    wanted = by_hooks(about, graph, metric, "denoise", [END])
    assert found.values == tuple(pytest.approx(row, abs=2e-8) for row in wanted)


@pytest.mark.parametrize("metric", [Metric("logit_diff"), Metric("kl_divergence")])
def test_memory_that_is_allowed_is_kept_to(metric: Metric) -> None:
    model = tiny_gpt2(layers=2, heads=8, d_head=16, vocab_size=20_000)
    about = contrast(model, size=2, lengths=(8,))

    def sweep(most: int) -> NodeScores:
        limited = Contrast(model, about.dataset, about.corruption, most_memory=most)
        return activation_patching(limited, model.graph(), metric, positions="all")

    tight = 3 * pass_bytes(model, 8)
    whole = sweep(1 << 34)
    assert sweep(tight).values == tuple(pytest.approx(row, abs=2e-8) for row in whole.values)
    assert peak_bytes(lambda: sweep(tight)) < tight / 2 < peak_bytes(lambda: sweep(1 << 34)) / 2


# Going on -------------------------------------------------------------------------------------------------


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of patches in the traces that were run; a trace has few."""
    found: list[int] = []
    run = activation._Patcher.run

    def counting(self: Any, patches: Any) -> Any:
        found.append(len(patches))
        return run(self, patches)

    monkeypatch.setattr(activation._Patcher, "run", counting)
    monkeypatch.setattr(activation, "TOKENS_IN_A_TRACE", 30)
    return found


@settings(max_examples=10)
@given(cases(layers=2, dtype="float32"), METRICS, st.sampled_from([None, 2]), st.data())
def test_an_interrupted_sweep_goes_on(
    case: Case, metric: Metric, batch: int | None, data: st.DataObject
) -> None:
    """To the same numbers, to the last bit, and what was measured is not measured again."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activation, "TOKENS_IN_A_TRACE", 30)

        def sweep(journal: Remembered | None) -> NodeScores:
            return activation_patching(
                about, graph, metric, direction="noise", positions=PLACES, journal=journal
            )

        whole = Remembered({})
        plain = sweep(None)
        assert sweep(whole) == plain
        stop = data.draw(st.integers(0, whole.new - 1))
        part = Remembered({}, most=stop)
        with pytest.raises(KeyboardInterrupt):
            sweep(part)
        rest = Remembered(part.entries)
        assert sweep(rest) == plain
        assert rest.new == whole.new - stop
        assert rest.entries == whole.entries


def test_only_whole_traces_of_the_same_batches_are_taken_over(ran: list[int]) -> None:
    model = tiny_gpt2()
    metric = Metric("logit_diff")

    def sweep(journal: Remembered, batch: int | None = None) -> NodeScores:
        return activation_patching(
            contrast(model, size=4, batch=batch), model.graph(), metric, positions="all", journal=journal
        )

    whole = Remembered({})
    found, traces = sweep(whole), len(ran)
    assert traces == whole.new > 3
    ran.clear()
    assert sweep(Remembered(whole.entries)) == found
    assert ran == []
    # with other prompts in a batch, none fits
    assert sweep(Remembered(whole.entries), batch=3).values == found.values
    assert sum(ran) == 2 * 6 * len(model.graph().senders)
    # a trace of which a value is missing is run whole
    ran.clear()
    name = list(whole.entries)[1]
    (label, _), *rest = whole.entries[name].items()
    damaged = Remembered({**whole.entries, name: dict(rest)})
    assert sweep(damaged) == found
    assert (len(ran), damaged.new) == (1, 1)
    assert label in damaged.entries[name]


LETTERS = word_tokenizer(words=tuple("abcdefghij"))


def labelled_example(*letters: int, forced: int = 0, **slots: int) -> Example:
    tokens = tuple(LETTERS.get_vocab()[chr(97 + letter)] for letter in letters)
    spans = {Position(name.rstrip("_"), 1 + name.count("_")): (at, at + 1) for name, at in slots.items()}
    return Example("", tokens, spans, None, None, {}, forced=forced)


def labels(*examples: Example, answers: Any = None) -> list[str]:
    data = Dataset(examples, answers, None, {}, tokenizer=LETTERS)
    return token_labels(data, range(len(examples[0].tokens)))


def test_tokens_slots_and_those_of_several_prompts_are_told_apart() -> None:
    first = labelled_example(0, 1, 2, 3, 4, S=1, S_=2, IO=3)
    assert labels(first) == ["a", "b", "c", "d", "e"]
    second = labelled_example(0, 5, 6, 7, 4, S=1, S_=2, IO=3)
    assert labels(first, second) == ["a", "{S.1}", "{S.2}", "{IO}", "e"]
    swapped = labelled_example(0, 5, 6, 7, 8, IO=1, S=2, S_=3)
    assert labels(first, swapped) == ["a", "b / f", "c / g", "d / h", "e / i"]
    assert labels(first, swapped, second) == ["a", "b / f", "c / g", "d / h", "e / i"]
    third = labelled_example(0, 9, 2, 9, 9)
    assert labels(swapped, first, third) == ["a", "f / …", "g / c", "h / …", "i / …"]
    none: Any = None
    assert token_labels(Dataset((first, swapped), None, None, {}, tokenizer=none), [0, 1]) == ["#0", "#1"]


def test_names_that_single_tokens_are_given_are_no_slots() -> None:
    data = Dataset(
        (labelled_example(0, 1, S=1), labelled_example(2, 3, S=1)),
        None, None, {}, tokenizer=LETTERS,
    )  # fmt: skip
    named, columns = by_position(data, "all")
    assert token_texts(named, columns) == {"tokens": ["a / c", "{S}"]}
    assert token_texts(named, [Position("S")]) == {}


def test_the_answer_that_is_forced_is_marked() -> None:
    first, second = labelled_example(0, 1, 2, 3, forced=2), labelled_example(0, 1, 4, 3, forced=2)
    assert labels(first, second, answers="forced") == ["a", "b", "answer: c / e", "d"]
    assert labels(first, replace(second, forced=1), answers="forced") == ["a", "b", "c / e", "d"]
    assert labels(replace(first, forced=0), answers="forced") == ["a", "b", "c", "d"]


def test_all_tokens_have_labels_beside_their_numbers() -> None:
    model = tiny_gpt2()
    about = contrast(model, size=2, lengths=(5,))
    about = replace(about, dataset=replace(about.dataset, tokenizer=LETTERS))
    metric, graph = Metric("logit_diff"), model.graph()
    wanted = token_labels(about.dataset, range(5))
    for found in (
        activation_patching(about, graph, metric, positions="all"),
        path_patching(about, graph, metric, to="logits", positions="all"),
        causal_tracing(about, metric),
    ):
        assert found.positions == ("0", "1", "2", "3", "4")
        assert found.made["tokens"] == wanted
    assert "tokens" not in activation_patching(about, graph, metric, positions=["A"]).made
    assert "tokens" not in activation_patching(about, graph, metric).made
