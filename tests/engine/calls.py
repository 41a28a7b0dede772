"""A right call of everything that is public, to make wrong ones of it, one argument at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from tests.engine.data.vocabulary import word_tokenizer
from tests.engine.tiny import contrast, tiny_gpt2

from nncirc import circuits, dsl, engine
from nncirc.circuits.pictures import curves, heatmap, pair, render
from nncirc.circuits.pictures.colours import Diverging, Sequential
from nncirc.circuits.pictures.curves import Curve
from nncirc.circuits.pictures.dot import to_dot
from nncirc.circuits.pictures.heatmap import Panel
from nncirc.dsl.check.program import Number
from nncirc.engine import data
from nncirc.engine.evaluation.bootstrap import estimates

Call: TypeAlias = tuple[Callable[..., Any], Mapping[str, Any]]

MODEL = tiny_gpt2()
CONTRAST = contrast(MODEL, size=2)
DATASET = CONTRAST.dataset
EXAMPLE = DATASET.examples[0]
GRAPH = MODEL.graph()
METRIC = engine.Metric("logit_diff")
FEW = circuits.Resampling(resamples=20)
EDGES = [circuits.Edge("embed", "L0H0.v"), circuits.Edge("L0H0", "L1H1.v"), circuits.Edge("L1H1", "logits")]
CIRCUIT = circuits.Circuit(GRAPH, dict.fromkeys(EDGES, 0.5), groups={"first": ("L0H0",)})
OTHER = circuits.Circuit.of(GRAPH, [circuits.Edge("embed", "logits")])
TOKENS = torch.tensor([EXAMPLE.tokens])
WORDS = word_tokenizer()
TEMPLATE = engine.template_dataset(
    WORDS,
    prompt="{A} and {B} went to {A}",
    slots={("A", "B", "C"): ["Mary", "John", "Anna", "Paul"]},
    size=2,
    answer="{B}",
)
SCORES = engine.EdgeScores(GRAPH, {edge: float(i) for i, edge in enumerate(GRAPH.edges())}, {})
BY_NODE = engine.NodeScores(("L0H0", "MLP0"), ("end",), ((0.5,), (1.0,)), {})
ESTIMATE = circuits.Estimate(0.5, 0.4, 0.6)
KNOCKOUT = engine.Knockout("MLP0", 0.5, 1.0, ESTIMATE)
CURVE = Curve([1, 2], [0.5, 1.0])
PANEL = Panel([[1.0]], ["L0"], ["end"])
COMPARISON = circuits.compare(CIRCUIT, OTHER)
CHECKED = dsl.check_text('model m using bundled {\n  name = "ioi-4l"\n}')
SPAN = dsl.Span(dsl.Source("x.circ", "model"), 0, 5)


@cache
def calls() -> dict[str, Call]:
    """By the names of `surface`; files are those of the current folder, which `files` has made."""
    c, e = circuits, engine
    on = {"contrast": CONTRAST, "metric": METRIC}
    by_graph = {**on, "graph": GRAPH}
    by_circuit = {**on, "circuit": CIRCUIT}
    both = {"first": CIRCUIT, "second": OTHER}
    against = {"circuit": CIRCUIT, "reference": OTHER}
    of_prompts = {"model": MODEL, "dataset": DATASET}
    baseline = e.Baseline(METRIC, [1.0, 2.0], [0.0, 0.5])
    noise = e.Gaussian("A")  # type: ignore[arg-type]
    low_rank = e.LowRank(torch.ones(2, 3, 1), torch.ones(2, 1, 3))
    mask = e.Mask.of(MODEL, GRAPH, [EDGES])
    substitute = e.sender_outputs(MODEL, GRAPH, TOKENS)
    made: dict[str, Any] = {}
    table = {"nodes": ["L0H0"], "positions": ["end"], "table": [[0.5]], "made": made, "digits": 3}
    found: dict[str, Call] = {
        "circuits.Agreement": (c.Agreement, {"found": 1, "extra": 1, "missed": 1, "absent": 1}),
        "circuits.Circuit": (
            c.Circuit,
            {"graph": GRAPH, "scores": {EDGES[0]: 0.5}, "groups": {}, "made": made},
        ),
        "circuits.Circuit.full": (c.Circuit.full, {"graph": GRAPH}),
        "circuits.Circuit.of": (c.Circuit.of, {"graph": GRAPH, "edges": EDGES}),
        "circuits.Comparison": (
            c.Comparison,
            {**both, "nodes": COMPARISON.nodes, "edges": COMPARISON.edges},
        ),
        "circuits.Estimate": (c.Estimate, {"value": 0.5, "low": 0.4, "high": 0.6}),
        "circuits.Estimate.interval": (ESTIMATE.interval, {"digits": 2}),
        "circuits.Estimate.rounded": (ESTIMATE.rounded, {"places": 2}),
        "circuits.Graph": (c.Graph, {"shape": GRAPH.shape}),
        "circuits.Null": (c.Null, {"observed": 0.5, "values": (0.1, 0.2)}),
        "circuits.Resampling": (c.Resampling, {}),
        "circuits.Roc": (c.Roc, {"points": (c.RocPoint(0.0, 0.0), c.RocPoint(1.0, 1.0))}),
        "circuits.Shape": (c.Shape, {"n_layers": 2, "n_heads": 2, "n_kv_heads": 2}),
        "circuits.Shape.kv_of": (GRAPH.shape.kv_of, {"head": 1}),
        "circuits.agreement": (c.agreement, against),
        "circuits.bootstrap": (
            c.bootstrap,
            {"columns": [[1.0, 2.0]], "statistic": lambda mean: mean, "how": FEW},
        ),
        "circuits.circuit_from_json": (c.circuit_from_json, {"text": c.circuit_to_json(CIRCUIT)}),
        "circuits.circuit_to_json": (c.circuit_to_json, {"circuit": CIRCUIT}),
        "circuits.cmd": (c.cmd, {"faithfulness": [0.5, 1.0], "shares": [0.1, 1.0]}),
        "circuits.collapse_to": (c.collapse_to, {"circuit": CIRCUIT, "graph": GRAPH}),
        "circuits.compare": (c.compare, both),
        "circuits.cpr": (c.cpr, {"faithfulness": [0.5, 1.0], "shares": [0.1, 1.0]}),
        "circuits.difference": (c.difference, both),
        "circuits.expand": (c.expand, {"graph": GRAPH, "name": "L*H0"}),
        "circuits.f1": (c.f1, against),
        "circuits.from_networkx": (c.from_networkx, {"network": c.to_networkx(CIRCUIT)}),
        "circuits.from_paths": (
            c.from_paths,
            {"graph": GRAPH, "groups": {"m": ["L1H0"]}, "paths": [[[("embed", None)], [("m", "v")]]]},
        ),
        "circuits.hypergeometric_tail": (
            c.hypergeometric_tail,
            {"shared": 2, "first": 2, "second": 2, "universe": 4},
        ),
        "circuits.intersection": (c.intersection, {"first": CIRCUIT}),
        "circuits.jaccard": (c.jaccard, against),
        "circuits.join_heads": (c.join_heads, {"circuit": CIRCUIT}),
        "circuits.join_inputs": (c.join_inputs, {"circuit": CIRCUIT}),
        "circuits.join_neurons": (c.join_neurons, {"circuit": CIRCUIT}),
        "circuits.join_positions": (c.join_positions, {"circuit": CIRCUIT}),
        "circuits.keep": (c.keep, {"circuit": CIRCUIT, "wanted": lambda edge: edge.sender == "embed"}),
        "circuits.mib_sizes": (c.mib_sizes, {"graph": GRAPH}),
        "circuits.node_scores": (c.node_scores, {"scores": dict.fromkeys(EDGES, 0.5)}),
        "circuits.overlap_p": (c.overlap_p, both),
        "circuits.precision": (c.precision, against),
        "circuits.prune": (c.prune, {"circuit": CIRCUIT}),
        "circuits.random_circuits": (
            lambda *args, **kwargs: list(c.random_circuits(*args, **kwargs)),
            {"graph": GRAPH, "edges": 3, "count": 2},
        ),
        "circuits.read_circuit": (c.read_circuit, {"path": "circuit.json"}),
        "circuits.read_eap_ig": (c.read_eap_ig, {"path": "eap_ig.json"}),
        "circuits.read_graphml": (c.read_graphml, {"path": "circuit.graphml"}),
        "circuits.read_submission": (c.read_submission, {"folder": "mib"}),
        "circuits.recall": (c.recall, against),
        "circuits.regroup": (c.regroup, {"circuit": CIRCUIT, "n_kv_heads": 2}),
        "circuits.roc_of_circuits": (c.roc_of_circuits, {"circuits": [CIRCUIT], "reference": OTHER}),
        "circuits.roc_of_scores": (
            c.roc_of_scores,
            {"scores": {"L0H0": 1.0, "L0H1": 0.5}, "right": ["L0H0"]},
        ),
        "circuits.to_networkx": (c.to_networkx, {"circuit": CIRCUIT}),
        "circuits.ungroup": (c.ungroup, {"circuit": CIRCUIT}),
        "circuits.union": (c.union, {"first": CIRCUIT}),
        "circuits.write_bytes": (c.write_bytes, {"path": "x.bin", "data": b"x"}),
        "circuits.write_circuit": (c.write_circuit, {"circuit": CIRCUIT, "path": "x.json"}),
        "circuits.write_eap_ig": (c.write_eap_ig, {"circuit": CIRCUIT, "path": "x.json", "d_model": 8}),
        "circuits.write_graphml": (c.write_graphml, {"circuit": CIRCUIT, "path": "x.graphml"}),
        "circuits.write_text": (c.write_text, {"path": "x.txt", "text": "x"}),
        "dsl.Assertion": (
            dsl.Assertion,
            {"left": Number(1.0), "comparison": ">=", "right": Number(0.0), "text": "1 >= 0", "span": SPAN},
        ),
        "dsl.CheckResult": (dsl.CheckResult, {"program": CHECKED.program, "diagnostics": ()}),
        "dsl.Declaration": (
            dsl.Declaration,
            {"name": "m", "kind": "model", "implementation": "bundled", "values": {}, "span": SPAN},
        ),
        "dsl.Diagnostic": (dsl.Diagnostic, {"code": "C101", "message": "unknown", "span": SPAN}),
        "dsl.Label": (dsl.Label, {"span": SPAN, "text": "here"}),
        "dsl.Program": (
            dsl.Program,
            {"source": SPAN.source, "constants": {}, "declarations": {}, "families": {}, "assertions": ()},
        ),
        "dsl.Program.of_kind": (program_of(CHECKED).of_kind, {}),
        "dsl.check_file": (dsl.check_file, {"path": "x.circ"}),
        "dsl.check_text": (dsl.check_text, {"text": "x = 1"}),
        "dsl.render": (dsl.render, {"diagnostic": dsl.Diagnostic("C101", "unknown", SPAN)}),
        "dsl.render_all": (dsl.render_all, {"diagnostics": [dsl.Diagnostic("C101", "unknown", SPAN)]}),
        "dsl.to_json": (dsl.to_json, {"diagnostics": [dsl.Diagnostic("C101", "unknown", SPAN)]}),
        "engine.Baseline": (e.Baseline, {"metric": METRIC, "clean": [1.0], "corrupt": [0.0]}),
        "engine.Baseline.faithfulness": (baseline.faithfulness, {"values": [0.5, 1.0], "how": FEW}),
        "engine.Baseline.mean": (baseline.mean, {"values": [0.5, 1.0], "how": FEW}),
        "engine.Baseline.of": (e.Baseline.of, on),
        "engine.Baseline.statistic": (
            baseline.statistic,
            {"rows": [[0.5, 1.0]], "function": lambda kept: kept, "how": FEW},
        ),
        "engine.Contrast": (
            e.Contrast,
            {"model": MODEL, "dataset": DATASET, "corruption": CONTRAST.corruption},
        ),
        **{
            f"engine.Contrast.{name}": (getattr(CONTRAST, name), {"metric": METRIC})
            for name in ("clean", "clean_values", "corrupt", "corrupt_values", "facts", "normalized")
        },
        "engine.Contrast.unpatched": (CONTRAST.unpatched, {"metric": METRIC, "direction": "noise"}),
        "engine.Dataset": (
            e.Dataset,
            {
                "examples": DATASET.examples,
                "answers": "token",
                "counterparts": None,
                "made": made,
                "tokenizer": WORDS,
            },
        ),
        "engine.EdgeScores": (e.EdgeScores, {"graph": GRAPH, "values": SCORES.values, "made": made}),
        "engine.EdgeScores.__getitem__": (SCORES.__getitem__, {"edge": ("embed", "logits")}),
        "engine.EdgeScores.compared": (SCORES.compared, {"rank": "signed"}),
        "engine.EdgeScores.of": (
            e.EdgeScores.of,
            {
                "graph": GRAPH,
                "table": [[0.0] * len(GRAPH.heard(i)) for i in range(len(GRAPH.receivers))],
                "made": made,
                "digits": 3,
            },
        ),
        "engine.EdgeScores.ranked": (SCORES.ranked, {"rank": "signed"}),
        "engine.EdgeScores.threshold": (SCORES.threshold, {"threshold": 0.5}),
        "engine.EdgeScores.top": (SCORES.top, {"edges": 3}),
        "engine.Example": (
            e.Example,
            {
                "text": "x",
                "tokens": (1, 2),
                "spans": {("A", 1): (0, 1)},
                "answer": 1,
                "foil": None,
                "values": {"A": "x"},
            },
        ),
        "engine.Family": (
            e.Family,
            dict.fromkeys(
                (
                    "model_type",
                    "blocks",
                    "final_norm",
                    "unembed",
                    "attention_norm",
                    "attention",
                    "output",
                    "mlp_norm",
                    "mlp",
                ),
                "x",
            )
            | {"rotary": None, "projections": ("q",)},
        ),
        "engine.Gaussian": (e.Gaussian, {"at": "A"}),
        "engine.Gaussian.draw": (noise.draw, {"example": EXAMPLE, "prompt": 0, "sample": 0, "width": 4}),
        "engine.Gaussian.positions": (noise.positions, {"example": EXAMPLE}),
        "engine.Knockout": (
            e.Knockout,
            {"name": "MLP0", "circuit": 0.5, "other": 1.0, "difference": ESTIMATE},
        ),
        "engine.LowRank": (e.LowRank, {"left": torch.ones(3, 1), "right": torch.ones(1, 3)}),
        "engine.LowRank.__getitem__": (low_rank.__getitem__, {"at": 0}),
        "engine.LowRank.block": (
            low_rank.block,
            {"rows": torch.tensor([0]), "columns": torch.tensor([1, 2])},
        ),
        "engine.Mask": (e.Mask, {"cut": mask.cut}),
        "engine.Mask.everything": (e.Mask.everything, {"model": MODEL, "graph": GRAPH}),
        "engine.Mask.of": (e.Mask.of, {"model": MODEL, "graph": GRAPH, "rows": [EDGES]}),
        "engine.Mean": (e.Mean, {}),
        "engine.Measure": (
            e.Measure,
            {"function": METRIC.measure.function, "needs": (), "sign": 1, "unit": "logits"},
        ),
        "engine.Measured": (e.Measured, {}),
        "engine.Metric": (e.Metric, {"name": "logit_diff"}),
        "engine.Model": (e.Model, {"module": MODEL.module}),
        "engine.Model.graph": (MODEL.graph, {}),
        "engine.Model.neurons": (MODEL.neurons, {"layers": [0]}),
        "engine.NodeScores": (
            e.NodeScores,
            {"nodes": ("L0H0",), "positions": (), "values": ((0.5,),), "made": made},
        ),
        "engine.NodeScores.__getitem__": (BY_NODE.__getitem__, {"node": "L0H0"}),
        "engine.NodeScores.estimate": (BY_NODE.estimate, {"node": "L0H0"}),
        "engine.NodeScores.estimated": (
            e.NodeScores.estimated,
            {
                **{name: value for name, value in table.items() if name != "table"},
                "found": estimates([torch.ones(1, 1, 2)], how=FEW),
            },
        ),
        "engine.NodeScores.of": (e.NodeScores.of, table),
        "engine.NodeScores.value": (BY_NODE.value, {"node": "L0H0"}),
        "engine.Resample": (e.Resample, {"examples": DATASET.examples}),
        "engine.Zero": (e.Zero, {}),
        "engine.acdc": (e.acdc, {**by_graph, "threshold": 0.5}),
        "engine.acdc_family": (e.acdc_family, {**by_graph, "thresholds": [0.5]}),
        "engine.activation_patching": (e.activation_patching, {**by_graph, "how": FEW}),
        "engine.all_inputs": (e.all_inputs, {"tokenizer": WORDS, "length": 1}),
        "engine.attention_pattern": (e.attention_pattern, {"model": MODEL, "tokens": TOKENS}),
        "engine.attention_statistics": (
            e.attention_statistics,
            {**of_prompts, "of": ["previous_token"], "how": FEW},
        ),
        "engine.attribution_patching": (e.attribution_patching, by_graph),
        "engine.causal_tracing": (e.causal_tracing, {**on, "how": FEW}),
        "engine.circuit_metric": (e.circuit_metric, by_circuit),
        "engine.completeness": (e.completeness, {**by_circuit, "how": FEW}),
        "engine.composition": (e.composition, {"model": MODEL, "of": "q_composition"}),
        "engine.composition_scores": (e.composition_scores, {"model": MODEL, "which": "q"}),
        "engine.copying_scores": (e.copying_scores, {"model": MODEL}),
        "engine.LowRank.__matmul__": (
            e.LowRank(torch.ones(2, 3, 1), torch.ones(2, 1, 3)).__matmul__,
            {"other": e.LowRank(torch.ones(2, 3, 1), torch.ones(2, 1, 3))},
        ),
        "engine.data.Field": (data.Field, {"slot": "A"}),
        "engine.data.buckets": (data.buckets, {"examples": TEMPLATE.examples}),
        "engine.data.resolve": (data.resolve, {"example": TEMPLATE.examples[0], "name": "A"}),
        "engine.data.roles": (data.roles, {"example": EXAMPLE}),
        "engine.data.tokens_of": (data.tokens_of, {"target": 3}),
        "dsl.Source": (dsl.Source, {"name": "x.circ", "text": "a = 1"}),
        "engine.data.RandomTokens": (data.RandomTokens, {"count": 2}),
        "engine.data.alignment_table": (
            data.alignment_table,
            {"dataset": TEMPLATE, "clean": TEMPLATE.examples[0], "corrupt": TEMPLATE.examples[1]},
        ),
        "engine.data.check_alignment": (
            data.check_alignment,
            {"dataset": TEMPLATE, "corrupt": e.shuffle(TEMPLATE)},
        ),
        "engine.data.labels_of": (data.labels_of, {"tokenizer": WORDS, "tokens": [3, 9]}),
        "engine.data.show_tokens": (data.show_tokens, {"tokenizer": WORDS, "tokens": [3, 9]}),
        "engine.counterpart": (e.counterpart, {"dataset": pairs()}),
        "engine.cut_metric": (e.cut_metric, {**by_graph, "cut": EDGES}),
        "engine.faithfulness": (e.faithfulness, by_circuit),
        "engine.faithfulness_interval": (e.faithfulness_interval, {**by_circuit, "how": FEW}),
        "engine.file_dataset": (
            e.file_dataset,
            {"tokenizer": WORDS, "path": "prompts.csv", "clean": "clean", "answer": "answer"},
        ),
        "engine.function_vector": (e.function_vector, {**by_graph, "heads": ["L0H0"], "how": FEW}),
        "engine.in_context_learning": (
            e.in_context_learning,
            {**of_prompts, "early": 2, "late": 4, "how": FEW},
        ),
        "engine.incompleteness": (e.incompleteness, {"knockouts": [KNOCKOUT]}),
        "engine.least": (e.least, {"knockouts": [KNOCKOUT]}),
        "engine.load_bundled": (e.load_bundled, {"name": "tracr-reverse"}),
        "engine.load_compiled": (e.load_compiled, {"path": "compiled"}),
        "engine.load_huggingface": (e.load_huggingface, {"id": "hugging"}),
        "engine.load_tokenizer": (e.load_tokenizer, {"folder_or_id": "hugging"}),
        "engine.logit_attribution": (e.logit_attribution, {**of_prompts, "graph": GRAPH, "how": FEW}),
        "engine.logit_lens": (e.logit_lens, {**of_prompts, "how": FEW}),
        "engine.masked_forward": (
            e.masked_forward,
            {"model": MODEL, "graph": GRAPH, "tokens": TOKENS, "mask": mask, "substitute": substitute},
        ),
        "engine.matching_scores": (e.matching_scores, {"model": MODEL}),
        "engine.minimality": (e.minimality, {**by_circuit, "how": FEW}),
        "engine.node_attribution": (e.node_attribution, by_graph),
        "engine.ov_circuit": (e.ov_circuit, {"model": MODEL, "head": "L0H0"}),
        "engine.patchscopes": (
            e.patchscopes,
            {"model": MODEL, "source": DATASET, "target": DATASET, "how": FEW},
        ),
        "engine.path_patching": (e.path_patching, {**by_graph, "to": ["L1H0.v"], "how": FEW}),
        "engine.prompt_dataset": (
            e.prompt_dataset,
            {"tokenizer": WORDS, "clean": ["Mary gave"], "answer": "John"},
        ),
        "engine.qk_circuit": (e.qk_circuit, {"model": MODEL, "head": "L0H0"}),
        "engine.random_faithfulness": (e.random_faithfulness, {**by_circuit, "draws": 2}),
        "engine.random_tokens": (e.random_tokens, {"count": 2}),
        "engine.replace": (e.replace, {"dataset": TEMPLATE, "replacements": {("A", 2): "C"}}),
        "engine.sender_outputs": (e.sender_outputs, {"model": MODEL, "graph": GRAPH, "tokens": TOKENS}),
        "engine.shuffle": (e.shuffle, {"dataset": TEMPLATE}),
        "engine.steering": (e.steering, {**by_graph, "nodes": ["L0H0"], "scale": [2.0], "how": FEW}),
        "engine.task_dataset": (
            e.task_dataset,
            {"tokenizer": e.load_bundled("tasks-4l").tokenizer, "task": "greater_than", "size": 2},
        ),
        "engine.template_dataset": (
            e.template_dataset,
            {"tokenizer": WORDS, "prompt": "{A} gave", "slots": {"A": ["Mary"]}, "size": 1},
        ),
        "engine.token_dataset": (e.token_dataset, {"tokenizer": WORDS, "size": 1, "length": 2}),
        "engine.virtual_head": (e.virtual_head, {"model": MODEL, "first": "L0H0", "second": "L1H0"}),
        "engine.weight_statistics": (e.weight_statistics, {"model": MODEL, "of": ["copying"]}),
        "engine.with_answers": (e.with_answers, {"dataset": TEMPLATE, "answers": ["John", "Mary"]}),
    }
    drawn: dict[str, Call] = {
        "colours.Diverging": (Diverging, {}),
        "colours.Sequential": (Sequential, {}),
        "curves.Curve": (Curve, {"x": [1], "y": [0.5]}),
        "curves.curves": (curves.curves, {"lines": [CURVE]}),
        "dot.to_dot": (to_dot, {"circuit": CIRCUIT}),
        "heatmap.Panel": (Panel, {"values": [[1.0]], "rows": ["L0"], "columns": ["end"]}),
        "heatmap.heatmap": (heatmap.heatmap, {"panels": [PANEL], "unit": "logits"}),
        "pair.pair_to_dot": (pair.pair_to_dot, {"comparison": COMPARISON, "names": ("a", "b")}),
        "pair.render_pair": (
            pair.render_pair,
            {"comparison": COMPARISON, "names": ("a", "b"), "path": "x.dot"},
        ),
        "render.render": (render.render, {"circuit": CIRCUIT, "path": "x.dot"}),
        "render.to_pdf": (render.to_pdf, {"dot": "digraph {}"}),
        "render.to_png": (render.to_png, {"dot": "digraph {}"}),
        "render.to_svg": (render.to_svg, {"dot": "digraph {}"}),
    }
    return found | {f"circuits.pictures.{name}": call for name, call in drawn.items()}


def program_of(checked: dsl.CheckResult) -> dsl.Program:
    """The program of a script without errors."""
    assert checked.program is not None
    return checked.program


def pairs() -> engine.Dataset:
    """Prompts with their counterparts."""
    return engine.prompt_dataset(WORDS, clean=["Mary gave"], corrupt=["John gave"], answer="Mary")


def files(folder: Path) -> None:
    """What the calls read."""
    circuits.write_circuit(CIRCUIT, folder / "circuit.json")
    circuits.write_graphml(CIRCUIT, folder / "circuit.graphml")
    circuits.write_eap_ig(CIRCUIT, folder / "eap_ig.json", d_model=8)
    (folder / "mib" / "ioi_gpt2").mkdir(parents=True)
    circuits.write_eap_ig(CIRCUIT, folder / "mib" / "ioi_gpt2" / "importances.json", d_model=8)
    (folder / "x.circ").write_text("x = 1\n", encoding="utf-8")
    (folder / "prompts.csv").write_text("clean,answer\nMary gave,John\n", encoding="utf-8")
    models = Path(circuits.__file__).parent / "models"
    (folder / "compiled").symlink_to(models / "tracr-reverse")
    (folder / "hugging").symlink_to(models / "induction-2l")
