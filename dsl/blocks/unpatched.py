"""What methods that read a model without a corruption have in common: graph, prompts and positions fit."""

from __future__ import annotations

from nncirc.circuits.names import Position
from nncirc.dsl.blocks.datasets import answers_follow, check_positions, has_column, teacher_forced
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.blocks.models import predicts
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
    of, label = str(draft.values.get("of")), (Label(data.place, "the dataset"),)
    needs = METRICS[of].needs if of in METRICS else ("answer",)
    for need, code in (("answer", "C220"), ("foil", "C221")):
        if need in needs and has_column(data, need) is False:
            problem = f"`{of}` needs {'an' if need == 'answer' else 'a'} {need}; `{data.name}` has none"
            advice = f"add `{need} = …` to the dataset, or read something else"
            meaning.report(
                code, problem, draft.where("of" if "of" in draft.spans else key), labels=label, help=advice
            )
            return
    if needs and teacher_forced(data):
        meaning.report(
            "C245",
            f"`{of}` reads one token, but the answers of `{data.name}` may have several",
            draft.where("of" if "of" in draft.spans else key),
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
    check_positions(meaning, data, positions, draft, "positions", Label(data.place, "these prompts"))
    follows = answers_follow(data)
    if follows and needs and isinstance(positions, tuple) and Position("end") in positions:
        problem = "no token follows `end`, and `answer = next` measures the next token"
        advice = "read at a slot: `positions = block.2`, or at `all`"
        meaning.report("C219", problem, draft.where("positions"), labels=label, help=advice)


def check_predicts(meaning: Meaning, draft: Draft) -> None:
    """What is read is about logits, and the model's outputs are."""
    model, _ = meaning.model_of(draft)
    if model is None or predicts(model):
        return
    meaning.report(
        "C433",
        f"this needs logits of tokens, but `{model.name}` outputs values",
        draft.where("of" if "of" in draft.spans else "data"),
        labels=(Label(model.place, "a program"),),
        help="read statistics of attention instead",
    )
