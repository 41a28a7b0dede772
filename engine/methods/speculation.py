"""How many of ACDC's candidates to try at once. Speed depends on it, results do not."""

from __future__ import annotations


class Fixed:
    """Always the same depth of speculation."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def depth(self, left: int) -> int:
        """How many to try of so many that are left."""
        return min(self.rows, left)

    def took(self, rows: int, seconds: float) -> None:
        """Nothing to learn."""

    def saw(self, *, as_expected: bool) -> None:
        """Nothing to learn."""


class Pace:
    """How many candidates to try at once: the number that should decide the most edges in a second.

    An evaluation of n rows takes about a + b·n seconds, measured as the sweep goes; with a share p of
    candidates decided as expected it decides (1 − pⁿ) / (1 − p) of them. Speed depends on it, results do not.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.expected = 0.9
        self.sums = [0.0] * 5  # weight, n, n², t, n·t: of a least-squares line, older measurements fading

    def depth(self, left: int) -> int:
        """How many to try of so many that are left."""
        weight, n, nn, t, nt = self.sums
        spread = weight * nn - n * n
        if spread < 1e-6 * (1 + nn):
            return min(left, self.most, 2 if weight and n / weight < 1.5 else 1)
        slope = max((weight * nt - n * t) / spread, 1e-9)
        start = max((t - slope * n) / weight, 0.0)
        share = min(self.expected, 0.999)
        choices = [1 << i for i in range(self.most.bit_length()) if 1 << i <= self.most]
        best = max(choices, key=lambda rows: (1 - share**rows) / (1 - share) / (start + slope * rows))
        return min(left, best)

    def took(self, rows: int, seconds: float) -> None:
        """An evaluation of so many took so long."""
        self.sums = [
            0.9 * old + new
            for old, new in zip(self.sums, (1, rows, rows * rows, seconds, rows * seconds), strict=True)
        ]

    def saw(self, *, as_expected: bool) -> None:
        """A candidate was decided."""
        self.expected += 0.05 * (as_expected - self.expected)
