"""From numbers to the colors of a heatmap.

Diverging colors are for numbers with a value in the middle that says "no effect", sequential ones for
numbers with a best and a worst end: a probability, a rank, a share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from nncirc.circuits.arguments import public

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

__all__ = ["Diverging", "Sequential"]

# Blue and vermilion tell sign to colour-blind readers; both ends are dark, so in grey |score| is what is seen
# and the number or the mark in the cell tells the sign.
_SIGNED = ("#053061", "#4393C3", "#F7F7F7", "#D6604D", "#67001F")
# Darker all the way, in grey as well; no colour of the scale above is near, so that the two are not mixed up.
_ORDERED = ("#FFFFE5", "#ADDD8E", "#31A354", "#004529")
_MOST_DECIMALS = 3
"""What a panel of smaller numbers is given at most."""
_SHADES = 255
_SEEN = 0.01
"""The share of the scale from which on a color is told from white."""
_WHITE_BELOW = 0.1791
"""The luminance at which black and white text have the same contrast, 4.6 to 1 (WCAG 2.1)."""


@public
@dataclass(frozen=True, slots=True)
class Diverging:
    """Two hues around a neutral value, as far to one side as to the other, so that equal effects look equal.

    Attributes:
        neutral: the value without an effect, which is drawn white: 0 for denoising, 1 for noising.
    """

    neutral: float = 0.0

    def limits(self, values: Sequence[float]) -> tuple[float, float]:
        """The ends of the scale for these finite numbers."""
        reach = max((abs(value - self.neutral) for value in values), default=0.0) or 1.0
        return self.neutral - reach, self.neutral + reach

    def seen_below(self, values: Sequence[float]) -> float:
        """Below which number the eye tells a color from that of the neutral value."""
        low, _ = self.limits(values)
        return self.neutral - _SEEN * (self.neutral - low)

    @property
    def colours(self) -> tuple[str, ...]:
        """From the lowest number to the highest."""
        return _SIGNED


@public
@dataclass(frozen=True, slots=True)
class Sequential:
    """One hue, from pale to dark.

    Attributes:
        low: where the scale starts, unless a number lies below; None for the lowest number.
        high: where it ends, unless a number lies above; None for the highest number.
        dark: which end is dark: that which means most.
        log: whether the scale is logarithmic; every number is then above 0.
    """

    low: float | None = None
    high: float | None = None
    dark: Literal["low", "high"] = "high"
    log: bool = False

    def limits(self, values: Sequence[float]) -> tuple[float, float]:
        """The ends of the scale for these finite numbers."""
        low = min([*values, *([] if self.low is None else [self.low])], default=0.0)
        high = max([*values, *([] if self.high is None else [self.high])], default=1.0)
        if low < high:
            return low, high
        return (low, low * 10) if self.log else (low, low + (abs(low) or 1.0))

    @property
    def colours(self) -> tuple[str, ...]:
        """From the lowest number to the highest."""
        return _ORDERED if self.dark == "high" else _ORDERED[::-1]


Scale: TypeAlias = Diverging | Sequential


def normed(scale: Scale, values: Sequence[float]) -> Normalize:
    """Where on the scale numbers lie, for matplotlib."""
    from matplotlib.colors import LogNorm, Normalize

    return (LogNorm if is_log(scale) else Normalize)(*scale.limits(values))


def mapped(scale: Scale) -> Colormap:
    """The colors of a scale, for matplotlib."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scores", list(scale.colours), N=_SHADES)


def is_log(scale: Scale) -> bool:
    """Whether a scale is logarithmic."""
    return isinstance(scale, Sequential) and scale.log


def ink(colour: Sequence[float]) -> Literal["black", "white"]:
    """What is read best on a color: red, green and blue from 0 to 1.

    Source: WCAG 2.1, relative luminance.
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if luminance < _WHITE_BELOW else "black"


# Numbers in cells ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Digits:
    """How the numbers of a heatmap are written, all alike.

    There are so many decimals, or None for three significant digits, as on a logarithmic scale.
    """

    decimals: int | None

    @classmethod
    def of(cls, scale: Scale, values: Sequence[float]) -> Digits:
        """So many that numbers which differ in color differ in print: two digits of their span, or more."""
        if is_log(scale):
            return cls(None)
        span = _span(scale, values) or max(map(abs, values), default=0.0) or 1.0
        size = math.floor(math.log10(span) + 1e-9)
        return cls(min(max(1 - size, 0), 8) if size < 0 else max(3 - max(size, 1), 0))

    def __call__(self, value: float) -> str:
        """A number as the color bar has it, with a true minus sign."""
        size = abs(value)
        if self.decimals is None:
            shown = f"{size:,.0f}" if size >= 999.5 else f"{size:#.3g}".removesuffix(".")
        else:
            shown = f"{size:,.{self.decimals}f}"
        return f"\u2212{shown}" if value < 0 and shown.strip("0.,") else shown


def digits_of(panels: Sequence[Sequence[float]], scale: Scale) -> Digits:
    """How the finite numbers of panels that share their colors are written: all alike.

    There is a third decimal where a panel has far smaller numbers than the others: beside an embedding whose
    effect is 1, neurons whose effect is 0.01 would all look the same.
    """
    usual = Digits.of(scale, [value for values in panels for value in values])
    if usual.decimals is None or usual.decimals >= _MOST_DECIMALS:
        return usual
    least = 10 * 10.0**-usual.decimals
    return Digits(usual.decimals + any(0 < _span(scale, values) < least for values in panels))


def _span(scale: Scale, values: Sequence[float]) -> float:
    """How far numbers are apart, or from the neutral value."""
    if isinstance(scale, Diverging):
        return max((abs(value - scale.neutral) for value in values), default=0.0)
    return max(values, default=0.0) - min(values, default=0.0)


_SUPERSCRIPT = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def power(values: Sequence[float]) -> int:
    """The power of ten that all numbers of a picture are divided by, where they are too small or too large.

    >>> power([0.00004, -0.0002]), power([0.004, 0.3]), power([250000.0])
    (-4, 0, 5)
    """
    largest = max(map(abs, values), default=0.0)
    size = math.floor(math.log10(largest)) if largest > 0 else 0
    return size if size <= -4 or size >= 5 else 0


def times(exponent: int) -> str:
    """How a power of ten is said beside a unit; nothing of the power 0.

    >>> times(-4)
    '\u00d7 10\u207b\u2074'
    """
    return f"\u00d7 10{str(exponent).translate(_SUPERSCRIPT)}" if exponent else ""
