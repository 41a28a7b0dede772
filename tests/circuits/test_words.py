"""Numbers, and foreign text, in words."""

import pytest

from nncirc.circuits.words import counted, memory_in_words, visible


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1 KiB"),
        (2**20 - 1, "1,024 KiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (4096 * 2**30, "4,096 GiB"),
    ],
)
def test_memory_has_a_unit_that_fits(size: float, said: str) -> None:
    assert memory_in_words(size) == said


def test_one_is_singular() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 模, \U0001f600", "plain, é, 模, \U0001f600"),
        ("\x1b[2J\x07\x00\x9b", r"\x1b[2J\x07\x00\x9b"),
        ("\u202eabc\u2066\u200b\u2028", r"\u202eabc\u2066\u200b\u2028"),
        ("\ud800 \udfff", r"\ud800 \udfff"),
        ("bad\udcff.circ", r"bad\xff.circ"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
    ],
)
def test_foreign_text_is_spelled_out_where_it_cannot_be_seen(text: str, shown: str) -> None:
    assert visible(text) == shown
    visible(text).encode()


def test_foreign_text_of_several_lines_and_cut() -> None:
    assert visible("a\nb\x1b", lines=True) == "a\nb\\x1b"
    assert visible("abcdef", 6) == "abcdef"
    assert visible("abcdefg", 6) == "abcde…"
    assert visible("\x1b" * 1_000_000, 9) == r"\x1b\x1b…"
