"""Text from elsewhere on its way to the terminal: names, scripts and files move no cursor and end no run."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest
from tests.end_to_end.command import SCRIPT, Command

EVIL = "\x1b[31m\u202e\x9b"
"""Colors, a text from right to left, and a control that some terminals obey."""


def harmless(text: str) -> bool:
    """Whether text only shows characters."""
    text.encode()
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in text)


@pytest.mark.parametrize("name", [EVIL, "bad\udcff"], ids=["controls", "not UTF-8"])
def test_names_of_scripts(nncirc: Command, tmp_path: Path, name: str) -> None:
    script = tmp_path / f"{name}.circ"
    try:
        script.write_text(SCRIPT, encoding="utf-8")
    except (OSError, UnicodeError):
        pytest.skip("the file system has no such names")
    for command in ("check", "plan"):
        assert harmless(nncirc(command, script).fine())
    out = tmp_path / "out"
    done = nncirc("run", script, "--out", out / name, "--only", "quick")
    assert done.status == 0, done.err
    assert harmless(done.out)
    assert json.loads((out / name / "run.json").read_text(encoding="utf-8"))["script"]["text"] == SCRIPT
    done = nncirc("run", script, "--out", out / name, "--only", "quick", "--json")
    assert done.out.isascii()
    assert json.loads(done.out)["only"] == ["quick"]
    done = nncirc("render", out / name / "quick.json", "--out", out / name / f"{name}.svg")
    assert done.status == 0, done.err
    assert harmless(done.out)
    done = nncirc("check", tmp_path / f"nothing {name}.circ")
    assert harmless(done.refused("C012"))
    assert nncirc("check", tmp_path / f"nothing {name}.circ", "--json").out.isascii()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f'a = "{EVIL}" {EVIL}\n', "C001"),
        (SCRIPT.replace('"found.dot"', f'"{EVIL}.dot"'), "C209"),
        (SCRIPT.replace("place          = places", f'place = ["{EVIL}", "{EVIL}"]'), "C205"),
        (SCRIPT.replace("found.dot", f"{EVIL}"), "C209"),
        (f'use "{EVIL}.circ" as a\n', "C111"),
    ],
)
def test_what_stands_in_scripts(nncirc: Command, tmp_path: Path, text: str, code: str) -> None:
    script = tmp_path / "wrong.circ"
    script.write_text(text, encoding="utf-8")
    assert harmless(nncirc("check", script).refused(code))
    assert nncirc("check", script, "--json").out.isascii()


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_what_is_set_is_text(nncirc: Command, tmp_path: Path, command: str) -> None:
    script = tmp_path / "set.circ"
    script.write_text('word = "store"\n' + SCRIPT.replace("= places", "= [word]"), encoding="utf-8")
    for name, value in (("word", "\udcff"), ("word", "\ud800"), ("tau", "\udcff"), ("\udcff", "1")):
        done = nncirc(command, script, "--set", f"{name}={value}")
        assert harmless(done.refused("C206" if name.isascii() else "C115"))
        assert "C206" in nncirc(command, script, "--set", f"word={value}\ud800", "--json").out


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_a_constant_is_set_once(nncirc: Command, script: Path, command: str) -> None:
    said = nncirc(command, script, "--set", "tau=1", "--set", "tau = 2").refused("C206")
    assert "tau" in said
    assert "'1' and '2'" in said


@pytest.mark.parametrize(
    "arguments", [[EVIL], [f"--{EVIL}"], ["check", f"--{EVIL}"], ["explain", "C1", EVIL]]
)
def test_commands_that_are_none(nncirc: Command, arguments: list[str]) -> None:
    done = nncirc(*arguments)
    assert done.status == 2
    assert harmless(done.err)


def test_nothing_but_scripts_is_used(nncirc: Command, tmp_path: Path) -> None:
    """Messages show lines of what is used: of no other file, neither by its name nor by a link."""
    (tmp_path / "secret").write_text("root:$6$hash\n")
    (tmp_path / "link.circ").symlink_to(tmp_path / "secret")
    script = tmp_path / "a.circ"
    for name in ("secret", "link.circ", os.fspath(tmp_path / "secret")):
        script.write_text(f'use "{name}" as a\n')
        said = nncirc("check", script).refused("C209")
        assert "hash" not in said
    (tmp_path / "real.circ").write_text("tau = 1\n")
    (tmp_path / "other.circ").symlink_to(tmp_path / "real.circ")
    script.write_text('use "other.circ" as a\n')
    assert nncirc("check", script).status == 0
