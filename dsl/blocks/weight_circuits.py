"""Numbers of heads, and of pairs of heads, from their weights."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import WEIGHED
from nncirc.dsl.blocks.unpatched import check_predicts
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked, Table, heads, names
from nncirc.dsl.check.types import Many, Word
from nncirc.dsl.text.diagnostics import Label


def _check_statistics(meaning: Meaning, draft: Draft) -> None:
    if "copying" in (names(draft.values.get("of")) or ()):
        check_predicts(meaning, draft)


def _check_pairs(meaning: Meaning, draft: Draft) -> None:
    model, shape = meaning.model_of(draft)
    if model is not None and shape is not None and shape.n_layers < 2:
        problem = f"pairs of heads need at least two layers; `{model.name}` has one"
        advice = "use a model with two or more layers"
        labels = (Label(model.place, "the model"),)
        meaning.report("C577", problem, draft.where("model"), labels=labels, help=advice)


def _table_of_pairs(asked: Asked) -> Table:
    earlier = asked.of_shape(lambda shape: heads(shape)[: -shape.n_heads])
    return Table(asked.name, asked.of_shape(heads), earlier, by="of")


SCORES = {
    "weight_statistics": Scores(
        "Statistics of each head's weights, with norms folded in: `copying` and `matching`, the share of "
        "positive eigenvalues (-1 to 1) of OV from token to logit and of QK from token to token; and the "
        "largest composition (0 to 1) of its query, key or value with an earlier head's output.",
        {
            "model": WEIGHED,
            "of": Key(
                Many(Word(("copying", "matching", "q_composition", "k_composition", "v_composition"))),
                "the statistics",
                required=True,
            ),
        },
        source="Elhage et al. 2021",
        check=_check_statistics,
        table=Asked.by_statistic,
        intervals=False,
        statistics="of",
    ),
    "composition": Scores(
        "A number for each pair of heads, from their weights: a row for the later head, a column for the "
        "earlier one. `where(pairs.L0H2, above = 0.3)` selects the heads that read what L0H2 writes.",
        {
            "model": WEIGHED,
            "of": Key(
                Word(("q_composition", "k_composition", "v_composition", "virtual_copying")),
                "how much a query, key or value reads what the earlier head writes, 0 to 1 (1/√d_model is "
                "chance); or `copying` of the two heads in sequence",
                required=True,
            ),
        },
        source="Elhage et al. 2021",
        check=_check_pairs,
        table=_table_of_pairs,
        intervals=False,
        statistics="heads",
    ),
}
