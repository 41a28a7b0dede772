"""What results say of themselves, in words: what their numbers are, and how they were made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from nncirc.circuits.made import called
from nncirc.engine.metrics.metric import measures

Made: TypeAlias = Mapping[str, Any]


def told(made: Made, *, without: Iterable[str] = ()) -> str:
    """How a result was made, in one line, without what is left out, as intervals are where none is drawn."""
    return "; ".join(facts(made, without=without))


def facts(made: Made, *, without: Iterable[str] = ()) -> list[str]:
    """How a result was made, a phrase for each fact that is there."""
    left = {*without, *(_BOUNDS if made.get("prompts") == 1 else ())}
    said = [
        write.format(_listed(made[key])) if isinstance(write, str) else write(made)
        for key, write in _FACTS.items()
        if key not in left and made.get(key)
    ]
    return [phrase for phrase in said if phrase]


def metric_in_words(made: Made) -> str:
    """The metric of a result, and of answers of several tokens that it is of all of them."""
    measure = measures().get(made["metric"])
    is_joint = made.get("teacher_forced") and measure is not None and measure.joint is not None
    return f"{made['metric']} of the whole answer" if is_joint else str(made["metric"])


def in_field_words(name: str) -> str:
    """A name of the language as a paper has it: `logit_diff` as logit diff."""
    return name.replace("_", " ")


def together(captions: Mapping[str, list[str]]) -> str:
    """The phrases of several results: what sets each apart on a line of its own, what all share at the end.

    >>> print(together({"a": ["CPR 1", "model m"], "b": ["CPR 2", "model m"]}))
    a: CPR 1
    b: CPR 2
    model m
    """
    shared = [
        each for each in next(iter(captions.values())) if all(each in said for said in captions.values())
    ]
    own = {name: [each for each in said if each not in shared] for name, said in captions.items()}
    lines = [f"{name}: {'; '.join(said)}" for name, said in own.items() if said]
    return "\n".join([*lines, "; ".join(shared)])


def _weights(model: Made) -> str:
    """Of which weights those of a model were made, where they lost something."""
    if bits := model.get("quantize"):
        return f"weights of {bits} bits"
    rounded = [kind for kind in model.get("weights", ()) if kind not in _PLAIN]
    return f"weights from {_listed(rounded)}" if rounded else ""


_PLAIN = ("F64", "F32", "F16", "BF16")
"""Types of tensors in `.gguf` files that are not quantized."""


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _of(made: Made) -> str:
    """What was read, restored, or made a point of a curve."""
    of = made["of"]
    if isinstance(of, list | tuple) and any(isinstance(each, Mapping) for each in of):
        methods = dict.fromkeys(str(each.get("method", "?")) for each in of if isinstance(each, Mapping))
        return f"{len(of)} circuits by {', '.join(methods)}"
    if made.get("method") == "causal_tracing":
        return f"{_listed(of)} {'restored' if made.get('direction') == 'denoise' else 'corrupted'}"
    return f"{_listed(of)} patched" if made.get("method") == "activation_patching" else f"of {_listed(of)}"


def _window(made: Made) -> str:
    """A restored state is one of one layer, always."""
    layers = made["window"]
    return "" if made.get("of") == "states" else f"windows of {layers} layer{'s' if layers != 1 else ''}"


def _total(made: Made) -> str:
    """The total effect of causal tracing, which its values are parts of."""
    if made.get("method") != "causal_tracing":
        return ""
    value, low, high = made["total"]
    ends = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    return f"total effect {value:.3g}{ends}".replace("-", "\u2212")


def _corruption(made: Made) -> str:
    noise = made.get("noise")
    if not isinstance(noise, Mapping):
        return f"corruption {made['corruption']}"
    samples = noise.get("samples", 1)
    several = f", {samples} samples a prompt" if samples != 1 else ""
    return (
        f"corruption {made['corruption']} (noise of {noise['scale']} standard deviations at "
        f"{_listed(noise['at'])}{several})"
    )


def _prompts(made: Made) -> str:
    prompts = made["prompts"]
    if prompts != 1:
        return f"{prompts:,} prompts"
    return "one prompt, so no intervals" if made.keys() & {*_BOUNDS} else "one prompt"


_BOUNDS = ("level", "resamples")
_FACTS: Mapping[str, str | Callable[[Made], str]] = {
    "method": "{}",
    "by": "by {}",
    "reference": "against {}",
    "rank": "ranked by {} score",
    "of": _of,
    "window": _window,
    "sever": lambda made: "" if made["sever"] == "none" else f"{made['sever']} severed",
    "total": _total,
    "to": "to {}",
    "through": "through {}",
    "source": lambda made: f"mean difference of {_prompts(made['source'])}, {_corruption(made['source'])}",
    "into": "into {}",
    "direction": "direction {}",
    "loss": lambda made: "" if made["loss"] == "metric" else f"loss {made['loss']}",
    "corruption": _corruption,
    "corruptions": "corruptions {}",
    "held_out": "held out",
    "metric": lambda made: f"metric {metric_in_words(made)}",
    "teacher_forced": "teacher forced",
    "at": "at {}",
    "normalized": "normalized",
    "steps": "steps {}",
    "gradient_at": lambda made: "gradient on the corrupted run" if made["gradient_at"] == "corrupted" else "",
    "rule": lambda made: "" if made["rule"] == "gradient" else f"rule {made['rule']}",
    "correct_qk": "queries and keys corrected",
    "grad_drop": "GradDrop",
    "prompts": _prompts,
    "level": lambda made: f"{made['level']:.0%} intervals".replace("%", " %"),
    "resamples": lambda made: f"{made['resamples']:,} resamples",
    "draws": lambda made: f"{made['draws']:,} random circuits",
    "connected": "connected",
    "model": lambda made: f"model {called(str(made['model']))}",
    "whole_runs": "whole runs, as {} cannot be computed alone",
    "structure": "parts found by structure, as in {}",
    "model_made": lambda made: _weights(made["model_made"]),
    "dtype": "{}",
}
