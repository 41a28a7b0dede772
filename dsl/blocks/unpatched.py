"""What methods that read a model without a corruption have in common: graph, prompts and positions fit."""

from __future__ import annotations

from nncirc.circuits.names import Position
from nncirc.dsl.blocks.datasets import answers_follow, check_positions, lacks, teacher_forced
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.blocks.models import needs_logits
from nncirc.dsl.check.declared import Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.text.diagnostics import Label


def check_graph(meaning: Meaning, draft: Draft) -> None:
    """The graph is of the model that reads the prompts."""
    graph, data = meaning.get(draft, "graph"), meaning.get(draft, "data")
    if graph is not None and data is not None:
        meaning.fits(draft, "graph", graph, "data", meaning.get(data, "model"))


def check_read(meaning: Meaning, draft: Draft, key: str = "data") -> None:
    """The prompts under a key have the positions, and the answers that are asked for there."""
    data = meaning.get(draft, key)
    if data is None or "positions" not in draft.values:
        return
    of, span = str(draft.values.get("of")), draft.where("of", key)
    needs = METRICS[of].needs if of in METRICS else ("answer",)
    if lacks(meaning, data, needs, f"`{of}`", span, ("read something else", "read something else")):
        return
    if needs and teacher_forced(data):
        meaning.report(
            "C245",
            f"`{of}` reads one token, but the answers of `{data.name}` may have several",
            span,
            labels=(Label(data.where("teacher_forced"), "here"),),
            help="use prompts with answers of one token"
            + (
                ", or read `kl_divergence`"
                if "kl_divergence" in getattr(meaning.scores(draft).keys["of"].type, "choices", ())
                else ""
            ),
        )
        return
    positions = draft.values.get("positions")
    check_positions(meaning, data, draft, "positions", Label(data.place, "these prompts"))
    follows = answers_follow(data)
    if follows and needs and isinstance(positions, tuple) and Position("end") in positions:
        problem = "the answer is the next token, and no token follows `end`"
        advice = "read at a slot: `positions = block.2`, or at `all`"
        labels = (Label(data.place, "the dataset"),)
        meaning.report("C219", problem, draft.where("positions"), labels=labels, help=advice)


def check_predicts(meaning: Meaning, draft: Draft) -> None:
    """What is read is about logits, and the model's outputs are."""
    span = draft.where("of", "data")
    needs_logits(meaning, meaning.model_of(draft)[0], "this", span, "read statistics of attention instead")
