"""How results were made: what they say of it, and what holds for everything they were made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

_Ends: TypeAlias = list[float | None]
"""Of an interval; None where it is not bounded."""

# Keys that are no names.
_Phrases = TypedDict(
    "_Phrases",
    {
        "bias interval": dict[str, Any],
        "total interval": list[_Ends],
        "unsteered interval": _Ends,
        "no intervals": list[str],
        "scale of the final norm": str,
        "composition of unrelated heads": float,
    },
    total=False,
)


class Made(_Phrases, total=False):
    """What a result says of how it was made, as it stands in its file; JSON values only.

    A result has the keys that apply to it. `engine.program.captions` turns them into words.
    """

    # What was computed, and what a score is.
    method: str
    score: str
    unit: str
    direction: str
    rows: str
    columns: str
    # Of which model, prompts and corruption.
    model: str
    model_made: Mapping[str, Any]
    dataset: Mapping[str, Any]
    dtype: str
    whole_runs: list[str]  # parts of the model that could not be computed by themselves
    structure: str
    prompts: int
    corruption: str
    corruptions: list[str]
    corruption_sha256: str
    noise: Mapping[str, Any]
    held_out: bool
    # How the metric was read.
    metric: str
    metric_sha256: str
    at: list[str]
    normalized: bool
    teacher_forced: bool
    # Values that the numbers are compared with.
    unpatched: float
    unsteered: float
    total: Any
    bias: dict[str, Any]
    top: list[list[Any]]
    tokens: list[str]
    # Intervals and random draws.
    intervals: Any
    level: float
    resamples: int
    seed: int
    draws: int
    draw: int
    connected: bool
    # Where a circuit comes from: the scores that it was selected by, the circuits that it was made of.
    scores: Any
    of: Any
    reference: str
    cite: str | None
    name: str
    d_model: int
    # What the method was told.
    threshold: float
    edges: int
    rank: str
    loss: str
    tested: int
    steps: int
    gradient_at: str
    rule: str
    correct_qk: bool
    grad_drop: bool
    window: int
    sever: str
    to: list[str]
    through: list[str]
    into: str
    steered: list[str] | None
    source: Mapping[str, Any]
    heads: list[str]
    layer: str | int
    mapping: str
    target: str
    norms: str
    distance: int
    early: int
    late: int
    by: Any
    circuits: list[str]
    together: list[str]


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
