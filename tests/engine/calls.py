"""A right call of everything that is public, to make wrong ones of it, one argument at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from tests.checked import program_of
from tests.engine.data.vocabulary import word_tokenizer
from tests.engine.programs import write_hooked
from tests.engine.tiny import contrast, tiny_gpt2

import nncirc as n
from nncirc.circuits.families.family import side_by_side
from nncirc.circuits.pictures.colours import Diverging, Sequential
from nncirc.circuits.pictures.pair import pair_to_dot
from nncirc.dsl.check.program import Number
from nncirc.engine.evaluation.bootstrap import estimates

Call: TypeAlias = tuple[Callable[..., Any], Mapping[str, Any]]

MODEL = tiny_gpt2()
CONTRAST = contrast(MODEL, size=2)
DATASET = CONTRAST.dataset
EXAMPLE = DATASET.examples[0]
GRAPH = MODEL.graph()
METRIC = n.Metric("logit_diff")
FEW = n.Resampling(resamples=20)
EDGES = [n.Edge("embed", "L0H0.v"), n.Edge("L0H0", "L1H1.v"), n.Edge("L1H1", "logits")]
CIRCUIT = n.Circuit(GRAPH, dict.fromkeys(EDGES, 0.5), groups={"first": ("L0H0",)})
OTHER = n.Circuit.of(GRAPH, [n.Edge("embed", "logits")])
TOKENS = torch.tensor([EXAMPLE.tokens])
WORDS = word_tokenizer()
TEMPLATE = n.template_dataset(
    WORDS,
    prompt="{A} and {B} went to {A}",
    slots={("A", "B", "C"): ["Mary", "John", "Anna", "Paul"]},
    size=2,
    answer="{B}",
)
SCORES = n.EdgeScores(GRAPH, {edge: float(i) for i, edge in enumerate(GRAPH.edges())}, {})
BY_NODE = n.NodeScores(("L0H0", "MLP0"), ("end",), ((0.5,), (1.0,)), {})
ESTIMATE = n.Estimate(0.5, 0.4, 0.6)
KNOCKOUT = n.Knockout("MLP0", 0.5, 1.0, ESTIMATE)
CURVE = n.Curve([1, 2], [0.5, 1.0])
PANEL = n.Panel([[1.0]], ["L0"], ["end"])
COMPARISON = n.compare(CIRCUIT, OTHER)
CHECKED = n.check_text('model m using bundled {\n  name = "ioi-4l"\n}')
SPAN = n.Span(n.Source("x.circ", "model"), 0, 5)


@cache
def calls() -> dict[str, Call]:
    """By the names of `surface`; files are those of the current folder, which `files` has made."""
    on = {"contrast": CONTRAST, "metric": METRIC}
    by_graph = {**on, "graph": GRAPH}
    by_circuit = {**on, "circuit": CIRCUIT}
    both = {"first": CIRCUIT, "second": OTHER}
    against = {"circuit": CIRCUIT, "reference": OTHER}
    of_prompts = {"model": MODEL, "dataset": DATASET}
    baseline = n.Baseline(METRIC, [1.0, 2.0], [0.0, 0.5])
    noise = n.Gaussian("A")  # type: ignore[arg-type]
    low_rank = n.LowRank(torch.ones(2, 3, 1), torch.ones(2, 1, 3))
    mask = n.Mask.of(MODEL, GRAPH, [EDGES])
    substitute = n.sender_outputs(MODEL, GRAPH, TOKENS)
    made: dict[str, Any] = {}
    table = {"nodes": ["L0H0"], "positions": ["end"], "table": [[0.5]], "made": made, "digits": 3}
    return {
        "Agreement": (n.Agreement, {"found": 1, "extra": 1, "missed": 1, "absent": 1}),
        "Circuit": (n.Circuit, {"graph": GRAPH, "scores": {EDGES[0]: 0.5}, "groups": {}, "made": made}),
        "Circuit.full": (n.Circuit.full, {"graph": GRAPH}),
        "Circuit.of": (n.Circuit.of, {"graph": GRAPH, "edges": EDGES}),
        "Comparison": (n.Comparison, {**both, "nodes": COMPARISON.nodes, "edges": COMPARISON.edges}),
        "Estimate": (n.Estimate, {"value": 0.5, "low": 0.4, "high": 0.6}),
        "Estimate.interval": (ESTIMATE.interval, {"digits": 2}),
        "Estimate.rounded": (ESTIMATE.rounded, {"places": 2}),
        "Graph": (n.Graph, {"shape": GRAPH.shape}),
        "Null": (n.Null, {"observed": 0.5, "values": (0.1, 0.2)}),
        "Resampling": (n.Resampling, {}),
        "Roc": (n.Roc, {"points": (n.RocPoint(0.0, 0.0), n.RocPoint(1.0, 1.0))}),
        "Shape": (n.Shape, {"n_layers": 2, "n_heads": 2, "n_kv_heads": 2}),
        "Shape.kv_of": (GRAPH.shape.kv_of, {"head": 1}),
        "agreement": (n.agreement, against),
        "bootstrap": (n.bootstrap, {"columns": [[1.0, 2.0]], "statistic": lambda mean: mean, "how": FEW}),
        "circuit_from_json": (n.circuit_from_json, {"text": n.circuit_to_json(CIRCUIT)}),
        "circuit_to_json": (n.circuit_to_json, {"circuit": CIRCUIT}),
        "cmd": (n.cmd, {"faithfulness": [0.5, 1.0], "shares": [0.1, 1.0]}),
        "collapse_to": (n.collapse_to, {"circuit": CIRCUIT, "graph": GRAPH}),
        "compare": (n.compare, both),
        "cpr": (n.cpr, {"faithfulness": [0.5, 1.0], "shares": [0.1, 1.0]}),
        "difference": (n.difference, both),
        "expand": (n.expand, {"graph": GRAPH, "name": "L*H0"}),
        "f1": (n.f1, against),
        "from_networkx": (n.from_networkx, {"network": n.to_networkx(CIRCUIT)}),
        "from_paths": (
            n.from_paths,
            {"graph": GRAPH, "groups": {"m": ["L1H0"]}, "paths": [[[("embed", None)], [("m", "v")]]]},
        ),
        "hypergeometric_tail": (n.hypergeometric_tail, {"shared": 2, "first": 2, "second": 2, "universe": 4}),
        "intersection": (n.intersection, {"first": CIRCUIT}),
        "jaccard": (n.jaccard, against),
        "join_heads": (n.join_heads, {"circuit": CIRCUIT}),
        "join_inputs": (n.join_inputs, {"circuit": CIRCUIT}),
        "join_neurons": (n.join_neurons, {"circuit": CIRCUIT}),
        "join_positions": (n.join_positions, {"circuit": CIRCUIT}),
        "keep": (n.keep, {"circuit": CIRCUIT, "wanted": lambda edge: edge.sender == "embed"}),
        "mib_sizes": (n.mib_sizes, {"graph": GRAPH}),
        "node_scores": (n.node_scores, {"scores": dict.fromkeys(EDGES, 0.5)}),
        "overlap_p": (n.overlap_p, both),
        "precision": (n.precision, against),
        "prune": (n.prune, {"circuit": CIRCUIT}),
        "random_circuits": (
            lambda *args, **kwargs: list(n.random_circuits(*args, **kwargs)),
            {"graph": GRAPH, "edges": 3, "count": 2},
        ),
        "read_circuit": (n.read_circuit, {"path": "circuit.json"}),
        "read_eap_ig": (n.read_eap_ig, {"path": "eap_ig.json"}),
        "read_graphml": (n.read_graphml, {"path": "circuit.graphml"}),
        "read_submission": (n.read_submission, {"folder": "mib"}),
        "recall": (n.recall, against),
        "regroup": (n.regroup, {"circuit": CIRCUIT, "n_kv_heads": 2}),
        "roc_of_circuits": (n.roc_of_circuits, {"circuits": [CIRCUIT], "reference": OTHER}),
        "roc_of_scores": (n.roc_of_scores, {"scores": {"L0H0": 1.0, "L0H1": 0.5}, "right": ["L0H0"]}),
        "to_networkx": (n.to_networkx, {"circuit": CIRCUIT}),
        "ungroup": (n.ungroup, {"circuit": CIRCUIT}),
        "union": (n.union, {"first": CIRCUIT}),
        "write_bytes": (n.write_bytes, {"path": "x.bin", "data": b"x"}),
        "write_circuit": (n.write_circuit, {"circuit": CIRCUIT, "path": "x.json"}),
        "write_eap_ig": (n.write_eap_ig, {"circuit": CIRCUIT, "path": "x.json", "d_model": 8}),
        "write_graphml": (n.write_graphml, {"circuit": CIRCUIT, "path": "x.graphml"}),
        "write_text": (n.write_text, {"path": "x.txt", "text": "x"}),
        "Assertion": (
            n.Assertion,
            {"left": Number(1.0), "comparison": ">=", "right": Number(0.0), "text": "1 >= 0", "span": SPAN},
        ),
        "CheckResult": (n.CheckResult, {"program": CHECKED.program, "diagnostics": ()}),
        "Declaration": (
            n.Declaration,
            {"name": "m", "kind": "model", "implementation": "bundled", "values": {}, "span": SPAN},
        ),
        "Diagnostic": (n.Diagnostic, {"code": "C101", "message": "unknown", "span": SPAN}),
        "Label": (n.Label, {"span": SPAN, "text": "here"}),
        "Program": (
            n.Program,
            {"source": SPAN.source, "constants": {}, "declarations": {}, "families": {}, "assertions": ()},
        ),
        "Program.of_kind": (program_of(CHECKED).of_kind, {}),
        "check_file": (n.check_file, {"path": "x.circ"}),
        "check_text": (n.check_text, {"text": "x = 1"}),
        "render_diagnostic": (n.render_diagnostic, {"diagnostic": n.Diagnostic("C101", "unknown", SPAN)}),
        "render_diagnostics": (
            n.render_diagnostics,
            {"diagnostics": [n.Diagnostic("C101", "unknown", SPAN)]},
        ),
        "diagnostics_to_json": (
            n.diagnostics_to_json,
            {"diagnostics": [n.Diagnostic("C101", "unknown", SPAN)]},
        ),
        "Baseline": (n.Baseline, {"metric": METRIC, "clean": [1.0], "corrupt": [0.0]}),
        "Baseline.faithfulness": (baseline.faithfulness, {"values": [0.5, 1.0], "how": FEW}),
        "Baseline.mean": (baseline.mean, {"values": [0.5, 1.0], "how": FEW}),
        "Baseline.of": (n.Baseline.of, on),
        "Baseline.statistic": (
            baseline.statistic,
            {"rows": [[0.5, 1.0]], "function": lambda kept: kept, "how": FEW},
        ),
        "Contrast": (n.Contrast, {"model": MODEL, "dataset": DATASET, "corruption": CONTRAST.corruption}),
        **{
            f"Contrast.{name}": (getattr(CONTRAST, name), {"metric": METRIC})
            for name in ("clean", "clean_values", "corrupt", "corrupt_values", "facts", "normalized")
        },
        "Contrast.unpatched": (CONTRAST.unpatched, {"metric": METRIC, "direction": "noise"}),
        "Dataset": (
            n.Dataset,
            {
                "examples": DATASET.examples,
                "answers": "token",
                "counterparts": None,
                "made": made,
                "tokenizer": WORDS,
            },
        ),
        "EdgeScores": (n.EdgeScores, {"graph": GRAPH, "values": SCORES.values, "made": made}),
        "EdgeScores.__getitem__": (SCORES.__getitem__, {"edge": ("embed", "logits")}),
        "EdgeScores.compared": (SCORES.compared, {"rank": "signed"}),
        "EdgeScores.of": (
            n.EdgeScores.of,
            {
                "graph": GRAPH,
                "table": [[0.0] * len(GRAPH.heard(i)) for i in range(len(GRAPH.receivers))],
                "made": made,
                "digits": 3,
            },
        ),
        "EdgeScores.ranked": (SCORES.ranked, {"rank": "signed"}),
        "EdgeScores.threshold": (SCORES.threshold, {"threshold": 0.5}),
        "EdgeScores.top": (SCORES.top, {"edges": 3}),
        "Example": (
            n.Example,
            {
                "text": "x",
                "tokens": (1, 2),
                "spans": {("A", 1): (0, 1)},
                "answer": 1,
                "foil": None,
                "values": {"A": "x"},
            },
        ),
        "Family": (
            n.Family,
            {
                **dict.fromkeys(
                    ("blocks", "final_norm", "attention_norm", "attention", "output", "mlp_norm", "mlp"), "x"
                ),
                "units": side_by_side("x"),
            },
        ),
        "Gaussian": (n.Gaussian, {"at": "A"}),
        "Gaussian.draw": (noise.draw, {"example": EXAMPLE, "prompt": 0, "sample": 0, "width": 4}),
        "Gaussian.positions": (noise.positions, {"example": EXAMPLE}),
        "Knockout": (n.Knockout, {"name": "MLP0", "circuit": 0.5, "other": 1.0, "difference": ESTIMATE}),
        "LowRank": (n.LowRank, {"left": torch.ones(3, 1), "right": torch.ones(1, 3)}),
        "LowRank.__getitem__": (low_rank.__getitem__, {"at": 0}),
        "LowRank.block": (low_rank.block, {"rows": torch.tensor([0]), "columns": torch.tensor([1, 2])}),
        "Mask": (n.Mask, {"cut": mask.cut}),
        "Mask.everything": (n.Mask.everything, {"model": MODEL, "graph": GRAPH}),
        "Mask.of": (n.Mask.of, {"model": MODEL, "graph": GRAPH, "rows": [EDGES]}),
        "Mean": (n.Mean, {}),
        "Measure": (
            n.Measure,
            {"function": METRIC.measure.function, "needs": (), "sign": 1, "unit": "logits"},
        ),
        "Measured": (n.Measured, {}),
        "Metric": (n.Metric, {"name": "logit_diff"}),
        "Model": (n.Model, {"module": MODEL.module}),
        "Model.graph": (MODEL.graph, {}),
        "Model.neurons": (MODEL.neurons, {"layers": [0]}),
        "NodeScores": (
            n.NodeScores,
            {"nodes": ("L0H0",), "positions": (), "values": ((0.5,),), "made": made},
        ),
        "NodeScores.__getitem__": (BY_NODE.__getitem__, {"node": "L0H0"}),
        "NodeScores.estimate": (BY_NODE.estimate, {"node": "L0H0"}),
        "NodeScores.estimated": (
            n.NodeScores.estimated,
            {
                **{name: value for name, value in table.items() if name != "table"},
                "found": estimates([torch.ones(1, 1, 2)], how=FEW),
            },
        ),
        "NodeScores.of": (n.NodeScores.of, table),
        "NodeScores.value": (BY_NODE.value, {"node": "L0H0"}),
        "Resample": (n.Resample, {"examples": DATASET.examples}),
        "Zero": (n.Zero, {}),
        "acdc": (n.acdc, {**by_graph, "threshold": 0.5}),
        "acdc_family": (n.acdc_family, {**by_graph, "thresholds": [0.5]}),
        "activation_patching": (n.activation_patching, {**by_graph, "how": FEW}),
        "all_inputs": (n.all_inputs, {"tokenizer": WORDS, "length": 1}),
        "attention_pattern": (n.attention_pattern, {"model": MODEL, "tokens": TOKENS}),
        "attention_statistics": (
            n.attention_statistics,
            {**of_prompts, "of": ["previous_token"], "how": FEW},
        ),
        "attribution_patching": (n.attribution_patching, by_graph),
        "causal_tracing": (n.causal_tracing, {**on, "how": FEW}),
        "circuit_metric": (n.circuit_metric, by_circuit),
        "completeness": (n.completeness, {**by_circuit, "how": FEW}),
        "composition": (n.composition, {"model": MODEL, "of": "q_composition"}),
        "composition_scores": (n.composition_scores, {"model": MODEL, "which": "q"}),
        "copying_scores": (n.copying_scores, {"model": MODEL}),
        "LowRank.__matmul__": (
            n.LowRank(torch.ones(2, 3, 1), torch.ones(2, 1, 3)).__matmul__,
            {"other": n.LowRank(torch.ones(2, 3, 1), torch.ones(2, 1, 3))},
        ),
        "Field": (n.Field, {"slot": "A"}),
        "buckets": (n.buckets, {"examples": TEMPLATE.examples}),
        "resolve": (n.resolve, {"example": TEMPLATE.examples[0], "name": "A"}),
        "roles": (n.roles, {"example": EXAMPLE}),
        "tokens_of": (n.tokens_of, {"target": 3}),
        "Source": (n.Source, {"name": "x.circ", "text": "a = 1"}),
        "RandomTokens": (n.RandomTokens, {"count": 2}),
        "alignment_table": (
            n.alignment_table,
            {"dataset": TEMPLATE, "clean": TEMPLATE.examples[0], "corrupt": TEMPLATE.examples[1]},
        ),
        "check_alignment": (n.check_alignment, {"dataset": TEMPLATE, "corrupt": n.shuffle(TEMPLATE)}),
        "labels_of": (n.labels_of, {"tokenizer": WORDS, "tokens": [3, 9]}),
        "show_tokens": (n.show_tokens, {"tokenizer": WORDS, "tokens": [3, 9]}),
        "counterpart": (n.counterpart, {"dataset": pairs()}),
        "cut_metric": (n.cut_metric, {**by_graph, "cut": EDGES}),
        "faithfulness": (n.faithfulness, by_circuit),
        "faithfulness_interval": (n.faithfulness_interval, {**by_circuit, "how": FEW}),
        "file_dataset": (
            n.file_dataset,
            {"tokenizer": WORDS, "path": "prompts.csv", "clean": "clean", "answer": "answer"},
        ),
        "function_vector": (n.function_vector, {**by_graph, "heads": ["L0H0"], "how": FEW}),
        "in_context_learning": (n.in_context_learning, {**of_prompts, "early": 2, "late": 4, "how": FEW}),
        "incompleteness": (n.incompleteness, {"knockouts": [KNOCKOUT]}),
        "least": (n.least, {"knockouts": [KNOCKOUT]}),
        "load_bundled": (n.load_bundled, {"name": "tracr-reverse"}),
        "load_compiled": (n.load_compiled, {"path": "compiled"}),
        "load_huggingface": (n.load_huggingface, {"id": "hugging"}),
        "load_tokenizer": (n.load_tokenizer, {"folder_or_id": "hugging"}),
        "load_transformer_lens": (n.load_transformer_lens, {"path": "hooked"}),
        "logit_attribution": (n.logit_attribution, {**of_prompts, "graph": GRAPH, "how": FEW}),
        "logit_lens": (n.logit_lens, {**of_prompts, "how": FEW}),
        "masked_forward": (
            n.masked_forward,
            {"model": MODEL, "graph": GRAPH, "tokens": TOKENS, "mask": mask, "substitute": substitute},
        ),
        "matching_scores": (n.matching_scores, {"model": MODEL}),
        "minimality": (n.minimality, {**by_circuit, "how": FEW}),
        "node_attribution": (n.node_attribution, by_graph),
        "ov_circuit": (n.ov_circuit, {"model": MODEL, "head": "L0H0"}),
        "patchscopes": (n.patchscopes, {"model": MODEL, "source": DATASET, "target": DATASET, "how": FEW}),
        "path_patching": (n.path_patching, {**by_graph, "to": ["L1H0.v"], "how": FEW}),
        "prompt_dataset": (n.prompt_dataset, {"tokenizer": WORDS, "clean": ["Mary gave"], "answer": "John"}),
        "qk_circuit": (n.qk_circuit, {"model": MODEL, "head": "L0H0"}),
        "random_faithfulness": (n.random_faithfulness, {**by_circuit, "draws": 2}),
        "random_tokens": (n.random_tokens, {"count": 2}),
        "replace": (n.replace, {"dataset": TEMPLATE, "replacements": {("A", 2): "C"}}),
        "sender_outputs": (n.sender_outputs, {"model": MODEL, "graph": GRAPH, "tokens": TOKENS}),
        "shuffle": (n.shuffle, {"dataset": TEMPLATE}),
        "steering": (n.steering, {**by_graph, "nodes": ["L0H0"], "scale": [2.0], "how": FEW}),
        "task_dataset": (
            n.task_dataset,
            {"tokenizer": n.load_bundled("tasks-4l").tokenizer, "task": "greater_than", "size": 2},
        ),
        "template_dataset": (
            n.template_dataset,
            {"tokenizer": WORDS, "prompt": "{A} gave", "slots": {"A": ["Mary"]}, "size": 1},
        ),
        "token_dataset": (n.token_dataset, {"tokenizer": WORDS, "size": 1, "length": 2}),
        "virtual_head": (n.virtual_head, {"model": MODEL, "first": "L0H0", "second": "L1H0"}),
        "weight_statistics": (n.weight_statistics, {"model": MODEL, "of": ["copying"]}),
        "with_answers": (n.with_answers, {"dataset": TEMPLATE, "answers": ["John", "Mary"]}),
        "circuits.pictures.colours.Diverging": (Diverging, {}),
        "circuits.pictures.colours.Sequential": (Sequential, {}),
        "Curve": (n.Curve, {"x": [1], "y": [0.5]}),
        "curves": (n.curves, {"lines": [CURVE]}),
        "to_dot": (n.to_dot, {"circuit": CIRCUIT}),
        "Panel": (n.Panel, {"values": [[1.0]], "rows": ["L0"], "columns": ["end"]}),
        "heatmap": (n.heatmap, {"panels": [PANEL], "unit": "logits"}),
        "circuits.pictures.pair.pair_to_dot": (pair_to_dot, {"comparison": COMPARISON, "names": ("a", "b")}),
        "render_pair": (n.render_pair, {"comparison": COMPARISON, "names": ("a", "b"), "path": "x.dot"}),
        "render": (n.render, {"circuit": CIRCUIT, "path": "x.dot"}),
        "to_pdf": (n.to_pdf, {"dot": "digraph {}"}),
        "to_png": (n.to_png, {"dot": "digraph {}"}),
        "to_svg": (n.to_svg, {"dot": "digraph {}"}),
    }


def pairs() -> n.Dataset:
    """Prompts with their counterparts."""
    return n.prompt_dataset(WORDS, clean=["Mary gave"], corrupt=["John gave"], answer="Mary")


def files(folder: Path) -> None:
    """What the calls read."""
    n.write_circuit(CIRCUIT, folder / "circuit.json")
    n.write_graphml(CIRCUIT, folder / "circuit.graphml")
    n.write_eap_ig(CIRCUIT, folder / "eap_ig.json", d_model=8)
    (folder / "mib" / "ioi_gpt2").mkdir(parents=True)
    n.write_eap_ig(CIRCUIT, folder / "mib" / "ioi_gpt2" / "importances.json", d_model=8)
    (folder / "x.circ").write_text("x = 1\n", encoding="utf-8")
    (folder / "prompts.csv").write_text("clean,answer\nMary gave,John\n", encoding="utf-8")
    models = Path(n.__file__).parent / "circuits" / "models"
    (folder / "compiled").symlink_to(models / "tracr-reverse")
    (folder / "hugging").symlink_to(models / "induction-2l")
    write_hooked(folder / "hooked")
