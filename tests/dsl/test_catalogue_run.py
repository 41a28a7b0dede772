"""Every example of what goes wrong in a run fails as it says, when it runs or before."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.checked import program_of
from tests.dsl.preamble import RUNS as PREAMBLE
from tests.some import some

from nncirc import Program, check_text, render_diagnostics
from nncirc.circuits.errors import NncircError
from nncirc.dsl.codes import RUN
from nncirc.dsl.handbook import handbook
from nncirc.engine.blocks import blocks
from nncirc.engine.program.build import Builder

OURS = {"tiny", "llama", "ioi", "abc", "full", "recovered", "eap", "small"}
ELSEWHERE = {
    "C431": "needs a model with rotary embeddings; tests of compiled models have it",
    "C453": "needs a model with grouped-query attention; tests of the graph have it",
    "C611": "needs a machine without Graphviz; tests of pictures have it",
}


def program(text: str) -> Program:
    result = check_text(PREAMBLE + text)
    assert not result.diagnostics, render_diagnostics(result.diagnostics)
    return program_of(result)


def codes(text: str) -> Iterator[str]:
    """What goes wrong when an example is checked, or its own declarations are built and used."""
    result = check_text(PREAMBLE + text)
    if result.program is None:
        yield from dict.fromkeys(each.code for each in result.diagnostics)
        return
    checked = program(text)
    builder = Builder(checked, blocks())
    for name, declaration in checked.declarations.items():
        if name in OURS or declaration.kind in ("plot", "render", "compare"):
            continue
        try:
            builder.get(name)
            if declaration.kind == "corruption":
                builder.contrast(declaration)
        except NncircError as error:
            yield error.code
            return


@pytest.mark.parametrize("code", sorted(code for code, entry in RUN.items() if entry.bad))
def test_examples(code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    entry = RUN[code]
    if code in ELSEWHERE:
        program(entry.bad)
        program(entry.good)
        return
    assert list(codes(entry.bad)) == [code]
    assert not entry.good or list(codes(entry.good)) == []


def test_no_good_example_without_a_bad_one() -> None:
    assert not [code for code, entry in RUN.items() if entry.good and not entry.bad]


def test_titles_are_short_and_differ() -> None:
    titles = [entry.title for entry in RUN.values()]
    assert len(set(titles)) == len(titles)
    assert max(map(len, titles)) <= 60


def test_texts_name_no_key_that_the_language_lacks() -> None:
    """`key = value` in a text is a key of the reference."""
    reference = handbook()
    keys = [(code, key) for code, entry in RUN.items() for key in re.findall(r"`(\w+) = ", entry.text)]
    for code, key in some(keys):
        assert f"| `{key}` |" in reference, (code, key)
