"""What the README shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.end_to_end.command import ROOT, Command, in_process_of_its_own
from tests.some import some

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_script_in_parts_runs(nncirc: Command, tmp_path: Path) -> None:
    (tmp_path / "readme.circ").write_text("\n".join(blocks("circ")))
    nncirc("run", tmp_path / "readme.circ", "--out", tmp_path / "out").fine()
    assert (tmp_path / "out/ioi.svg").is_file()


def test_the_first_script_prints_what_is_shown(nncirc: Command, tmp_path: Path) -> None:
    (tmp_path / "first.circ").write_text(blocks("circ")[0])
    done = nncirc("run", tmp_path / "first.circ", "--out", tmp_path / "out")
    claims = some([line for line in done.out.splitlines() if line.startswith("holds")])
    for shown in [*claims, "34 of 479 edges, 16 nodes"]:
        assert shown in done.out
        assert shown in README


def test_the_python_runs_as_it_stands(tmp_path: Path) -> None:
    (code,) = blocks("python")
    assert "edges, faithfulness" in in_process_of_its_own(["-W", "error", "-c", code], folder=tmp_path).fine()
    assert {path.name for path in tmp_path.iterdir()} == {"found.json", "found.svg"}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).exists()


def test_every_command_and_example_is_named(nncirc: Command) -> None:
    usage = nncirc("--help").out
    commands = re.findall(r"^ {4}(\w+) ", usage, re.MULTILINE)
    assert commands
    for command in commands:
        assert f"`nncirc {command}" in README
    for example in some((ROOT / "examples").glob("*.circ")):
        assert f"(examples/{example.name})" in README


def test_the_picture_is_the_circuit_that_the_example_finds(nncirc: Command, tmp_path: Path) -> None:
    def edges(path: Path) -> set[str]:
        return set(re.findall(r"<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.DOTALL))

    nncirc("run", ROOT / "examples/ioi.circ", "--only", "diagram", "--out", tmp_path)
    assert edges(tmp_path / "ioi.svg") == edges(ROOT / "docs/ioi.svg")
    assert len(edges(ROOT / "docs/ioi.svg")) > 10
