"""How circuits were made, as far as it holds for everything they were made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def inherited(made: Mapping[str, Any]) -> dict[str, Any]:
    """What a circuit says of itself, its scores where it was selected by some, or all of its circuits.

    >>> inherited({"method": "top", "scores": {"method": "attribution_patching", "metric": "prob"}})["metric"]
    'prob'
    """
    scores, of = made.get("scores"), made.get("of")
    if isinstance(scores, Mapping):
        return {**inherited(scores), **made}
    listed = of if isinstance(of, Sequence) and not isinstance(of, str) else ()
    if not listed or not all(isinstance(each, Mapping) for each in listed):
        return dict(made)
    return {**alike(listed), **made}


def alike(circuits: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The facts that hold for each of several circuits.

    >>> alike([{"model": "m", "metric": "prob"}, {"model": "m", "metric": "logprob"}])
    {'model': 'm'}
    """
    first, *others = map(inherited, circuits)
    return {
        key: value
        for key, value in first.items()
        if all(key in each and each[key] == value for each in others)
    }


def called(model: str) -> str:
    """What a model is called: an id of the hub as it is, a folder by its own name.

    >>> called("openai-community/gpt2"), called("../models/stories/"), called("ioi-4l")
    ('openai-community/gpt2', 'stories', 'ioi-4l')
    """
    is_path = model.startswith((".", "/", "~")) or "\\" in model or model.strip("/").count("/") > 1
    named = re.split(r"[/\\]+", model.rstrip("/\\")) if is_path else [model]
    return named[-1] or model
