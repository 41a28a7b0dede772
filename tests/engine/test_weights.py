"""Weight circuits against whole matrices, and against what attention computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.tiny import Case, cases, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some
from torch import Tensor, nn

from nncirc.circuits.errors import GraphError, MethodError, ModelError
from nncirc.engine.methods.weight_circuits import (
    OF_HEADS,
    OF_PAIRS,
    LowRank,
    composition,
    composition_scores,
    ov_circuit,
    qk_circuit,
    virtual_head,
    weight_statistics,
)
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.model.model import Model

FAMILIES = pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])


def folded(norm: Any) -> Tensor:
    """A norm without its scale as a matrix, from the right."""
    width = len(norm.weight)
    centre = torch.eye(width, dtype=torch.float64)
    if isinstance(norm, nn.LayerNorm):
        centre = centre - torch.full((width, width), 1 / width, dtype=torch.float64)
    return centre @ torch.diag(norm.weight.double())


def whole(model: Model) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor]:
    """QK and OV of every head as matrices, the embedding, the unembedding."""
    parts: Any = oracle.parts_of(model.module)
    qk, ov = {}, {}
    for n, layer in enumerate(parts.layers):
        norm = folded(layer.attention_norm)
        for head, (query, _) in enumerate(layer.query):
            group = head * len(layer.key) // len(layer.query)
            key, value = layer.key[group][0], layer.value[group][0]
            qk[f"L{n}H{head}"] = norm @ query @ key.T @ norm.T / key.shape[1] ** 0.5
            ov[f"L{n}H{head}"] = norm @ value @ layer.out[head]
    embed = model.module.get_input_embeddings().weight
    return qk, ov, embed, folded(parts.final_norm) @ parts.unembed.weight.T


def share(matrix: Tensor) -> float:
    eigenvalues = torch.linalg.eigvals(matrix)
    return float(eigenvalues.real.sum() / eigenvalues.abs().sum())


@settings(max_examples=9)
@given(cases(layers=2))
def test_circuits_are_the_matrices(case: Case) -> None:
    model = case.model()
    qk, ov, embed, unembed = whole(model)
    for name in some(ov):
        torch.testing.assert_close(qk_circuit(model, name).matrix(), qk[name])
        torch.testing.assert_close(ov_circuit(model, name).matrix(), ov[name])
        of_tokens = ov_circuit(model, name, tokens=True)
        assert of_tokens.shape == (50, 50)
        torch.testing.assert_close(of_tokens.matrix(), embed @ ov[name] @ unembed)
        torch.testing.assert_close(qk_circuit(model, name, tokens=True).matrix(), embed @ qk[name] @ embed.T)
        rows, columns = torch.tensor([3, 1]), torch.tensor([0, 4, 7])
        torch.testing.assert_close(
            of_tokens.block(rows, columns), (embed @ ov[name] @ unembed)[rows][:, columns]
        )
        assert of_tokens.right.shape[-2] == model.d_head


@settings(max_examples=9)
@given(cases(layers=3))
def test_statistics_are_those_of_the_matrices(case: Case) -> None:
    model = case.model()
    qk, ov, embed, unembed = whole(model)
    found = weight_statistics(model, OF_HEADS)
    pairs = {of: composition(model, of) for of in OF_PAIRS} if model.shape.n_layers > 1 else {}
    assert found.nodes == tuple(ov)
    for head in ov:
        wanted = {"copying": share(embed @ ov[head] @ unembed), "matching": share(embed @ qk[head] @ embed.T)}
        reads = {"q_composition": qk[head], "k_composition": qk[head].T, "v_composition": ov[head]}
        earlier = [name for name in ov if int(name[1]) < int(head[1])]
        for of, matrix in reads.items():
            scores = {
                name: float((ov[name] @ matrix).norm() / (ov[name].norm() * matrix.norm()))
                for name in earlier
            }
            wanted[of] = max(scores.values(), default=0.0)
            if pairs:
                row = dict(zip(pairs[of].positions, pairs[of][head], strict=True))
                assert row == pytest.approx({name: scores.get(name, 0.0) for name in row}, abs=2e-5)
        if pairs:
            row = dict(zip(pairs["virtual_copying"].positions, pairs["virtual_copying"][head], strict=True))
            joint = {name: share(embed @ ov[name] @ ov[head] @ unembed) for name in earlier}
            assert row == pytest.approx({name: joint.get(name, 0.0) for name in row}, abs=2e-5)
        assert dict(zip(found.positions, found[head], strict=True)) == pytest.approx(wanted, abs=2e-5)


@FAMILIES
@pytest.mark.parametrize("distance", [0, 1, 3])
def test_qk_is_what_attention_scores_without_norms_and_biases(make: Any, distance: int) -> None:
    """A query and a key at two positions of one sequence, turned by the oracle's rotary embedding."""
    model: Model = make(seed=5)
    parts: Any = oracle.parts_of(model.module)
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, model.d_model, dtype=torch.float64, generator=draw)
    for n, layer in enumerate(some(parts.layers)):
        norm = folded(layer.attention_norm)
        for head, (query, _) in enumerate(some(layer.query)):
            key = layer.key[head * len(layer.key) // len(layer.query)][0]
            at = distance + 2
            queries, keys = torch.zeros(2, at + 1, query.shape[1], dtype=torch.float64)
            queries[at], keys[at - distance] = x @ norm @ query, y @ norm @ key
            scores = oracle.rotate(queries, parts.theta) @ oracle.rotate(keys, parts.theta).T
            wanted = float(scores[at, at - distance]) / query.shape[1] ** 0.5
            found = qk_circuit(model, f"L{n}H{head}", distance=distance).matrix()
            assert float(x @ found @ y) == pytest.approx(wanted, abs=1e-5)


@FAMILIES
def test_a_virtual_head_is_one_after_the_other(make: Any) -> None:
    model: Model = make(layers=3)
    _, ov, embed, unembed = whole(model)
    for first, second in [("L0H0", "L1H1"), ("L0H1", "L2H0"), ("L1H1", "L2H1")]:
        joint = ov[first] @ ov[second]
        torch.testing.assert_close(virtual_head(model, first, second).matrix(), joint)
        tokens = virtual_head(model, first, second, tokens=True)
        torch.testing.assert_close(tokens.matrix(), embed @ joint @ unembed)
        assert tokens.right.shape[-2] == model.d_head


def test_the_root_of_the_mean_square_over_rotations_is_what_unrelated_heads_have() -> None:
    draw = torch.Generator().manual_seed(0)
    width = 12
    a, b = torch.randn(2, width, 3, dtype=torch.float64, generator=draw)
    c, d = torch.randn(2, 3, width, dtype=torch.float64, generator=draw)
    writes, reads = LowRank(a, c), LowRank(b, d)
    squares = []
    for _ in range(4000):
        turn, upper = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=draw))
        turned = LowRank(writes.left, writes.right @ (turn * upper.diagonal().sign()))
        squares.append(float((turned @ reads).norm() / (writes.norm() * reads.norm())) ** 2)
    assert sum(squares) / len(squares) == pytest.approx(1 / width, rel=0.03)
    assert weight_statistics(tiny_gpt2(), ["copying"]).made["composition of unrelated heads"] == round(
        8**-0.5, 5
    )


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(4, 6))
def test_products_norms_and_eigenvalues_of_thin_matrices(seed: int, rank: int, width: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 2, width, rank, dtype=torch.float64, generator=draw)
    thin = LowRank(a, b.transpose(-1, -2))
    square = a @ b.transpose(-1, -2)
    torch.testing.assert_close(thin.matrix(), square)
    torch.testing.assert_close(thin.T.matrix(), square.transpose(-1, -2))
    torch.testing.assert_close((thin @ thin.T).matrix(), square @ square.transpose(-1, -2))
    torch.testing.assert_close(thin.norm(), torch.linalg.matrix_norm(square))
    torch.testing.assert_close(thin[1].matrix(), square[1])
    # Sums of powers tell eigenvalues without an order.
    for power in (1, 2, 3):
        wanted = torch.linalg.matrix_power(square, power).diagonal(dim1=-2, dim2=-1).sum(-1)
        torch.testing.assert_close((thin.eigenvalues() ** power).sum(-1).real, wanted, rtol=1e-6, atol=1e-6)


def test_a_head_that_is_zero_has_zeros() -> None:
    model = tiny_gpt2()
    model.module.transformer.h[0].attn.c_proj.weight[:4] = 0
    found = weight_statistics(model, OF_HEADS)
    assert found["L0H0"][0] == 0
    assert composition(model, "v_composition")["L1H0"][0] == 0
    assert composition(model, "virtual_copying")["L1H0"][0] == 0


def test_only_earlier_heads_compose() -> None:
    found = composition_scores(tiny_llama(layers=3), "k")
    for later in range(3):
        for earlier in range(3):
            assert bool((found[later, :, earlier] > 0).all()) is (earlier < later)


def test_what_is_asked_wrongly() -> None:
    model = tiny_gpt2()
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: ov_circuit(model, "L2H0"), "C576"),
        (lambda: ov_circuit(model, "L0H2"), "C576"),
        (lambda: qk_circuit(model, "MLP0"), "C576"),
        (lambda: qk_circuit(model, "L0H0.q"), "C576"),
        (lambda: virtual_head(model, "L1H0", "L1H1"), "C576"),
        (lambda: qk_circuit(model, "head"), "C451"),
        (lambda: weight_statistics(model, ["copies"]), "C577"),
        (lambda: composition(model, "copying"), "C577"),
        (lambda: composition(tiny_gpt2(layers=1), "k_composition"), "C577"),
    ]
    for wrong, code in cases:
        with pytest.raises((MethodError, GraphError)) as caught:
            wrong()
        assert caught.value.code == code


def test_a_compiled_program_has_compositions_and_copies_no_tokens() -> None:
    model = load_bundled("tracr-reverse")
    assert weight_statistics(model, ["k_composition", "matching"]).nodes == ("L0H0", "L1H0", "L2H0", "L3H0")
    found = ov_circuit(model, "L3H0", tokens=True)
    assert found.shape == (5, 3)  # from tokens to outputs
    for wrong in ("copying", "virtual_copying"):
        with refused(ModelError, "C433"):
            (composition(model, wrong) if wrong in OF_PAIRS else weight_statistics(model, [wrong]))
