"""All public names of nncirc, each with the module that it is loaded from when it is first used."""

from nncirc.circuits.areas import cmd as cmd
from nncirc.circuits.areas import cpr as cpr
from nncirc.circuits.areas import mib_sizes as mib_sizes
from nncirc.circuits.atomic import write_bytes as write_bytes
from nncirc.circuits.atomic import write_text as write_text
from nncirc.circuits.chance import (
    Null as Null,
)
from nncirc.circuits.chance import (
    hypergeometric_tail as hypergeometric_tail,
)
from nncirc.circuits.chance import (
    overlap_p as overlap_p,
)
from nncirc.circuits.chance import (
    random_circuits as random_circuits,
)
from nncirc.circuits.circuit import (
    Circuit as Circuit,
)
from nncirc.circuits.circuit import (
    difference as difference,
)
from nncirc.circuits.circuit import (
    intersection as intersection,
)
from nncirc.circuits.circuit import (
    keep as keep,
)
from nncirc.circuits.circuit import (
    prune as prune,
)
from nncirc.circuits.circuit import (
    union as union,
)
from nncirc.circuits.collapse import (
    collapse_to as collapse_to,
)
from nncirc.circuits.collapse import (
    join_heads as join_heads,
)
from nncirc.circuits.collapse import (
    join_inputs as join_inputs,
)
from nncirc.circuits.collapse import (
    join_neurons as join_neurons,
)
from nncirc.circuits.collapse import (
    join_positions as join_positions,
)
from nncirc.circuits.collapse import (
    regroup as regroup,
)
from nncirc.circuits.collapse import (
    ungroup as ungroup,
)
from nncirc.circuits.compare import Comparison as Comparison
from nncirc.circuits.compare import compare as compare
from nncirc.circuits.errors import (
    ArgumentError as ArgumentError,
)
from nncirc.circuits.errors import (
    DataError as DataError,
)
from nncirc.circuits.errors import (
    FileError as FileError,
)
from nncirc.circuits.errors import (
    GraphError as GraphError,
)
from nncirc.circuits.errors import (
    MethodError as MethodError,
)
from nncirc.circuits.errors import (
    ModelError as ModelError,
)
from nncirc.circuits.errors import (
    NncircError as NncircError,
)
from nncirc.circuits.errors import (
    ResourceError as ResourceError,
)
from nncirc.circuits.errors import (
    ScriptError as ScriptError,
)
from nncirc.circuits.formats.eap_ig import read_eap_ig as read_eap_ig
from nncirc.circuits.formats.eap_ig import write_eap_ig as write_eap_ig
from nncirc.circuits.formats.graphml import read_graphml as read_graphml
from nncirc.circuits.formats.graphml import write_graphml as write_graphml
from nncirc.circuits.formats.json import (
    circuit_from_json as circuit_from_json,
)
from nncirc.circuits.formats.json import (
    circuit_to_json as circuit_to_json,
)
from nncirc.circuits.formats.json import (
    read_circuit as read_circuit,
)
from nncirc.circuits.formats.json import (
    write_circuit as write_circuit,
)
from nncirc.circuits.formats.mib import read_submission as read_submission
from nncirc.circuits.formats.networks import from_networkx as from_networkx
from nncirc.circuits.formats.networks import to_networkx as to_networkx
from nncirc.circuits.graph import Graph as Graph
from nncirc.circuits.graph import Shape as Shape
from nncirc.circuits.graph import owner as owner
from nncirc.circuits.intervals import Estimate as Estimate
from nncirc.circuits.intervals import Resampling as Resampling
from nncirc.circuits.intervals import bootstrap as bootstrap
from nncirc.circuits.measures import (
    Agreement as Agreement,
)
from nncirc.circuits.measures import (
    agreement as agreement,
)
from nncirc.circuits.measures import (
    f1 as f1,
)
from nncirc.circuits.measures import (
    jaccard as jaccard,
)
from nncirc.circuits.measures import (
    precision as precision,
)
from nncirc.circuits.measures import (
    recall as recall,
)
from nncirc.circuits.names import Edge as Edge
from nncirc.circuits.names import Node as Node
from nncirc.circuits.names import Position as Position
from nncirc.circuits.pictures.curves import Curve as Curve
from nncirc.circuits.pictures.curves import curves as curves
from nncirc.circuits.pictures.dot import to_dot as to_dot
from nncirc.circuits.pictures.heatmap import Panel as Panel
from nncirc.circuits.pictures.heatmap import heatmap as heatmap
from nncirc.circuits.pictures.pair import render_pair as render_pair
from nncirc.circuits.pictures.render import (
    render as render,
)
from nncirc.circuits.pictures.render import (
    to_pdf as to_pdf,
)
from nncirc.circuits.pictures.render import (
    to_png as to_png,
)
from nncirc.circuits.pictures.render import (
    to_svg as to_svg,
)
from nncirc.circuits.reference import expand as expand
from nncirc.circuits.reference import from_paths as from_paths
from nncirc.circuits.roc import (
    Roc as Roc,
)
from nncirc.circuits.roc import (
    RocPoint as RocPoint,
)
from nncirc.circuits.roc import (
    node_scores as node_scores,
)
from nncirc.circuits.roc import (
    roc_of_circuits as roc_of_circuits,
)
from nncirc.circuits.roc import (
    roc_of_scores as roc_of_scores,
)
from nncirc.dsl.check.checker import (
    CheckResult as CheckResult,
)
from nncirc.dsl.check.checker import (
    check_file as check_file,
)
from nncirc.dsl.check.checker import (
    check_text as check_text,
)
from nncirc.dsl.check.program import Assertion as Assertion
from nncirc.dsl.check.program import Declaration as Declaration
from nncirc.dsl.check.program import Program as Program
from nncirc.dsl.text.diagnostics import (
    Diagnostic as Diagnostic,
)
from nncirc.dsl.text.diagnostics import (
    Label as Label,
)
from nncirc.dsl.text.diagnostics import (
    diagnostics_to_json as diagnostics_to_json,
)
from nncirc.dsl.text.diagnostics import (
    render_diagnostic as render_diagnostic,
)
from nncirc.dsl.text.diagnostics import (
    render_diagnostics as render_diagnostics,
)
from nncirc.dsl.text.source import Source as Source
from nncirc.dsl.text.source import Span as Span
from nncirc.engine.data.corrupt import (
    alignment_table as alignment_table,
)
from nncirc.engine.data.corrupt import (
    check_alignment as check_alignment,
)
from nncirc.engine.data.corrupt import (
    counterpart as counterpart,
)
from nncirc.engine.data.corrupt import (
    replace as replace,
)
from nncirc.engine.data.corrupt import (
    shuffle as shuffle,
)
from nncirc.engine.data.examples import (
    NEXT as NEXT,
)
from nncirc.engine.data.examples import (
    Dataset as Dataset,
)
from nncirc.engine.data.examples import (
    Example as Example,
)
from nncirc.engine.data.examples import (
    Field as Field,
)
from nncirc.engine.data.examples import (
    Next as Next,
)
from nncirc.engine.data.examples import (
    Target as Target,
)
from nncirc.engine.data.examples import (
    Tokenizer as Tokenizer,
)
from nncirc.engine.data.examples import (
    buckets as buckets,
)
from nncirc.engine.data.examples import (
    tokens_of as tokens_of,
)
from nncirc.engine.data.exhaustive import all_inputs as all_inputs
from nncirc.engine.data.files import file_dataset as file_dataset
from nncirc.engine.data.labels import labels_of as labels_of
from nncirc.engine.data.labels import show_tokens as show_tokens
from nncirc.engine.data.load import load_tokenizer as load_tokenizer
from nncirc.engine.data.positions import resolve as resolve
from nncirc.engine.data.positions import roles as roles
from nncirc.engine.data.prompts import prompt_dataset as prompt_dataset
from nncirc.engine.data.sources import RandomTokens as RandomTokens
from nncirc.engine.data.sources import random_tokens as random_tokens
from nncirc.engine.data.targets import with_answers as with_answers
from nncirc.engine.data.tasks import task_dataset as task_dataset
from nncirc.engine.data.template import template_dataset as template_dataset
from nncirc.engine.data.template import token_dataset as token_dataset
from nncirc.engine.evaluation.completeness import (
    Knockout as Knockout,
)
from nncirc.engine.evaluation.completeness import (
    completeness as completeness,
)
from nncirc.engine.evaluation.completeness import (
    incompleteness as incompleteness,
)
from nncirc.engine.evaluation.completeness import (
    least as least,
)
from nncirc.engine.evaluation.completeness import (
    minimality as minimality,
)
from nncirc.engine.evaluation.faithfulness import (
    Baseline as Baseline,
)
from nncirc.engine.evaluation.faithfulness import (
    circuit_metric as circuit_metric,
)
from nncirc.engine.evaluation.faithfulness import (
    cut_metric as cut_metric,
)
from nncirc.engine.evaluation.faithfulness import (
    faithfulness as faithfulness,
)
from nncirc.engine.evaluation.faithfulness import (
    faithfulness_interval as faithfulness_interval,
)
from nncirc.engine.evaluation.faithfulness import (
    random_faithfulness as random_faithfulness,
)
from nncirc.engine.methods.acdc import acdc as acdc
from nncirc.engine.methods.acdc import acdc_family as acdc_family
from nncirc.engine.methods.acdc_fast import Measured as Measured
from nncirc.engine.methods.activation_patching import activation_patching as activation_patching
from nncirc.engine.methods.attention_statistics import (
    attention_pattern as attention_pattern,
)
from nncirc.engine.methods.attention_statistics import (
    attention_statistics as attention_statistics,
)
from nncirc.engine.methods.attribution_patching import (
    attribution_patching as attribution_patching,
)
from nncirc.engine.methods.attribution_patching import (
    node_attribution as node_attribution,
)
from nncirc.engine.methods.causal_tracing import causal_tracing as causal_tracing
from nncirc.engine.methods.direct_logit_attribution import logit_attribution as logit_attribution
from nncirc.engine.methods.in_context_learning import in_context_learning as in_context_learning
from nncirc.engine.methods.logit_lens import logit_lens as logit_lens
from nncirc.engine.methods.patchscopes import patchscopes as patchscopes
from nncirc.engine.methods.path_patching import path_patching as path_patching
from nncirc.engine.methods.scores import EdgeScores as EdgeScores
from nncirc.engine.methods.scores import NodeScores as NodeScores
from nncirc.engine.methods.steering import function_vector as function_vector
from nncirc.engine.methods.steering import steering as steering
from nncirc.engine.methods.weight_circuits import (
    LowRank as LowRank,
)
from nncirc.engine.methods.weight_circuits import (
    composition as composition,
)
from nncirc.engine.methods.weight_circuits import (
    composition_scores as composition_scores,
)
from nncirc.engine.methods.weight_circuits import (
    copying_scores as copying_scores,
)
from nncirc.engine.methods.weight_circuits import (
    matching_scores as matching_scores,
)
from nncirc.engine.methods.weight_circuits import (
    ov_circuit as ov_circuit,
)
from nncirc.engine.methods.weight_circuits import (
    qk_circuit as qk_circuit,
)
from nncirc.engine.methods.weight_circuits import (
    virtual_head as virtual_head,
)
from nncirc.engine.methods.weight_circuits import (
    weight_statistics as weight_statistics,
)
from nncirc.engine.metrics.metric import Logits as Logits
from nncirc.engine.metrics.metric import Measure as Measure
from nncirc.engine.metrics.metric import Metric as Metric
from nncirc.engine.model.families import Family as Family
from nncirc.engine.model.loading import (
    load_bundled as load_bundled,
)
from nncirc.engine.model.loading import (
    load_compiled as load_compiled,
)
from nncirc.engine.model.loading import (
    load_huggingface as load_huggingface,
)
from nncirc.engine.model.model import Model as Model
from nncirc.engine.runs.contrast import Contrast as Contrast
from nncirc.engine.runs.corruptions import (
    Gaussian as Gaussian,
)
from nncirc.engine.runs.corruptions import (
    Mean as Mean,
)
from nncirc.engine.runs.corruptions import (
    Resample as Resample,
)
from nncirc.engine.runs.corruptions import (
    Zero as Zero,
)
from nncirc.engine.runs.masked_forward import Mask as Mask
from nncirc.engine.runs.masked_forward import masked_forward as masked_forward
from nncirc.engine.runs.written import sender_outputs as sender_outputs

__version__: str
__all__: list[str]
_HOME: dict[str, str]
