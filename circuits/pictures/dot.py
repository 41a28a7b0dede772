"""A circuit as Graphviz DOT: layers from the bottom to the top, heads below the MLP of their layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.names import Node
from nncirc.circuits.pictures import style
from nncirc.circuits.pictures.drawing import MAX_EDGES, Drawing, arrange
from nncirc.circuits.pictures.fold import Line
from nncirc.circuits.pictures.legend import attributes, caption as below, fitted, legend, legend_dot
from nncirc.circuits.pictures.text import number, one_line, quoted, record, wrapped

__all__ = ["to_dot"]

FONT = "Helvetica,Arial,sans-serif"
LEFT = r"\l"
_POINT = "shape=point, style=invis, width=0.01, height=0.01"
_RUNGS = 6
"""Hidden edges for each pair of neighbors: more than the lines that would rather cross them."""


@public
def to_dot(
    circuit: Circuit,
    *,
    highlight: Circuit | None = None,
    title: str | None = None,
    caption: str | None = None,
    max_edges: Positive = MAX_EDGES,
) -> str:
    """The circuit as DOT text, the same to the byte for the same circuit.

    Heads are boxes, MLPs ellipses. An edge enters a head at its `q`, `k` or `v`; its width and opacity
    grow with the square root of |score|; a bar instead of an arrow's head is a negative score. Of many layers
    each is one rank, and edges enter heads at the left, the middle or the right. A circuit
    of more than `max_edges` edges is folded (see `nncirc.circuits.pictures.fold`), and the caption says how.

    Args:
        circuit: what to draw.
        highlight: a reference circuit: its groups color the nodes, and its edges that `circuit` lacks
            are dashed. Without one, the circuit's own groups color the nodes.
        title: a line above the picture.
        caption: a line or more below it. How the circuit was made, how many edges it has and what was
            folded follows it in any case.
        max_edges: the maximum number of lines to draw, and of dashed ones.

    Raises:
        GraphError: C455, the reference circuit is on a different graph.
    """
    return written(arrange(circuit, highlight, max_edges), title=title, caption=caption)


def written(drawing: Drawing, *, title: str | None, caption: str | None) -> str:
    """A drawing as DOT text; see `to_dot`."""
    width = _width(drawing)
    rows = legend(drawing, width)
    lines = [
        "digraph circuit {",
        "  graph [rankdir=BT, newrank=true, ranksep=0.3, nodesep=0.12, outputorder=edgesfirst, pad=0.1,",
        f'    bgcolor="{style.PAPER}", fontname="{FONT}", fontsize=8, fontcolor="#4D4D4D", tooltip=" ",',
        f"    labelloc=b, labeljust=l, label={quoted(*below(drawing, caption, width), end=LEFT)}]",
        f'  node [fontname="{FONT}", fontsize=9, fontcolor="{style.INK}", color="{style.INK}",',
        f'    penwidth=0.7, margin="0.06,0.03", width=0.3, height=0.22, fillcolor="{style.PAPER}"]',
        "  edge [arrowsize=0.5]",
        *_column(drawing, len(rows)),
        *legend_dot(rows),
        *_nodes(drawing),
        *_ranks(drawing),
        *_ladder(drawing),
        *_lines(drawing),
    ]
    if line := one_line(title or "", 300):
        text = wrapped(line, 80)
        lines[6:] = [
            *lines[6:7],
            "  subgraph cluster_titled {",
            f'    graph [peripheries=0, labelloc=b, labeljust=l, fontsize=12, fontcolor="{style.INK}",',
            f"      label={quoted(*text, end=LEFT)}]",
            *(f"  {line}" for line in lines[7:]),
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def _width(drawing: Drawing) -> int:
    """About how many characters of the caption are as wide as the picture, of nodes and lines beside them."""
    place = {name: i for i, names in enumerate(drawing.stages.values()) for name in names}
    spans = [(place[line.tail], place[line.head]) for line in (*drawing.lines, *drawing.missing)]
    points = max(
        (
            60 * len(names) + 9 * sum(low < i < high for low, high in spans)
            for i, names in enumerate(drawing.stages.values())
        ),
        default=0,
    )
    return min(max(64, points // 5), 150)


def _nodes(drawing: Drawing) -> Iterator[str]:
    """The nodes; those of each position in a lane of their own, the lanes in the order of the positions."""
    entered: dict[str, set[str]] = {}
    for line in (*drawing.lines, *drawing.missing):
        if _port(drawing, line) and not drawing.flat:
            entered.setdefault(line.head, set()).update(line.inputs)
    written = {
        name: f"  {quoted(name)} [{_node(drawing, name, entered.get(name, set()))}]" for name in drawing.nodes
    }
    if not drawing.lanes:
        yield from written.values()
        return
    for i, (position, names) in enumerate(drawing.lanes.items()):
        yield f"  subgraph {quoted(f'cluster lane {i}')} {{"
        yield f'    graph [peripheries=0, style=filled, fillcolor="{style.LANE}", label="", tooltip=" "]'
        yield f'    {_foot(i)} [shape=plaintext, label={quoted(one_line(position, 24))}, tooltip=" "]'
        yield f"    {_top(i)} [{_POINT}]"
        yield from (f"  {written[name]}" for name in names)
        yield "  }"


def _foot(lane: int) -> str:
    """The node that names a lane, below all others."""
    return quoted(f"lane {lane}")


def _top(lane: int) -> str:
    """A node that is not seen: lanes end beside the highest node of all."""
    return quoted(f"lane {lane} top")


def _node(drawing: Drawing, name: str, entered: set[str]) -> str:
    node = Node.parse(name)
    group = drawing.group_of.get(name)
    members = drawing.folding.members.get(name, (name,))
    node = replace(node, position=None) if drawing.lanes else node
    # Whose a node is, its frame says; a group's name stands on it.
    named = "" if group is None or drawing.pair is not None else style.group_name(group)
    lines = [_named(node, members), *wrapped(named, 12)[:2]]
    hover = ", ".join(members[:12]) + (", …" if len(members) > 12 else "")
    hover = hover if group is None else f"{hover}: {one_line(group, 80)}"
    shape, corners, fill = "box", "", style.PAPER if group is None else drawing.fills[group]
    if node.layer is None:
        corners, fill = "rounded,", "#E6E6E6"
    elif node.kind in ("mlp", "neuron"):
        shape = "ellipse"
    elif entered:
        shape = "record"
    absent = drawing.only_in_reference(name)
    frame = "dashed" if absent else ""
    if drawing.pair is not None and group is not None:
        frame = drawing.pair.border(group)
    label = record(lines, "".join(sorted(entered, key="qkv".index))) if shape == "record" else quoted(*lines)
    rest = attributes(
        shape=shape,
        style=f"{corners}filled" + (f",{frame}" if frame else ""),
        fillcolor=fill,
        color=style.FAINT if absent else style.INK,
        tooltip=hover,
    )
    # A letter of a port needs some room on both sides, however short the name of its head; corners need more.
    room = 0.2 if corners else 0.1
    return f"label={label}, {fitted(lines, 9, room, least=0.18 * len(entered))}, {rest}"


def _named(node: Node, members: Sequence[str]) -> str:
    if len(members) == 1:
        return str(node)
    if node.kind == "neuron":
        return f"MLP{node.layer}: {len(members)} neurons"
    many = "heads" if node.kind == "head" else "key-value groups"
    return f"L{node.layer}: {len(members)} {many}"


def _column(drawing: Drawing, legend_rows: int) -> Iterator[str]:
    """What holds the ranks in their order, on the left: the legend's rows, then a name for each layer.

    It is written before all else, as a lane if there are lanes: else Graphviz would put these to its left.
    """
    column = [f"legend {i}" for i in reversed(range(legend_rows))] + ["rank lanes"] * bool(drawing.lanes)
    column += [f"rank {place}" for place in range(len(drawing.stages))]
    chain = f"{' -> '.join(map(quoted, column))} [style=invis, weight=1000]"
    if drawing.lanes:
        yield f'  "rank lanes" [{_POINT}]'
        yield f'  subgraph "cluster column" {{ graph [peripheries=0, label=""]; {chain} }}'
    else:
        yield f"  {chain}"


def _ranks(drawing: Drawing) -> Iterator[str]:
    """One rank for each kind of node of each layer."""
    labelled: set[int | None] = {None}
    lanes = range(len(drawing.lanes))
    if lanes:
        feet = " -> ".join(['"rank lanes"', *map(_foot, lanes)])
        yield f"  {{ rank=same; {feet} [style=invis, weight=100] }}"
    for place, (stage, names) in enumerate(drawing.stages.items()):
        text = [""]
        if stage.layer not in labelled:
            labelled.add(stage.layer)
            text = [f"layer {stage.layer}", *drawing.unseen_at(stage.layer)]
        beside = [*map(quoted, names), *(map(_top, lanes) if place == len(drawing.stages) - 1 else ())]
        yield (
            f'  {{ rank=same; "rank {place}" [shape=plaintext, fontsize=8, fontcolor="#6E6E6E", '
            f'label={quoted(*text)}, tooltip=" "]; {"; ".join(beside)} }}'
        )


def _ladder(drawing: Drawing) -> Iterator[str]:
    """What keeps lanes in their order: hidden edges between neighbors, which would cross in any other.

    Graphviz orders clusters by crossings alone; edges within a rank do not bind them. A mirror image crosses
    as little, and is seen now and then: lanes are named, whatever their order.
    """
    lanes, ranks = range(len(drawing.lanes)), range(len(drawing.stages))
    for lane in lanes:
        rungs = "; ".join(_rung(lane, rank) for rank in ranks)
        yield f"  subgraph {quoted(f'cluster lane {lane}')} {{ node [{_POINT}]; {rungs} }}"
    for rank in ranks if lanes else ():
        yield f'  {{ rank=same; "rank {rank}"; {"; ".join(_rung(lane, rank) for lane in lanes)} }}'
    beside = [[_foot(lane) for lane in lanes], *([_rung(lane, rank) for lane in lanes] for rank in ranks)]
    for low, high in pairwise(beside if lanes else ()):
        for i, rung in enumerate(low):
            ends = "; ".join(high[max(i - 1, 0) : i + 2])
            yield from [f"  {rung} -> {{ {ends} }} [style=invis, weight=0]"] * _RUNGS


def _rung(lane: int, rank: int) -> str:
    return quoted(f"rung {lane} {rank}")


def _lines(drawing: Drawing) -> Iterator[str]:
    rank_of = {name: place for place, names in enumerate(drawing.stages.values()) for name in names}
    lines = [(line, _drawn(drawing, line)) for line in drawing.lines]
    for line in drawing.missing:
        looks = {**style.LINE_MISSING, "tooltip": f"{_hover(line)}: only in the reference"}
        lines.append((line, looks))
    for line, looks in lines:
        start = "" if rank_of[line.tail] == rank_of[line.head] else ":n"
        ends = f"{quoted(line.tail)}{start} -> {quoted(line.head)}{_entry(drawing, line)}"
        yield f"  {ends} [{attributes(**looks)}]"
    for group, head in drawing.shared:
        looks = {**style.LINE_SHARED, "weight": 4, "tooltip": " "}
        yield f"  {quoted(group)} -> {quoted(head)} [{attributes(**looks)}]"


def _drawn(drawing: Drawing, line: Line) -> dict[str, str | float]:
    weight = drawing.weight(line)
    if drawing.pair is not None:
        side = drawing.pair.side(line)
        whose = {"first": drawing.pair.names[0], "second": drawing.pair.names[1]}.get(side, side)
        drawn = {**style.LINE_OF_SIDE[side], "tooltip": f"{_hover(line)}: {one_line(whose, 80)}"}
        return drawn | ({"penwidth": drawing.scale.width(weight)} if drawing.counted else {})
    opacity = drawing.scale.opacity(weight)
    colours = [style.INPUT_COLOUR[which] for which in line.inputs] or [style.DIRECT]
    score = "no score" if line.score is None else f"score {number(line.score)}"
    return {
        "color": ":".join(colour + opacity for colour in colours),
        # Stripes share the width of one line, so that three inputs do not look thrice as strong.
        "penwidth": round(max(drawing.scale.width(weight) / len(colours), 0.5), 3),
        **style.arrow(line.score, drawing.any_scored),
        "tooltip": f"{_hover(line)}: {score}",
    }


def _hover(line: Line) -> str:
    if len(line.edges) == 1:
        return str(line.edges[0])
    inputs = f" ({', '.join(line.inputs)})" if line.inputs else ""
    return f"{line.tail} -> {line.head}{inputs}, {len(line.edges)} edges"


def _port(drawing: Drawing, line: Line) -> str:
    """Where a line enters its head: at one input, or nowhere in particular if lines stand for several."""
    return "" if drawing.folding.merged or len(line.inputs) > 1 else line.inputs


def _entry(drawing: Drawing, line: Line) -> str:
    port = _port(drawing, line)
    if drawing.flat and port:
        return f":{style.INPUT_SIDE[port]}"
    return f":{port}:s" if port else ""
