"""Activation patching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nncirc.circuits.parts import OUTPUTS, PARTS, rows_of, without_middle
from nncirc.dsl.blocks.keys import AT_POSITIONS, DIRECTIONS, PATCHED
from nncirc.dsl.blocks.patched import BY_POSITION, check_denoised, check_method, check_reruns, check_whole
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked
from nncirc.dsl.check.types import Many, Word
from nncirc.dsl.text.diagnostics import Label


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    check_whole(meaning, draft, BY_POSITION)
    asked = draft.values.get("of")
    of = [str(each) for each in asked if each != "outputs"] if isinstance(asked, tuple) else []
    if of:
        check_reruns(meaning, draft, "of", f"`of = {of[0]}`", "write `of = outputs`, or ")
    else:
        check_denoised(meaning, draft, "direction", "denoise", "noise")
    graph = meaning.get(draft, "graph")
    shape = None if graph is None else meaning.shape(graph)
    model = None if graph is None else meaning.get(graph, "model")
    if shape is not None and model is not None and (why := without_middle(shape, of)) is not None:
        problem = f"`{model.name}` has no `resid_mid`: {why}"
        advice = "write `resid_pre` or `resid_post`"
        meaning.report(
            "C597", problem, draft.where("of"), labels=(Label(model.place, "the model"),), help=advice
        )


def _rows(asked: Asked) -> Sequence[str] | None:
    of: Any = asked.values.get("of")
    return asked.of_graph(lambda graph: rows_of(graph, of)) if isinstance(of, tuple) else None


SCORES = {
    "activation_patching": Scores(
        "Patches one node at a time with its value from the other run: what it writes, or what `of` says, "
        "with a row for each: `L2H1.q`, `L2KV0.k`, `L2H1.pattern`, `L2.resid_pre`.",
        {
            **PATCHED,
            "of": Key(
                Many(Word(PARTS), single=True),
                "what is patched, one thing at a time. `outputs`: what each node writes. `q`, `k`, `v`: a "
                "head's query, key or value at the position, before rotary embedding and before a norm of "
                "single heads; under grouped-query attention a key or value is a group's. `pattern`: where a "
                "head attends to from the position, after the softmax; what it finds there stays. "
                "`resid_pre`, `resid_post`: the residual stream before and after each layer; `resid_mid`: "
                "between its attention and its MLP",
                default=OUTPUTS,
            ),
            "direction": Key(
                DIRECTIONS,
                "`denoise`: clean values into the corrupted run; `noise`: the reverse",
                default="denoise",
            ),
            "positions": Key(
                AT_POSITIONS,
                "patch at each of these separately; `all`: at every token; if omitted, the whole "
                "sequence at once",
            ),
        },
        source="Meng et al. 2022; Zhang & Nanda 2024",
        check=_check,
        table=lambda asked: asked.by_position(_rows(asked)),
        effects=("nodes",),
        is_metric=True,
    )
}
