"""Attribution patching: edge attribution patching, integrated gradients, AtP*, RelP."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import PATCHED
from nncirc.dsl.blocks.metrics import check_gradient
from nncirc.dsl.blocks.patched import check_denoised, check_method
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import ONLY, Asked, Table
from nncirc.dsl.check.types import Boolean, Number, Word
from nncirc.dsl.text.diagnostics import Label


def _check(meaning: Meaning, draft: Draft) -> None:
    model, shape = meaning.model_of(draft)
    if (
        model is not None
        and shape is not None
        and draft.values.get("grad_drop") is True
        and shape.n_layers < 2
    ):
        problem = "`grad_drop` needs at least two layers"
        labels = (Label(model.place, "the model"),)
        meaning.report("C547", problem, draft.where("grad_drop"), labels=labels, help="remove `grad_drop`")
    check_method(meaning, draft)
    check_denoised(meaning, draft, "base", "corrupted", "clean")
    _check_options(meaning, draft)
    check_gradient(meaning, draft)


def _check_options(meaning: Meaning, draft: Draft) -> None:
    """Integrated gradients, RelP and AtP* each repair the gradient on the clean run by themselves."""
    values = draft.values
    steps = values.get("steps")
    integrated = isinstance(steps, int | float) and steps > 1
    relp, corrected = values.get("rule") == "relp", values.get("correct_qk") is True
    if values.get("base") == "corrupted" and integrated:
        problem = "`base` is for a single gradient, but `steps` averages several"
        meaning.report("C290", problem, draft.where("base"), help="remove one of them")
    other = "`steps` integrates gradients" if integrated else ""
    other = "`base` is the corrupted run" if values.get("base") == "corrupted" else other
    for key, is_set in (("rule", relp), ("correct_qk", corrected), ("grad_drop", values.get("grad_drop"))):
        if other and is_set:
            problem = f"`{key}` corrects the gradient on the clean run, but {other}"
            meaning.report("C290", problem, draft.where(key), help="remove one of them")
    if relp and corrected:
        problem = "`relp` holds attention patterns constant, but `correct_qk` recomputes them"
        meaning.report("C290", problem, draft.where("correct_qk"), help="remove one of them")
    if corrected and values.get("by") == "nodes":
        problem = "`correct_qk` applies to edges into queries and keys, but these are scores of nodes"
        advice = "set `by = edges`, or remove `correct_qk`"
        meaning.report("C290", problem, draft.where("correct_qk"), help=advice)


def _table(asked: Asked) -> Table | None:
    if asked.values.get("by") == "edges":
        return None
    columns = None if asked.graph is None else asked.graph.positions or (ONLY,)
    return Table(asked.name, asked.of_graph(lambda graph: graph.base.senders), columns, asked.whole)


SCORES = {
    "attribution_patching": Scores(
        "Linear estimate of the effect of cutting an edge or a node: activation difference times gradient.",
        {
            **PATCHED,
            "base": Key(
                Word(("clean", "corrupted")),
                "the run on which the gradient is taken, for one step; `clean`: the effect of cutting "
                "(noise); `corrupted`: the effect of restoring (denoise), as in TransformerLens",
                default="clean",
            ),
            "steps": Key(
                Number(integer=True, low=1, high=1000),
                "how many gradients are averaged between corrupted and clean (integrated gradients); slow to "
                "converge under `mean`: compare with twice as many. 1: one gradient, on `base`",
                default=1,
            ),
            "along": Key(
                Word(("inputs", "activations")),
                "what is interpolated from corrupted to clean: the embeddings, or one site's "
                "outputs at a time",
                default="inputs",
            ),
            "rule": Key(
                Word(("gradient", "relp")),
                "what differences are multiplied by; `relp`: coefficients of relevance propagation",
                default="gradient",
            ),
            "correct_qk": Key(
                Boolean(),
                "recompute the attention pattern for edges into a query or key (AtP*)",
                default=False,
            ),
            "grad_drop": Key(
                Boolean(),
                "mean magnitude with each layer's gradient dropped in turn: detects effects that "
                "cancel (AtP*)",
                default=False,
            ),
            "by": Key(Word(("edges", "nodes")), "what is scored", default="edges"),
        },
        source="Nanda 2023; Syed et al. 2023; Hanna et al. 2024; Kramár et al. 2024; Jafari et al. 2025",
        check=_check,
        table=_table,
        effects=("edges", "nodes"),
        intervals=False,
    )
}
