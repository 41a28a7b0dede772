"""Patchscopes."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.circuits.names import Position
from nncirc.dsl.blocks.datasets import check_positions, size_of
from nncirc.dsl.blocks.keys import OF_LOGITS, READ_AT, one
from nncirc.dsl.blocks.unpatched import check_read
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Number, PositionType
from nncirc.dsl.text.diagnostics import Label


def _check(meaning: Meaning, draft: Draft) -> None:
    check_read(meaning, draft, "source")
    source, target = meaning.get(draft, "source"), meaning.get(draft, "target")
    if target is not None:
        label = Label(target.place, "these prompts")
        check_positions(meaning, target, draft, "into", label)
        own, other = (None if each is None else meaning.get(each, "model") for each in (target, source))
        if not meaning.same_model(other, own):
            meaning.models_differ(draft, "target", own, "source", other)
    sizes = [None if each is None else size_of(each) for each in (source, target)]
    if None not in sizes and sizes[1] not in (1, sizes[0]):
        problem = f"{sizes[0]} source prompts and {sizes[1]} target prompts"
        advice = "write one target for all, or one for each"
        meaning.report("C575", problem, draft.where("target"), help=advice)
    model, shape = meaning.model_of(draft)
    given = draft.values.get("layer")
    for layer in given if isinstance(given, tuple) else (given,):
        if model is not None and shape is not None and isinstance(layer, int) and layer > shape.n_layers:
            problem = f"layer {layer} is outside `{model.name}`"
            advice = f"write 0 to {shape.n_layers - 1}, or {shape.n_layers} for the final norm's input"
            labels = (Label(model.place, "the model"),)
            meaning.report("C574", problem, draft.where("layer"), labels=labels, help=advice)
            break


SCORES = {
    "patchscopes": Scores(
        "What another prompt predicts when a state of these prompts is patched into it. A row is "
        "the source's "
        "layer, with the name of the node that wrote last; the prediction is read at the target's end.",
        {
            "source": Key(one("dataset"), "the prompts whose states are taken, with answers", required=True),
            "target": Key(one("dataset"), "one prompt for all of them, or one for each", required=True),
            "of": OF_LOGITS,
            "positions": READ_AT,
            "into": Key(
                PositionType(),
                "the target's position that a state is patched into; if it has several tokens, the last",
                default=Position("end"),
            ),
            "layer": Key(
                Number(integer=True, low=0),
                "the target's layer that reads the state, from 0; the number of layers means the final norm "
                "(the logit lens); if omitted, the source's own",
                family=True,
            ),
        },
        source="Ghandeharioun et al. 2024",
        check=_check,
        table=lambda asked: asked.by_position(asked.of_shape(lambda shape: stages(shape, halves=False))),
    )
}
