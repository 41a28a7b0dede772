"""Text from models and scripts, made safe for DOT, for Graphviz and for the XML that it writes.

Three readers see every label: the DOT lexer, Graphviz (which reads `\\n`, `\\N` and `&amp;`, and in records
`{`, `|` and `<port>`) and whoever opens the SVG. Each has its own way to take a name for an instruction.
HTML-like labels are not used: Graphviz as WebAssembly is built without them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from nncirc.circuits.made import called, inherited

# What XML 1.0 allows; the rest (NUL, lone surrogates, U+FFFE) would make the SVG unreadable.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Override the direction of what follows: a name could reorder the caption that it stands in.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with every character that XML forbids, or that reorders its neighbors, shown as U+FFFD."""
    return _BIDI.sub("\ufffd", _FORBIDDEN.sub("\ufffd", text))


def one_line(text: str, longest: int) -> str:
    """The text on one line, white space collapsed, cut to `longest` characters with an ellipsis."""
    line = " ".join(printable(text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


_NARROW, _WIDEST = frozenset("ijlIftr.,:;'|!()[]/\\- "), frozenset("mwMWQGON@%+=\u2212\u2192\u2026")


def ems(text: str) -> float:
    """About how wide a line is in the usual sans-serif fonts, or a little more, in sizes of its font.

    >>> round(ems("embed"), 2), round(ems("L9H9"), 2)
    (3.64, 2.64)
    """
    return sum(0.42 if c in _NARROW else 1.0 if c in _WIDEST or not c.isascii() else 0.66 for c in text)


def token(text: str, longest: int = 18) -> str:
    """A token as a label that looks like no other's: nothing that cannot be seen is left in it.

    Spaces at its ends and in rows are open boxes, other white space, controls and loose accents are escapes.
    Of a token that is too long both ends are left, and the number of its characters.

    >>> token("\\n"), token("  "), token(" Mary"), token("-" * 64)
    ('\\\\n', '\u2423\u2423', '\u2423Mary', '------…------ (64)')
    """
    carried = unicodedata.is_normalized("NFC", text)
    shown = "".join(
        character
        if character.isprintable()
        and character not in "\\\u2423"
        and (not unicodedata.combining(character) or (carried and i > 0))
        else character.encode("unicode_escape").decode("ascii")
        for i, character in enumerate(text)
    )
    shown = re.sub("^ | $| (?= )|(?<= ) ", "\u2423", shown)
    if len(shown) <= longest:
        return shown
    count = f" ({len(text)})"
    kept = (longest - len(count) - 1) // 2
    return f"{shown[:kept]}…{shown[-kept:]}{count}"


def quoted(*lines: str, end: str = r"\n") -> str:
    """The lines as one quoted DOT string in which no escape, no entity and no quote is left to be read.

    Args:
        lines: the lines of a label, centered unless `end` is `\\l` (then every line is set to the left).
        end: what stands between lines, and behind the last one where it aligns them.

    >>> print(quoted('say "a\\\\b"', "<&>"))
    "say \\"a\\\\b\\"\\n<&amp;>"
    """
    joined = end.join(map(_escaped, lines))
    return f'"{joined}"' if end == r"\n" else f'"{joined}{end}"'


def hover(text: str) -> str:
    """The text as the quoted DOT string of a tooltip.

    Graphviz reads the escapes of some tooltips twice, entities before them, and not in every version alike:
    no way to write a backslash survives, so it becomes the character that looks most like it (U+2216).
    """
    safe = printable(text).replace("&", "&amp;").replace("\\", "\u2216").replace('"', '\\"')
    return f'"{safe}"'


def record(lines: Sequence[str], ports: str) -> str:
    """The label of a record: the lines above, a row of one-letter ports below.

    >>> print(record(["L9H9"], "qv"))
    "{L9H9|{<q>q|<v>v}}"
    """
    above = re.sub(r"[{}|<>]", r"\\\g<0>", r"\n".join(map(_escaped, lines)))
    below = "|".join(f"<{port}>{port}" for port in ports)
    return f'"{{{above}|{{{below}}}}}"'


def _escaped(line: str) -> str:
    safe = printable(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return re.sub("\r\n|\r|\n", r"\\n", safe).replace("\t", " ")


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` characters, its own line ends kept, long words cut."""
    lines: list[str] = []
    for paragraph in printable(text).splitlines():
        line = ""
        for word in paragraph.split():
            parts = [word[i : i + width] for i in range(0, len(word), width)]
            for part in parts:
                if line and len(line) + 1 + len(part) > width:
                    lines.append(line)
                    line = part
                else:
                    line = f"{line} {part}" if line else part
        if line:
            lines.append(line)
    return lines


def number(value: float) -> str:
    """A number with three significant digits and a true minus sign.

    >>> number(-0.04567)
    '−0.0457'
    """
    return f"{value:.3g}".replace("-", "\u2212")


_TOLD = {
    "model": "model {}",
    "method": "method {}",
    "scores": "scores {}",
    "rank": "ranked by {} score",
    "loss": "loss {}",
    "direction": "direction {}",
    "corruption": "corruption {}",
    "metric": "metric {}",
    "teacher_forced": "teacher forced",
    "normalized": "normalized",
    "prompts": "{} prompts",
    "threshold": "threshold {}",
    "edges": "edges asked for {}",
    "cite": "{}",
    "of": "of {}",
}
_USUAL = {"loss": "metric"}
"""What goes without saying."""


def provenance(made: Mapping[str, Any]) -> str:
    """What a circuit's `made` says, as a phrase of its caption: model, method, corruption, metric, threshold.

    Of a circuit that was selected by scores, or put together from circuits, also what is so of all of these.

    >>> provenance({"method": "acdc", "metric": "kl_divergence", "threshold": 0.0575, "seed": 0})
    'method acdc; metric kl_divergence; threshold 0.0575'
    >>> scores = {"method": "attribution_patching", "metric": "logit_diff", "model": "small"}
    >>> provenance({"method": "top", "edges": 60, "scores": scores})
    'model small; method top; scores attribution_patching; metric logit_diff; edges asked for 60'
    """
    facts = inherited(made)
    if isinstance(facts.get("model"), str):
        facts["model"] = called(facts["model"])
    told = {key: _short(facts[key]) for key in _TOLD if facts.get(key) not in (None, False, _USUAL.get(key))}
    return "; ".join(_TOLD[key].format(text) for key, text in told.items() if text)


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        named = next((value[key] for key in ("name", "id", "kind", "method") if key in value), None)
        return _short(named)
    if isinstance(value, str):
        return one_line(value, 80)
    if isinstance(value, Sequence):
        return ", ".join(filter(None, map(_short, value[:6]))) + (", …" if len(value) > 6 else "")
    return one_line(str(value), 80)
