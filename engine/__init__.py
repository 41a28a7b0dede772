"""Running circuits on models: adapters, corruptions, metrics, methods, evaluation.

Names are loaded when they are first used (PEP 562), so that importing this package costs nothing: torch comes
with the first of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nncirc.engine.data import (
        NEXT,
        Dataset,
        Example,
        all_inputs,
        counterpart,
        file_dataset,
        load_tokenizer,
        prompt_dataset,
        random_tokens,
        replace,
        shuffle,
        task_dataset,
        template_dataset,
        token_dataset,
        with_answers,
    )
    from nncirc.engine.evaluation.completeness import (
        Knockout,
        completeness,
        incompleteness,
        least,
        minimality,
    )
    from nncirc.engine.evaluation.faithfulness import (
        Baseline,
        circuit_metric,
        cut_metric,
        faithfulness,
        faithfulness_interval,
        random_faithfulness,
    )
    from nncirc.engine.methods.acdc import acdc, acdc_family
    from nncirc.engine.methods.acdc_fast import Measured
    from nncirc.engine.methods.activation_patching import activation_patching
    from nncirc.engine.methods.attention_statistics import attention_pattern, attention_statistics
    from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
    from nncirc.engine.methods.causal_tracing import causal_tracing
    from nncirc.engine.methods.direct_logit_attribution import logit_attribution
    from nncirc.engine.methods.in_context_learning import in_context_learning
    from nncirc.engine.methods.logit_lens import logit_lens
    from nncirc.engine.methods.patchscopes import patchscopes
    from nncirc.engine.methods.path_patching import path_patching
    from nncirc.engine.methods.scores import EdgeScores, NodeScores
    from nncirc.engine.methods.steering import function_vector, steering
    from nncirc.engine.methods.weight_circuits import (
        LowRank,
        composition,
        composition_scores,
        copying_scores,
        matching_scores,
        ov_circuit,
        qk_circuit,
        virtual_head,
        weight_statistics,
    )
    from nncirc.engine.metrics.metric import Logits, Measure, Metric
    from nncirc.engine.model.families import Family
    from nncirc.engine.model.loading import load_bundled, load_compiled, load_huggingface
    from nncirc.engine.model.model import Model
    from nncirc.engine.runs.contrast import Contrast
    from nncirc.engine.runs.corruptions import Gaussian, Mean, Resample, Zero
    from nncirc.engine.runs.masked_forward import Mask, masked_forward
    from nncirc.engine.runs.written import sender_outputs

__all__ = [
    "NEXT",
    "Baseline",
    "Contrast",
    "Dataset",
    "EdgeScores",
    "Example",
    "Family",
    "Gaussian",
    "Knockout",
    "Logits",
    "LowRank",
    "Mask",
    "Mean",
    "Measure",
    "Measured",
    "Metric",
    "Model",
    "NodeScores",
    "Resample",
    "Zero",
    "acdc",
    "acdc_family",
    "activation_patching",
    "all_inputs",
    "attention_pattern",
    "attention_statistics",
    "attribution_patching",
    "causal_tracing",
    "circuit_metric",
    "completeness",
    "composition",
    "composition_scores",
    "copying_scores",
    "counterpart",
    "cut_metric",
    "faithfulness",
    "faithfulness_interval",
    "file_dataset",
    "function_vector",
    "in_context_learning",
    "incompleteness",
    "least",
    "load_bundled",
    "load_compiled",
    "load_huggingface",
    "load_tokenizer",
    "logit_attribution",
    "logit_lens",
    "masked_forward",
    "matching_scores",
    "minimality",
    "node_attribution",
    "ov_circuit",
    "patchscopes",
    "path_patching",
    "prompt_dataset",
    "qk_circuit",
    "random_faithfulness",
    "random_tokens",
    "replace",
    "sender_outputs",
    "shuffle",
    "steering",
    "task_dataset",
    "template_dataset",
    "token_dataset",
    "virtual_head",
    "weight_statistics",
    "with_answers",
]

_MODULES = {
    "methods.activation_patching": ("activation_patching",),
    "methods.attention_statistics": (
        "attention_pattern",
        "attention_statistics",
    ),
    "methods.attribution_patching": (
        "attribution_patching",
        "node_attribution",
    ),
    "runs.contrast": ("Contrast",),
    "runs.corruptions": (
        "Gaussian",
        "Mean",
        "Resample",
        "Zero",
    ),
    "data": (
        "NEXT",
        "Dataset",
        "Example",
        "all_inputs",
        "counterpart",
        "file_dataset",
        "load_tokenizer",
        "prompt_dataset",
        "random_tokens",
        "replace",
        "shuffle",
        "task_dataset",
        "template_dataset",
        "token_dataset",
        "with_answers",
    ),
    "methods.direct_logit_attribution": ("logit_attribution",),
    "methods.acdc": ("acdc", "acdc_family"),
    "evaluation.faithfulness": (
        "Baseline",
        "circuit_metric",
        "cut_metric",
        "faithfulness",
        "faithfulness_interval",
        "random_faithfulness",
    ),
    "model.families": ("Family",),
    "runs.masked_forward": (
        "Mask",
        "masked_forward",
    ),
    "evaluation.completeness": (
        "Knockout",
        "completeness",
        "incompleteness",
        "least",
        "minimality",
    ),
    "methods.in_context_learning": ("in_context_learning",),
    "methods.logit_lens": ("logit_lens",),
    "model.loading": (
        "load_bundled",
        "load_compiled",
        "load_huggingface",
    ),
    "metrics.metric": (
        "Logits",
        "Measure",
        "Metric",
    ),
    "model.model": ("Model",),
    "methods.patchscopes": ("patchscopes",),
    "methods.path_patching": ("path_patching",),
    "methods.causal_tracing": ("causal_tracing",),
    "methods.acdc_fast": ("Measured",),
    "methods.scores": (
        "EdgeScores",
        "NodeScores",
    ),
    "methods.steering": (
        "function_vector",
        "steering",
    ),
    "methods.weight_circuits": (
        "LowRank",
        "composition",
        "composition_scores",
        "copying_scores",
        "matching_scores",
        "ov_circuit",
        "qk_circuit",
        "virtual_head",
        "weight_statistics",
    ),
    "runs.written": ("sender_outputs",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
