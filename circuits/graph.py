"""The computation graph of a model: which nodes write into the residual stream, and which read from it.

Senders stand in the order in which the model computes them, so that what a receiver can read is always
the first `reach` senders: no adjacency matrix is needed, and the number of edges is a sum. In a graph of
positions a node is one at each of them, and a receiver reads the senders at its own position: attention
carries from one position to another inside its heads, from their keys and values. Where the MLP of a layer
is split, each of its neurons is a sender, and all are computed from one receiver, the MLP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

from nncirc.circuits.arguments import public, unfit
from nncirc.circuits.errors import GraphError
from nncirc.circuits.names import Edge, Node, is_position, node_asked_for
from nncirc.circuits.words import listed, visible

Attention: TypeAlias = Literal["heads", "layers"]

# Past any model, and little enough that a wrong number in a file cannot fill the memory.
MOST_HEADS = 100_000
MOST_NEURONS = 1_000_000
MOST_NODES = 2_000_000
MOST_PAIRS = 20_000_000
"""Of positions, over all heads: every head at one may attend to all before it."""


@public
@dataclass(frozen=True, slots=True)
class Shape:
    """What the graph needs to know about a model.

    Attributes:
        n_layers: transformer blocks.
        n_heads: query heads per layer.
        n_kv_heads: key and value heads per layer; fewer than `n_heads` under grouped-query attention.
        mlps: whether the blocks have MLPs.
        parallel: whether attention and MLP of a block read the same residual (GPT-NeoX, Pythia).
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    mlps: bool = True
    parallel: bool = False

    def __post_init__(self) -> None:
        if min(self.n_layers, self.n_heads, self.n_kv_heads) < 1 or self.n_heads % self.n_kv_heads:
            raise GraphError(
                "C452",
                f"impossible shape: {self.n_layers} layers, {self.n_heads} heads, "
                f"{self.n_kv_heads} key-value heads",
                hint="use numbers of at least 1, and key-value heads that divide the heads",
            )
        if self.n_layers * self.n_heads > MOST_HEADS:
            raise GraphError(
                "C452",
                f"expected at most {MOST_HEADS:,} heads, found {self.n_layers:,} layers of {self.n_heads:,}",
                hint="check the file: the largest models have about 16,000 heads",
            )

    @public
    def kv_of(self, head: int) -> int:
        """The key-value group of a query head under grouped-query attention; the head itself without."""
        return head * self.n_kv_heads // self.n_heads


@public
@dataclass(frozen=True)
class Graph:
    """Senders, receivers and the edges between them.

    Args:
        shape: the model's shape.
        attention: `heads`, or whole attention `layers` where heads cannot be told apart.
        split_inputs: whether an edge enters attention as its query, key or value (`L1H0.q`) or as
            one node (`L1H0`). Joined heads need as many key-value heads as heads.
        pos_embed: whether the embedding of positions is a sender of its own, beside `embed` for the tokens.
        positions: names of positions (`S.2`, `end`, `14`) that together are all of a prompt; a node is split
            into one at each. () for none.
        neurons: the layers whose MLPs are split into neurons, in order, each with its number of neurons. What
            an MLP's output bias adds is then of no sender.

    Attributes:
        base: the graph without positions; itself, if it has none.

    Examples:
        >>> graph = Graph(Shape(n_layers=12, n_heads=12, n_kv_heads=12))
        >>> len(graph.senders), len(graph.receivers), graph.n_edges
        (157, 445, 32491)
    """

    shape: Shape
    attention: Attention = "heads"
    split_inputs: bool = True
    pos_embed: bool = False
    positions: tuple[str, ...] = ()
    neurons: tuple[tuple[int, int], ...] = ()
    senders: tuple[str, ...] = field(init=False, repr=False, compare=False)
    receivers: tuple[str, ...] = field(init=False, repr=False, compare=False)
    reach: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.attention not in ("heads", "layers"):
            raise GraphError(
                "C463",
                f"unknown division of attention {self.attention!r}; expected heads or layers",
                hint="write attention = heads or attention = layers",
            )
        if not self.split_inputs and self.attention == "heads" and self.shape.n_kv_heads < self.shape.n_heads:
            raise GraphError(
                "C453",
                "`inputs = []` is not possible with grouped-query attention: heads share keys and values",
                hint="write inputs = [q, k, v]",
            )
        if len(set(self.positions)) < len(self.positions) or not all(map(is_position, self.positions)):
            raise GraphError(
                "C465",
                f"invalid positions {listed(self.positions)}",
                hint="name each position once: a slot (S.2), a token number, start, end or other",
            )
        self._check_neurons()
        senders = ["embed", "pos_embed"] if self.pos_embed else ["embed"]
        receivers: list[str] = []
        reach: list[int] = []
        for layer in range(self.shape.n_layers):
            before = len(senders)
            for name in self._layer_inputs(layer):
                receivers.append(name)
                reach.append(before)
            senders += self._layer_outputs(layer)
            if self.shape.mlps:
                receivers.append(f"MLP{layer}")
                reach.append(before if self.shape.parallel else len(senders))
                senders += self._mlp_outputs(layer)
        receivers.append("logits")
        reach.append(len(senders))
        check_positions(len(senders) + len(receivers), len(self.positions), sum(map(_is_attended, receivers)))
        object.__setattr__(self, "senders", self._at_positions(senders))
        object.__setattr__(self, "receivers", self._at_positions(receivers))
        object.__setattr__(self, "reach", tuple(reach))

    def _check_neurons(self) -> None:
        layers = [layer for layer, _ in self.neurons]
        if not self.neurons:
            return
        if not self.shape.mlps:
            raise GraphError("C467", "the model has no MLPs to split into neurons", hint="remove `neurons`")
        if layers != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < self.shape.n_layers:
            raise GraphError(
                "C467",
                f"invalid layers of `neurons`: {listed(layers)}; the model has layers 0 to"
                f" {self.shape.n_layers - 1}",
                hint="give each layer once, in ascending order",
            )
        counts = [count for _, count in self.neurons]
        if min(counts) < 1 or sum(counts) > MOST_NEURONS:
            raise GraphError(
                "C467",
                f"invalid number of neurons: {listed(counts)}",
                hint=f"split fewer layers: an MLP has at least 1 neuron, a graph at most {MOST_NEURONS:,}",
            )

    def _at_positions(self, names: list[str]) -> tuple[str, ...]:
        return tuple(f"{name}@{p}" for name in names for p in self.positions) or tuple(names)

    @cached_property
    def base(self) -> Graph:
        """The graph without positions."""
        return replace(self, positions=()) if self.positions else self

    def heard(self, receiver: int) -> range:
        """The senders that a receiver can read, in order."""
        n = len(self.positions) or 1
        try:
            return range(receiver % n, self.reach[receiver // n] * n, n)
        except (TypeError, IndexError):
            most = len(self.receivers) - 1
            raise unfit("a receiver", f"its index, from 0 to {most}", receiver) from None

    def __str__(self) -> str:
        shape = self.shape
        text = f"{shape.n_layers} layers of {shape.n_heads} heads"
        if shape.n_kv_heads < shape.n_heads:
            text += f" sharing {shape.n_kv_heads} keys and values"
        text += (", parallel MLPs" if shape.parallel else ", MLPs") if shape.mlps else ", no MLPs"
        text += ", by head" if self.attention == "heads" else ", by attention layer"
        text += ", q/k/v apart" if self.split_inputs else ", q/k/v joined"
        text += ", tokens and positions apart" if self.pos_embed else ""
        split = [f"MLP{layer} by its {count} neurons" for layer, count in self.neurons]
        text += f", {listed(split)}" if split else ""
        return text + (f", at {listed(self.positions)}" if self.positions else "")

    @property
    def sources(self) -> tuple[str, ...]:
        """The senders that are computed from no receiver: what every path begins with."""
        return self._at_positions(["embed", "pos_embed"] if self.pos_embed else ["embed"])

    @property
    def sinks(self) -> tuple[str, ...]:
        """The receivers that feed no sender: what every path ends with."""
        return self._at_positions(["logits"])

    def _layer_outputs(self, layer: int) -> list[str]:
        if self.attention == "layers":
            return [f"L{layer}"]
        return [f"L{layer}H{head}" for head in range(self.shape.n_heads)]

    def _mlp_outputs(self, layer: int) -> list[str]:
        count = self.neuron_counts.get(layer)
        return [f"MLP{layer}"] if count is None else [f"MLP{layer}N{neuron}" for neuron in range(count)]

    @cached_property
    def neuron_counts(self) -> dict[int, int]:
        """The number of neurons of every layer whose MLP is split."""
        return dict(self.neurons)

    def _layer_inputs(self, layer: int) -> list[str]:
        """All queries by head, then all keys by group, then all values: the layout of fused projections."""
        if not self.split_inputs:
            return self._layer_outputs(layer)
        if self.attention == "layers":
            return [f"L{layer}.{which}" for which in "qkv"]
        grouped = self.shape.n_kv_heads < self.shape.n_heads
        groups = [f"L{layer}{'KV' if grouped else 'H'}{group}" for group in range(self.shape.n_kv_heads)]
        return (
            [f"L{layer}H{head}.q" for head in range(self.shape.n_heads)]
            + [f"{group}.k" for group in groups]
            + [f"{group}.v" for group in groups]
        )

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return sum(self.reach) * (len(self.positions) or 1)

    @cached_property
    def sender_index(self) -> dict[str, int]:
        """Position of each sender in `senders`."""
        return {name: i for i, name in enumerate(self.senders)}

    @cached_property
    def receiver_index(self) -> dict[str, int]:
        """Position of each receiver in `receivers`."""
        return {name: i for i, name in enumerate(self.receivers)}

    def edges(self) -> Iterator[Edge]:
        """All edges, receivers and then senders in the order of the computation."""
        for index, receiver in enumerate(self.receivers):
            for sender in self.heard(index):
                yield Edge(self.senders[sender], receiver)

    def __contains__(self, thing: object) -> bool:
        """Whether it has an edge, or a node (`L9H9`, also one of its inputs, `L9H9.q`).

        Raises:
            GraphError: C451, the name is not that of a node.
            ArgumentError: C751, the thing is neither.
        """
        if isinstance(thing, tuple) and len(thing) == 2:
            try:  # costs less than `suppress`, and every edge of a circuit is asked for
                sender, receiver = self.sender_index.get(thing[0]), self.receiver_index.get(thing[1])
            except TypeError:  # no hash
                sender = receiver = None
            if sender is not None and receiver is not None:
                return sender in self.heard(receiver)
        return node_asked_for(thing) is not None and (
            thing in self.node_index or thing in self.receiver_index
        )

    def order(self, edge: Edge) -> tuple[int, int]:
        """The sort key of an edge: its receiver, then its sender, in the order of the computation.

        Raises:
            GraphError: C454, the edge is not in the graph.
            ArgumentError: C751, it is not an edge.
        """
        if not isinstance(edge, tuple):
            raise unfit("an edge", "a tuple (string, string)", edge)
        if edge not in self:
            raise GraphError(
                "C454",
                f"the graph has no edge {visible(edge[0], 60)} -> {visible(edge[1], 60)}",
                hint=self._why_not(edge),
            )
        return self.receiver_index[edge[1]], self.sender_index[edge[0]]

    def _why_not(self, edge: Edge) -> str:
        if edge[0] not in self.sender_index:
            return f"{visible(edge[0], 60)} is not a sender of this graph"
        if edge[1] not in self.receiver_index:
            return f"{visible(edge[1], 60)} is not a receiver of this graph"
        if edge[0].partition("@")[2] != edge[1].partition("@")[2]:
            return "an edge joins nodes at the same position; only heads move information between positions"
        return f"{edge[0]} is computed after the input {edge[1]}"

    @cached_property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The receivers that each sender is computed from: `L1H0` from `L1H0.q`, `L1H0.k`, `L1H0.v`."""
        if not self.positions:
            return {sender: tuple(self._inputs(Node.parse(sender))) for sender in self.senders}
        return {
            f"{sender}@{position}": tuple(
                f"{receiver}@{other}"
                for receiver in receivers
                for other in (self._before(position) if _is_attended(receiver) else (position,))
            )
            for sender, receivers in self.base.inputs.items()
            for position in self.positions
        }

    def _before(self, position: str) -> tuple[str, ...]:
        """The positions whose keys and values a head at `position` may attend to.

        Slots stand in another order in every prompt, so that of any two either may come first.
        """
        if position.isdecimal():
            return tuple(p for p in self.positions if not p.isdecimal() or int(p) <= int(position))
        return tuple(p for p in self.positions if p != "end" or position == "end")

    def _inputs(self, sender: Node) -> list[str]:
        if str(sender) in self.sources:
            return []
        if sender.kind == "neuron":
            return [f"MLP{sender.layer}"]
        if sender.kind == "mlp" or not self.split_inputs:
            return [str(sender)]
        if sender.kind == "attention":
            return [f"{sender}.{which}" for which in "qkv"]
        assert sender.index is not None
        group = self.shape.kv_of(sender.index)
        shared = f"L{sender.layer}KV{group}" if self.shape.n_kv_heads < self.shape.n_heads else str(sender)
        return [f"{sender}.q", f"{shared}.k", f"{shared}.v"]

    @cached_property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """The senders that each receiver takes part in; none for `logits`.

        They are several heads for a shared key, and for a split MLP its neurons.
        """
        found: dict[str, list[str]] = {receiver: [] for receiver in self.receivers}
        for sender, receivers in self.inputs.items():
            for receiver in receivers:
                found[receiver].append(sender)
        return {receiver: tuple(senders) for receiver, senders in found.items()}

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Senders and receivers with q/k/v as one node, in the order of the computation.

        A key-value group that several heads share is a node of its own, and so is an MLP beside its neurons.
        """
        by_layer: dict[tuple[int, int], dict[str, None]] = {}
        for name in (*map(owner, self.receivers), *self.senders):
            by_layer.setdefault(_stage(name), {})[name] = None
        return tuple(name for stage in sorted(by_layer) for name in by_layer[stage])

    @cached_property
    def node_index(self) -> dict[str, int]:
        """Position of each node in `nodes`."""
        return {name: i for i, name in enumerate(self.nodes)}


def check_positions(nodes: int, positions: int, attended: int = 0) -> None:
    """Refuse to split too many nodes by too many positions; heads read those `attended` at others, too.

    Raises:
        GraphError: C465.
    """
    pairs = attended * positions**2 // 2
    for many, most, what in (
        (positions * nodes, MOST_NODES, "nodes"),
        (pairs, MOST_PAIRS, "pairs of positions to attend between"),
    ):
        if many > most:
            raise GraphError(
                "C465",
                f"split at {positions:,} positions, the graph has more than {most:,} {what}",
                hint="name only the positions that matter; the rest are joined as `other`",
            )


def stages(shape: Shape, *, halves: bool = True) -> list[str]:
    """Names of the residual stream's stages: each by the node that wrote last.

    `embed`, then after every layer's attention `L0`, after its MLP `MLP0`; without `halves` only after whole
    layers. The last is what the final norm reads.
    """
    found = ["embed"]
    for layer in range(shape.n_layers):
        found += [f"L{layer}"] if halves or not shape.mlps else []
        found += [f"MLP{layer}"] if shape.mlps else []
    return found


def owner(receiver: str) -> str:
    """The node that a receiver belongs to: `L1H0` for `L1H0.q`, the node itself for `MLP3`."""
    if not isinstance(receiver, str):
        raise unfit("a receiver", "a string", receiver)
    name, at, position = receiver.partition("@")
    return name.partition(".")[0] + at + position


def _is_attended(receiver: str) -> bool:
    """Whether a head reads a receiver at other positions than its own: keys and values, or all as one."""
    return not receiver.startswith("MLP") and not receiver.endswith(".q")


def _stage(name: str) -> tuple[int, int]:
    node = Node.parse(name)
    if node.layer is None:
        return (1 << 30, 0) if node.kind == "logits" else (-1, 0)
    return node.layer, {"kv": 0, "head": 1, "attention": 1, "mlp": 2, "neuron": 3}[node.kind]
