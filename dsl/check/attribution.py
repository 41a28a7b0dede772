"""Whether the options of `attribution_patching` go together."""

from __future__ import annotations

from nncirc.dsl.check.scope import Draft, Scope

__all__ = ["check_attribution"]


def check_attribution(scope: Scope, draft: Draft) -> None:
    """Integrated gradients, RelP and AtP* each repair the gradient on the clean run by themselves."""
    if draft.implementation != "attribution_patching":
        return
    values = draft.values
    steps = values.get("steps")
    integrated = isinstance(steps, int | float) and steps > 1
    relp, corrected = values.get("rule") == "relp", values.get("correct_qk") is True
    others = [
        ("rule", relp),
        ("correct_qk", corrected),
        ("grad_drop", values.get("grad_drop") is True),
    ]
    if values.get("base") == "corrupted":
        if integrated:
            scope.report(
                "C290",
                "`base` is the run of one gradient, and `steps` takes several from the corrupted run to the "
                "clean one",
                draft.where("base"),
                help="leave out one of them",
            )
        for key, is_set in others:
            if is_set:
                scope.report(
                    "C290",
                    f"`{key}` repairs the gradient on the clean run, and `base` takes the corrupted one",
                    draft.where(key),
                    help="leave out one of them",
                )
    elif integrated:
        for key, is_set in others:
            if is_set:
                scope.report(
                    "C290",
                    f"`{key}` repairs the gradient on the clean run, and `steps` integrates it",
                    draft.where(key),
                    help="leave out one of them",
                )
    if relp and corrected:
        scope.report(
            "C290",
            "`relp` holds attention patterns constant, and `correct_qk` computes them anew",
            draft.where("correct_qk"),
            help="leave out one of them",
        )
    if corrected and values.get("by") == "nodes":
        scope.report(
            "C290",
            "`correct_qk` is about edges into queries and keys, and these are scores of nodes",
            draft.where("correct_qk"),
            help="set `by = edges`, or leave out `correct_qk`",
        )
