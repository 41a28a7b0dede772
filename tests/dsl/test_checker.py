"""What a checked program holds."""

import os
from pathlib import Path

import pytest
from tests.checked import program_of
from tests.dsl.preamble import PREAMBLE
from tests.end_to_end.command import printed
from tests.some import some

from nncirc import Program, check_file, check_text, render_diagnostics
from nncirc.circuits.names import Node, Position
from nncirc.dsl.blocks import KINDS
from nncirc.dsl.check.program import (
    Apply,
    Choices,
    GroupRef,
    NamedList,
    NextToken,
    Number,
    Placeholder,
    Property,
    RandomTokens,
    Range,
    Ref,
    Replacement,
    Slot,
    Template,
    Where,
)
from nncirc.dsl.handbook import handbook

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
ROOT = HERE.parents[1]


def program(text: str | bytes, **options: object) -> Program:
    return program_of(check_text(text, **options))  # type: ignore[arg-type]


def codes(text: str, **options: object) -> list[str]:
    return [each.code for each in check_text(text, **options).diagnostics]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["induction", "ioi", "ioi_wang2022"])
def test_target_scripts(name: str) -> None:
    result = check_file(SCRIPTS / f"{name}.circ")
    assert not result.diagnostics, render_diagnostics(result.diagnostics)
    assert result.program is not None


def test_target_scripts_of_the_plan() -> None:
    shared = Path(os.environ.get("NNCIRC_SHARED", ROOT.parent / "shared")) / "design" / "scripts"
    if not shared.is_dir():
        pytest.skip("the plan is not at hand")
    for path in some(sorted(shared.glob("*.circ"))):
        found = check_file(path).diagnostics
        assert not found, render_diagnostics(found)


def test_every_key_of_the_schema_is_there() -> None:
    for path in some(SCRIPTS.glob("*.circ")):
        found = program_of(check_file(path))
        for each in some(found.declarations.values()):
            keys = KINDS[each.kind].implementations[each.implementation].keys
            assert list(each.values) == list(keys)


def test_induction() -> None:
    found = program_of(check_file(SCRIPTS / "induction.circ"))
    data = found.declarations["repeats"]
    assert data.values["prompt"] == (
        Template("{block}{block}", (Placeholder("block", 1), Placeholder("block", 2))),
    )
    assert data.values["answer"] == NextToken()
    assert data.slots == {
        "block": Slot("block", RandomTokens(24), 0),
        "other": Slot("other", RandomTokens(24), 0),
    }
    assert found.declarations["unrepeated"].replacements == (Replacement("block", 1, "other"),)
    assert found.declarations["copying"].values == {"at": (Position("block", 2),), "normalize": True}
    expected = found.declarations["expected"]
    assert expected.groups["induction"] == (Where(Ref("patterns"), "prefix_matching", 0.5),)
    assert expected.paths[0].steps == (
        (Node("embed"),),
        (GroupRef("previous_token"),),
        (GroupRef("induction", "k"),),
    )
    assert found.assertions[1].right == Number(0.9)
    assert found.assertions[1].text == "faithfulness(found, metric = copying) >= 0.9"
    assert found.assertions[1].left == Apply(
        "faithfulness",
        {
            "circuit": Ref("found"),
            "metric": Ref("copying"),
            "corruption": Ref("unrepeated"),
            "bound": None,
            "resamples": 1000,
            "level": 0.95,
            "seed": 0,
        },
    )


def test_ioi() -> None:
    found = program_of(check_file(SCRIPTS / "ioi.circ", set={"tau": "0.1"}))
    assert found.constants == {"tau": 0.1}
    assert found.declarations["found"].values["threshold"] == 0.1
    assert found.declarations["sweep"].values["positions"] == (
        Position("IO"),
        Position("S", 1),
        Position("S", 2),
        Position("end"),
    )
    assert found.declarations["report"].values["reference"] == Ref("wang.ioi")
    assert found.declarations["wang.ioi"].values["graph"] == Ref("wang.heads")
    assert found.declarations["ioi"].slots["place"] == Slot(
        "place", Choices(("store", "garden", "office")), 1
    )
    assert found.declarations["ioi"].slots["A"] == Slot("A", NamedList("names"), 0)
    steps = found.declarations["wang.ioi"].paths[3].steps
    assert steps[1] == (
        GroupRef("name_mover", "q"),
        GroupRef("backup_name_mover", "q"),
        GroupRef("negative", "q"),
    )
    assert found.assertions[0].left == Property(Ref("found"), "edges")


def test_references_come_first_wherever_blocks_stand() -> None:
    blocks = [block + "\n}\n" for block in PREAMBLE.split("\n}\n") if block]
    for blocks_in_order in (blocks, blocks[::-1]):
        names: list[str] = []
        for each in some(program("".join(blocks_in_order)).declarations.values()):
            assert set(each.references()) <= set(names)
            names.append(each.name)


def test_inline_calls() -> None:
    found = program(
        PREAMBLE
        + "circuit quick using acdc {\n  graph = residual(gpt2, inputs = [])\n  corruption = mean(ioi)\n"
        + "  metric = kl_divergence(at = end)\n  threshold = 0.1\n}\n"
        + "compare {\n  circuits = [quick, top(eap, edges = 5)]\n}\n".replace("[quick, ", "[found, ")
        + "assert clean(logprob(), corruption = abc) <= 0"
    )
    assert found.declarations["quick"].values["graph"] == Ref("quick.graph")
    assert found.declarations["quick.graph"].values["model"] == Ref("gpt2")
    assert found.declarations["quick.corruption"].values["data"] == Ref("ioi")
    assert found.declarations["quick.metric"].implementation == "kl_divergence"
    assert found.declarations["compare.1"].values["circuits"] == (Ref("found"), Ref("compare.1.circuits.1"))
    claim = found.assertions[0].left
    assert isinstance(claim, Apply)
    assert found.declarations[claim.arguments["metric"].name].kind == "metric"  # type: ignore[union-attr]


FAMILY = PREAMBLE + (
    "circuit cut using acdc {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
    "  threshold = [0.1, 0.2]\n}\n"
)


def test_families() -> None:
    found = program(
        FAMILY
        + "circuit both using union {\n  circuits = [cut, small]\n}\n"
        + 'render drawn {\n  circuit = cut\n  highlight = small\n  file = "pictures/cut.svg"\n}\n'
        + "compare {\n  circuits = [cut, small]\n  reference = cut\n}\n"
        + "assert cut.edges <= 10\nassert small.edges <= 10\nassert recall(cut, small) >= 0.5"
    )
    assert found.families == {
        "cut": ("cut[0]", "cut[1]"),
        "drawn": ("drawn[0]", "drawn[1]"),
        "compare.1": ("compare.1[0]", "compare.1[1]"),
    }
    assert "cut" not in found.declarations
    assert [found.declarations[f"cut[{i}]"].values["threshold"] for i in range(2)] == [0.1, 0.2]
    assert found.declarations["cut[1]"].family == "cut"
    assert found.declarations["both"].values["circuits"] == (Ref("cut[0]"), Ref("cut[1]"), Ref("small"))
    assert found.declarations["drawn[1]"].values["circuit"] == Ref("cut[1]")
    assert found.declarations["drawn[1]"].values["file"] == "pictures/cut-1.svg"
    assert found.declarations["compare.1[1]"].values["reference"] == Ref("cut[1]")
    assert [each.about for each in found.assertions] == ["cut[0]", "cut[1]", None, "cut[0]", "cut[1]"]
    assert found.assertions[1].left == Property(Ref("cut[1]"), "edges")


def test_ranges() -> None:
    """Of numbers and constants; elsewhere `in` is a name like others."""
    found = program(
        "least = 5\nright = [0.9, 1.1]\n"
        + FAMILY.replace("IO, S, A", "IO, S, in").replace("IO -> A", "IO -> in")
        + "assert cut.edges in [least, 2 * least]\nassert recall(cut, small)in[1, 1]\n"
        + "assert faithfulness(small, metric = recovered, corruption = abc) in right"
    )
    assert "in" in found.declarations["ioi"].slots
    assert [(each.comparison, each.right) for each in found.assertions] == [
        *[("in", Range(5, 10))] * 2,
        *[("in", Range(1, 1))] * 2,
        ("in", Range(0.9, 1.1)),
    ]
    assert found.assertions[0].text == "cut.edges in [least, 2 * least]"
    assert found.assertions[1].about == "cut[1]"


def test_families_of_one_root_go_together() -> None:
    found = program(
        FAMILY
        + 'render drawn {\n  circuit = cut\n  highlight = cut\n  file = "cut.svg"\n}\n'
        + "assert recall(cut, cut) >= 0.5"
    )
    assert found.declarations["drawn[1]"].values["highlight"] == Ref("cut[1]")
    assert codes(FAMILY + "circuit rest using difference {\n  circuits = [cut, small]\n}") == ["C208"]


def test_families_from_the_command_line() -> None:
    text = "tau = 0.1\n" + FAMILY.replace("[0.1, 0.2]", "tau")
    assert program(text).families == {}
    assert len(program(text, set={"tau": "[0.1, 0.2, 0.3]"}).families["cut"]) == 3
    assert len(program(text, set={"tau": [0.1, 0.2]}).families["cut"]) == 2


def test_constants() -> None:
    found = program('a = b\nb = 0.5\nc = "text"\nd = true\ne = [1, 2]')
    assert found.constants == {"a": 0.5, "b": 0.5, "c": "text", "d": True, "e": (1, 2)}
    assert program("a = b\nb = 0.5", set={"b": 2}).constants == {"a": 2, "b": 2}
    assert program('a = "x"', set={"a": "gpt2 medium"}).constants == {"a": "gpt2 medium"}
    assert codes("tau = 0.5", set={"tua": "1"}) == ["C115"]
    assert codes("tau = 0.5", set={"tau": "x y"}) == ["C206"]
    assert codes("tau = 0.5", set={"tau": "true"}) == ["C206"]
    assert codes("tau = 0.5", set={"tau": ""}) == ["C206"]


def files(**texts: str) -> object:
    def load(path: str) -> bytes:
        name = path.removesuffix(".circ")
        if name not in texts:
            raise FileNotFoundError(2, "No such file or directory")
        return texts[name].encode()

    return load


def test_used_files() -> None:
    library = 'tau = 1\nmodel m using huggingface {\n  id = "gpt2"\n}\nassert tau == tau\n'
    found = program(
        'use "a.circ" as a\ngraph g using residual {\n  model = a.b.m\n}\nx = a.b.tau',
        loader=files(a='use "b.circ" as b', b=library.replace("assert tau == tau\n", "")),
        set={"a.b.tau": 3},
    )
    assert list(found.declarations) == ["a.b.m", "g"]
    assert found.constants["x"] == 3
    assert found.constants["a.b.tau"] == 3


def test_errors_in_used_files() -> None:
    result = check_text('use "a.circ" as a\nx = a.b', loader=files(a="tau = "))  # type: ignore[arg-type]
    assert [(each.code, each.span.source.name) for each in result.diagnostics] == [
        ("C113", "<script>"),
        ("C003", "a.circ"),
    ]
    circle = files(a='use "b.circ" as b', b='use "a.circ" as a')
    assert sorted(codes('use "a.circ" as a', loader=circle)) == ["C112", "C113", "C113"]
    assert codes('use "" as a') == ["C209"]
    assert codes('use "." as a') == ["C209"]
    assert codes('use "a\0b.circ" as a') == ["C111"]


def test_many_used_files_end() -> None:
    texts = {f"f{i}": f'use "f{i + 1}.circ" as a\nuse "f{i + 1}.circ" as b' for i in range(30)}
    assert "C112" in codes('use "f0.circ" as a', loader=files(**texts))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"tau = 0.5 \xff", "C011"),
        (b"\xff\xfet\x00a\x00u\x00", "C011"),
        (b"tau = 0.5\0", "C001"),
        (b"tau = 0.5\r", "C001"),
    ],
)
def test_what_is_no_script(text: bytes, code: str) -> None:
    found = check_text(text).diagnostics
    assert found[0].code == code
    assert render_diagnostics(found)


def test_byte_order_mark() -> None:
    assert program(b"\xef\xbb\xbftau = 0.5").constants == {"tau": 0.5}
    assert program("").declarations == {}


def test_a_script_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.circ", "a\0b", "/dev/zero"):
        result = check_file(path)
        assert [each.code for each in result.diagnostics] == ["C012"]
        assert render_diagnostics(result.diagnostics)


def test_a_long_chain_of_circuits() -> None:
    """Neither a chain nor a circle of any length is a matter of recursion."""
    number = 3000
    text = "".join(f"circuit c{i} using union {{\n  circuits = [c{i + 1}]\n}}\n" for i in range(number))
    last = f"circuit c{number} using reference {{\n  graph = full\n  embed -> L0H1 -> logits\n}}\n"
    assert codes(PREAMBLE + text + last) == ["C010"]  # said once, and in order
    assert codes(PREAMBLE + text.replace(f"c{number}]", "c0]")) == ["C010", "C109"]


def test_a_long_chain_of_constants() -> None:
    text = "".join(f"c{i} = c{i + 1}\n" for i in range(3000))
    assert program(text + "c3000 = 1").constants["c0"] == 1
    assert codes(text + "c3000 = c0") == ["C109"]
    assert codes(text + "c3000 = x") == ["C104"]
    assert codes(text + "c3000 = [x]") == ["C201"]


def test_a_block_is_no_constant() -> None:
    assert codes(PREAMBLE + "tau = gpt2\nsigma = tau") == ["C201"]
    assert codes('use "a.circ" as a\ntau = a', loader=files(a="")) == ["C201"]


def test_order_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from nncirc import check_file, render_diagnostics\n"
        f"r = check_file({str(SCRIPTS / 'ioi.circ')!r})\n"
        "print(list(r.program.declarations), r.program)\n"
        f"r = check_file({str(HERE / 'broken' / 'Cxxx_everything_at_once.circ')!r})\n"
        "print(render_diagnostics(r.diagnostics))\n"
    )
    assert len({printed(code, environment={"PYTHONHASHSEED": seed}) for seed in ("0", "1", "2")}) == 1


def test_checking_is_fast() -> None:
    """Start, imports, tables and check take 0.1 s of an idle core; the limit leaves room for others."""
    code = (
        "from nncirc import check_file\n"
        f"check_file({str(SCRIPTS / 'ioi.circ')!r})\n"
        "import time\nprint(time.process_time())\n"
    )
    assert float(printed(code)) < 1.0


def test_the_handbook_is_up_to_date() -> None:
    """Write it with `python -m nncirc.dsl.handbook docs/language.md`."""
    assert (ROOT / "docs" / "language.md").read_text(encoding="utf-8") == handbook()
