"""Legend and caption of a picture.

The legend is drawn with nodes and edges of its own, below `embed`: a sample is drawn as what it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nncirc.circuits.names import Node
from nncirc.circuits.pictures import style
from nncirc.circuits.pictures.drawing import Drawing, Pair
from nncirc.circuits.pictures.fold import is_neuron
from nncirc.circuits.pictures.text import ems, hover, number, one_line, provenance, quoted, wrapped

_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: a name, and either how its line is drawn or the color and the frame of its box."""

    name: str
    line: style.Look = field(default_factory=dict)
    fill: str = ""
    frame: str = "solid"


def legend(drawing: Drawing, width: int) -> list[list[Entry]]:
    """The rows of the legend, about `width` characters long: what there is to be told apart, no more."""
    pair = drawing.pair
    frame = {} if pair is None else {group: pair.border(group) for group in drawing.fills}
    groups = [
        Entry(style.group_name(group, 40), fill=fill, frame=frame.get(group, "solid"))
        for group, fill in drawing.fills.items()
    ]
    lines = [*(_inputs(drawing) if pair is None else _sides(drawing, pair)), *_lines(drawing)]
    return [row for entries in (lines, groups) for row in _rows(entries, width)]


def _rows(entries: Sequence[Entry], width: int) -> Iterator[list[Entry]]:
    row: list[Entry] = []
    used = 0
    for entry in entries:
        length = len(entry.name) + (4 if entry.fill else 9)
        if row and used + length > width:
            yield row
            row, used = [], 0
        row.append(entry)
        used += length
    if row:
        yield row


def _inputs(drawing: Drawing) -> list[Entry]:
    seen = {which for line in drawing.lines for which in line.inputs}
    sides = (
        drawing.flat and any(len(line.inputs) == 1 for line in drawing.lines) and not drawing.folding.merged
    )
    entries = [
        Entry(_input_name(which, sides), {"color": style.INPUT_COLOUR[which], "penwidth": 2.0})
        for which in "qkv"
        if which in seen
    ]
    if any(len(line.inputs) > 1 for line in drawing.lines):
        several = ":".join(style.INPUT_COLOUR[which] for which in "qkv" if which in seen)
        entries.append(Entry("several inputs", {"color": several, "penwidth": 1.2}))
    if any(not line.inputs for line in drawing.lines):
        name = "MLP or logits" if seen else "edge"
        entries.append(Entry(name, {"color": style.DIRECT, "penwidth": 2.0}))
    return entries


def _input_name(which: str, sides: bool) -> str:
    """An input, and where edges enter it if no letter on the node says it."""
    where = {"sw": "left", "s": "middle", "se": "right"}[style.INPUT_SIDE[which]]
    return f"{style.INPUT_NAME[which]} ({where})" if sides else style.INPUT_NAME[which]


def _sides(drawing: Drawing, pair: Pair) -> list[Entry]:
    names = {
        "both": "both",
        "first": f"only {style.group_name(pair.names[0], 40)}",
        "second": f"only {style.group_name(pair.names[1], 40)}",
        "mixed": "some of each",
    }
    seen = {pair.side(line) for line in drawing.lines}
    return [Entry(name, style.LINE_OF_SIDE[side]) for side, name in names.items() if side in seen]


def _lines(drawing: Drawing) -> list[Entry]:
    entries = []
    scores = [line.score for line in drawing.lines if line.score is not None]
    ink: style.Look = {"color": style.INK, "penwidth": 1.4}
    if any(score < 0 for score in scores):
        entries.append(Entry("positive", {**ink, **style.arrow(1.0, True)}))
        entries.append(Entry("negative", {**ink, **style.arrow(-1.0, True)}))
    if scores and any(line.score is None for line in drawing.lines):
        entries.append(Entry("no score", {**ink, **style.arrow(None, True)}))
    scale = drawing.scale
    for value in dict.fromkeys((scale.low, scale.high)) if scale.high > 0 else ():
        edges = "1 edge" if value == 1 else f"{value:.0f} edges"
        name = edges if drawing.counted else f"|score| {number(value)}"
        width, opacity = scale.width(value), scale.opacity(value)
        look: style.Look = {"color": style.INK + opacity, "penwidth": width, "arrowhead": "none"}
        entries.append(Entry(name, look))
    if drawing.missing:
        entries.append(Entry("only in the reference", style.LINE_MISSING))
    of_neurons = {is_neuron(user) for _, user in drawing.shared}
    if False in of_neurons:
        where = " at another position" if drawing.lanes else ""
        entries.append(Entry(f"keys and values of a head{where}", style.LINE_SHARED))
    if True in of_neurons:
        entries.append(Entry("neuron of an MLP", style.LINE_SHARED))
    return entries


def caption(drawing: Drawing, given: str | None, width: int) -> list[str]:
    """The lines below the picture: the caller's, then what the picture says of itself."""
    own = " ".join(sentence for sentence in _sentences(drawing) if sentence)
    return wrapped((given or "")[:_LONGEST], width) + wrapped(own, width)


def _sentences(drawing: Drawing) -> list[str]:
    circuit, folding = drawing.circuit, drawing.folding
    made = provenance(circuit.made)
    said = [f"{made[0].upper()}{made[1:]}." if made else ""]
    if drawing.pair is not None:
        said.append(_counts(drawing.pair))
    said.append(f"{len(circuit):,} of {circuit.graph.n_edges:,} edges.")
    if drawing.counted:
        said.append("Folded: the heads of one layer (and group) are one node; width shows how many edges.")
    elif folding.merged:
        said.append(
            "Folded: query, key and value edges between two nodes are one line, as wide as the strongest."
        )
    if any(map(is_neuron, drawing.nodes)):
        said.append("A neuron reads what its MLP reads.")
    if any(len(members) > 1 and is_neuron(name) for name, members in folding.members.items()):
        said.append(
            "Neurons with edges to the same nodes, of the same sign, are one node; "
            "a line is as wide as the strongest edge."
        )
    if folding.left_out:
        down = f", down to |score| {number(folding.least)}" if drawing.any_scored else ""
        unseen = set(folding.unseen) - set(drawing.nodes)
        layers = {stage.layer for stage in drawing.stages}
        apart = sum(Node.parse(node).layer not in layers for node in unseen)
        where = f", of these {apart:,} in layers without a drawn node, which are left out" if apart else ""
        lines = len(folding.lines)
        what = f"the {lines:,} strongest"
        if folding.drawn > lines:
            what = f"{folding.drawn:,} edges as the {lines:,} strongest lines"
        said.append(
            f"Drawn: {what}{down}, each with its "
            f"strongest path to embed and logits. Not drawn: {folding.left_out:,} weaker edges"
            + (f"; nodes that only these touch (+): {len(unseen):,}{where}." if unseen else ".")
        )
    if drawing.highlight is not None:
        shared = len(drawing.highlight) - drawing.n_missing
        said.append(
            f"Edges of the reference: {len(drawing.highlight):,}; in the circuit: {shared:,}; "
            f"missing: {drawing.n_missing:,}{_missing_drawn(drawing)}."
        )
    return said


def _counts(pair: Pair) -> str:
    sides = list(pair.sides.values())
    first, second = (one_line(name, 60) for name in pair.names)
    return (
        f"Edges in both: {sides.count('both'):,}; only in {first}: {sides.count('first'):,}; "
        f"only in {second}: {sides.count('second'):,}. Coloured nodes are in one circuit only."
    )


def _missing_drawn(drawing: Drawing) -> str:
    edges = sum(len(line.edges) for line in drawing.missing)
    if edges < drawing.n_missing:
        return f" (dashed: {edges:,} of them, as {len(drawing.missing):,} lines)"
    if len(drawing.missing) < edges:
        return f" (dashed, as {len(drawing.missing):,} lines)"
    return " (dashed)" if edges else ""


def legend_dot(rows: Sequence[Sequence[Entry]]) -> Iterator[str]:
    """The rows as DOT, each on a rank of its own that starts with the node `legend I`."""
    for i, row in enumerate(rows):
        chain, edges = [], []
        yield f'  "legend {i}" [shape=point, style=invis, width=0.01, height=0.01]'
        for j, entry in enumerate(row):
            name = quoted(f"legend {i} {j}")
            room = 0.1 if entry.fill else 0.0
            width = fitted([entry.name], 8, room)
            text = f'fontsize=8, height=0.18, {width}, label={quoted(entry.name)}, tooltip=" "'
            if entry.fill:
                look = attributes(style=f"filled,{entry.frame}", fillcolor=entry.fill)
                yield f"  {name} [shape=box, {look}, {text}]"
                chain.append(name)
                continue
            start, stop = quoted(f"legend {i} {j} from"), quoted(f"legend {i} {j} to")
            yield f"  {start}, {stop} [shape=point, style=invis, width=0.01, height=0.01]"
            yield f"  {name} [shape=plaintext, {text}]"
            edges.append(
                f"  {start} -> {stop} [minlen=3, {attributes(**entry.line)}, tooltip={hover(entry.name)}]"
            )
            chain += [start, stop, name]
        yield f'  {{ rank=same; "legend {i}" -> {" -> ".join(chain)} [style=invis, weight=100] }}'
        yield from edges


def fitted(lines: Sequence[str], size: float, room: float = 0.1, least: float = 0.0) -> str:
    """A width that the widest of the usual sans-serif fonts fits into.

    Graphviz measures the text as Helvetica; whoever opens the picture may have DejaVu Sans in its place.
    """
    width = max(map(ems, lines)) * size / 72 + room
    return f'margin="0.02,0.02", width={max(width, least):.2f}'


def attributes(**values: str | float) -> str:
    """Attributes in DOT."""
    return ", ".join(
        f"{key}={(hover if key == 'tooltip' else quoted)(str(value))}" for key, value in values.items()
    )
