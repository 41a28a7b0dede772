"""Methods that intervene in a run: causal tracing, path patching, steering."""

from __future__ import annotations

from nncirc.circuits.names import Position
from nncirc.dsl.blocks.entries import CORRUPTION, GRAPH, INTERVAL, METRIC, Implementation, Key, one
from nncirc.dsl.check.program import NodePattern
from nncirc.dsl.check.types import Boolean, Either, Many, NodeType, Number, PositionType, Word

_FACTORS = Many(Number(), single=True)
_RUN = Word(("clean", "corrupt"))
_DIRECTIONS = Word(("denoise", "noise"))
_STEERED = Many(PositionType(), single=True)

INTERVENTIONS = {
    "causal_tracing": Implementation(
        "What a layer gives at a position takes its clean value in the corrupted run. A row for each layer; "
        "values are indirect effects, the metric restored minus corrupted: of a normalized metric shares of "
        "the total effect. The result has that too, and intervals over prompts.",
        {
            "corruption": CORRUPTION,
            "metric": METRIC,
            "direction": Key(
                _DIRECTIONS,
                "`denoise`: clean values into the corrupted run; `noise`: corrupted ones into the clean run, "
                "values being the metric clean minus patched",
                default="denoise",
            ),
            "of": Key(
                Word(("states", "mlps", "attention")),
                "what is restored: the residual stream behind a layer, or what MLPs or attention add to it",
                default="states",
            ),
            "window": Key(
                Number(integer=True, low=1),
                "how many MLPs or attention layers around the row's are restored together; absent: 10",
                unit="layers",
            ),
            "sever": Key(
                Word(("none", "mlps", "attention")),
                "what a restored state does not act through: behind it, at its position, these keep what "
                "they write in the run that is patched",
                default="none",
            ),
            "positions": Key(
                Either(Many(PositionType()), ("all",)),
                "restore at each of these by itself; `all`: at every token",
                default="all",
            ),
            **INTERVAL,
        },
        source="Meng et al. 2022",
    ),
    "path_patching": Implementation(
        "The metric when some receivers read what they would if one sender had its corrupted output and told "
        "only nodes that carry. A row for each sender before the receivers; normalized, no effect is 1.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "direction": Key(
                _DIRECTIONS,
                "`noise`: the sender's corrupted output into the clean run; `denoise`: its clean output into "
                "the corrupted run, where no effect is 0",
                default="noise",
            ),
            "to": Key(
                Many(NodeType(), single=True),
                "the receivers: inputs (`L9H9.q`), nodes with all their inputs, or `logits` by itself",
                required=True,
            ),
            "through": Key(
                Either(Many(NodeType(), single=True), ("none", "all")),
                "the nodes that carry; `none`: direct paths alone. All others keep their outputs",
                default=(NodePattern("mlp"),),
            ),
            "positions": Key(
                Either(Many(PositionType()), ("all",)),
                "patch the sender at each of these by itself; `all`: at every token; absent: the whole "
                "sequence at once",
            ),
        },
        source="Wang et al. 2022; Goldowsky-Dill et al. 2023",
    ),
    "steering": Implementation(
        "The metric with what a node writes scaled, or shifted by a mean difference. A row for each node, a "
        "column for each factor.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "nodes": Key(Many(NodeType(), single=True), "the nodes, each by itself", required=True),
            "together": Key(Boolean(), "steer all nodes at once: one row", default=False),
            "scale": Key(_FACTORS, "factors of what is written; 0 takes it away, 1 leaves it as it is"),
            "shift": Key(
                _FACTORS,
                "factors of the mean difference of what is written, clean minus corrupted, which is added; "
                "give this or `scale`",
            ),
            "into": Key(_RUN, "the run that is steered", default="clean"),
            "at": Key(_STEERED, "where it is steered; absent: at every token"),
        },
        source="Rimsky et al. 2024",
    ),
    "function_vector": Implementation(
        "The metric with the function vector of some heads added to the residual stream: the sum of the "
        "means of what they write at the last token. A row for each layer behind which it is added, a column "
        "for each factor.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "heads": Key(Many(NodeType(), single=True), "the heads of the vector", required=True),
            "source": Key(one("dataset"), "the prompts of the means; absent: the clean prompts"),
            "scale": Key(_FACTORS, "factors of the vector", default=(1,)),
            "into": Key(_RUN, "the run to which it is added", default="corrupt"),
            "at": Key(_STEERED, "where it is added", default=(Position("end"),)),
        },
        source="Todd et al. 2024",
    ),
}
