"""Every example runs as it stands and claims what it measures."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.end_to_end.command import EXAMPLES, Command, shared
from transformers import GPT2Config, GPT2LMHeadModel

from nncirc import read_circuit
from nncirc.circuits.tasks import TASKS
from nncirc.engine.program import pictures

ALL = sorted(EXAMPLES.rglob("*.circ"))
AWAY = [path for path in ALL if re.search(r"^[^#]*using huggingface", path.read_text(), re.MULTILINE)]
HERE = [path for path in ALL if path not in AWAY]
BUNDLED = 'using bundled {\n  name = "tasks-4l"'
OF_GPT2 = [path for path in ALL if BUNDLED in path.read_text()]
DRAWS = int(os.environ.get("NNCIRC_DRAWS", "1"))
"""How often each picture of each example is drawn, each time with the layout's last digits shaken.

Twice shows whether bytes depend on these; `tests/circuits/test_pictures_files.py` shows it of every kind.
"""


def name(path: Path) -> str:
    return path.relative_to(EXAMPLES).with_suffix("").as_posix()


@pytest.mark.parametrize("path", ALL, ids=name)
def test_says_what_it_shows_and_has_no_errors(nncirc: Command, path: Path) -> None:
    assert path.read_text().startswith("# ")
    nncirc("check", path).fine()


@pytest.mark.parametrize("path", ALL, ids=name)
def test_can_be_planned(nncirc: Command, path: Path) -> None:
    said = nncirc("plan", path).fine()
    assert ("not planned" if path.parent.name == "real" else "edges") in said


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every picture of a run, each drawn several times with the same bytes."""
    seen: list[Path] = []

    def repeat(name: str, at: int) -> None:
        draw = getattr(pictures, name)

        def check(*arguments: Any, **options: Any) -> None:
            path = arguments[at]
            written = set()
            for _ in range(DRAWS):
                draw(*arguments, **options)
                written.add(path.read_bytes())
            assert len(written) == 1, f"{path.name} differs from one time to the next"
            seen.append(path)

        monkeypatch.setattr(pictures, name, check)

    repeat("write_picture", 0)
    repeat("render", 1)
    return seen


@pytest.mark.usefixtures("unsteady")
@pytest.mark.parametrize("path", HERE, ids=name)
def test_runs_and_claims_what_it_measures(
    nncirc: Command, path: Path, tmp_path: Path, drawn: list[Path]
) -> None:
    nncirc("run", path, "--out", tmp_path / "out").fine()
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["assertions"]
    assert all(each["holds"] for each in run["assertions"])
    for result in run["results"].values():
        assert (tmp_path / "out" / result["file"]).stat().st_size > 100
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert {each.name for each in drawn} == {each.name for each in (tmp_path / "out").glob("*.svg")}
    assert len(drawn) >= path.read_text().count('.svg"')  # one of a family for each member


@pytest.fixture(scope="session")
def random_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of random weights that reads with the real tokenizer: what it says means nothing."""
    folder = tmp_path_factory.mktemp("gpt2")
    shutil.copytree(shared() / "models/gpt2-tokenizer", folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, n_positions=64)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("path", OF_GPT2, ids=name)
def test_tasks_run_on_gpt2(nncirc: Command, path: Path, random_gpt2: Path, tmp_path: Path) -> None:
    """As the comment in each says; claims about a model of random weights need not hold."""
    script = tmp_path / path.name
    text = path.read_text().replace(BUNDLED, f'using huggingface {{\n  id = "{random_gpt2}"')
    # Random weights hardly tell a corrupted prompt: nothing is left to normalise by.
    script.write_text(text.replace("size  = 32", "size  = 3").replace("normalize = true", ""))
    nncirc("run", script, "--out", tmp_path / "out", "--only", "found").fine()
    found = read_circuit(tmp_path / "out/found.json")
    assert found.graph.shape.n_layers == 1


def test_every_task_has_an_example() -> None:
    assert {path.stem for path in ALL if path.parent.name == "tasks"} == set(TASKS)


def test_induction_is_the_circuit_of_the_textbook(nncirc: Command, tmp_path: Path) -> None:
    nncirc("run", EXAMPLES / "induction.circ", "--only", "found", "--out", tmp_path)
    assert {str(edge) for edge in read_circuit(tmp_path / "found.json").edges} == {
        "embed -> L0H2.v",
        "L0H2 -> L1H0.k",
        "embed -> L1H0.v",
        "L1H0 -> logits",
    }


@pytest.mark.parametrize("path", AWAY, ids=name)
def test_without_a_network_the_hub_is_what_is_missing(
    nncirc: Command, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "nothing downloaded"))
    began = time.process_time()
    said = nncirc("run", path, "--out", tmp_path / "out").refused("C423")
    assert time.process_time() - began < 20
    assert "openai-community/gpt2" in said or "HuggingFaceTB/SmolLM2" in said
    assert str(path.name) in said  # where in the script


PRONOUNS = """\
# A trained Llama with grouped keys and values: " She" for Lily, " He" for Tim.
model stories using huggingface {{
  id    = {folder}
  dtype = float64
}}
dataset children using prompts {{
  model   = stories
  clean   = ["Once upon a time, there was a little girl named Lily.",
             "Once upon a time, there was a little boy named Tim."]
  corrupt = ["Once upon a time, there was a little boy named Tim.",
             "Once upon a time, there was a little girl named Lily."]
  answer  = [" She", " He"]
  foil    = [" He", " She"]
}}
corruption swapped using counterpart {{
  data = children
}}
graph full using residual {{
  model = stories
}}
metric recovered using logit_diff {{
  normalize = true
}}
scores eap using attribution_patching {{
  graph      = full
  corruption = swapped
  metric     = recovered
  steps      = 5
}}
circuit found using top {{
  scores = eap
  edges  = 400
}}
circuit tested using acdc {{
  graph      = full
  corruption = swapped
  metric     = recovered
  threshold  = 0.01
}}
render picture {{
  circuit = tested
  file    = "pronouns.svg"
}}
assert clean(logit_diff(at = end), corruption = swapped) > 4
assert corrupt(logit_diff(at = end), corruption = swapped) < -4
assert faithfulness(found, metric = recovered) >= 0.5
assert faithfulness(tested, metric = recovered) >= 0.8
assert tested.edges <= 150
"""


def test_pronouns_in_a_llama(nncirc: Command, tmp_path: Path) -> None:
    path = tmp_path / "pronouns.circ"
    path.write_text(PRONOUNS.format(folder=json.dumps(str(shared() / "models/stories260K"))))
    nncirc("run", path, "--out", tmp_path / "out").fine()
    assert "KV" in (tmp_path / "out/tested.json").read_text()
