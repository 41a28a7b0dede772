"""Metrics and corruptions of a user's own: what they may be, what they may not, and only where allowed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.checked import program_of
from tests.engine.texts import MODULE, SCRIPT
from tests.engine.tiny import contrast, tiny_gpt2
from tests.refused import refused

from nncirc import check_file
from nncirc.circuits.errors import MethodError, NncircError
from nncirc.engine.blocks import blocks
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.metrics import plugins
from nncirc.engine.metrics.expressions import combined
from nncirc.engine.metrics.metric import Metric, measures
from nncirc.engine.metrics.plugins import own_measure
from nncirc.engine.program.build import Builder
from nncirc.engine.program.stored import identity
from nncirc.engine.runs.corruptions import Resample


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module, which is forgotten afterwards."""
    (tmp_path / "my_metrics.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "my_broken.py").write_text("1 / 0", encoding="utf-8")
    (tmp_path / "my_leaving.py").write_text("import sys\nsys.exit(7)", encoding="utf-8")
    (tmp_path / "my_late.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget()


def forget() -> None:
    """As a process that has loaded no module of a user's own."""
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("my_")]:
        del sys.modules[name]
    plugins._LOADED.clear()


def builder(
    folder: Path, metric: str, corruption: str = "my_metrics:swapped", *, allowed: bool = True
) -> Builder:
    path = folder / "script.circ"
    path.write_text(SCRIPT.replace("METRIC", metric).replace("CORRUPTION", corruption), encoding="utf-8")
    return Builder(program_of(check_file(path)), blocks(), allow_code=allowed)


def test_it_is_a_metric_in_every_method(folder: Path) -> None:
    """What it gives is what the same metric of ours gives."""
    own = own_measure("my_metrics:difference", folder, allowed=True)
    mine, ours = Metric("my_metrics:difference", own=own), Metric("logit_diff")
    about, graph = contrast(tiny_gpt2()), tiny_gpt2().graph()
    assert torch.equal(about.clean_values(mine), about.clean_values(ours))
    assert attribution_patching(about, graph, mine).values == attribution_patching(about, graph, ours).values
    values = [activation_patching(about, graph, each, direction="noise").values for each in (mine, ours)]
    assert values[0] == values[1]
    assert acdc(about, graph, mine, threshold=0.05).edges == acdc(about, graph, ours, threshold=0.05).edges
    assert about.clean(combined("/", mine, 2.0)) == pytest.approx(about.clean(ours) / 2)
    digest = own.function.source  # type: ignore[attr-defined]
    assert about.facts(mine)["metric_sha256"] == digest
    assert len(digest) == 64


def test_a_measure_says_more_of_itself(folder: Path) -> None:
    found = own_measure("my_metrics:measure", folder, allowed=True)
    assert (found.sign, found.unit, found.needs) == (-1, "logits", ("answer", "foil"))
    assert not found.columns


def test_the_store_tells_its_text(folder: Path) -> None:
    def now() -> object:
        return identity(Metric("m", own=own_measure("my_metrics:difference", folder, allowed=True)))

    first = now()
    assert now() == first
    sys.modules.pop("my_metrics")
    (folder / "my_metrics.py").write_text(MODULE + "# changed", encoding="utf-8")
    assert now() != first


@pytest.mark.parametrize(
    "changed",
    [
        "my_helper.py",  # imported
        "my_deep.py",  # imported by what is imported
        "my_lazy.py",  # imported inside of a function
        "my_package/__init__.py",  # above what is imported
        "my_package/inner.py",  # imported by its place in a package
        "my_package/beside.py",  # from a module beside it
        "my_named.py",  # loaded by a name that is made as the module is loaded
    ],
)
def test_the_store_tells_the_text_of_what_it_imports(folder: Path, changed: str) -> None:
    (folder / "my_package").mkdir()
    texts = {
        "my_metrics.py": """
import importlib
import my_helper
from my_package import inner
importlib.import_module("my_" + "named")
def f(logits):
    import my_lazy
    return logits.at(logits.answer, logits.patched)
""",
        "my_helper.py": "from my_deep import x",
        "my_deep.py": "x = 1",
        "my_lazy.py": "x = 1",
        "my_package/__init__.py": "x = 1",
        "my_package/inner.py": "from .beside import x",
        "my_package/beside.py": "x = 1",
        "my_named.py": "x = 1",
        "my_other.py": "x = 1",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")

    def now() -> object:
        forget()
        return identity(Metric("m", own=own_measure("my_metrics:f", folder, allowed=True)))

    first = now()
    (folder / "my_other.py").write_text("x = 2", encoding="utf-8")  # nobody imports it
    assert now() == first
    (folder / changed).write_text(texts[changed] + "\ny = 2", encoding="utf-8")
    assert now() != first


@pytest.mark.parametrize("name", ["swapped", "tokens"])
def test_it_is_a_corruption(folder: Path, name: str) -> None:
    made = builder(folder, "my_metrics:difference", f"my_metrics:{name}")
    about = made.contrast(made.program.declarations["other"])
    assert isinstance(about.corruption, Resample)
    for clean, other in zip(about.dataset.examples, about.corruption.examples, strict=True):
        assert (other.answer, other.foil, other.spans) == (clean.answer, clean.foil, clean.spans)
        if name == "swapped":
            assert other.text == clean.text.replace("store", "park")
        else:
            assert other.tokens == clean.tokens[::-1]
    facts = about.facts(made.get("mine"))
    assert (facts["corruption"], len(facts["corruption_sha256"])) == (f"my_metrics:{name}", 64)


def test_a_function_can_give_a_corruption_of_ours(folder: Path) -> None:
    assert builder(folder, "my_metrics:difference", "my_metrics:zero").get("other").name == "zero"


def test_nothing_is_loaded_unless_allowed(folder: Path) -> None:
    for name in ("mine", "other"):
        with refused(NncircError, "C584"):
            builder(folder, "my_metrics:difference", allowed=False).get(name)
        assert "my_metrics" not in sys.modules


@pytest.mark.parametrize(
    ("metric", "code", "said"),
    [
        ("my_metrics:nothing", "C585", "has no nothing"),
        ("no_such_module:f", "C585", "ModuleNotFoundError"),
        ("my_broken:f", "C585", "ZeroDivisionError"),
        ("no_such_entry", "C585", "no installed package"),
        ("my_metrics:number", "C586", "is not a function"),
        ("my_metrics:two", "C586", "does not take one argument"),
        ("my_metrics:flat", "C586", "returned () of torch.float64"),
        ("my_metrics:whole", "C586", "torch.int64"),
        ("my_metrics:failing", "C587", "AttributeError"),
        ("my_metrics:leaving", "C587", "raised SystemExit: 7"),
        ("my_metrics:base", "C587", "raised BaseException: lowest"),
        ("my_metrics:speechless", "C587", "raised Mute (my_metrics.py, line "),
        ("my_metrics:sneaking", "C585", "imports the module my_late under a name computed at run time"),
        ("my_leaving:f", "C585", "SystemExit: 7"),
    ],
)
def test_what_is_no_metric(folder: Path, metric: str, code: str, said: str) -> None:
    with refused(NncircError, code, said):
        made = builder(folder, metric)
        made.contrast(made.program.declarations["other"]).clean(made.get("mine"))


@pytest.mark.parametrize(
    ("corruption", "code", "said"),
    [
        ("my_metrics:few", "C586", "each of 3 prompts"),
        ("my_metrics:odd", "C586", "returned 3.5 for a prompt"),
        ("my_metrics:number", "C586", "is not a function"),
        ("my_metrics:failing", "C587", "my_metrics.py, line"),
    ],
)
def test_what_is_no_corruption(folder: Path, corruption: str, code: str, said: str) -> None:
    with refused(NncircError, code, said):
        made = builder(folder, "my_metrics:difference", corruption)
        made.contrast(made.program.declarations["other"])


def test_an_entry_point_is_named_without_a_colon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "top"
        module = "nncirc.engine.metrics.metric"

        def load(self) -> object:
            return measures()["logprob"]

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Entry()] if group == "nncirc.metrics" else [])
    assert own_measure("top", folder, allowed=True).needs == ("answer",)
    with pytest.raises(MethodError) as caught:
        own_measure("bottom", folder, allowed=True)
    assert "expected top" in caught.value.message
