"""Running circuits on models: adapters, corruptions, metrics, methods, evaluation.

Names are loaded when they are first used (PEP 562), so that importing this package costs nothing: torch comes
with the first of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nncirc.engine.activation import activation_patching
    from nncirc.engine.attention import attention_pattern, attention_statistics
    from nncirc.engine.attribution import attribution_patching, node_attribution
    from nncirc.engine.contrast import Contrast
    from nncirc.engine.corruptions import Gaussian, Mean, Resample, Zero
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
    from nncirc.engine.direct import logit_attribution
    from nncirc.engine.discovery import acdc, acdc_family
    from nncirc.engine.evaluate import (
        Baseline,
        circuit_metric,
        cut_metric,
        faithfulness,
        faithfulness_interval,
        random_faithfulness,
    )
    from nncirc.engine.families import Family
    from nncirc.engine.forward import Mask, masked_forward
    from nncirc.engine.in_context import in_context_learning
    from nncirc.engine.knockouts import Knockout, completeness, incompleteness, least, minimality
    from nncirc.engine.lens import logit_lens
    from nncirc.engine.loading import load_bundled, load_compiled, load_huggingface
    from nncirc.engine.metrics import Measure, Metric
    from nncirc.engine.model import Model
    from nncirc.engine.patchscope import patchscopes
    from nncirc.engine.paths import path_patching
    from nncirc.engine.restoration import causal_tracing
    from nncirc.engine.rises import Measured
    from nncirc.engine.scores import EdgeScores, NodeScores
    from nncirc.engine.steer import function_vector, steering
    from nncirc.engine.weights import (
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
    from nncirc.engine.written import sender_outputs

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
    "activation": ("activation_patching",),
    "attention": (
        "attention_pattern",
        "attention_statistics",
    ),
    "attribution": (
        "attribution_patching",
        "node_attribution",
    ),
    "contrast": ("Contrast",),
    "corruptions": (
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
    "direct": ("logit_attribution",),
    "discovery": ("acdc", "acdc_family"),
    "evaluate": (
        "Baseline",
        "circuit_metric",
        "cut_metric",
        "faithfulness",
        "faithfulness_interval",
        "random_faithfulness",
    ),
    "families": ("Family",),
    "forward": (
        "Mask",
        "masked_forward",
    ),
    "knockouts": (
        "Knockout",
        "completeness",
        "incompleteness",
        "least",
        "minimality",
    ),
    "in_context": ("in_context_learning",),
    "lens": ("logit_lens",),
    "loading": (
        "load_bundled",
        "load_compiled",
        "load_huggingface",
    ),
    "metrics": (
        "Measure",
        "Metric",
    ),
    "model": ("Model",),
    "patchscope": ("patchscopes",),
    "paths": ("path_patching",),
    "restoration": ("causal_tracing",),
    "rises": ("Measured",),
    "scores": (
        "EdgeScores",
        "NodeScores",
    ),
    "steer": (
        "function_vector",
        "steering",
    ),
    "weights": (
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
    "written": ("sender_outputs",),
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
