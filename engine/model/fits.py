"""Whether something belongs to a model: a graph, or tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nncirc.circuits.arguments import related
from nncirc.circuits.errors import ArgumentError, DataError, ModelError
from nncirc.circuits.graph import Graph
from nncirc.engine.model.model import Model


@related(Model, Graph)
def check_graph(model: Model, graph: Graph) -> None:
    """Whether a graph is one of a model: of its layers, heads and MLPs.

    Raises:
        ArgumentError: C753, it is not.
    """
    fits = graph.shape == model.shape
    if fits and graph.neurons:
        fits = graph.neurons == model.neurons(layer for layer, _ in graph.neurons)
    if not fits:
        raise ArgumentError(
            "C753",
            f"the graph does not belong to {model.name}: it has {graph.base}, but the model has"
            f" {Graph(model.shape)}",
            hint="use contrast.by_heads, whose model has a key and a value for each head"
            if graph.shape == replace(model.shape, n_kv_heads=model.shape.n_heads)
            else "use model.graph()",
        )


def require_alone(model: Model, what: str) -> None:
    """Refuse what computes heads, MLPs and logits by themselves where they cannot be.

    Raises:
        ModelError: C419, they cannot.
    """
    for part, why in model.slow.items():
        raise ModelError(
            "C419",
            f"{what} computes {part} by themselves, which {model.name} does not allow: {why}",
            hint="use activation_patching, attribution_patching or acdc, which can run the whole model",
        )


def require_logits(model: Model) -> None:
    """Refuse to make logits from the final norm's output where the model does something else with it.

    Raises:
        ModelError: C426, it does.
    """
    if "logits" in model.slow:
        raise ModelError(
            "C426",
            f"the logits of {model.name} are not the final norm's output times the unembedding",
            hint="use a method that reads the model's own logits, such as activation_patching",
        )


def check_outputs(model: Model, answers: Iterable[int]) -> None:
    """Whether a model has an output for each of some tokens.

    Raises:
        DataError: C337, it has none for one of them.
    """
    outputs = getattr(model.module.config, "n_outputs", model.vocabulary)
    for token in answers:
        if token >= outputs:
            raise DataError(
                "C337",
                f"token {token} is an answer, but {model.name} has outputs for {outputs} tokens only",
                hint="use answers that the model was trained to give",
            )


def check_tokens(model: Model, tokens: Sequence[Sequence[int]]) -> None:
    """Whether a model can read tokens.

    Raises:
        DataError: C336, a prompt is longer than the model reads; C337, a token is not of its vocabulary.
        ArgumentError: C753, there are none.
    """
    vocabulary = model.vocabulary
    longest = getattr(model.module.config, "max_position_embeddings", None)
    if not tokens:
        raise ArgumentError("C753", "there are no prompts", hint="give at least one")
    for prompt in tokens:
        if not prompt:
            raise ArgumentError("C753", "a prompt has no tokens", hint="give at least one")
        if longest is not None and len(prompt) > longest:
            raise DataError(
                "C336",
                f"a prompt has {len(prompt)} tokens, but {model.name} reads at most {longest}",
                hint="use shorter prompts",
            )
        wrong = [token for token in (min(prompt), max(prompt)) if not 0 <= token < vocabulary]
        if wrong:
            raise DataError(
                "C337",
                f"token {wrong[0]} is not one of the {vocabulary} tokens of {model.name}",
                hint="use the model's own tokenizer",
            )
