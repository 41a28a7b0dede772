"""Circuits in the weights of heads: what they read and write whatever the prompt is (Elhage et al. 2021).

Vectors are rows. A head attends from x to y by the bilinear form x · QK · yᵀ and writes y · OV into the
stream, where y is what it attends to. Both are products of two thin matrices, and stay so here.

The weights of the norm that a head reads through are folded in: its gain and, of a LayerNorm, taking off the
mean; so are those of the final norm where a circuit ends at tokens. The scales of norms depend on the prompt
and are left out, as are all biases. Under grouped-query attention the heads of a group share a key and a
value matrix. With rotary embeddings QK depends on how far apart the two positions are: by default
they are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Annotated, Literal, TypeAlias

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from nncirc.circuits.annotations import SOME, Count
from nncirc.circuits.arguments import public, unfit
from nncirc.circuits.errors import MethodError, ModelError
from nncirc.circuits.made import Made
from nncirc.circuits.names import Node
from nncirc.dsl.check.tables import heads
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.model.fits import require_alone
from nncirc.engine.model.layer import attention_of, read_by, shared
from nncirc.engine.model.model import Model
from nncirc.engine.model.norms import Norm, norm_parts

Input: TypeAlias = Literal["q", "k", "v"]


@public
@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """A matrix as the product of a tall and a wide one, in float64. Leading dimensions count matrices.

    Attributes:
        left: the tall one.
        right: the wide one.
    """

    left: Float[Tensor, "*batch rows rank"]
    right: Float[Tensor, "*batch rank columns"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.left.shape[-2], self.right.shape[-1]

    @property
    def T(self) -> LowRank:  # noqa: N802 (as torch has it)
        """The transpose."""
        return LowRank(self.right.transpose(-1, -2), self.left.transpose(-1, -2))

    def __post_init__(self) -> None:
        _require_product("`right`", "`left`", self.left, self.right)

    @public
    def __matmul__(self, other: LowRank) -> LowRank:
        """The product, whose rank is that of the first."""
        _require_product("`other`", "the first matrix", self.right, other.left)
        return LowRank(self.left, (self.right @ other.left) @ other.right)

    @public
    def __getitem__(self, at: int | slice | Tensor) -> LowRank:
        """Some of the matrices."""
        return LowRank(self.left[at], self.right[at])

    @public
    def block(
        self, rows: Int[Tensor, " some"], columns: Int[Tensor, " others"]
    ) -> Float[Tensor, "*batch some others"]:
        """The entries of some rows and columns."""
        for name, at, size in (("rows", rows, self.shape[0]), ("columns", columns, self.shape[1])):
            if len(at) and not 0 <= int(at.min()) <= int(at.max()) < size:
                raise unfit(f"`{name}`", f"indices from 0 to {size - 1}", at.tolist())
        return self.left[..., rows, :] @ self.right[..., columns]

    def matrix(self) -> Float[Tensor, "*batch rows columns"]:
        """The whole matrix: of tokens by tokens it takes 20 GB with GPT-2's vocabulary."""
        return self.left @ self.right

    def norm(self) -> Float[Tensor, "*batch"]:
        """The Frobenius norm, from the two Gram matrices."""
        left, right = self.left.transpose(-1, -2) @ self.left, self.right @ self.right.transpose(-1, -2)
        # The trace of a product of two symmetric matrices; rounding may take it below 0.
        return (left * right).sum((-2, -1)).clamp(min=0).sqrt()

    def eigenvalues(self) -> Complex[Tensor, "*batch rank"]:
        """The eigenvalues that are not 0 of necessity: those of right · left, which is small."""
        found: Tensor = torch.linalg.eigvals(self.right @ self.left)
        return found

    def positive_share(self) -> Float[Tensor, "*batch"]:
        """Σ λ / Σ |λ|: 1 if all eigenvalues are positive, -1 if all are negative; 0 of a matrix that is 0."""
        eigenvalues = self.eigenvalues()
        return _ratio(eigenvalues.real.sum(-1), eigenvalues.abs().sum(-1))


def _require_product(what: str, of: str, first: Tensor, second: Tensor) -> None:
    """Refuse matrices that have no product."""
    rows, columns = second.shape[-2], first.shape[-1]
    if rows != columns:
        raise unfit(what, f"a matrix of as many rows as {of} has columns, {columns}", rows)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / below, 0.0)


# Circuits of heads -----------------------------------------------------------------------------------------


def qk_circuits(model: Model, layer: int, *, distance: int = 0) -> LowRank:
    """QK of every head of a layer, `head d_model d_model`: from what attends to what is attended to.

    Scaled as the attention scores are (1/√d_head).

    Args:
        model: the model.
        layer: which one.
        distance: how many positions the key is before the query; matters with rotary embeddings only.
    """
    norm, weights = _reads(model, layer), model.weights[layer]
    query, key = _folded(norm, weights.query), _folded(norm, weights.key)
    require_alone(model, "a QK circuit")
    attends = attention_of(model, distance + 1)[layer]
    if attends.norms is not None or not model.linear:
        raise MethodError(
            "C571",
            f"{model.name} normalizes queries and keys, so QK is not a matrix",
            hint="use attention_statistics on prompts instead",
        )
    if attends.rotary is not None:
        cos, sin = (part[distance:].double() for part in attends.rotary)
        query = replace(attends, rotary=(cos, sin), norms=None).turned(query, 0)
    return LowRank(query * attends.scaling, shared(model.shape, key).transpose(-1, -2))


def ov_circuits(model: Model, layer: int) -> LowRank:
    """OV of every head of a layer, `head d_model d_model`: from what is attended to to what is written."""
    weights = model.weights[layer]
    value = shared(model.shape, _folded(_reads(model, layer), weights.value))
    return LowRank(value, model.outs[layer].detach().double())


def _reads(model: Model, layer: int) -> Norm:
    block = attrgetter(model.family.blocks)(model.module)[layer]
    return norm_parts(read_by(model.family.attention_norm, block), model.outs[layer].detach())


def _folded(
    norm: Norm, matrices: Float[Tensor, "head d_model d_head"]
) -> Float[Tensor, "head d_model d_head"]:
    return norm.back(matrices.detach().transpose(-1, -2)).transpose(-1, -2)


def embedding(model: Model) -> Float[Tensor, "vocab d_model"]:
    """What every token writes into the stream; positions are left out."""
    found: Tensor = model.module.get_input_embeddings().weight.detach().double()
    return found


def unembedding(model: Model) -> Float[Tensor, "vocab d_model"]:
    """What of the stream raises every token's logit, the final norm's weights folded in."""
    weight = attrgetter(model.family.unembed)(model.module).weight.detach()
    return norm_parts(attrgetter(model.family.final_norm)(model.module), weight).back(weight)


def _head(model: Model, name: str) -> tuple[int, int]:
    """Layer and index of a head.

    Raises:
        MethodError: C576, the model has no such head.
        GraphError: C451, it is not the name of a node.
    """
    node = Node.parse(name)
    layer, index = node.layer, node.index
    shape = model.shape
    if node.kind != "head" or node.input is not None or layer is None or index is None:
        raise MethodError(
            "C576", f"expected an attention head, found {name}", hint="write a head such as L1H0"
        )
    if layer >= shape.n_layers or index >= shape.n_heads:
        raise MethodError(
            "C576",
            f"{model.name} has no head {name}",
            hint=f"it has {shape.n_layers} layers of {shape.n_heads} heads, counted from 0",
        )
    return layer, index


@public
def qk_circuit(model: Model, head: str, *, tokens: bool = False, distance: Count = 0) -> LowRank:
    """How a head attends from every token or direction (rows) to every other (columns).

    Args:
        model: the model.
        head: `L1H0`.
        tokens: from tokens to tokens, `vocab vocab`, by the direct path from the embedding; otherwise between
            directions of the residual stream, `d_model d_model`.
        distance: how many positions the key is before the query; matters with rotary embeddings only.

    Raises:
        MethodError: C576, no such head.
    """
    layer, index = _head(model, head)
    found = qk_circuits(model, layer, distance=distance)[index]
    if not tokens:
        return found
    embed = embedding(model)
    return LowRank(embed @ found.left, found.right @ embed.T)


@public
def ov_circuit(model: Model, head: str, *, tokens: bool = False) -> LowRank:
    """What a head writes (columns) where it attends to a token or direction (rows).

    Args:
        model: the model.
        head: `L1H0`.
        tokens: from tokens to logits, `vocab vocab`; otherwise between directions of the residual stream.

    Raises:
        MethodError: C576, no such head.
    """
    layer, index = _head(model, head)
    return _between_tokens(model, ov_circuits(model, layer)[index], tokens=tokens)


@public
def virtual_head(model: Model, first: str, second: str, *, tokens: bool = False) -> LowRank:
    """OV of two heads in a row: what `second` writes where it attends to what `first` has written.

    Args:
        model: the model.
        first: the earlier head, `L0H2`.
        second: the later head.
        tokens: from tokens to logits; otherwise between directions of the residual stream.

    Raises:
        MethodError: C576, no such head, or the second is not in a later layer.
    """
    (layer, index), (later, other) = _head(model, first), _head(model, second)
    if later <= layer:
        raise MethodError(
            "C576", f"{second} does not read what {first} writes", hint="use a second head in a later layer"
        )
    found = ov_circuits(model, layer)[index] @ ov_circuits(model, later)[other]
    return _between_tokens(model, found, tokens=tokens)


def _between_tokens(model: Model, circuit: LowRank, *, tokens: bool) -> LowRank:
    if not tokens:
        return circuit
    return LowRank(embedding(model) @ circuit.left, circuit.right @ unembedding(model).T)


# Numbers for heads -----------------------------------------------------------------------------------------


def _through_tokens(model: Model) -> Float[Tensor, "d_model d_model"]:
    """W_Uᵀ W_E: from what raises a token's logit to what that token writes.

    Raises:
        ModelError: C433, the model's outputs are no logits of tokens.
    """
    if not model.predicts_tokens:
        raise ModelError(
            "C433",
            f"copying needs logits, but {model.name} outputs values",
            hint="use matching or a composition",
        )
    reads, gives = embedding(model), unembedding(model)
    if len(reads) != len(gives):
        raise ModelError(
            "C433",
            f"copying needs a logit for every token, but {model.name} reads {len(reads)} tokens and has"
            f" {len(gives)} outputs",
            hint="use matching or a composition",
        )
    return gives.T @ reads


@public
def copying_scores(model: Model) -> Float[Tensor, "layer head"]:
    """Σ λ / Σ |λ| of every head's OV circuit from token to logit (Elhage et al. 2021).

    Raises:
        ModelError: C433, the model's outputs are no logits of tokens.
    """
    # λ of W_E · OV · W_Uᵀ are those of W_Uᵀ W_E · OV, and of a matrix that is d_head wide.
    through = _through_tokens(model)
    found = []
    for layer in range(model.shape.n_layers):
        circuit = ov_circuits(model, layer)
        found.append(LowRank(through @ circuit.left, circuit.right).positive_share())
    return torch.stack(found).cpu()


@public
def matching_scores(model: Model) -> Float[Tensor, "layer head"]:
    """Σ λ / Σ |λ| of every head's QK circuit from token to token: 1 if tokens attend to themselves.

    By the direct path from the embedding, at distance 0 where positions are rotary (Elhage et al. 2021).
    """
    embed = embedding(model)
    through = embed.T @ embed
    found = []
    for layer in range(model.shape.n_layers):
        circuit = qk_circuits(model, layer)
        found.append(LowRank(through @ circuit.left, circuit.right).positive_share())
    return torch.stack(found).cpu()


@public
def composition_scores(model: Model, which: Input) -> Float[Tensor, "layer head layer head"]:
    """How much every head (first) composes with what every earlier head (last) writes, 0 to 1.

    ‖OV₁ · M₂‖ / (‖OV₁‖ · ‖M₂‖) with Frobenius norms, where M₂ is what the later head reads by: QK for its
    query, QKᵀ for its key, OV for its value (Elhage et al. 2021). 0 where the second is not earlier.

    Heads with nothing to do with each other have about 1/√d_model, which is the root of the mean square over
    all rotations of what lies between them: compare with that.
    """
    shape = model.shape
    found = torch.zeros(shape.n_layers, shape.n_heads, shape.n_layers, shape.n_heads, dtype=torch.float64)
    written: list[LowRank] = []
    for layer in range(shape.n_layers):
        own = ov_circuits(model, layer)
        qk = None if which == "v" else qk_circuits(model, layer)
        reads = own if qk is None else qk if which == "q" else qk.T
        for earlier, writes in enumerate(written):
            # by receiving and sending head
            joint = LowRank(writes.left, (writes.right @ reads.left[:, None]) @ reads.right[:, None])
            ratio = _ratio(joint.norm(), writes.norm() * reads.norm()[:, None])
            found[layer, :, earlier] = ratio.cpu()
        written.append(own)
    return found


def virtual_copying_scores(model: Model) -> Float[Tensor, "layer head layer head"]:
    """Σ λ / Σ |λ| of every virtual head from token to logit: a head (first) after an earlier one (last).

    0 where the second is not earlier.
    """
    shape = model.shape
    found = torch.zeros(shape.n_layers, shape.n_heads, shape.n_layers, shape.n_heads, dtype=torch.float64)
    through = _through_tokens(model)
    written: list[LowRank] = []
    for layer in range(shape.n_layers):
        own = ov_circuits(model, layer)
        for earlier, writes in enumerate(written):
            joint = LowRank(through @ writes.left, (writes.right @ own.left[:, None]) @ own.right[:, None])
            found[layer, :, earlier] = joint.positive_share().cpu()
        written.append(own)
    return found


COMPOSITIONS: dict[str, Input] = {"q_composition": "q", "k_composition": "k", "v_composition": "v"}
OF_HEADS = ("copying", "matching", *COMPOSITIONS)
OF_PAIRS = (*COMPOSITIONS, "virtual_copying")


@public
def weight_statistics(model: Model, of: Annotated[Sequence[str], SOME]) -> NodeScores:
    """Statistics of every head's weights; each is a column of the result. No prompt is run.

    - `copying`: `copying_scores`.
    - `matching`: `matching_scores`.
    - `q_composition`, `k_composition`, `v_composition`: the largest of the head's `composition_scores`.

    Args:
        model: the model.
        of: which statistics.

    Raises:
        MethodError: C577, an unknown statistic; C571, a norm that cannot be folded.

    Source: Elhage et al. 2021.
    """
    columns = []
    for name in of:
        if name in COMPOSITIONS:
            columns.append(composition_scores(model, COMPOSITIONS[name]).flatten(2).amax(-1))
        elif name in OF_HEADS:
            columns.append((copying_scores if name == "copying" else matching_scores)(model))
        else:
            raise _unknown(name, OF_HEADS)
    table = torch.stack(columns, dim=-1).flatten(0, 1).tolist()
    return NodeScores.of(heads(model.shape), of, table, _made(model, "weight_statistics"), model.digits)


@public
def composition(model: Model, of: str) -> NodeScores:
    """A number for every pair of heads: a row for the later head, a column for the earlier one.

    Args:
        model: the model.
        of: `q_composition`, `k_composition`, `v_composition` (see `composition_scores`), or
            `virtual_copying`, the copying score of the two heads in a row. 0 where the second head is not of
            an earlier layer.

    Raises:
        MethodError: C577, an unknown statistic, or a model of one layer; C571, a norm that cannot be folded.

    Source: Elhage et al. 2021.
    """
    if of not in OF_PAIRS:
        raise _unknown(of, OF_PAIRS)
    shape = model.shape
    if shape.n_layers == 1:
        raise MethodError(
            "C577",
            f"pairs of heads need at least two layers; {model.name} has one",
            hint="use a statistic of single heads",
        )
    pairs = (
        composition_scores(model, COMPOSITIONS[of]) if of in COMPOSITIONS else virtual_copying_scores(model)
    )
    table = pairs.flatten(2).flatten(0, 1)[:, : -shape.n_heads].tolist()
    names = heads(model.shape)
    made: Made = {**_made(model, "composition"), "of": of}
    return NodeScores.of(names, names[: -shape.n_heads], table, made, model.digits)


def _unknown(name: str, known: Sequence[str]) -> MethodError:
    return MethodError("C577", f"unknown weight statistic {name!r}", hint=f"expected {', '.join(known)}")


def _made(model: Model, method: str) -> Made:
    return {
        "method": method,
        "score": "composition 0 to 1; copying and matching -1 to 1",
        "norms": "gain and centring folded in, scale left out",
        "distance": 0,
        "composition of unrelated heads": round(model.d_model**-0.5, 5),
        "dtype": str(model.dtype).removeprefix("torch."),
    }
