"""Examples with something wrong in them: a status, a coded message, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings, strategies as st
from tests.end_to_end.command import EXAMPLES, SCRIPT

from nncirc.cli import main

TEXTS = [SCRIPT, *(path.read_text() for path in sorted(EXAMPLES.glob("*.circ")))]
TOKEN = re.compile(r'"[^"\n]*"|[\w.*]+|->|[^\s\w]|\n')
PIECES = sorted({piece for text in TEXTS for piece in TOKEN.findall(text)})
STRANGE = [
    "0", "-1", "1e999", "NaN", '""', '"{', "[]", "[[", "{", "}", "\x00", "é", "#", "L99H99", "->", "=", "\r",
]  # fmt: skip


def sort_of(piece: str) -> str:
    """What stands for one number, string, node or word can often stand for another, and parse."""
    if piece[0] in '"0123456789':
        return piece[0] if piece[0] == '"' else "0"
    return "word" if piece[0].isalpha() else "mark"


LIKE = {sort: [p for p in PIECES if sort_of(p) == sort] for sort in set(map(sort_of, PIECES))}


@st.composite
def damaged(draw: st.DrawFn, texts: list[str]) -> str:
    """A script with some of its pieces deleted, strange, or in another's place."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 3))):
        matches = list(TOKEN.finditer(text))
        if matches:
            old = draw(st.sampled_from(matches))
            like = st.sampled_from(LIKE[sort_of(old.group())])
            piece = draw(like | like | st.sampled_from(PIECES) | st.sampled_from(STRANGE) | st.just(""))
            text = text[: old.start()] + piece + text[old.end() :]
    return text


def status_of(command: str, text: str) -> int:
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.circ"
        script.write_text(text, encoding="utf-8", newline="")
        options = ["--out", str(Path(folder) / "out")] if command == "run" else []
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([command, str(script), *options])
        assert not list(Path(folder).rglob("*.tmp"))
    said = err.getvalue()
    assert "Traceback" not in said
    assert "C799" not in said, f"{said}\n{text}"
    assert status in (0, 1, 2)
    assert (status == 2) == ("error[C" in said)
    event(f"status {status}")
    return status


@given(damaged(TEXTS))
@settings(max_examples=48, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_checking_a_damaged_script(text: str) -> None:
    status_of("check", text)


# Small data: what runs, runs in a fraction of a second.
RUNNABLE = [
    re.sub(r"size   = \d+", "size   = 2", text)
    for text in TEXTS
    if "huggingface" not in text and "data/" not in text
]


@given(damaged(RUNNABLE))
@settings(max_examples=24, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_running_a_damaged_script(text: str) -> None:
    # A number put in a size or a count may ask for hours of work, which is no fault.
    sizes = re.sub(r"(size|length|copies|steps)(\s*=\s*)\d{3,}", r"\1\g<2>2", text)
    status_of("run", sizes)
