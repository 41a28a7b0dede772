"""Causal tracing."""

from __future__ import annotations

from collections.abc import Sequence

from nncirc.circuits.graph import Shape, stages
from nncirc.dsl.blocks.keys import AT_POSITIONS, CORRUPTION, COUNT, DIRECTIONS, INTERVAL, METRIC
from nncirc.dsl.blocks.patched import check_begins, check_method
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked, Table
from nncirc.dsl.check.types import Word
from nncirc.dsl.text.diagnostics import Label


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    check_begins(meaning, draft)
    _check_traced(meaning, draft)
    model, shape = meaning.model_of(draft)
    of, sever = draft.values.get("of"), draft.values.get("sever")
    if model is not None and shape is not None and not shape.mlps and "mlps" in (of, sever):
        meaning.report(
            "C591",
            f"`{model.name}` has no MLPs",
            draft.where("of" if of == "mlps" else "sever"),
            labels=(Label(model.place, "the model"),),
            help="trace `states` or `attention`",
        )


def _check_traced(meaning: Meaning, draft: Draft) -> None:
    """Windows are of MLPs and attention, and what is severed is what states act through."""
    of, window = draft.values.get("of"), draft.values.get("window")
    if of == "states" and isinstance(window, int) and window > 1:
        problem = "`window` does not apply to states: a restored state already includes all earlier layers"
        advice = "remove `window`, or trace `mlps` or `attention`"
        meaning.report("C291", problem, draft.where("window"), help=advice)
    if of not in ("states", None) and draft.values.get("sever") not in ("none", None):
        problem = f"`sever` applies only to restored states, but `of = {of}`"
        advice = "write `of = states`, or remove `sever`"
        meaning.report("C291", problem, draft.where("sever"), help=advice)


def _table(asked: Asked) -> Table:
    return asked.by_position(asked.of_shape(lambda shape: _restored(shape, asked.values.get("of"))))


def _restored(shape: Shape, of: object) -> Sequence[str] | None:
    match of:
        case "states":
            return stages(shape, halves=False)[1:]
        case "mlps" if shape.mlps:
            return [f"MLP{layer}" for layer in range(shape.n_layers)]
        case "attention":
            return [f"L{layer}" for layer in range(shape.n_layers)]
    return None


SCORES = {
    "causal_tracing": Scores(
        "Restores a layer's clean output at a position in the corrupted run. One row per layer; values are "
        "indirect effects, the metric restored minus corrupted (for a normalized metric, fractions of the "
        "total effect). The result also has the total effect, and intervals over prompts.",
        {
            "corruption": CORRUPTION,
            "metric": METRIC,
            "direction": Key(
                DIRECTIONS,
                "`denoise`: clean values into the corrupted run; `noise`: corrupted values into the clean "
                "run, where values are the metric clean minus patched",
                default="denoise",
            ),
            "of": Key(
                Word(("states", "mlps", "attention")),
                "what is restored: the residual stream after a layer, or what MLPs or attention add to it",
                default="states",
            ),
            "window": Key(
                COUNT,
                "how many MLPs or attention layers, centered on the row's, are restored together; "
                "if omitted, 10",
                unit="layers",
            ),
            "sever": Key(
                Word(("none", "mlps", "attention")),
                "what a restored state cannot act through: at later layers, at its position, these keep what "
                "they write in the run that is patched",
                default="none",
            ),
            "positions": Key(
                AT_POSITIONS, "restore at each of these separately; `all`: at every token", default="all"
            ),
            **INTERVAL,
        },
        source="Meng et al. 2022",
        check=_check,
        table=_table,
    )
}
