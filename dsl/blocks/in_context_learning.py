"""In-context learning."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import one
from nncirc.dsl.blocks.unpatched import check_predicts
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Table
from nncirc.dsl.check.types import Number
from nncirc.dsl.text.diagnostics import Label


def _check(meaning: Meaning, draft: Draft) -> None:
    early, late = draft.values.get("early"), draft.values.get("late")
    if isinstance(early, int) and isinstance(late, int) and early >= late:
        problem = f"token {early} is not before token {late}"
        advice = "`early` must be the smaller of the two"
        meaning.report("C281", problem, draft.where("early", "late"), help=advice)
    check_predicts(meaning, draft)
    model, shape = meaning.model_of(draft)
    longest = _longest(meaning.get(draft, "data"))
    if model is not None and shape is not None and isinstance(late, int) and late > (longest or late):
        problem = f"token {late} is beyond the prompts, which have {longest} tokens"
        advice = "use longer prompts; tokens are counted from 1"
        labels = (Label(model.place, "the model"),)
        meaning.report("C578", problem, draft.where("late"), labels=labels, help=advice)


def _longest(data: Draft | None) -> int | None:
    """How many tokens random prompts have, with as many as tokenizers add at their ends; None of others."""
    length, copies = (None if data is None else data.values.get(key) for key in ("length", "copies"))
    return length * copies + 2 if isinstance(length, int) and isinstance(copies, int) else None


SCORES = {
    "in_context_learning": Scores(
        "The loss at a late token minus the loss at an early one, in nats: below 0 if the context helps.",
        {
            "data": Key(one("dataset"), "the prompts; answers are not needed", required=True),
            "early": Key(Number(integer=True, low=2), "the early token, counted from 1", default=50),
            "late": Key(Number(integer=True, low=3), "the late token", default=500),
        },
        source="Olsson et al. 2022",
        check=_check,
        table=lambda asked: Table(asked.name, ("logits",), ("early", "late", "score")),
    )
}
