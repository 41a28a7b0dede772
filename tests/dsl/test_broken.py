"""The scripts of `broken/` give exactly the messages beside them.

To write the messages anew, after reading the difference: `NNCIRC_WRITE=1 pytest tests/dsl/test_broken.py`.
"""

import json
import os
from pathlib import Path

import pytest

from nncirc import check_file, diagnostics_to_json, render_diagnostics

HERE = Path(__file__).parent / "broken"
SCRIPTS = sorted(HERE.glob("*.circ"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_messages(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    found = check_file(script.name).diagnostics
    text = render_diagnostics(found)
    expected = script.with_suffix(".txt")
    if os.environ.get("NNCIRC_WRITE"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    code = script.stem.partition("_")[0]
    if code[1:].isdigit():
        assert {each.code for each in found if each.span.source.name == script.name} == {code}


def test_there_are_enough() -> None:
    assert len(SCRIPTS) >= 60
    assert {path.stem for path in HERE.glob("*.txt")} == {path.stem for path in SCRIPTS}


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    entries = json.loads(diagnostics_to_json(check_file("C107_doubled_name.circ").diagnostics))
    assert entries == [
        {
            "code": "C107",
            "severity": "error",
            "message": "duplicate name `full`",
            "file": "C107_doubled_name.circ",
            "start": {"offset": 103, "line": 9, "column": 7},
            "end": {"offset": 107, "line": 9, "column": 11},
            "label": "",
            "labels": [
                {
                    "file": "C107_doubled_name.circ",
                    "start": {"offset": 39, "line": 3, "column": 1},
                    "end": {"offset": 43, "line": 3, "column": 5},
                    "text": "first here",
                }
            ],
            "help": None,
        }
    ]
