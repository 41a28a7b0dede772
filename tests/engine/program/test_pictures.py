"""Pictures of results: what the colours mean, what the numbers are, how they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pytest
from matplotlib.figure import Figure

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.intervals import Estimate
from nncirc.circuits.made import Made
from nncirc.circuits.pictures.colours import Diverging, Sequential
from nncirc.circuits.pictures.text import provenance
from nncirc.engine.blocks import blocks
from nncirc.engine.blocks.block import shared_facts
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.program import pictures
from nncirc.engine.program.captions import facts, together, told
from nncirc.engine.program.pictures import Look, draw_curves, draw_table
from nncirc.engine.program.results import Curve, Table


def scores(values: Any, **made: Any) -> NodeScores:
    nodes = tuple(f"MLP{i}" for i in range(len(values)))
    return NodeScores(nodes, tuple("abcdef"[: len(values[0])]), tuple(map(tuple, values)), cast(Made, made))


ATTRIBUTED: Made = {"method": "attribution_patching", "direction": "noise"}


def look(found: EdgeScores | NodeScores) -> Look:
    """How scores of their method are drawn."""
    method = found.made.get("method")
    return blocks()["scores", method].look if method else Look()


Drawn: TypeAlias = Callable[[EdgeScores | NodeScores | Table | Mapping[str, Curve]], Any]
"""Draws them, and gives the figure."""


@pytest.fixture
def drawn(figures: list[Figure], tmp_path: Path) -> Drawn:
    """Draws scores, a table or curves."""

    def draw(found: EdgeScores | NodeScores | Table | Mapping[str, Curve]) -> Any:
        path = tmp_path / "a.svg"
        if isinstance(found, Table):
            draw_table(found, path, title="a")
        elif isinstance(found, Mapping):
            draw_curves(found, path, title="a")
        else:
            pictures.draw_scores(found, path, title="a", look=look(found))
        return figures[-1]

    return draw


def xs(axes: Any) -> list[str]:
    """What stands at the columns."""
    return [label.get_text() for label in axes.get_xticklabels()]


def ys(axes: Any) -> list[str]:
    """What stands at the rows."""
    return [label.get_text() for label in axes.get_yticklabels()]


def scale_of(found: NodeScores) -> Any:
    return look(found).scale_of(found)


def unit_of(found: NodeScores) -> str:
    return look(found).in_words(found)


def words(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


# What the colours mean


@pytest.mark.parametrize(
    ("made", "scale"),
    [
        ({"method": "logit_lens", "of": "rank"}, Sequential(low=1.0, dark="low", log=True)),
        ({"method": "patchscopes", "of": "prob"}, Sequential(low=0.0)),
        ({"method": "logit_lens", "of": "kl_divergence"}, Sequential(low=0.0)),
        ({"method": "logit_lens", "of": "logprob"}, Sequential(high=0.0)),
        ({"method": "logit_lens", "of": "logit_diff"}, Diverging()),
        ({"method": "attention_statistics"}, Sequential(low=0.0)),
        ({"method": "steering", "metric": "prob", "by": "scale", "unsteered": 0.5}, Diverging(0.5)),
        ({"method": "causal_tracing", "metric": "prob", "of": "states", "direction": "denoise"}, Diverging()),
        ({**ATTRIBUTED, "metric": "prob"}, Diverging()),
        (
            {"method": "attribution_patching", "metric": "prob", "direction": "noise", "grad_drop": True},
            Sequential(low=0.0),
        ),
        ({"method": "activation_patching", "metric": "prob", "direction": "noise"}, Sequential()),
        ({"method": "activation_patching", "metric": "prob", "unpatched": 0.9}, Diverging(0.9)),
        (
            {"method": "path_patching", "metric": "prob", "direction": "noise", "normalized": True},
            Diverging(1.0),
        ),
        (
            {"method": "activation_patching", "metric": "prob", "direction": "denoise", "normalized": True},
            Diverging(),
        ),
    ],
)
def test_colours_follow_what_the_numbers_are(made: dict[str, Any], scale: Any) -> None:
    assert scale_of(scores([[1.0, 125.0]], **made)) == scale


def test_few_ranks_are_coloured_in_proportion() -> None:
    assert scale_of(scores([[1.0, 3.0]], method="logit_lens", of="rank")) == Sequential(1.0, dark="low")


def test_statistics_below_zero_have_a_middle() -> None:
    assert scale_of(scores([[-0.5, 1.0]], method="weight_statistics")) == Diverging()


def test_sums_by_layer_start_at_zero(drawn: Drawn) -> None:
    graph = Graph(Shape(1, 2, 2))
    made: Made = {"method": "attribution_patching", "metric": "prob", "direction": "noise"}
    cells, bar = drawn(EdgeScores(graph, dict.fromkeys(graph.edges(), 0.5), made)).axes
    low, high = cells.images[0].get_clim()
    assert low == 0 < high
    assert (
        bar.get_ylabel().replace("\n", " ") == "sum of |score|: estimated fall of prob when the edge is cut"
    )


# What the numbers are


@pytest.mark.parametrize(
    ("made", "unit"),
    [
        (
            {"method": "causal_tracing", "metric": "prob", "unit": "probability",
             "direction": "denoise"},
            "indirect effect: prob restored minus corrupted, probability",
        ),
        (
            {"method": "causal_tracing", "metric": "prob", "normalized": True,
             "direction": "denoise"},
            "indirect effect: prob restored minus corrupted, share of clean \u2212 corrupt",
        ),
        (
            {"method": "activation_patching", "metric": "logit_diff", "normalized": True},
            "logit diff with the node patched, 0 corrupt to 1 clean",
        ),
        (
            {"method": "logit_lens", "of": "rank"},
            "rank of the answer, 1 is the best",
        ),
        ({"method": "patchscopes", "of": "prob"}, "prob of the answer, probability"),
        ({"method": "logit_lens", "of": "logit_diff", "score": "logit_diff, logits"}, "logit_diff, logits"),
        (
            {"method": "steering", "metric": "prob", "unit": "probability", "by": "shift", "rows": "nodes"},
            "prob with what the node writes steered by shift, probability",
        ),
        ({"method": "composition", "of": "virtual_copying"}, "\u03a3 \u03bb / \u03a3 |\u03bb|, \u22121 to 1"),
    ],
)  # fmt: skip
def test_the_unit_says_what_is_drawn(made: dict[str, Any], unit: str) -> None:
    assert unit_of(scores([[1.0]], **made)) == unit


TRACED = {
    "method": "causal_tracing", "of": "states", "window": 1, "sever": "none", "direction": "denoise",
    "total": [0.935, 0.883, 0.973], "corruption": "gaussian", "metric": "prob", "at": ["end"],
    "noise": {"at": ["IO"], "scale": 3, "samples": 2, "seed": 0}, "prompts": 8, "level": 0.95,
    "resamples": 1000, "model": "small",
}  # fmt: skip


def test_a_trace_says_what_was_restored_and_corrupted() -> None:
    assert told(TRACED) == (
        "causal_tracing; states restored; total effect 0.935 [0.883, 0.973]; direction denoise; "
        "corruption gaussian (noise of 3 standard deviations at IO, 2 samples a prompt); metric prob; "
        "at end; 8 prompts; 95 % intervals; 1,000 resamples; model small"
    )
    windows = told({**TRACED, "of": "mlps", "window": 10, "total": [-0.5, None, None]})
    assert "mlps restored; windows of 10 layers; total effect \u22120.5;" in windows
    assert "attention severed" in told({**TRACED, "sever": "attention"})


def test_intervals_are_not_told_where_none_is_drawn(drawn: Drawn) -> None:
    figure = drawn(scores([[0.5]], rows="states", **TRACED))
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "resamples" not in caption
    assert "8 prompts; model small" in caption
    assert figure.axes[0].get_ylabel() == "state after"


def test_the_path_of_a_model_is_not_told() -> None:
    assert told({"method": "acdc", "model": "/data/models/stories260K"}) == "acdc; model stories260K"
    assert told({"method": "acdc", "model": "openai-community/gpt2"}) == "acdc; model openai-community/gpt2"


def test_one_prompt_has_no_intervals() -> None:
    assert "one prompt, so no intervals" in told({**TRACED, "prompts": 1})
    assert "resamples" not in told({**TRACED, "prompts": 1})
    assert told({"method": "logit_lens", "prompts": 1}) == "logit_lens; one prompt"


def test_what_repairs_attribution_is_told() -> None:
    made = {"method": "attribution_patching", "rule": "relp", "correct_qk": True, "grad_drop": True}
    assert told(made) == "attribution_patching; rule relp; queries and keys corrected; GradDrop"
    assert told({"method": "attribution_patching", "rule": "gradient"}) == "attribution_patching"


def test_factors_below_zero_have_a_minus_sign(drawn: Drawn) -> None:
    found = NodeScores(("L0H0",), ("-1", "2"), ((0.1, 0.2),), {"rows": "nodes", "columns": "factor"})
    axes = drawn(found).axes[0]
    assert xs(axes) == ["\u22121", "2"]
    assert axes.get_xlabel() == "factor"


def test_a_whole_answer_is_told() -> None:
    made = {"method": "acdc", "metric": "logprob", "teacher_forced": True, "at": ["end"]}
    assert told(made) == "acdc; metric logprob of the whole answer; teacher forced; at end"
    assert told({**made, "metric": "kl_divergence"}) == "acdc; metric kl_divergence; teacher forced; at end"
    assert told({"method": "acdc", "metric": "logprob"}) == "acdc; metric logprob"
    assert unit_of(scores([[1.0]], **{**made, "method": "activation_patching"}, unit="nats")) == (
        "logprob of the whole answer with the node patched, nats"
    )
    assert provenance(made) == "method acdc; metric logprob; teacher forced"


def test_circuits_of_a_curve_are_counted_and_not_written_out() -> None:
    of = [{"method": "acdc", "threshold": t, "dataset": {"name": "x"}} for t in (0.1, 0.2)]
    assert facts({"method": "roc", "of": of}) == ["roc", "2 circuits by acdc"]


def test_what_results_share_is_told_once() -> None:
    assert together({"a": ["CPR 1", "m"], "b": ["CPR 2", "m"]}) == "a: CPR 1\nb: CPR 2\nm"
    assert together({"a": ["CPR 1", "m"]}) == "CPR 1; m"


def test_a_table_of_circuits_has_what_they_share() -> None:
    graph = Graph(Shape(1, 1, 1))
    scores = {"method": "attribution_patching", "metric": "prob", "model": "m", "prompts": 4, "seed": 0}
    made: list[Any] = [
        {"method": "top", "scores": scores},
        {**scores, "method": "acdc", "prompts": 5},
    ]
    assert shared_facts(Circuit(graph, {}, made=each) for each in made) == {"metric": "prob", "model": "m"}


# Cells


def test_tokens_are_escaped(drawn: Drawn) -> None:
    tokens, top = ["\n", " ", "<b>"], [["\t", "$x$", "\u202e"]]
    found = scores(
        [[0.1, 0.2, 0.3]],
        method="logit_lens",
        of="rank",
        rows="residual stream",
        prompts=1,
        tokens=tokens,
        top=top,
    )
    figure = drawn(found)
    axes = figure.axes[0]
    assert xs(axes) == ["\\n", "\u2423", "<b>"]
    assert words(axes) == ["\\t", "$x$", "\\u202e"]
    assert "In the cells the likeliest token." in figure.get_supxlabel()


def test_tokens_of_several_prompts_stand_at_one_place(drawn: Drawn) -> None:
    tokens = [" Mary", " Mary /  John", "answer:  Anna / …", " / ", "antidisestablish / b"]
    found = scores([[0.1] * 5], method="logit_lens", of="rank", rows="residual stream", tokens=tokens)
    assert xs(drawn(found).axes[0]) == [
        "\u2423Mary",
        "\u2423Mary / \u2423John",
        "answer: \u2423Anna / …",
        "\u2423/\u2423",
        "an…sh (16) / b",
    ]


def blank(axes: Any) -> list[list[bool]]:
    """Which cells of a panel are bare paper: without a colour and without hatching."""
    assert not [each for each in axes.collections if each.get_hatch()]
    masked: Any = np.ma.getmaskarray(axes.images[0].get_array())
    found: list[list[bool]] = masked.tolist()
    return found


@pytest.mark.parametrize("split", [True, False])
def test_layers_have_no_cell_where_there_is_no_edge(drawn: Drawn, split: bool) -> None:
    """The forbidden triangle is blank; a row of logits or a column of embed is not there at all."""
    graph = Graph(Shape(2, 2, 2), split_inputs=split)
    values = dict.fromkeys(graph.edges(), 0.0)
    axes = drawn(EdgeScores(graph, values, ATTRIBUTED)).axes[0]
    wrote = ["embed", "L0", "MLP0", "L1", "MLP1"]
    read = ["L0", "MLP0", "L1", "MLP1", "logits"]
    assert ys(axes) == wrote
    assert xs(axes) == read
    assert blank(axes) == [[column < row for column in range(5)] for row in range(5)]
    assert words(axes) == ["0.00"] * 15


def test_layers_of_a_graph_of_positions_are_one(drawn: Drawn) -> None:
    graph = Graph(Shape(1, 2, 2), positions=("S.1", "end"))
    values = dict.fromkeys(graph.edges(), 0.5)
    axes = drawn(EdgeScores(graph, values, ATTRIBUTED)).axes[0]
    assert xs(axes) == ["L0", "MLP0", "logits"]


def test_a_head_does_not_read_itself_nor_a_later_one(drawn: Drawn) -> None:
    heads = ("L0H0", "L0H1", "L1H0", "L1H1", "L2H0", "L2H1")
    table = tuple(tuple(0.5 if column // 2 < row // 2 else 0.0 for column in range(4)) for row in range(6))
    found = NodeScores(heads, heads[:4], table, {"method": "composition"})
    axes = drawn(found).axes[0]
    assert ys(axes) == list(heads[2:])
    assert blank(axes) == [[False, False, True, True]] * 2 + [[False] * 4] * 2
    assert words(axes) == ["0.50"] * 12


def test_heads_of_the_first_layer_compose_with_none(drawn: Drawn) -> None:
    made: Made = {"method": "weight_statistics", "score": "0 to 1"}
    names = ("copying", "q_composition")
    rows = ((0.1, 0.0), (0.2, 0.0), (0.3, 0.0), (0.4, 0.7))
    found = NodeScores(("L0H0", "L0H1", "L1H0", "L1H1"), names, rows, made)
    copying, composition = (axes for axes in drawn(found).axes if axes.images)
    assert not any(map(any, blank(copying)))
    assert words(copying) == ["0.10", "0.20", "0.30", "0.40"]
    assert blank(composition) == [[True, True], [False, False]]
    assert words(composition) == ["0.00", "0.70"]


def test_composition_is_a_matrix_of_readers_and_writers(drawn: Drawn) -> None:
    found = NodeScores(("L1H0", "L1H1"), ("L0H0",), ((0.2,), (0.4,)), {"method": "composition"})
    axes = drawn(found).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("head that writes", "head that reads")
    assert ys(axes) == ["L1H0", "L1H1"]


def test_nodes_that_are_steered_together_are_one_row(drawn: Drawn) -> None:
    found = NodeScores(("L2H1 + L3H*",), ("0", "1"), ((0.1, 0.2),), {"rows": "nodes", "columns": "factor"})
    assert ys(drawn(found).axes[0]) == ["L2H1 + L3H*"]


EIGENVALUES = "\u03a3 \u03bb / \u03a3 |\u03bb|, \u22121 to 1"


def drawn_statistics(drawn: Drawn, *names: str, method: str = "attention_statistics") -> Any:
    """The panels and the colour bars of statistics of two heads."""
    rows = tuple(tuple(sign * (i + 1) / 4 for i in range(len(names))) for sign in (1, -1))
    made: Made = {"method": method, "score": "0 to 1; copying -1 to 1"}
    every = drawn(NodeScores(("L0H0", "L0H1"), names, rows, made)).axes
    return [axes for axes in every if axes.images], [axes for axes in every if not axes.images]


def test_statistics_have_a_scale_for_each_unit(drawn: Drawn) -> None:
    names = ("previous_token", "entropy", "first_token", "copying")
    panels, bars = drawn_statistics(drawn, *names)
    assert [axes.get_title() for axes in panels] == ["previous token", "first token", "entropy", "copying"]
    assert [axes.get_xlabel() for axes in panels] == ["head"] * 4
    assert [axes.images[0].get_array().tolist() for axes in panels] == [
        [[0.25, -0.25]],
        [[0.75, -0.75]],
        [[0.5, -0.5]],
        [[1, -1]],
    ]
    assert [axes.get_ylabel() for axes in bars] == [
        "share of attention, 0 to 1",
        "entropy, nats",
        EIGENVALUES,
    ]
    assert panels[0].images[0].get_clim() == panels[1].images[0].get_clim() == (-0.75, 1)
    assert panels[3].images[0].get_clim() == (-1, 1)


def test_many_statistics_are_columns_and_no_positions(drawn: Drawn) -> None:
    names = ("current_token", "entropy", "a", "b", "c", "d", "copying")
    panels, bars = drawn_statistics(drawn, *names)
    assert [xs(axes) for axes in panels] == [
        ["current_token", "a", "b", "c", "d"],
        ["entropy"],
        ["copying"],
    ]
    assert {axes.get_xlabel() for axes in panels} == {"statistic"}
    assert len(bars) == 3


def test_a_unit_that_is_not_there_is_not_named(drawn: Drawn) -> None:
    names = ("q_composition", "matching", "copying")
    _, bars = drawn_statistics(drawn, *names, method="weight_statistics")
    assert [axes.get_ylabel() for axes in bars] == ["composition, 0 to 1", EIGENVALUES]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_heads_beside_other_nodes_are_called_heads(drawn: Drawn, count: int) -> None:
    positions, values = tuple(map(str, range(count))), (0.5,) * max(count, 1)
    tokens = ["{S}", "x / …", *"abcde"][:count]
    found = NodeScores(("L0H0", "MLP0"), positions, (values, values), {"tokens": tokens})
    heads, others, _ = drawn(found).axes
    assert heads.get_title() == ("heads at {S}" if count == 1 else "heads")
    assert others.get_title() == "MLPs"
    labels = xs(others)
    assert labels == (tokens or ["all positions"])
    assert others.get_xlabel() == ("position" if tokens else "")
    if count == 7:
        assert xs(heads) == tokens


def test_parts_that_are_patched_have_panels_of_their_own(drawn: Drawn) -> None:
    """Queries by layer and head, keys by group, and the residual stream by layer."""
    nodes = ("L0H0.q", "L0H1.q", "L1H0.q", "L1H1.q", "L0KV0.k", "L1KV0.k", "L0.resid_pre", "L1.resid_pre")
    made: Made = {"method": "activation_patching", "of": ["q", "k", "resid_pre"], "unpatched": 0.5}
    values = tuple((float(row), float(-row)) for row in range(8))
    queries, at_end, keys, _, stream, *_ = drawn(NodeScores(nodes, ("S.2", "end"), values, made)).axes
    assert [axes.get_title() for axes in (queries, at_end, keys, stream)] == [
        "q at S.2",
        "q at end",
        "k at S.2",
        "resid_pre",
    ]
    assert queries.images[0].get_array().tolist() == [[0, 1], [2, 3]]
    assert at_end.images[0].get_array().tolist() == [[0, -1], [-2, -3]]
    assert keys.images[0].get_array().tolist() == [[4], [5]]
    assert stream.images[0].get_array().tolist() == [[6, -6], [7, -7]]
    assert [axes.get_xlabel() for axes in (queries, keys, stream)] == ["head", "key-value group", "position"]
    assert (ys(stream), xs(stream), queries.get_ylabel()) == (["0", "1"], ["S.2", "end"], "layer")


def test_parts_at_many_positions_are_rows(drawn: Drawn) -> None:
    made: Made = {"method": "activation_patching", "of": ["k"], "unpatched": 0.0}
    found = NodeScores(("L0KV0.k", "L1KV0.k"), tuple("abcdefg"), ((1.0,) * 7, (2.0,) * 7), made)
    keys, _ = drawn(found).axes
    assert (keys.get_title(), ys(keys), xs(keys)) == ("k", ["L0KV0", "L1KV0"], [*"abcdefg"])
    assert keys.get_ylabel() == ""


@pytest.mark.parametrize("count", [0, 2, 7])
def test_whole_attention_is_not_called_heads(drawn: Drawn, count: int) -> None:
    positions, values = tuple(map(str, range(count))), (0.5,) * max(count, 1)
    nodes = ("embed", "L0", "MLP0", "L1", "MLP1")
    axes, _ = drawn(NodeScores(nodes, positions, (values,) * 5, {})).axes
    assert axes.get_title().replace("\n", " ") == "embed, attention, MLPs"
    assert ys(axes) == list(nodes)
    assert axes.get_ylabel() == ""
    assert axes.get_xlabel() == ("position" if count else "")


def test_layers_without_a_head_are_passed_over(drawn: Drawn) -> None:
    """More heads than rows: of each layer the strongest, and MLP5 has no head beside it."""
    nodes = (*(f"L{layer}H{head}" for layer in (0, 3) for head in range(30)), "MLP5")
    positions = tuple(map(str, range(7)))
    heads, others, _ = drawn(NodeScores(nodes, positions, ((0.5,) * 7,) * 61, {})).axes
    assert ys(heads) == ["0", "3"]
    assert ys(others) == ["MLP5"]


def test_neurons_stand_in_blocks_the_strongest_above() -> None:
    nodes = tuple(f"MLP0N{i}" for i in range(40))
    found = NodeScores(nodes, (), tuple((float(i),) for i in range(40)), {})
    panels = pictures._others(found, ["all positions"], 0.0)
    assert [list(panel.rows)[-1] for panel in panels] == ["MLP0N39", "MLP0N23", "MLP0N7"]
    assert [len(panel.rows) for panel in panels] == [16, 16, 8]
    assert [panel.title for panel in panels] == ["neurons", "(continued)", "(continued)"]


# Tables and curves


def test_overlaps_are_coloured_from_nothing_to_all(drawn: Drawn) -> None:
    table = Table(
        ("circuit", "with", "jaccard by edges", "p by edges"), (("a", "b", 0.88, 0.1),), {"method": "x"}
    )
    cells, bar = drawn(table).axes
    assert cells.images[0].get_clim() == (0, 1)
    assert words(cells) == ["1.00", "0.88", "0.88", "1.00"]
    assert cells.get_title() == "by edges"
    assert bar.get_ylabel() == "overlap (Jaccard), 0 to 1"


def test_a_table_has_intervals_beside_their_numbers(drawn: Drawn) -> None:
    columns = ("circuit", "edges", "recall by edges", "faithfulness", "low", "high", "random (median)", "p")
    rows = (("a", 5, 0.5, 1.01, 0.82, 1.27, -0.0001, 0.1), ("b", 5, 0.25, -0.5, None, None, 0.2, 0.1))
    cells, bar = drawn(Table(columns, rows, {"method": "compare"})).axes
    assert xs(cells) == [
        "recall by\nedges",
        "faithfulness",
        "random\n(median)",
    ]
    assert words(cells) == ["0.50", "1.01 [0.82, 1.27]", "0.00", "0.25", "\u22120.50", "0.20"]
    assert cells.images[0].get_clim() == (-0.5, 1.01)
    assert bar.get_ylabel() == "recall, faithfulness"


def test_overlaps_stand_beside_faithfulness(drawn: Drawn) -> None:
    pairs = Table(("circuit", "with", "jaccard by q", "p by q"), (("a", "b", 0.88, 0.1),), {})
    rows = (("a", 5, 0.75), ("b", 5, 0.25))
    table = Table(("circuit", "edges", "faithfulness"), rows, {"method": "compare"}, pairs)
    faithful, overlap, *bars = drawn(table).axes
    assert words(faithful) == ["0.75", "0.25"]
    assert words(overlap) == ["1.00", "0.88", "0.88", "1.00"]
    assert overlap.get_title() == "by q"
    assert [bar.get_ylabel() for bar in bars] == ["faithfulness", "overlap (Jaccard), 0 to 1"]


def curve(xs: tuple[int, ...], low: Any = 0.1, **made: Any) -> Curve:
    columns = ("edges asked for", "edges after pruning", "faithfulness", "low", "high")
    high = None if low is None else 0.9
    return Curve(
        columns, tuple((x, x, 0.5, low, high) for x in xs), {}, {"method": "faithfulness", **cast(Made, made)}
    )


def test_a_curve_over_all_sizes_has_a_logarithmic_axis(drawn: Drawn) -> None:
    figure = drawn({"a": curve((1, 100, 32000))})
    (axes,) = figure.axes
    assert axes.get_xlabel() == "edges kept, logarithmic"
    assert axes.get_xscale() == "log"
    assert axes.collections
    figure.draw_without_rendering()
    right = figure.bbox.width - axes.get_window_extent().x1
    assert right >= 0.09 * figure.dpi  # the axes do not touch the edge


def test_a_curve_of_one_prompt_has_no_whiskers(drawn: Drawn) -> None:
    figure = drawn({"a": curve((1, 2), None, prompts=1, level=0.95)})
    (axes,) = figure.axes
    assert not axes.collections
    assert "one prompt, so no intervals" in figure.get_supxlabel()


def test_rates_are_square_and_chance_is_named(drawn: Drawn) -> None:
    points = ((0.0, 0.0, nan), (0.0, 1.0, 0.5), (1.0, 1.0, 0.0))
    columns = ("false positive rate", "true positive rate", "threshold")
    found = Curve(columns, points, {"auc": Estimate(1.0, 1.0, 1.0)}, {"method": "roc", "by": "edges"})
    (axes,) = drawn({"a": found}).axes
    assert axes.get_aspect() == 1
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a, AUC 1", "chance"]
