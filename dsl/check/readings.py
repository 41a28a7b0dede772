"""Methods that read a model without a corruption: do graph, prompts and positions fit, and what is read?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nncirc.circuits.names import Position
from nncirc.dsl.blocks.readings import READINGS
from nncirc.dsl.check.datasets import answers_follow, check_positions, has_column, teacher_forced
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.text.diagnostics import Label, suggest
from nncirc.dsl.text.syntax import Name

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = ["READINGS", "check_column", "check_reading"]

_OF_HEADS = ("attention_statistics", "weight_statistics", "composition", "logit_attribution")
_NEEDS = {"kl_divergence": (), "logit_diff": ("answer", "foil")}


def check_reading(meaning: Meaning, draft: Draft) -> None:
    """One of `READINGS` by itself."""
    graph = meaning.get(draft, "graph")
    key = "source" if draft.implementation == "patchscopes" else "data"
    data = meaning.get(draft, key)
    if graph is not None and data is not None:
        meaning.fits(draft, "graph", graph, key, meaning.get(data, "model"))
    nodes = graph.values.get("nodes") if graph else None
    if draft.implementation == "attention_statistics" and isinstance(nodes, tuple) and "heads" not in nodes:
        meaning.scope.report(
            "C230",
            "this graph has no heads to measure",
            draft.where("graph"),
            help="add `heads` to the graph's `nodes`",
        )
    if data is not None and "positions" in draft.values:
        _check_read(meaning.scope, draft, data, key)
    if draft.implementation == "patchscopes":
        _check_target(meaning, draft, data)
    early, late = draft.values.get("early"), draft.values.get("late")
    if isinstance(early, int) and isinstance(late, int) and early >= late:
        meaning.scope.report(
            "C281",
            f"token {early} is not before token {late}",
            draft.where("early" if "early" in draft.spans else "late"),
            help="`early` is the smaller of the two",
        )


def _check_read(scope: Scope, draft: Draft, data: Draft, key: str) -> None:
    """The prompts have these positions, and the answers that are asked for there."""
    of, label = str(draft.values.get("of")), (Label(data.place, "the dataset"),)
    needs = _NEEDS.get(of, ("answer",))
    for need, code in (("answer", "C220"), ("foil", "C221")):
        if need in needs and has_column(data, need) is False:
            scope.report(
                code,
                f"`{of}` needs {'an' if need == 'answer' else 'a'} {need}, and `{data.name}` has none",
                draft.where("of" if "of" in draft.spans else key),
                labels=label,
                help=f"add `{need} = …` to the dataset, or read something else",
            )
            return
    if needs and teacher_forced(data):
        scope.report(
            "C245",
            f"`{of}` is read at one position, and the answers of `{data.name}` may be several tokens",
            draft.where("of" if "of" in draft.spans else key),
            labels=(Label(data.where("teacher_forced"), "here"),),
            help="read prompts with answers of one token"
            + (", or `kl_divergence`" if draft.implementation in ("logit_lens", "patchscopes") else ""),
        )
        return
    positions = draft.values.get("positions")
    listed = (
        tuple(each for each in positions if isinstance(each, Position))
        if isinstance(positions, tuple)
        else ()
    )
    check_positions(scope, data, listed, draft, "positions", Label(data.place, "these prompts"))
    follows = answers_follow(data)
    if follows and needs and Position("end") in listed:
        scope.report(
            "C219",
            "the answer is the next token, and behind `end` there is none",
            draft.where("positions"),
            labels=label,
            help="read at a slot, such as `positions = block.2`, or at `all`",
        )


def _check_target(meaning: Meaning, draft: Draft, source: Draft | None) -> None:
    target, into = meaning.get(draft, "target"), draft.values.get("into")
    if target is None:
        return
    if isinstance(into, Position):
        check_positions(meaning.scope, target, (into,), draft, "into", Label(target.place, "these prompts"))
    model = meaning.get(target, "model")
    if source is not None and not meaning.same_model(meaning.get(source, "model"), model):
        meaning.models_differ(draft, "target", model, "source", meaning.get(source, "model"))


def check_column(scope: Scope, draft: Draft, name: str, column: str, parts: tuple[Name, ...]) -> bool:
    """Whether `where(name.column)` names a number that these scores have for every head; reports if not.

    Args:
        scope: of the script.
        draft: the scores.
        name: what the script calls them.
        column: which of their columns.
        parts: where the column's name stands.
    """
    span = parts[0].span.to(parts[-1].span)
    if draft.implementation not in _OF_HEADS:
        scope.report(
            "C231",
            f"`{name}` has no statistics of heads",
            span,
            labels=(Label(draft.place, f"it uses {draft.implementation}"),),
            help=f"`where` reads {', '.join(f'`{each}`' for each in _OF_HEADS)}",
        )
        return False
    if draft.implementation == "composition":
        if re.fullmatch(r"L\d+H\d+", column):
            return True
        help_text = f"its columns are heads: `{name}.L0H2`"
        scope.report("C231", f"`{name}` has no column `{column}`", span, help=help_text)
        return False
    key = "positions" if draft.implementation == "logit_attribution" else "of"
    given = draft.values.get(key)
    known = [str(each) for each in given] if isinstance(given, tuple) else None
    if known is None or column in known:
        return True
    near = suggest(column, known)
    does, it = ("compute", "it computes these") if key == "of" else ("read at", "it reads at these")
    scope.report(
        "C231",
        f"`{name}` does not {does} `{column}`",
        span,
        labels=(Label(draft.where(key), it),),
        help=f"did you mean `{near}`?" if near else f"add `{column}` to its `{key}`",
    )
    return False
