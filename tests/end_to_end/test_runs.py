"""What a run leaves behind, what its options change, and what they must not change."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.command import (
    EXAMPLES,
    ROOT,
    SCRIPT,
    Command,
    Outcome,
    in_process_of_its_own,
    printed,
    surroundings,
)
from tests.some import some

from nncirc import circuit_to_json, read_circuit


def run_of(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text())


# Claims -------------------------------------------------------------------------------------------------


def test_a_false_claim_is_said_with_what_was_measured_and_all_is_written(
    nncirc: Command, script: Path, tmp_path: Path
) -> None:
    script.write_text(SCRIPT + "assert found.edges <= 2\n")
    done = nncirc("run", script, "--out", tmp_path / "out")
    assert done.status == 1
    edges = len(read_circuit(tmp_path / "out/found.json"))
    assert f"FALSE  found.edges <= 2: {edges} <= 2" in done.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "eap.json",
        "found.dot",
        "found.json",
        "quick.json",
        "run.json",
    }
    claim = run_of(tmp_path / "out")["assertions"][-1]
    assert claim == {"claim": "found.edges <= 2", "about": None, "left": edges, "right": 2, "holds": False}


def test_one_prompt_is_said_to_be_one(nncirc: Command, script: Path, tmp_path: Path) -> None:
    curve = (
        "curve one using faithfulness {\n  scores = eap\n  metric = recovered\n  edges = mib\n}\n"
        'plot {\n  curve = one\n  file = "one.svg"\n}\n'
        "scores lens using logit_lens {\n  data = ioi\n}\n"
        'assert score(lens, "L0") < 1\n'
    )
    script.write_text(SCRIPT.replace("size   = 4", "size   = 1") + curve)
    for _ in ("measured", "stored"):
        done = nncirc("run", script, "--out", tmp_path / "out")
        assert done.status == 0
        claims = [line for line in done.out.splitlines() if line.startswith("holds") and "prompt" in line]
        assert len(claims) == 2
        assert all(line.split(": ")[-1].count("(one prompt) ") == 1 for line in claims)
        (summary,) = (line for line in done.out.splitlines() if line.startswith("one "))
        assert summary.count("(one prompt)") == 2
        assert "one prompt, so no intervals" in done.out
        assert "inf" not in done.out
    lens = json.loads((tmp_path / "out" / "lens.json").read_text())
    assert lens["made"]["intervals"] == "none: one prompt"
    assert not {"low", "high"} & set(lens)


# Provenance ---------------------------------------------------------------------------------------------


def test_run_json_says_how_it_was_made(nncirc: Command, script: Path, tmp_path: Path) -> None:
    options = ("--set", "tau=0.1", "--batch", "3", "--memory", "1.5GiB", "--threads", "1")
    assert nncirc("run", script, "--out", tmp_path / "out", *options).status == 0
    run = run_of(tmp_path / "out")
    assert run["script"]["text"] == SCRIPT
    assert run["script"]["sha256"] == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert run["set"] == {"tau": "0.1"}
    assert run["constants"] == {"tau": 0.1}
    assert (run["batch"], run["threads"], run["only"]) == (3, 1, [])
    assert run["memory"]["limit"] == 3 << 29
    assert run["memory"]["peak"] > 1 << 20
    assert set(run["versions"]) == {"python", "nncirc", "torch", "transformers", "nnsight"}
    model = run["models"]["small"]
    assert (model["id"], model["dtype"]) == ("ioi-4l", "float64")
    assert len(model["weights_sha256"]) == 64
    assert model["guards"]
    assert run["datasets"]["ioi"]["seed"] == 0
    assert run["declarations"]["recovered"]["values"]["normalize"] is True
    assert run["declarations"]["found"]["seconds"]["wall"] >= 0
    assert run["results"]["found"]["file"] == "found.json"
    said = [set(each) - {"left_interval"} for each in run["assertions"]]
    assert all(keys == {"claim", "about", "left", "right", "holds"} for keys in said)
    for each in run["assertions"]:
        if "faithfulness" in each["claim"]:
            low, high = each["left_interval"]
            assert low <= each["left"] <= high
    assert run["seconds"]["cpu"] > 0
    made = read_circuit(tmp_path / "out/found.json").made
    assert made["method"] == "acdc"
    assert (made["direction"], made["corruption"], made["metric"]) == ("noise", "replace", "logit_diff")
    assert (made["threshold"], made["normalized"], made["at"]) == (0.1, True, ["end"])
    assert (made["prompts"], made["dtype"], made["model"]) == (4, "float64", "ioi-4l")


def test_circuits_read_back_as_they_were_written(nncirc: Command, script: Path, tmp_path: Path) -> None:
    nncirc("run", script, "--out", tmp_path / "out")
    for name in ("found.json", "quick.json"):
        path = tmp_path / "out" / name
        assert circuit_to_json(read_circuit(path)) == path.read_text()


@pytest.mark.parametrize("ending", ["svg", "png", "dot"])
def test_a_written_circuit_can_be_drawn(nncirc: Command, script: Path, tmp_path: Path, ending: str) -> None:
    nncirc("run", script, "--out", tmp_path / "out", "--only", "found", "--only", "quick")
    picture = tmp_path / f"picture.{ending}"
    done = nncirc(
        *("render", tmp_path / "out/found.json", "--out", picture),
        *("--highlight", tmp_path / "out/quick.json"),
    )
    assert (done.status, done.out) == (0, f"{picture}\n")
    begins = {"svg": b"<?xml", "png": b"\x89PNG", "dot": b"digraph"}[ending]
    assert picture.read_bytes().lstrip().startswith(begins)


def test_a_claim_that_cannot_be_measured_leaves_the_others(
    nncirc: Command, script: Path, tmp_path: Path
) -> None:
    script.write_text(
        SCRIPT + "circuit none using threshold {\n  scores = eap\n  threshold = 1000\n}\n"
        "assert quick.edges / none.edges > 0\nassert quick.edges >= 0\n"
    )
    done = nncirc("run", script, "--out", tmp_path / "out", "--only", "found", "--only", "none")
    assert done.status == 0, "it is not asked for"
    said = nncirc("run", script, "--out", tmp_path / "out").refused("C583")
    assert "assert quick.edges / none.edges > 0" in said
    claims = [each["claim"] for each in run_of(tmp_path / "out")["assertions"]]
    assert claims[-1] == "quick.edges >= 0"


# Options ------------------------------------------------------------------------------------------------


def test_only_builds_one_result_and_what_it_needs(nncirc: Command, script: Path, tmp_path: Path) -> None:
    done = nncirc("run", script, "--out", tmp_path / "out", "--only", "quick")
    assert done.status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"quick.json", "run.json"}
    assert run_of(tmp_path / "out")["assertions"] == []


def test_a_comparison_without_a_name_is_made(nncirc: Command, script: Path, tmp_path: Path) -> None:
    both = "compare {\n  circuits = [quick, known]\n}\ncircuit known using reference {\n  graph = full\n"
    script.write_text(script.read_text() + both + "  embed -> L0H0.q\n  L0H0 -> logits\n}\n")
    done = nncirc("run", script, "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert "compare.1.json" in done.out
    assert json.loads((tmp_path / "out" / "compare.1.json").read_text())["rows"]


def test_a_constant_can_be_set(nncirc: Command, script: Path, tmp_path: Path) -> None:
    sizes = {}
    for tau in ("0.01", "0.3"):
        nncirc("run", script, "--out", tmp_path / tau, "--only", "found", "--set", f"tau={tau}")
        sizes[tau] = len(read_circuit(tmp_path / tau / "found.json"))
    assert sizes["0.3"] < sizes["0.01"]


def test_json_is_what_was_written(nncirc: Command, script: Path, tmp_path: Path) -> None:
    done = nncirc("run", script, "--out", tmp_path / "out", "--only", "quick", "--json")
    assert json.loads(done.out) == run_of(tmp_path / "out")
    assert json.loads(nncirc("check", script, "--json").out) == []
    plan = json.loads(nncirc("plan", script, "--json").out)
    assert {"small", "ioi", "full", "found"} <= {step["name"] for step in plan["steps"]}
    names = [model["name"] for model in json.loads(nncirc("models", "--json").out)]
    assert names == ["induction-2l", "ioi-4l", "tasks-4l", "tracr-reverse", "tracr-xproportion"]


def test_errors_as_json(nncirc: Command, script: Path) -> None:
    script.write_text(SCRIPT.replace("threshold  = tau", "treshold  = tau"))
    done = nncirc("check", script, "--json")
    assert done.status == 2
    assert {each["code"] for each in json.loads(done.out)} == {"C103"}
    assert "Traceback" not in done.err


def test_models_are_listed(nncirc: Command) -> None:
    done = nncirc("models")
    assert done.status == 0
    assert "induction-2l: 2 layers x 4 heads, width 128, attention only" in done.out
    assert "ioi-4l: 4 layers x 4 heads, width 96" in done.out
    assert "tracr-reverse: 4 layers x 1 head, width 41, compiled" in done.out


@pytest.mark.parametrize(
    "code", ["C002", "C103", "C201", "c301", "C402", "C423", "C522", "C606", "C702", "C119"]
)
def test_codes_are_explained(nncirc: Command, code: str) -> None:
    done = nncirc("explain", code)
    assert done.status == 0
    assert done.out.startswith(code.upper())
    assert len(done.out) > 80


# The same, whatever it runs on --------------------------------------------------------------------------

TWICE = """
import sys
from pathlib import Path
from nncirc.cli import main
out, option, threads, *scripts = sys.argv[1:]
for script in scripts:
    folder = str(Path(out) / Path(script).stem)
    status = main(["run", script, "--out", folder, "--threads", threads, option])
    assert status == 0, status
"""


def test_files_are_the_same_to_the_byte(tmp_path: Path) -> None:
    """Other hash seeds, threads, batches, memory: circuits by ACDC and by threshold, and pictures."""
    ioi = tmp_path / "ioi.circ"
    ioi.write_text(
        SCRIPT + 'render again {\n  circuit = quick\n  highlight = found\n  file = "quick.svg"\n}\n'
    )
    induction = tmp_path / "induction.circ"
    text = (EXAMPLES / "induction.circ").read_text().replace("size   = 16", "size   = 4")
    induction.write_text(
        text + "scores eap using attribution_patching {\n  graph = heads\n  corruption = unrepeated\n"
        "  metric = copying\n}\ncircuit quick using threshold {\n  scores = eap\n  threshold = 0.01\n}\n"
    )
    found = []
    for seed, threads, option in (
        ("0", "1", "--batch=99"),
        ("1", "2", "--batch=3"),
        ("77", "1", "--memory=10MiB"),
    ):
        out = tmp_path / seed
        variables = {"PYTHONHASHSEED": seed, "NNCIRC_CACHE": str(tmp_path / "stores" / seed)}
        printed(TWICE, out, option, threads, ioi, induction, environment=variables)
        found.append(
            {
                str(path.relative_to(out)): path.read_bytes()
                for path in sorted(out.rglob("*"))
                if path.is_file() and path.name != "run.json"
            }
        )
    first, *others = found
    kinds = {Path(name).suffix for name in first}
    assert kinds == {".json", ".dot", ".svg"}
    assert {"ioi/found.json", "ioi/quick.json", "induction/found.json", "induction/quick.json"} <= set(first)
    for other in some(others):
        assert set(other) == set(first)
        assert [name for name in first if other[name] != first[name]] == []


# Light and interrupted ----------------------------------------------------------------------------------

CHECK = """
import sys
from nncirc.cli import main
status = main(["check", sys.argv[1]])
heavy = {"torch", "nnsight", "transformers", "networkx", "numpy", "matplotlib"} & set(sys.modules)
print("HEAVY", sorted(heavy))
print("MODULES", len(sys.modules))
sys.exit(status)
"""


def test_check_is_light() -> None:
    """What takes time is importing: some 250 modules are loaded, and torch alone would be a thousand."""
    said = printed(CHECK, EXAMPLES / "gpt2_ioi.circ")
    assert "HEAVY []" in said
    assert int(said.split("MODULES")[1]) < 350


LONG = SCRIPT.replace("size   = 4", "size   = 200") + (
    "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n"
    "  metric = recovered\n  positions = all\n}\n"
)


def interrupted(script: Path, out: Path, cache: Path) -> Outcome:
    """The command in a process of its own, interrupted once a method has written into its journal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nncirc", "run", str(script), "--out", str(out), "--batch", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=surroundings({"NNCIRC_CACHE": str(cache)}),
    )
    try:
        until = time.monotonic() + 120
        while not list(cache.glob("*/*.journal")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return Outcome(process.returncode, said, err)


def test_interrupted_what_was_finished_stays(script: Path, tmp_path: Path) -> None:
    script.write_text(LONG)
    out = tmp_path / "out"
    done = interrupted(script, out, tmp_path / "cache")
    assert done.status == 1, done.err
    assert "[C702]" in done.err
    assert "Traceback" not in done.err
    assert not list(out.rglob("*.tmp"))
    assert not (out / "sweep.json").exists()
    for path in some(out.glob("*.json")):
        json.loads(path.read_text())
    assert "eap" in run_of(out)["results"]


def test_the_command_and_the_module_are_one() -> None:
    done = in_process_of_its_own(["-m", "nncirc", "--version"])
    assert (done.status, done.out[:7]) == (0, "nncirc ")
