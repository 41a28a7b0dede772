"""Keys change with all that a result depends on and with nothing else; a run that finds all runs no model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine.program.scripts import NAMES, model, program
from tests.engine.tiny import tiny_gpt2
from tests.some import some

from nncirc.circuits.circuit import Circuit
from nncirc.engine.blocks import blocks
from nncirc.engine.methods import activation_patching as activation
from nncirc.engine.metrics.metric import Measure, Metric, measures
from nncirc.engine.model import loading, tracing
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder, Progress
from nncirc.engine.program.run import Options, Report, run_program
from nncirc.engine.program.store import Store
from nncirc.engine.runs import live

pytestmark = pytest.mark.usefixtures("loaded_once")

METHODS = ("eap", "nodes", "heads", "found")

# What the words of the script are about: a change of any other changes no key of that result.
CONTRAST = {"size", "seed"}
MEASURED = CONTRAST | {"by", "metric", "at", "normalize", "inputs"}
ABOUT = {
    "eap": MEASURED | {"steps"},
    "nodes": MEASURED | {"direction"},
    "heads": CONTRAST | {"of", "inputs"},
    "found": MEASURED | {"tau", "loss"},
}
OTHERS: dict[str, list[Any]] = {
    "size": [2, 4],
    "seed": [1, 2],
    "by": ["C\n  S.2 -> B"],
    "inputs": ["[]"],
    "metric": ["logprob", "prob"],
    "at": ["S.2", "[S.2, end]"],
    "normalize": ["false"],
    "steps": [2, 5],
    "direction": ["denoise"],
    "of": ["[copying]", "[previous_token, copying]"],
    "cut": [0.1],
    "tau": [0.02, 1],
    "loss": ["distance"],
    "edges": ["[3]"],
    "file": ["other.svg"],
}


def keys(batch: int | None = None, **changes: Any) -> dict[str, str]:
    words = program(**changes)
    builder = Builder(words, blocks(), batch)
    return {name: builder.key(words.declarations[changes.get(name, name)]) for name in METHODS}


sweeps: Any = import_module("nncirc.engine.methods.acdc_fast")
usual_keys = cache(keys)


# Keys -----------------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(
    changes=st.fixed_dictionaries(
        {}, optional={word: st.sampled_from(values) for word, values in OTHERS.items()}
    ),
    names=st.lists(st.sampled_from(NAMES), unique=True, max_size=4),
    batch=st.sampled_from([None, 1, 2]),
)
def test_a_key_changes_with_what_a_result_depends_on_and_only_then(
    changes: dict[str, Any], names: list[str], batch: int | None
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_bundled", lambda *_, **__: model())
        usual, found = usual_keys(), keys(batch, **changes, **{name: f"{name}_" for name in names})
    for name in METHODS:
        assert (found[name] != usual[name]) == bool(ABOUT[name] & set(changes)), name
    assert len(set(found.values())) == len(METHODS)


def test_a_whole_number_is_another_threshold_than_a_fraction() -> None:
    """Results say their threshold as it was written."""
    assert keys(tau=1)["found"] != keys(tau=1.0)["found"]


def test_models_differ_by_weights_config_dtype_and_not_by_name() -> None:
    usual = tiny_gpt2(seed=1)
    same = replace(tiny_gpt2(seed=1), name="another", made={"id": "elsewhere"})
    same.module.config._name_or_path = "elsewhere"
    assert stored.identity(usual) == stored.identity(same)
    others = [tiny_gpt2(seed=2), tiny_gpt2(seed=1, dtype=torch.float32), tiny_gpt2(seed=1, layers=3)]
    others.append(tiny_gpt2(seed=1, layer_norm_epsilon=1e-3))
    others.append(replace(usual, made={"weights_sha256": "0" * 64}))
    others.append(replace(usual, made={"id": "a/b", "revision": "0" * 40}))
    others.append(replace(usual, made={"id": "a/b", "revision": "1" * 40}))
    found = {stored.identity(each) for each in [usual, *others]}
    assert len(found) == 1 + len(others)
    # The name of a branch says nothing: what is loaded does.
    assert stored.identity(replace(usual, made={"id": "a/b", "revision": "main"})) == stored.identity(usual)


def test_circuits_differ_by_edges_and_not_by_scores() -> None:
    graph = tiny_gpt2().graph()
    first, second, *_ = graph.edges()
    one = stored.identity(Circuit(graph, {first: 1.0}, made={"method": "acdc"}))
    assert one == stored.identity(Circuit(graph, {first: None}))
    assert one != stored.identity(Circuit(graph, {first: 1.0, second: 1.0}))
    assert one != stored.identity(Circuit(tiny_gpt2(layers=3).graph(), {first: 1.0}))


def test_another_code_gives_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    stored.code.cache_clear()
    assert keys() == before
    monkeypatch.setattr(stored, "version", lambda name: f"another {name}")
    stored.code.cache_clear()
    after = keys()
    stored.code.cache_clear()
    assert not set(before.values()) & set(after.values())


def test_the_text_of_a_metric_from_elsewhere_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = set()
    for text in ("1", "2"):
        (tmp_path / "plugged.py").write_text(f"def metric(logits):\n    return {text}\n")
        monkeypatch.delitem(sys.modules, "plugged", raising=False)
        function: Any = import_module("plugged").metric
        monkeypatch.setitem(measures(), "plugged", Measure(function, (), 1, "units"))
        found.add(stored.identity(Metric("plugged")))
    assert len(found) == 2


# Runs -----------------------------------------------------------------------------------------------------


def run(out: Path, store: Store | None, *, batch: int | None = None, **changes: Any) -> Report:
    return run_program(program(**changes), out, Options(threads=1, batch=batch), store=store)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "run.json"}


def restored(report: Report) -> set[str]:
    return {result.name for result in report.results if result.stored}


@pytest.fixture
def at_rest(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it makes any further run of the model an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model runs")

    def rest() -> None:
        for name, module in list(sys.modules.items()):
            if name.startswith("nncirc.engine"):
                for word, function in (("run", tracing.run), ("with_modules", live.with_modules)):
                    if getattr(module, word, None) is function:
                        monkeypatch.setattr(module, word, refuse)
        monkeypatch.setattr(model().module, "forward", refuse)

    return rest


def keys_here() -> list[str]:
    builder = Builder(program(), blocks())
    return [builder.key(builder.program.declarations[name]) for name in METHODS]


def test_keys_are_the_same_in_another_process() -> None:
    """Else nothing that an earlier run has stored would be found."""
    code = "from tests.engine.program.test_stored import keys_here; print(*keys_here())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == keys_here()


def test_a_second_run_does_not_run_the_model(tmp_path: Path, at_rest: Callable[[], None]) -> None:
    plain = run(tmp_path / "plain", None)
    first = run(tmp_path / "first", Store(tmp_path / "store"))
    assert restored(plain) == restored(first) == set()
    at_rest()
    second = run(tmp_path / "second", Store(tmp_path / "store"))
    assert restored(second) == {"eap", "nodes", "heads", "found", "kept"}
    assert files(tmp_path / "plain") == files(tmp_path / "first") == files(tmp_path / "second")
    assert plain.claims == first.claims == second.claims
    said = json.loads((tmp_path / "second" / "run.json").read_text())["results"]
    assert (said["found"]["stored"], said["quick"]["stored"]) == (True, False)


def test_another_threshold_or_picture_does_not_run_the_model_for_the_scores(
    tmp_path: Path, at_rest: Callable[[], None]
) -> None:
    store = Store(tmp_path / "store")
    run(tmp_path / "first", store)
    at_rest()
    second = run(tmp_path / "second", store, cut=0.2, file="other.dot", batch=1)
    assert {"eap", "found"} <= restored(second)
    first, changed = files(tmp_path / "first"), files(tmp_path / "second")
    assert first["quick.json"] != changed["quick.json"]
    assert first["eap.json"] == changed["eap.json"]


def test_other_names_find_the_same_results_and_say_their_own(
    tmp_path: Path, at_rest: Callable[[], None]
) -> None:
    names: dict[str, Any] = {name: f"my_{name}" for name in NAMES}
    plain = run(tmp_path / "plain", None, **names)
    run(tmp_path / "first", Store(tmp_path / "store"))
    at_rest()
    second = run(tmp_path / "second", Store(tmp_path / "store"), **names)
    assert "my_found" in restored(second)
    assert files(tmp_path / "plain") == files(tmp_path / "second")
    assert len(plain.results) == len(second.results)


def test_what_another_result_shares_is_not_taken_for_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run(tmp_path / "first", store)
    for word in ("seed", "by", "metric", "steps", "tau"):
        changes = {word: OTHERS[word][0]}
        run(tmp_path / word, store, **changes)
        run(tmp_path / f"{word} plain", None, **changes)
        assert files(tmp_path / word) == files(tmp_path / f"{word} plain"), word


def test_damaged_results_are_computed_again(tmp_path: Path) -> None:
    run(tmp_path / "first", Store(tmp_path / "store"))
    entries = sorted((tmp_path / "store").rglob("*.json"))
    assert len(entries) >= 6
    for number, path in enumerate(entries):
        text = path.read_text()
        path.write_text([text[:-9], text.replace("0.", "1.", 1), "{}"][number % 3])
    second = run(tmp_path / "second", Store(tmp_path / "store"))
    assert restored(second) == set()
    assert "damaged" in second.notes[-1]
    assert files(tmp_path / "first") == files(tmp_path / "second")
    third = run(tmp_path / "third", Store(tmp_path / "store"))
    assert restored(third) == {"eap", "nodes", "heads", "found", "kept"}
    assert not third.notes


def test_a_checksum_alone_makes_no_result(tmp_path: Path) -> None:
    """An entry that is whole and of another shape is damage as well."""
    run(tmp_path / "first", Store(tmp_path / "store"))
    store = Store(tmp_path / "store")
    for path in some((tmp_path / "store").rglob("*.json")):
        store.save(
            path.stem, {"made": {}, "scores": [1.0], "nodes": [], "positions": [], "edges": [[1, 2, 3]]}
        )
    second = run(tmp_path / "second", store)
    assert restored(second) == set()
    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_fresh_computes_everything(tmp_path: Path) -> None:
    run(tmp_path / "first", Store(tmp_path / "store"))
    second = run(tmp_path / "second", Store(tmp_path / "store", fresh=True))
    assert restored(second) == set()
    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_a_run_goes_on_where_nothing_can_be_stored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = run(tmp_path / "first", Store(tmp_path / "file"))
    assert [note for note in report.notes if "not stored" in note]
    run(tmp_path / "plain", None)
    assert files(tmp_path / "first") == files(tmp_path / "plain")


def interrupting(result: str, share: float) -> Callable[[str], Progress]:
    """What is told of a run's progress, and ends it when so much of a result is done."""

    def start(name: str) -> Progress:
        def report(done: int, total: int) -> None:
            if name == result and done >= share * total:
                raise KeyboardInterrupt

        return report

    return start


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_acdc_goes_on_where_it_was_interrupted(
    share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    attempt = sweeps.Sweep.attempt

    def counted(self: Any, receiver: int, senders: tuple[int, ...]) -> Any:
        tried.append(receiver)
        return attempt(self, receiver, senders)

    monkeypatch.setattr(sweeps.Sweep, "attempt", counted)
    run(tmp_path / "whole", None, tau=0.001)
    all_of_them = set(tried)
    tried.clear()

    store = Store(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        run_program(program(tau=0.001), tmp_path / "out", progress=interrupting("found", share), store=store)
    before = set(tried)
    tried.clear()
    assert list(store.folder.rglob("*.journal"))
    # The number of prompts in a trace is no part of the key.
    again = run(tmp_path / "out", Store(tmp_path / "store"), tau=0.001, batch=2)
    assert "found" not in restored(again)
    assert "eap" in restored(again)
    assert set(tried) | before == all_of_them
    # The receiver that was being reported is tested once more.
    assert len(set(tried) & before) <= 1
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert not list(store.folder.rglob("*.journal"))


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_activation_patching_goes_on_where_it_was_interrupted(
    share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces: list[int] = []
    patched = activation._Patcher.run

    def counted(self: Any, patches: Any) -> Any:
        traces.append(len(patches))
        return patched(self, patches)

    monkeypatch.setattr(activation._Patcher, "run", counted)
    monkeypatch.setattr(activation, "TOKENS_IN_A_TRACE", 100)
    run(tmp_path / "whole", None)
    all_of_them = len(traces)
    traces.clear()

    store = Store(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        run_program(program(), tmp_path / "out", progress=interrupting("nodes", share), store=store)
    before = len(traces)
    traces.clear()
    assert 0 < before < all_of_them
    (journal,) = store.folder.rglob("*.journal")
    # The last line is torn, as by a full disk: that trace is run again.
    journal.write_bytes(journal.read_bytes()[:-40])
    again = run(tmp_path / "out", Store(tmp_path / "store"))
    assert "nodes" not in restored(again)
    assert len(traces) == all_of_them - before + 1
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert not list(store.folder.rglob("*.journal"))
