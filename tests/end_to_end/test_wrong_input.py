"""Wrong input, as a user meets it: a coded message, status 2, no traceback, and nothing half written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.end_to_end.command import SCRIPT, Command
from tests.engine.folders import change_config

from nncirc.circuits.errors import MethodError
from nncirc.circuits.models import model_folder

PAIRS = """\
model small using bundled {
  name = "ioi-4l"
}
dataset written using prompts {
  model   = small
  clean   = ["When Mary and John went to the store, John gave a drink to"]
  corrupt = ["When Mary and John went to the store, Mary gave a drink to"]
  answer  = " Mary"
  foil    = " John"
}
corruption swapped using counterpart {
  data = written
}
circuit found using acdc {
  graph      = residual(small)
  corruption = swapped
  metric     = logit_diff(normalize = true)
  threshold  = 0.1
}
"""


@pytest.fixture
def refused(nncirc: Command, tmp_path: Path) -> Callable[..., str]:
    """Runs a text and gives the message with which it must be refused."""

    def run(text: str, code: str, *options: str) -> str:
        path = tmp_path / "wrong.circ"
        path.write_text(text)
        return nncirc("run", path, "--out", tmp_path / "out", *options).refused(code)

    return run


def test_a_script_that_computes_nothing_says_so(refused: Callable[..., str]) -> None:
    refused("", "C123")
    refused(PAIRS.partition("circuit found")[0], "C123")


# Prompts ------------------------------------------------------------------------------------------------


def test_prompts_that_do_not_align_are_shown_token_by_token(refused: Callable[..., str]) -> None:
    said = refused(PAIRS.replace("store, Mary gave a", "store, Mary gave Anna a"), "C301")
    assert "clean" in said
    assert "corrupt" in said
    assert " Anna" in said
    assert "wrong.circ:" in said


def test_an_answer_that_is_not_one_token(refused: Callable[..., str]) -> None:
    assert '" Mary John"' in refused(PAIRS.replace('" Mary"', '" Mary John"'), "C303")


def test_a_slot_that_no_prompt_uses(refused: Callable[..., str]) -> None:
    said = refused(SCRIPT.replace("    place          = places", "    place, street = places"), "C213")
    assert "street" in said


def test_a_prompt_longer_than_the_model_reads(refused: Callable[..., str]) -> None:
    many = " and John" * 20
    said = refused(PAIRS.replace(" gave a drink to", f"{many} gave a drink to"), "C336")
    assert "at most 32" in said


def test_a_file_of_prompts_that_is_not_there(refused: Callable[..., str]) -> None:
    begin, end = PAIRS.index("dataset"), PAIRS.index("corruption")
    dataset = 'dataset written using file {\n  path = "nothing.csv"\n  model = small\n}\n'
    assert "nothing.csv" in refused(PAIRS[:begin] + dataset + PAIRS[end:], "C315")


# Models -------------------------------------------------------------------------------------------------


def test_a_head_that_the_model_lacks_is_found_before_it_is_loaded(
    nncirc: Command, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = "circuit known using reference {\n  graph = full\n  embed -> L2H9 -> logits\n}\n"
    script.write_text(SCRIPT + reference)

    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("nncirc.engine.model.loading._load", load)
    for command in ("check", "run"):
        done = nncirc(command, script)
        assert done.status == 2
        assert "L2H9" in done.err
        assert "Traceback" not in done.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, to be damaged."""
    return Path(shutil.copytree(model_folder("ioi-4l"), tmp_path / "model"))


def of_folder(folder: Path) -> str:
    own = f"model small using huggingface {{\n  id = {json.dumps(str(folder))}\n}}\n"
    return own + SCRIPT[SCRIPT.index("dataset ioi") :].replace("tau", "0.05")


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])


def empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated weights": (truncate, "C403"),
    "empty weights": (empty, "C403"),
    "no config": (lambda f: (f / "config.json").unlink(), "C402"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "C402"),
    "config is garbage": (lambda f: (f / "config.json").write_text('{"model_type": "gpt'), "C422"),
    "config is a list": (lambda f: (f / "config.json").write_text("[1, 2]"), "C422"),
    "config is binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00\x81"), "C422"),
    "another type": (lambda f: change_config(f, model_type="bert"), "C411"),
    "too many layers": (lambda f: change_config(f, n_layer=6), "C404"),
    "too wide": (lambda f: change_config(f, n_embd=192), "C404"),
    "heads that do not divide": (lambda f: change_config(f, n_head=7), "C430"),
    "tokenizer is garbage": (lambda f: (f / "tokenizer.json").write_text("{"), "C422"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(refused: Callable[..., str], folder: Path, damage: str) -> None:
    do, code = DAMAGES[damage]
    do(folder)
    assert "wrong.circ:" in refused(of_folder(folder), code)


def test_a_folder_as_it_should_be(nncirc: Command, script: Path, folder: Path, tmp_path: Path) -> None:
    script.write_text(of_folder(folder))
    assert nncirc("run", script, "--out", tmp_path / "out").status == 0


def test_an_unknown_model_of_the_hub(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    text = of_folder(Path("x")).replace('id = "x"', 'id = "nobody/no-such-model"')
    assert "nobody/no-such-model" in refused(text, "C423")


def test_a_device_that_is_not_there(refused: Callable[..., str]) -> None:
    text = SCRIPT.replace('name = "ioi-4l"', 'name = "ioi-4l"\n  device = "cuda:99"')
    assert "cuda:99" in refused(text, "C406")


# Scripts and options ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "run", "plan"])
def test_a_script_that_cannot_be_read(nncirc: Command, tmp_path: Path, command: str) -> None:
    assert "none.circ" in nncirc(command, tmp_path / "none.circ").refused("C012")
    nncirc(command, tmp_path).refused("C012")
    (tmp_path / "binary.circ").write_bytes(b"\xff\xfe\x00")
    nncirc(command, tmp_path / "binary.circ").refused("C011")


@pytest.mark.parametrize(
    "setting", ["tau", "=1", "tau=", "tau=]", 'tau="x"', "tao=1", "tau=1e999", "tau=-1", ""]
)
def test_a_strange_setting(nncirc: Command, script: Path, tmp_path: Path, setting: str) -> None:
    done = nncirc("run", script, "--set", setting, "--out", tmp_path / "out")
    assert done.status == 2, done.out
    assert "error[C" in done.err
    assert "Traceback" not in done.err
    assert "C799" not in done.err


def test_only_for_an_unknown_result(nncirc: Command, script: Path, tmp_path: Path) -> None:
    said = nncirc("run", script, "--only", "fuond", "--out", tmp_path / "out").refused("C119")
    assert "did you mean 'found'?" in said
    said = nncirc("run", script, "--only", "recovered", "--out", tmp_path / "out").refused("C119")
    assert "unknown result 'recovered': it is a metric" in said
    assert "expected eap, quick, found, diagram" in said
    said = nncirc("plan", script, "--only", "zzz").refused("C119")
    assert "expected eap, quick, found, diagram" in said


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "x.circ", "--batch", "0"],
        ["run", "x.circ", "--threads", "many"],
        ["run", "x.circ", "--memory", "0"],
        ["plan", "x.circ", "--memory", "2XB"],
        ["run", "x.circ", "--memory", "much"],
        ["--no"],
    ],
)
def test_a_wrong_command_line(nncirc: Command, arguments: list[str]) -> None:
    done = nncirc(*arguments)
    assert done.status == 2
    assert "usage: nncirc" in done.err


def test_an_unknown_code(nncirc: Command) -> None:
    nncirc("explain", "C998").refused("C104")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "nncirc circuit", "version": 99}', "\x00"])
def test_a_circuit_file_that_is_none(nncirc: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    done = nncirc("render", tmp_path / "c.json")
    assert done.status == 2
    assert "error[C60" in done.err
    assert "Traceback" not in done.err


def test_a_picture_of_an_unknown_format(nncirc: Command, script: Path, tmp_path: Path) -> None:
    nncirc("run", script, "--only", "found", "--out", tmp_path / "out")
    nncirc("render", tmp_path / "out/found.json", "--out", tmp_path / "a.jpg").refused("C610")
    nncirc("render", tmp_path / "none.json").refused("C601")


# Output -------------------------------------------------------------------------------------------------


def test_an_output_folder_that_is_a_file(nncirc: Command, script: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    nncirc("run", script, "--out", tmp_path / "out").refused("C606")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_folder_below_a_file(nncirc: Command, script: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    nncirc("run", script, "--out", tmp_path / "out/more").refused("C606")


def test_an_output_folder_that_may_not_be_written(
    nncirc: Command, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    if os.access(out, os.W_OK):  # root may write everywhere

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr("nncirc.circuits.atomic._replace", refuse)
    assert "Permission denied" in nncirc("run", script, "--out", out).refused("C605")
    assert not list(out.iterdir())


def test_a_link_that_leads_out_of_the_folder(nncirc: Command, script: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "pictures").symlink_to(elsewhere)
    script.write_text(SCRIPT.replace('"found.dot"', '"pictures/found.dot"'))
    nncirc("run", script, "--out", out).refused("C607")
    assert not list(elsewhere.iterdir())
    victim = tmp_path / "victim.json"
    victim.write_text("mine")
    (out / "found.json").symlink_to(victim)
    nncirc("run", script, "--out", out).refused("C607")
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("full_from", ["found.json", "eap.json", "found.dot", "run.json"])
def test_a_full_disk(
    nncirc: Command, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_from: str
) -> None:
    """What was finished stays whole; what does not fit is not there in part."""
    from nncirc.circuits import atomic

    out, replace, full = tmp_path / "out", atomic._replace, False

    def write(target: Path, data: bytes, mode: int | None) -> None:
        nonlocal full
        full = full or target.name == full_from
        if not full:
            replace(target, data, mode)
            return
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", no_space)
            replace(target, data, mode)

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "_replace", write)
    done = nncirc("run", script, "--out", out)
    assert done.status == 2
    assert "No space left" in done.err
    assert "Traceback" not in done.err
    assert not (out / full_from).exists()
    assert not list(out.rglob("*.tmp"))
    for path in out.glob("*.json"):
        json.loads(path.read_text())
    order = ["eap.json", "quick.json", "found.json", "found.dot", "run.json"]
    assert {path.name for path in out.iterdir()} == set(order[: order.index(full_from)])


def test_what_was_made_is_printed_though_a_picture_fails(
    nncirc: Command, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MethodError("C590", "cannot draw this")

    monkeypatch.setattr("nncirc.engine.program.pictures.draw_circuit", fail)
    render = 'render {\n  circuit = found\n  file = "a.svg"\n}\n'
    script.write_text(SCRIPT + render + "assert found.edges >= 1\n")
    done = nncirc("run", script)
    assert done.status == 2
    assert "error[C590]: cannot draw this" in done.err
    assert f"{script}:" in done.err
    assert "holds  found.edges >= 1" in done.out
    assert "found.json" in done.out
    assert "a.svg" not in done.out
    assert not nncirc("run", script, "--json").out.startswith("result")
