"""How circuits were made, as far as it is so of all that they were made from."""

from __future__ import annotations

from nncirc.circuits.made import alike, inherited

SCORES = {"method": "attribution_patching", "metric": "prob", "model": "m", "at": ["end"]}
TOP = {"method": "top", "edges": 5, "scores": SCORES}
ACDC = {"method": "acdc", "metric": "prob", "model": "m", "at": ["end"], "threshold": 0.1}


def test_a_circuit_has_the_facts_of_its_scores_and_its_own_first() -> None:
    assert inherited(TOP) == {**SCORES, **TOP}


def test_a_union_has_what_all_its_circuits_have() -> None:
    made = {"method": "union", "of": [TOP, ACDC]}
    assert inherited(made) == {"metric": "prob", "model": "m", "at": ["end"], **made}
    twice = {"method": "difference", "of": [made, {**ACDC, "model": "other"}]}
    assert inherited(twice) == {"metric": "prob", "at": ["end"], **twice}


def test_names_of_circuits_are_no_facts() -> None:
    assert inherited({"method": "union", "of": ["a", "b"]}) == {"method": "union", "of": ["a", "b"]}
    assert inherited({"method": "logit_lens", "of": "rank"}) == {"method": "logit_lens", "of": "rank"}


def test_a_fact_that_one_lacks_is_not_shared() -> None:
    assert alike([{"model": None, "metric": "prob"}, {"metric": "prob"}]) == {"metric": "prob"}
    assert alike([ACDC]) == ACDC
