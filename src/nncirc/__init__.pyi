"""All public names of nncirc, each with the module that it is loaded from when it is first used."""

from nncirc.circuits.areas import cmd as cmd, cpr as cpr, mib_sizes as mib_sizes
from nncirc.circuits.atomic import write_bytes as write_bytes, write_text as write_text
from nncirc.circuits.chance import (
    Null as Null,
    hypergeometric_tail as hypergeometric_tail,
    overlap_p as overlap_p,
    random_circuits as random_circuits,
)
from nncirc.circuits.circuit import (
    Circuit as Circuit,
    difference as difference,
    intersection as intersection,
    keep as keep,
    prune as prune,
    union as union,
)
from nncirc.circuits.collapse import (
    collapse_to as collapse_to,
    join_heads as join_heads,
    join_inputs as join_inputs,
    join_neurons as join_neurons,
    join_positions as join_positions,
    regroup as regroup,
    ungroup as ungroup,
)
from nncirc.circuits.compare import Comparison as Comparison, compare as compare
from nncirc.circuits.errors import (
    ArgumentError as ArgumentError,
    DataError as DataError,
    FileError as FileError,
    GraphError as GraphError,
    MethodError as MethodError,
    ModelError as ModelError,
    NncircError as NncircError,
    ResourceError as ResourceError,
    ScriptError as ScriptError,
)
from nncirc.circuits.families.family import Family as Family
from nncirc.circuits.formats.eap_ig import read_eap_ig as read_eap_ig, write_eap_ig as write_eap_ig
from nncirc.circuits.formats.graphml import read_graphml as read_graphml, write_graphml as write_graphml
from nncirc.circuits.formats.json import (
    circuit_from_json as circuit_from_json,
    circuit_to_json as circuit_to_json,
    read_circuit as read_circuit,
    write_circuit as write_circuit,
)
from nncirc.circuits.formats.mib import read_submission as read_submission
from nncirc.circuits.formats.networks import from_networkx as from_networkx, to_networkx as to_networkx
from nncirc.circuits.graph import Graph as Graph, Shape as Shape, owner as owner
from nncirc.circuits.intervals import Estimate as Estimate, Resampling as Resampling, bootstrap as bootstrap
from nncirc.circuits.measures import (
    Agreement as Agreement,
    agreement as agreement,
    f1 as f1,
    jaccard as jaccard,
    precision as precision,
    recall as recall,
)
from nncirc.circuits.names import Edge as Edge, Node as Node, Position as Position
from nncirc.circuits.pictures.curves import Curve as Curve, curves as curves
from nncirc.circuits.pictures.dot import to_dot as to_dot
from nncirc.circuits.pictures.heatmap import Panel as Panel, heatmap as heatmap
from nncirc.circuits.pictures.pair import render_pair as render_pair
from nncirc.circuits.pictures.render import (
    render as render,
    to_pdf as to_pdf,
    to_png as to_png,
    to_svg as to_svg,
)
from nncirc.circuits.reference import expand as expand, from_paths as from_paths
from nncirc.circuits.roc import (
    Roc as Roc,
    RocPoint as RocPoint,
    node_scores as node_scores,
    roc_of_circuits as roc_of_circuits,
    roc_of_scores as roc_of_scores,
)
from nncirc.dsl.check.checker import (
    CheckResult as CheckResult,
    check_file as check_file,
    check_text as check_text,
)
from nncirc.dsl.check.program import Assertion as Assertion, Declaration as Declaration, Program as Program
from nncirc.dsl.text.diagnostics import (
    Diagnostic as Diagnostic,
    Label as Label,
    diagnostics_to_json as diagnostics_to_json,
    render_diagnostic as render_diagnostic,
    render_diagnostics as render_diagnostics,
)
from nncirc.dsl.text.source import Source as Source, Span as Span
from nncirc.engine.data.corrupt import (
    alignment_table as alignment_table,
    check_alignment as check_alignment,
    counterpart as counterpart,
    replace as replace,
    shuffle as shuffle,
)
from nncirc.engine.data.examples import (
    NEXT as NEXT,
    Dataset as Dataset,
    Example as Example,
    Field as Field,
    Next as Next,
    Target as Target,
    Tokenizer as Tokenizer,
    buckets as buckets,
    tokens_of as tokens_of,
)
from nncirc.engine.data.exhaustive import all_inputs as all_inputs
from nncirc.engine.data.labels import labels_of as labels_of, show_tokens as show_tokens
from nncirc.engine.data.load import load_tokenizer as load_tokenizer
from nncirc.engine.data.positions import resolve as resolve, roles as roles
from nncirc.engine.data.prompt_files import file_dataset as file_dataset
from nncirc.engine.data.prompts import prompt_dataset as prompt_dataset
from nncirc.engine.data.sources import RandomTokens as RandomTokens, random_tokens as random_tokens
from nncirc.engine.data.targets import with_answers as with_answers
from nncirc.engine.data.tasks import task_dataset as task_dataset
from nncirc.engine.data.template import template_dataset as template_dataset, token_dataset as token_dataset
from nncirc.engine.evaluation.completeness import (
    Knockout as Knockout,
    completeness as completeness,
    incompleteness as incompleteness,
    least as least,
    minimality as minimality,
)
from nncirc.engine.evaluation.faithfulness import (
    Baseline as Baseline,
    circuit_metric as circuit_metric,
    cut_metric as cut_metric,
    faithfulness as faithfulness,
    faithfulness_interval as faithfulness_interval,
    random_faithfulness as random_faithfulness,
)
from nncirc.engine.methods.acdc import acdc as acdc, acdc_family as acdc_family
from nncirc.engine.methods.acdc_fast import Measured as Measured
from nncirc.engine.methods.activation_patching import activation_patching as activation_patching
from nncirc.engine.methods.attention_statistics import (
    attention_pattern as attention_pattern,
    attention_statistics as attention_statistics,
)
from nncirc.engine.methods.attribution_patching import (
    attribution_patching as attribution_patching,
    node_attribution as node_attribution,
)
from nncirc.engine.methods.causal_tracing import causal_tracing as causal_tracing
from nncirc.engine.methods.direct_logit_attribution import logit_attribution as logit_attribution
from nncirc.engine.methods.in_context_learning import in_context_learning as in_context_learning
from nncirc.engine.methods.logit_lens import logit_lens as logit_lens
from nncirc.engine.methods.patchscopes import patchscopes as patchscopes
from nncirc.engine.methods.path_patching import path_patching as path_patching
from nncirc.engine.methods.scores import EdgeScores as EdgeScores, NodeScores as NodeScores
from nncirc.engine.methods.steering import function_vector as function_vector, steering as steering
from nncirc.engine.methods.weight_circuits import (
    LowRank as LowRank,
    composition as composition,
    composition_scores as composition_scores,
    copying_scores as copying_scores,
    matching_scores as matching_scores,
    ov_circuit as ov_circuit,
    qk_circuit as qk_circuit,
    virtual_head as virtual_head,
    weight_statistics as weight_statistics,
)
from nncirc.engine.metrics.metric import Logits as Logits, Measure as Measure, Metric as Metric
from nncirc.engine.model.loading import (
    load_bundled as load_bundled,
    load_compiled as load_compiled,
    load_huggingface as load_huggingface,
    load_transformer_lens as load_transformer_lens,
)
from nncirc.engine.model.model import Model as Model
from nncirc.engine.runs.capture import sender_outputs as sender_outputs
from nncirc.engine.runs.contrast import Contrast as Contrast
from nncirc.engine.runs.corruptions import (
    Gaussian as Gaussian,
    Mean as Mean,
    Resample as Resample,
    Zero as Zero,
)
from nncirc.engine.runs.masked_forward import Mask as Mask, masked_forward as masked_forward

__version__: str
__all__: list[str]
_HOME: dict[str, str]
