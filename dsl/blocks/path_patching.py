"""Path patching."""

from __future__ import annotations

from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Node
from nncirc.circuits.reference import entered
from nncirc.dsl.blocks.keys import AT_POSITIONS, DIRECTIONS, NODES, PATCHED
from nncirc.dsl.blocks.patched import check_denoised, check_method, check_nodes, check_writes, nodes_under
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked, Table, names
from nncirc.dsl.check.types import Either


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    check_denoised(meaning, draft, "direction", "denoise", "noise")
    if check_nodes(meaning, draft, "to", "through"):
        _check_receivers(meaning, draft)
        check_writes(meaning, draft, "through")


def _check_receivers(meaning: Meaning, draft: Draft) -> None:
    """Receivers read something, and each of them counts; what carries is a whole node."""
    nodes = nodes_under(draft, "to")
    for node, span in nodes:
        if node.kind in ("embed", "pos_embed"):
            problem = f"`{node}` does not read from the residual stream"
            advice = "write heads, MLPs or `logits`"
            meaning.report("C292", problem, span, help=advice)
        elif node.kind == "logits" and len(nodes) > 1:
            problem = "`logits` cannot be a receiver together with others: it would not see their changes"
            meaning.report("C292", problem, span, help="patch the paths to `logits` in a separate block")


def _table(asked: Asked) -> Table:
    def rows(graph: Graph) -> tuple[str, ...]:
        receivers = [each for term in names(asked.values["to"]) or () for each in entered(graph, term)]
        return graph.senders[: graph.reach[max(map(graph.receiver_index.__getitem__, receivers))]]

    return asked.by_position(asked.of_graph(rows))


SCORES = {
    "path_patching": Scores(
        "The metric when some receivers read what they would if one sender had its corrupted output, carried "
        "only through the given nodes. One row per sender before the receivers; normalized, no effect is 1.",
        {
            **PATCHED,
            "direction": Key(
                DIRECTIONS,
                "`noise`: the sender's corrupted output into the clean run; `denoise`: its clean output into "
                "the corrupted run, where no effect is 0",
                default="noise",
            ),
            "to": Key(
                NODES,
                "the receivers: inputs (`L9H9.q`), nodes with all their inputs, or `logits` alone",
                required=True,
            ),
            "through": Key(
                Either(NODES, ("none", "all")),
                "the nodes that carry the change; `none`: direct paths only. All others keep their outputs",
                default=(Node("mlp"),),
            ),
            "positions": Key(
                AT_POSITIONS,
                "patch the sender at each of these separately; `all`: at every token; if omitted, the whole "
                "sequence at once",
            ),
        },
        source="Wang et al. 2022; Goldowsky-Dill et al. 2023",
        check=_check,
        table=_table,
    )
}
