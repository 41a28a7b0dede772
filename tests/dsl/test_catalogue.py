"""Every code that a script can give is explained, and every example of an explanation holds."""

import re
from pathlib import Path

import pytest
from tests.dsl.preamble import PREAMBLE
from tests.some import some

import nncirc.dsl
from nncirc import check_text, render_diagnostics
from nncirc.dsl.codes import RUN, SCRIPT, entries, explain

ROOM = Path(nncirc.dsl.__file__).parent


def test_every_reported_code_is_explained_and_every_explained_code_reported() -> None:
    reported = set()
    for path in some(ROOM.rglob("*.py")):
        if path.parent.name != "codes":
            reported |= set(re.findall(r'"(C\d{3})"', path.read_text(encoding="utf-8")))
    # Circuits that are read and written as scripts raise errors of files; a test of the house is about these.
    assert reported - set(RUN) == set(SCRIPT)


@pytest.mark.parametrize("code", [code for code, entry in SCRIPT.items() if entry.bad])
def test_bad_examples_give_the_code(code: str) -> None:
    found = check_text(PREAMBLE + SCRIPT[code].bad).diagnostics
    assert {each.code for each in found} == {code}, render_diagnostics(found)


@pytest.mark.parametrize("code", [code for code, entry in SCRIPT.items() if entry.good])
def test_good_examples_give_nothing(code: str) -> None:
    result = check_text(PREAMBLE + SCRIPT[code].good)
    assert not result.diagnostics, render_diagnostics(result.diagnostics)
    assert result.program is not None


def test_explain() -> None:
    text = explain("c104")
    assert text is not None
    assert text.startswith("C104: unknown name\n")
    assert "    assert fuond.edges <= 10" in text
    assert explain("C999") is None


def test_texts_are_sentences() -> None:
    for code, entry in some(entries().items()):
        assert re.fullmatch(r"C[0-7]\d\d", code)
        assert not entry.title.endswith("."), code
        assert entry.text.endswith((".", "`")), code
