"""Only what a cut can change: the part of the model downstream of one receiver, with the rest as stored.

ACDC tests receivers from the output backwards. When it tests a receiver, all before it is still the clean
run, and of all after it only the edges kept so far carry a change any further. So the state is the clean run
plus the current values of the nodes tested so far, and one test costs these steps only:

    input(v) += substitute[w] − clean[w]      the edge w -> v is cut
    δ = node(input(v)) − out[v]               the node is computed again
    input(r) += δ                             for every r that keeps an edge from it, and so on to the logits

A change that only reaches positions which the metric reads is computed at these alone (`narrow`). Modules
are called inside a trace in which every block is skipped, through nnsight's envoys.

In a graph of positions an edge carries what its sender writes at its tokens only. Nodes are those of the
graph without positions here, and are computed at all tokens; what an edge carries is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.layer import as_written, attention_of, made_alone, skipper, taken, unit_project
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import run
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import run_state
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.wiring import Stage, Wiring

T = TypeVar("T")

EVERYWHERE = slice(None)


@dataclass(slots=True)
class Change:
    """What one evaluation computed, a row for each candidate; `Live.accept` makes a row the state."""

    inputs: dict[int, Float[Tensor, "row batch at d_model"]] = field(default_factory=dict)
    outputs: dict[int, Float[Tensor, "row batch at d_model"]] = field(default_factory=dict)
    units: dict[tuple[int, int, int], Float[Tensor, "row batch at d_head"]] = field(default_factory=dict)
    zs: dict[tuple[int, int], Float[Tensor, "row batch at d_head"]] = field(default_factory=dict)


class Live:
    """The state of one batch of prompts while receivers are tested from the output backwards.

    `open`, `cut` and `close` take indices of `whole`, which may be split by position; everything else is
    about the nodes of the graph without positions. `listeners` says who keeps an edge from a sender, and at
    which tokens; None for all.
    """

    def __init__(
        self, contrast: Contrast, metric: Metric, batch: Batch, whole: Graph, wiring: Wiring
    ) -> None:
        graph = wiring.graph
        self.model: Model = contrast.model
        self.wiring = wiring
        where = contrast.where(batch, whole)
        self.places: list[Tensor | None] = [None] if where is None else list(where[..., None])
        self.kept: dict[int, dict[int, Tensor | None]] = {}
        self.listeners: list[dict[int, Tensor | None]] = [{} for _ in graph.senders]
        self.reading = contrast.reading(batch, metric)
        self.metric, self.reference = metric, contrast.reference(batch, metric)
        columns = self.model.unembed_columns(self.reading.columns())
        self.columns = columns if metric.measure.columns else None
        self.probability: Tensor | None = None
        if reads_change(self.model, metric) and columns is not None and self.reference is not None:
            self.probability = self.reference.exp().float()
        self.normed: Tensor | None = None
        self.clean = contrast.clean_outputs(batch, graph)
        self.difference = contrast.substitute(batch, graph) - self.clean
        self.out = self.clean.clone()
        self.residual, self.projected, self.z = run_state(self.model, batch.clean)
        length = batch.clean.shape[1]
        self.attends = attention_of(self.model, length)
        self.visible = [each.sees(self.reading.kept, length) for each in self.attends]
        self.base: dict[int, Tensor] = {}
        self.input: dict[int, Tensor] = {}
        self.narrow_receiver: set[int] = {len(graph.receivers) - 1}
        self.narrow_sender: set[int] = set()

    def is_coupled(self, receiver: int) -> bool:
        """Whether heads that a receiver feeds share the scale of a norm with all heads of their layer.

        What one head adds to the stream then depends on what the others do, heard or not.
        """
        return self.model.couples_heads and receiver in self.wiring.units

    def reaches(self, receiver: int) -> bool:
        """Whether anyone listens to a head of a receiver's layer."""
        layer = self.wiring.stages[self.wiring.stage_of[receiver // len(self.places)]].layer
        return any(self.listeners[sender] for sender in self.wiring.head_sender[layer])

    # Where nodes are computed -------------------------------------------------------------------------

    def at(self, *, narrow: bool) -> Tensor | slice:
        """The positions of a narrow node (those that the metric reads), or all."""
        return self.reading.kept if narrow else EVERYWHERE

    def open(self, receiver: int) -> None:
        """Begin to test a receiver: its input is still that of the clean run, at its position at least."""
        receiver //= len(self.places)
        if receiver in self.input:
            return
        for sender in self.wiring.feeds[receiver]:
            heard = self.listeners[sender]
            if heard and all(r in self.narrow_receiver for r in heard) and not self.is_coupled(receiver):
                self.narrow_sender.add(sender)
        only_queries = all(kind == 0 for kind, _ in self.wiring.units.get(receiver, ()))
        if only_queries and all(s in self.narrow_sender for s in self.wiring.feeds[receiver]):
            self.narrow_receiver.add(receiver)
        self.input[receiver] = self.residual[self.wiring.stage_of[receiver]].clone()

    def close(self, receiver: int, kept: Sequence[int]) -> None:
        """A receiver has been tested: it keeps edges from these senders; its input is summed afresh."""
        receiver, place = divmod(receiver, len(self.places))
        senders = [sender // len(self.places) for sender in kept]
        reach = self.wiring.graph.reach[receiver]
        cut = torch.ones(reach, dtype=self.model.dtype, device=self.model.device)
        cut[senders] = 0
        residual = self.residual[self.wiring.stage_of[receiver]]
        change = (cut @ self.difference[:reach].flatten(1)).view_as(residual)
        self.base[receiver] = self.base.get(receiver, residual) + masked(change, self.places[place])
        self.input[receiver] = self.base[receiver].clone()
        own = self.kept.setdefault(receiver, {})
        for sender in senders:
            before, tokens = own.get(sender), self.places[place]
            own[sender] = tokens if before is None or tokens is None else before + tokens
            self.listeners[sender][receiver] = own[sender]

    def row_bytes(self) -> int:
        """About what a row of an evaluation takes: changes of live nodes, the largest stage, and logits."""
        live = sum(map(bool, self.kept.values())) + sum(map(bool, self.listeners))
        # An MLP's hidden layer and what its activation makes of it, 4 d_model each; of every live receiver of
        # an attention layer its input, the norm of that, and a copy for its projection.
        inside = 16 + 9 * self.model.shape.n_heads
        blocks = (live + inside) * self.residual[0].numel() * self.model.dtype.itemsize
        if self.columns is not None:
            return blocks
        # In the model's dtype, in float64, and once more for the metric.
        logits = 24 * len(self.reading.kept) * len(self.residual[0]) * self.model.module.config.vocab_size
        return blocks + logits

    # Evaluation: inside a trace only ---------------------------------------------------------------------

    def cut(
        self, receiver: int, senders: Sequence[int], expected: Sequence[bool]
    ) -> tuple[Float[Tensor, "row batch"], Change]:
        """The metric with edges cut as well, a row for each sender, and the change.

        In a sender's row its edge is cut, and those from the senders before it that are expected to be.
        """
        added = self.added(receiver, senders)
        stays = torch.tensor(expected, device=added.device).view(-1, 1, 1, 1)
        behind = torch.where(stays, added, 0).cumsum(0)
        return self.propagate({receiver // len(self.places): torch.where(stays, behind, behind + added)})

    def cut_together(self, receiver: int, senders: Sequence[int]) -> tuple[Float[Tensor, "1 batch"], Change]:
        """The metric with the edges from all of these senders cut as well, and the change: one row."""
        added = self.added(receiver, senders).sum(0, keepdim=True)
        return self.propagate({receiver // len(self.places): added})

    def added(self, receiver: int, senders: Sequence[int]) -> Float[Tensor, "sender batch at d_model"]:
        """What cutting the edges from these senders adds to a receiver's input."""
        receiver, place = divmod(receiver, len(self.places))
        at = self.at(narrow=receiver in self.narrow_receiver)
        carried = self.difference[[sender // len(self.places) for sender in senders]][:, :, at]
        return masked(carried, self.places[place], at)

    def propagate(self, pending: dict[int, Tensor]) -> tuple[Float[Tensor, "row batch"], Change]:
        """Carry changes of some receivers' inputs on to the logits."""
        change = Change()
        for stage in self.wiring.stages[self.wiring.stage_of[min(pending)] :]:
            inputs = {r: pending.pop(r) for r in stage.receivers if r in pending}
            if not inputs:
                continue
            change.inputs.update(inputs)
            if stage.kind == "logits":
                return self.read(inputs[stage.receivers.start]), change
            for sender, delta in self.compute(stage, inputs, change).items():
                change.outputs[sender] = delta
                self.send(sender, delta, pending)
        raise AssertionError("every node that someone listens to reaches the logits")

    @property
    def input_at_logits(self) -> Float[Tensor, "1 batch kept d_model"]:
        """The current input of the final norm where the metric reads."""
        return self.input[len(self.wiring.graph.receivers) - 1][:, self.reading.kept][None]

    def send(self, sender: int, delta: Tensor, pending: dict[int, Tensor]) -> None:
        """Add a sender's change to the input of everyone who keeps an edge from it."""
        for receiver, tokens in self.listeners[sender].items():
            seen = delta
            if receiver in self.narrow_receiver and sender not in self.narrow_sender:
                seen = delta[:, :, self.reading.kept]
            seen = masked(seen, tokens, self.at(narrow=receiver in self.narrow_receiver))
            pending[receiver] = pending[receiver] + seen if receiver in pending else seen

    def read(self, delta: Float[Tensor, "row batch kept d_model"]) -> Float[Tensor, "row batch"]:
        """The metric from the change of the logits' input."""
        normed = self.model.final_norm(self.input_at_logits + delta)
        if self.columns is not None:
            made = torch.einsum("rbnd,bncd->rbnc", self.reading.select(normed), self.columns)
            logits = self.model.logits(made)
            return self.reading.column_values(self.metric, logits)
        if self.probability is not None:
            values = self.read_change(normed, self.probability)
            if values is not None:
                return values
        logits = self.model.unembedded(normed)
        return self.reading.values(self.metric, logits, self.reference)

    def read_change(
        self, normed: Float[Tensor, "row batch kept d_model"], probability: Float[Tensor, "batch read vocab"]
    ) -> Float[Tensor, "row batch"] | None:
        """The metric from the change of the logits, not one of them in float64; None if it is too large."""
        of_change = self.metric.measure.of_change
        assert of_change is not None
        if self.normed is None:
            clean: Tensor = self.model.final_norm(self.residual[-1][:, self.reading.kept][None])
            self.normed = clean
        return self.reading.change_values(of_change, self.model.unembed(normed - self.normed), probability)

    def compute(self, stage: Stage, inputs: Mapping[int, Tensor], change: Change) -> dict[int, Tensor]:
        """How the senders of a stage change when these of its inputs change."""
        if stage.kind == "mlp":
            sender = self.wiring.mlp_sender[stage.layer]
            at = self.at(narrow=sender in self.narrow_sender)
            (receiver,) = inputs
            new = self.mlp(stage.layer, self.input[receiver][:, at] + inputs[receiver])
            return {sender: new - self.out[sender][:, at]}
        zs = self.attention(stage.layer, inputs, change)
        senders = self.wiring.head_sender[stage.layer]
        if self.model.couples_heads:
            return self.coupled(stage.layer, zs)
        found: dict[int, Tensor] = {}
        for narrow in (False, True):
            heads = [h for h in zs if (senders[h] in self.narrow_sender) is narrow]
            if not heads:
                continue
            moved = (
                torch.stack([zs[h] for h in heads])
                - self.z[stage.layer][heads][:, None][..., self.at(narrow=narrow), :]
            )
            deltas = unit_project(moved, taken(self.model.outs[stage.layer], heads), None)
            for head, delta in zip(heads, deltas, strict=True):
                sender = senders[head]
                found[sender] = found[sender] + delta if sender in found else delta
        return found

    def coupled(self, layer: int, zs: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """How the heads of a layer change what they add, where a norm scales all of them together."""
        if not zs:
            return {}
        shape = next(iter(zs.values())).shape
        z = torch.stack(
            [zs.get(head, self.z[layer][head].expand(shape)) for head in range(len(self.z[layer]))]
        )
        outputs = self.heads_add(layer, z)
        senders = self.wiring.head_sender[layer]
        return {s: outputs[s] - self.out[s] for s in dict.fromkeys(senders) if self.listeners[s]}

    def heads_add(self, layer: int, z: Float[Tensor, "head *batch d_value"]) -> dict[int, Tensor]:
        """What the heads of a layer add to the stream, by their senders."""
        counted = as_written(self.model, layer, self.model.blocks[layer], z)
        found: dict[int, Tensor] = {}
        for sender, output in zip(
            self.wiring.head_sender[layer], unit_project(counted, self.model.outs[layer], None), strict=True
        ):
            found[sender] = found[sender] + output if sender in found else output
        return found

    def mlp(self, layer: int, residual: Tensor) -> Tensor:
        """An MLP's output from its own version of the residual stream."""
        return self.model.blocks[layer].mlp_adds(residual)

    def attention(self, layer: int, inputs: Mapping[int, Tensor], change: Change) -> dict[int, Tensor]:
        """The new z of every live head that one of these changed inputs enters."""
        fresh = self.project(layer, inputs)
        shape, kv_of = self.wiring.graph.shape, self.wiring.kv_of
        senders = self.wiring.head_sender[layer]
        rows = len(next(iter(inputs.values())))
        found: dict[int, Tensor] = {}
        for narrow in (False, True):
            heads = [
                head
                for head in range(shape.n_heads)
                if (self.listeners[senders[head]] or self.model.couples_heads)
                and (senders[head] in self.narrow_sender) is narrow
                and any(unit in fresh for unit in ((0, head), (1, kv_of[head]), (2, kv_of[head])))
            ]
            if not heads:
                continue

            def stacked(kind: int, index: Sequence[int]) -> Tensor:
                return torch.stack([self.unit(layer, kind, i, fresh, rows) for i in index])

            groups = [kv_of[head] for head in heads]
            query = torch.stack([self.query(layer, head, fresh, rows, narrow=narrow) for head in heads])
            mask = self.visible[layer] if narrow else None
            z = self.attends[layer].attend(query, stacked(1, groups), stacked(2, groups), mask)
            found.update(zip(heads, z, strict=True))
        change.units.update({(layer, kind, index): value for (kind, index), value in fresh.items()})
        change.zs.update({(layer, head): z for head, z in found.items()})
        return found

    def project(self, layer: int, inputs: Mapping[int, Tensor]) -> dict[tuple[int, int], Tensor]:
        """Queries, keys and values that these changed inputs make, by (kind, index)."""
        block = self.model.blocks[layer]
        found: dict[tuple[int, int], Tensor] = {}
        for narrow in (False, True):
            receivers = sorted(
                (r for r in inputs if (r in self.narrow_receiver) is narrow),
                key=lambda receiver: self.wiring.units[receiver],
            )
            if not receivers:
                continue
            at = self.at(narrow=narrow)
            read = block.attention_read(torch.stack([self.input[r][:, at] + inputs[r] for r in receivers]))
            for kind in range(3):
                units = [
                    (i, u) for i, r in enumerate(receivers) for k, u in self.wiring.units[r] if k == kind
                ]
                if not units:
                    continue
                rows, index = map(list, zip(*units, strict=True))
                made = made_alone(self.model, layer, kind, index, taken(read, rows))
                if kind < 2:
                    made = self.attends[layer].turned(made, kind, at)
                found.update({(kind, u): value for u, value in zip(index, made, strict=True)})
        return found

    def unit(
        self, layer: int, kind: int, index: int, fresh: Mapping[tuple[int, int], Tensor], rows: int
    ) -> Tensor:
        """A head's query, key or value: a new one, or the state's for every row."""
        if (kind, index) in fresh:
            return fresh[kind, index]
        return self.projected[layer][kind][index].expand(rows, -1, -1, -1)

    def query(
        self, layer: int, head: int, fresh: Mapping[tuple[int, int], Tensor], rows: int, *, narrow: bool
    ) -> Tensor:
        """A head's query, for a narrow head where the metric reads."""
        made = self.unit(layer, 0, head, fresh, rows)
        return (
            made[..., self.reading.kept, :]
            if narrow and made.shape[-2] == self.residual[0].shape[1]
            else made
        )

    # The state --------------------------------------------------------------------------------------------

    def accept(self, change: Change, row: int) -> None:
        """Make a row of an evaluation the state."""
        for receiver, delta in change.inputs.items():
            self.input[receiver][:, self.at(narrow=receiver in self.narrow_receiver)] += delta[row]
        for sender, delta in change.outputs.items():
            self.out[sender][:, self.at(narrow=sender in self.narrow_sender)] += delta[row]
        for (layer, kind, index), value in change.units.items():
            self._store(self.projected[layer][kind][index], value[row])
        for (layer, head), value in change.zs.items():
            self._store(self.z[layer][head], value[row])

    def _store(self, state: Tensor, value: Tensor) -> None:
        narrow = value.shape[-2] != state.shape[-2]
        state[:, self.at(narrow=narrow)] = value

    def rebuild(self) -> None:
        """Sum the inputs of the receivers tested so far afresh: adding changes to them drifts by rounding."""
        moved: dict[int, Tensor] = {}
        for layer, heads in enumerate(self.wiring.head_sender):
            listened = [sender for sender in dict.fromkeys(heads) if self.listeners[sender]]
            if listened and self.model.couples_heads:
                outputs = self.heads_add(layer, self.z[layer])
                for sender in listened:
                    self.out[sender] = outputs[sender]
            else:
                for sender in listened:
                    own = [head for head, s in enumerate(heads) if s == sender]
                    z = self.z[layer][own]
                    out = unit_project(z, self.model.outs[layer][own], None).sum(0)
                    at = self.at(narrow=sender in self.narrow_sender)
                    self.out[sender][:, at] = out[:, at]
        for receiver, senders in self.kept.items():
            total = self.base[receiver].clone()
            for sender, tokens in senders.items():
                if sender not in moved:
                    moved[sender] = self.out[sender] - self.clean[sender]
                total += masked(moved[sender], tokens)
            self.input[receiver] = total


def masked(
    values: Float[Tensor, "*row batch at d_model"],
    tokens: Float[Tensor, "batch pos 1"] | None,
    at: Tensor | slice = EVERYWHERE,
) -> Float[Tensor, "*row batch at d_model"]:
    """Values, given at the positions `at`, with those at other tokens than these set to zero."""
    return values if tokens is None else values * tokens[:, at]


def reads_change(model: Model, metric: Metric) -> bool:
    """Whether a metric is read from the change of the logits: float64 has its own formula, which is exact."""
    return model.dtype == torch.float32 and model.plain_logits and metric.measure.of_change is not None


def with_modules(model: Model, body: Callable[[], T]) -> T:
    """Run `body` inside a trace of which every block is skipped, so that it can call any module."""
    token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    nothing = torch.zeros(1, 1, model.d_model, dtype=model.dtype, device=model.device)

    skip = skipper(model)

    def skipping() -> T:
        for block in model.blocks:
            skip(block, nothing)
        found = body()
        model.skip_logits()
        return found

    return run(model.envoy, model.inputs(token, keep=1), skipping)
