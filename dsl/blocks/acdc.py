"""Automatic circuit discovery."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import CORRUPTION, GRAPH, METRIC
from nncirc.dsl.blocks.patched import check_method
from nncirc.dsl.check.declared import Implementation, Key
from nncirc.dsl.check.types import Number, Word

CIRCUITS = {
    "acdc": Implementation(
        "Edges whose removal costs less than the threshold are removed, from the output back.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "threshold": Key(
                Number(low=0),
                "an edge is removed if the loss rises by less",
                required=True,
                unit="of the metric",
                family=True,
            ),
            "loss": Key(
                Word(("metric", "distance")),
                "what is kept low; `metric`: minus the metric (a divergence as it is), so that edges go "
                "whose removal raises the metric above the whole model's; `distance`: how far the mean of "
                "the metric over prompts is from the whole model's (normalized: |faithfulness - 1|)",
                default="metric",
            ),
        },
        source="Conmy et al. 2023, algorithm 1",
        check=check_method,
    )
}
