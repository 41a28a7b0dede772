"""Circuits that are written out."""

from __future__ import annotations

from dataclasses import replace

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import GraphError, MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Node
from nncirc.dsl.check.program import Declaration, Where
from nncirc.dsl.references import built
from nncirc.engine.blocks.block import Block
from nncirc.engine.methods.scores import NodeScores, some
from nncirc.engine.program.build import Builder


def _reference(builder: Builder, declaration: Declaration) -> Circuit:
    graph: Graph = builder.of(declaration, "graph")
    groups = {
        name: [node for member in group for node in _members(builder, member)]
        for name, group in declaration.groups.items()
    }
    circuit = built(graph, groups, declaration, declaration.name)
    model = builder.of(builder.declaration(declaration, "graph"), "model")
    return replace(circuit, made={**circuit.made, "model": model.name})


def _members(builder: Builder, member: Node | Where) -> list[str]:
    if isinstance(member, Node):
        return [str(member)]
    scores: NodeScores = builder.get(member.scores.name)
    if member.statistic not in scores.positions:
        raise MethodError(
            "C579",
            f"unknown column {member.statistic} in {member.scores.name}",
            hint=f"its columns are {some(scores.positions)}",
        )
    column = scores.positions.index(member.statistic)
    above = -float("inf") if member.above is None else member.above
    below = float("inf") if member.below is None else member.below
    rows = zip(scores.nodes, scores.values, strict=True)
    heads = [(name, row) for name, row in rows if Node.parse(name).kind == "head"]
    if not heads:
        raise MethodError(
            "C579", f"{member.scores.name} has no scores of heads", hint="add heads to the nodes of its graph"
        )
    found = [name for name, row in heads if above < row[column] < below]
    if not found:
        by_value = sorted((row[column], name) for name, row in heads)
        lowest, highest = by_value[0], by_value[-1]
        raise GraphError(
            "C461",
            f"no head has {member.statistic} in this range; it goes from {lowest[0]:.3g} ({lowest[1]})"
            f" to {highest[0]:.3g} ({highest[1]})",
            hint="change the limits in where(...)",
        )
    return found


BLOCKS = {("circuit", "reference"): Block(_reference)}
