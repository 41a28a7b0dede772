"""One row of the table: a method's time, its floor, its memory, and whether it finds what its oracle does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from benchmarks.cases import Case
from benchmarks.clock import Clock, Conditions, for_a_while, timed, typical
from benchmarks.multiplications import LARGE, Meter, rate
from benchmarks.setups import contrast_for, fresh, plain_forward

from nncirc.circuits.circuit import Circuit
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.runs.contrast import Contrast

ENOUGH = 0.3
"""Seconds of plain forwards before and after each time that something is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured of a case; times are medians.

    Attributes:
        method, size, setting: the case's.
        edges: of the graph.
        kept: edges of every circuit found.
        tested: edges that were tested for it.
        cpu_s, wall_s: seconds.
        plain_forward_s, lean_forward_s: seconds of a plain forward, and of one with one position's logits, by
            the clock that counts.
        rows: of how many patches `forwards` and `floor` are one's.
        forwards: the time in plain forwards.
        multiplications: executed, of matrix products; None if not counted.
        rate: multiplications a second of a large matrix product.
        floor: multiplications by rate, in plain forwards.
        of_floor: how many times the floor the time is.
        oracle_s: seconds of the oracle, by the clock that counts.
        faster_than_oracle: how many times the method's time that is.
        of_alone: the method's time as a part of its oracle's, where the case limits it.
        same_as_oracle: whether both found the same; None if there is no oracle.
        peak_gib: most memory before the oracle ran; None if the process had other cases.
        target, share, memory: the case's.
        once: whether all was timed once, so that two times that are close say nothing.
    """

    method: str
    size: str
    setting: str
    edges: int
    kept: Sequence[int] = ()
    tested: Sequence[int] = ()
    cpu_s: float
    wall_s: float
    plain_forward_s: float
    lean_forward_s: float
    rows: int
    forwards: float
    multiplications: int | None = None
    rate: float | None = None
    floor: float | None = None
    of_floor: float | None = None
    oracle_s: float | None = None
    faster_than_oracle: float | None = None
    of_alone: float | None = None
    same_as_oracle: bool | None = None
    peak_gib: float | None = None
    target: float | None = None
    share: float | None = None
    memory: float | None = None
    once: bool = False

    def within(self) -> bool | None:
        """Whether it takes at most the plain forwards asked for; None where nothing was asked."""
        return None if self.target is None else self.forwards <= self.target

    def shares(self) -> bool | None:
        """Whether it takes at most the part of its oracle's time asked for; None where that is not known."""
        if self.share is None or self.of_alone is None or self.once:
            return None
        return self.of_alone <= self.share

    def fits(self) -> bool | None:
        """Whether it takes at most the memory asked for; None where that is not known."""
        return None if self.memory is None or self.peak_gib is None else self.peak_gib <= self.memory

    def is_good(self) -> bool:
        """Whether nothing that was asked is missed."""
        return False not in (self.within(), self.shares(), self.fits(), self.same_as_oracle)


def measure(
    case: Case,
    conditions: Conditions,
    *,
    oracle: bool = True,
    floor: bool = True,
    quick: bool = False,
    peak: bool = True,
) -> Result:
    """Measure a case.

    Args:
        case: what.
        conditions: under what; entered already.
        oracle: whether its oracle runs, too.
        floor: whether it runs once more with its multiplications counted.
        quick: whether to time everything once.
        peak: whether the memory of this process is this case's.
    """
    contrast = contrast_for(case.size, spread=case.spread, device=conditions.device)
    graph = contrast.model.graph()
    plain, lean = plain_forward(contrast), plain_forward(contrast, keep=1)
    enough = 0 if quick else ENOUGH
    limited = oracle and case.share is not None
    units = for_a_while(plain, enough)
    clocks: list[Clock] = []
    slow: list[Clock] = []
    found: Any = None
    expected: Any = None
    most = 0.0
    for number in range(1 if quick else case.repeats):
        about = fresh(contrast)
        clock, found = timed(lambda about=about: case.run(about, graph))  # type: ignore[misc]
        clocks.append(clock)
        most = most if number else conditions.peak()
        if case.oracle is not None and (limited or (oracle and number == 0)):
            about = fresh(contrast)
            clock, expected = timed(lambda about=about: case.oracle(about, graph))  # type: ignore[misc]
            slow.append(clock)
        units += for_a_while(plain, enough)
    typically = typical(clocks)
    seconds, unit = conditions.seconds(typically), conditions.seconds(typical(units))
    more: dict[str, Any] = {}
    if slow:
        wanted = conditions.seconds(typical(slow))
        ratio = {"of_alone": seconds / wanted} if limited else {"faster_than_oracle": wanted / seconds}
        more |= {"oracle_s": wanted, **ratio, "same_as_oracle": is_same(found, expected)}
    if floor:
        count = multiplications(case, fresh(contrast))
        speed = rate(*LARGE, conditions, dtype=contrast.model.dtype, seconds=enough)
        least = count / speed / unit / case.rows
        more |= {"multiplications": count, "rate": speed, "floor": least}
        more["of_floor"] = seconds / unit / case.rows / least if least else None
    circuits = [found] if isinstance(found, Circuit) else found if isinstance(found, tuple) else []
    return Result(
        method=case.method,
        size=case.size,
        setting=case.setting,
        edges=graph.n_edges,
        kept=[len(circuit) for circuit in circuits],
        tested=[circuit.made["tested"] for circuit in circuits],
        cpu_s=typically.cpu,
        wall_s=typically.wall,
        plain_forward_s=unit,
        lean_forward_s=conditions.seconds(typical(for_a_while(lean, enough))),
        rows=case.rows,
        forwards=seconds / unit / case.rows,
        peak_gib=most if peak else None,
        target=case.target,
        share=case.share,
        memory=case.memory,
        once=quick,
        **more,
    )


def multiplications(case: Case, contrast: Contrast) -> int:
    """How many a method executes. ACDC's depth follows the clock, so that its number varies a little."""
    meter = Meter()
    with meter:
        case.run(contrast, contrast.model.graph())
    return meter.total


def is_same(found: Any, expected: Any) -> bool:
    """Whether a method found what its oracle did: circuits edge for edge, scores within rounding."""
    if isinstance(found, Circuit):
        return bool(found.edges == expected.edges)
    if isinstance(found, tuple):
        return all(a.edges == b.edges for a, b in zip(found, expected, strict=True))
    values, wanted = _numbers(found), torch.tensor(_below(found, expected), dtype=torch.float64)
    return values.shape == wanted.shape and torch.allclose(values, wanted, rtol=1e-4, atol=1e-5)


def _numbers(scores: EdgeScores | NodeScores) -> torch.Tensor:
    """All scores, in order."""
    rows = [scores.values.values()] if isinstance(scores, EdgeScores) else scores.values
    return torch.tensor([value for row in rows for value in row], dtype=torch.float64)


def _below(scores: EdgeScores | NodeScores, table: Sequence[Sequence[float]]) -> list[float]:
    """An oracle's numbers in the same order: of a table of edges those that there are."""
    if isinstance(scores, NodeScores):
        return [value for row in table for value in row]
    return [value for reach, row in zip(scores.graph.reach, table, strict=True) for value in row[:reach]]
