"""Methods that give scores of nodes and edges."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import CORRUPTION, GRAPH, METRIC, Implementation, Key
from nncirc.dsl.blocks.interventions import INTERVENTIONS
from nncirc.dsl.blocks.readings import READINGS
from nncirc.dsl.check.types import Boolean, Either, Many, Number, PositionType, Word

SCORES = {
    "activation_patching": Implementation(
        "One node at a time takes its value from the other run.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "direction": Key(
                Word(("denoise", "noise")),
                "`denoise`: clean values into the corrupted run; `noise`: the reverse",
                default="denoise",
            ),
            "positions": Key(
                Either(Many(PositionType()), ("all",)),
                "patch at each of these by itself; `all`: at every token; absent: the whole sequence at once",
            ),
        },
        source="Meng et al. 2022; Zhang & Nanda 2024",
    ),
    "attribution_patching": Implementation(
        "The linear estimate of what cutting an edge or a node does: difference times gradient.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "base": Key(
                Word(("clean", "corrupted")),
                "the run on which the gradient is taken, with one step; `clean`: what cutting takes from it "
                "(noise); `corrupted`: what restoring gives it (denoise), as in TransformerLens",
                default="clean",
            ),
            "steps": Key(
                Number(integer=True, low=1, high=1000),
                "gradients averaged between corrupted and clean (integrated gradients); slow to converge "
                "under `mean`: compare with twice as many. 1: one gradient, on `base`",
                default=1,
            ),
            "along": Key(
                Word(("inputs", "activations")),
                "what goes from corrupted to clean in steps: embeddings, or one place's outputs at a time",
                default="inputs",
            ),
            "rule": Key(
                Word(("gradient", "relp")),
                "what differences are multiplied with; `relp`: coefficients of relevance propagation",
                default="gradient",
            ),
            "correct_qk": Key(
                Boolean(),
                "compute the attention that an edge into a query or key gives (AtP*)",
                default=False,
            ),
            "grad_drop": Key(
                Boolean(),
                "mean magnitude with each layer's gradient dropped in turn: sees effects that cancel (AtP*)",
                default=False,
            ),
            "by": Key(Word(("edges", "nodes")), "what is scored", default="edges"),
        },
        source="Nanda 2023; Syed et al. 2023; Hanna et al. 2024; Kramár et al. 2024; Jafari et al. 2025",
    ),
    **INTERVENTIONS,
    **READINGS,
}
