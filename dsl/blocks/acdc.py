"""Automatic circuit discovery."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import PATCHED
from nncirc.dsl.blocks.patched import check_method
from nncirc.dsl.check.declared import Implementation, Key
from nncirc.dsl.check.types import Number, Word

CIRCUITS = {
    "acdc": Implementation(
        "Removes edges whose removal costs less than the threshold, from the output backward.",
        {
            **PATCHED,
            "threshold": Key(
                Number(low=0),
                "an edge is removed if its removal raises the loss by less than this",
                required=True,
                unit="of the metric",
                family=True,
            ),
            "loss": Key(
                Word(("metric", "distance")),
                "the loss; `metric`: minus the metric (a divergence unchanged), so edges are removed too if "
                "their removal raises the metric above the whole model's; `distance`: how far the metric's "
                "mean over prompts is from the whole model's (normalized: |faithfulness - 1|)",
                default="metric",
            ),
        },
        source="Conmy et al. 2023, algorithm 1",
        check=check_method,
    )
}
