"""Functions in claims."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.blocks.datasets import size_of
from nncirc.dsl.blocks.keys import BY, CONNECTED, DRAWS, HELD_OUT, INTERVAL, METRIC, one
from nncirc.dsl.blocks.metrics import check_measured
from nncirc.dsl.check.declared import Function, Key, Meaning, Scores
from nncirc.dsl.check.program import Apply, Ref
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Table
from nncirc.dsl.check.types import Number, Text, Word
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span


def check_function(meaning: Meaning, applied: Apply, call: syntax.Call) -> None:
    """Whether the arguments of a function go together."""
    keys = ("circuit", "reference", "metric", "corruption")
    circuit, reference, metric, corruption = (_argument(meaning, applied, key) for key in keys)
    by = applied.arguments.get("by")
    check = FUNCTIONS[applied.function].check
    if check is not None:
        check(meaning, applied, call)
    meaning.counted(circuit, by, call.span)
    _check_bound(meaning, applied, call.span)
    if by == "groups" and circuit is not None and _has_no_groups(circuit):
        problem = f"`{circuit.name}` has no groups to knock out"
        advice = "write `by = nodes` or `by = edges`; only a `reference` circuit has groups"
        labels = (circuit.uses,)
        meaning.report("C273", problem, call.span, labels=labels, help=advice)
    if reference is not None and circuit is not None and circuit is not reference:
        meaning.same_graph(call.span, circuit, reference)
    if metric is not None and corruption is not None:
        check_measured(meaning, call.span, metric, corruption)
        meaning.circuit_fits(call.span, circuit, corruption)


def _argument(meaning: Meaning, applied: Apply, key: str) -> Draft | None:
    """The declaration that an argument refers to."""
    value = applied.arguments.get(key)
    return meaning.drafts.get(value.name) if isinstance(value, Ref) else None


def _has_no_groups(circuit: Draft) -> bool:
    """Whether it surely has none: one that was found, or written down without them."""
    return "circuits" not in circuit.spans and not (circuit.groups or circuit.group_spans)


def _check_curve(meaning: Meaning, applied: Apply, call: syntax.Call, wanted: str) -> Draft | None:
    """The curve that an area is of, if it is one using `wanted`; reports if not."""
    curve = _argument(meaning, applied, "curve")
    if curve is None or curve.implementation == wanted:
        return curve
    problem = f"`{applied.function}` needs a curve using `{wanted}`, found `{curve.implementation}`"
    advice = "use `auc` for `roc`, `cpr` or `cmd` for `faithfulness`"
    labels = (curve.uses,)
    meaning.report("C270", problem, call.span, labels=labels, help=advice)
    return None


def _check_roc(meaning: Meaning, applied: Apply, call: syntax.Call) -> None:
    _check_curve(meaning, applied, call, "roc")


def _check_sizes(meaning: Meaning, applied: Apply, call: syntax.Call) -> None:
    curve = _check_curve(meaning, applied, call, "faithfulness")
    if curve is not None and curve.values.get("edges", "mib") != "mib":
        problem = f"`{applied.function}` needs MIB's circuit sizes, but this curve has others"
        labels = (Label(curve.where("edges"), "its sizes"),)
        meaning.report("C270", problem, call.span, labels=labels, help="write `edges = mib` in the curve")


def _check_bound(meaning: Meaning, applied: Apply, span: Span) -> None:
    """One prompt bounds nothing."""
    if not applied.arguments.get("bound"):
        return
    for key in ("corruption", "curve", "scores"):
        draft = _argument(meaning, applied, key)
        if draft is None:
            continue
        corruption = draft if draft.kind == "corruption" else meaning.get(draft, "corruption")
        data = meaning.get(draft if corruption is None else corruption, "data")
        if data is not None and size_of(data) == 1:
            problem = "an interval over prompts needs more than one prompt"
            advice = "use more prompts, or remove `bound`"
            labels = (Label(data.where("size", "clean"), "one prompt"),)
            meaning.report("C561", problem, span, labels=labels, help=advice)


def _check_score(meaning: Meaning, applied: Apply, call: syntax.Call) -> None:
    """The row and the column that `score(...)` reads are some of the table's, where that is known."""
    node, column = (applied.arguments.get(key) for key in ("node", "column"))
    draft = _argument(meaning, applied, "scores")
    if draft is None or not isinstance(node, str) or not (column is None or isinstance(column, str)):
        return
    label = (draft.uses,)
    known = meaning.table(draft)
    if known is None:
        problem = f"`score` reads scores of nodes, but `{draft.name}` has scores of edges"
        meaning.report("C247", problem, call.span, labels=label, help=f"write `by = nodes` in `{draft.name}`")
        return
    table, names = known
    wrong, at = None if names is not None and node in names else table.wrong_row(node), node
    if wrong is None:
        wrong, at = table.wrong_column(node, column), column or ""
    if wrong is not None:
        strings = (each.value for each in call.arguments if isinstance(each.value, syntax.String))
        span = next((each.span for each in strings if each.value == at), call.span)
        meaning.report("C247", wrong[0], span, labels=label, help=wrong[1])
    elif applied.arguments.get("bound") and not _has_intervals(meaning.scores(draft), table, column):
        given = (each for each in call.arguments if each.key is not None and each.key.text == "bound")
        what = f"column `{column}` of `{draft.name}`" if column else f"`{draft.name}`"
        problem = f"{what} has no intervals: attribution and weight scores have none"
        advice = "remove `bound`"
        meaning.report(
            "C561", problem, next((each.span for each in given), call.span), labels=label, help=advice
        )


def _has_intervals(scores: Scores, table: Table, column: str | None) -> bool:
    only = column or next(iter(table.columns or ()), "")
    return scores.intervals and only not in scores.of_weights


_OF = Key(one("circuit"), "the circuit that the claim is about", required=True)
_AGAINST = Key(one("circuit"), "the circuit taken as correct", required=True)
_OTHER = Key(one("circuit"), "the circuit to compare with", required=True)
_UNDER = Key(one("corruption"), "the corruption of the corrupted run", required=True)
_CURVE = Key(one("curve"), "the curve that the claim is about", required=True)
_BOUND = Key(Word(("low", "high")), "an end of the interval over prompts, in place of the value itself")
_INTERVAL = {"bound": _BOUND, **INTERVAL}
_WHOLE = {"metric": METRIC, "corruption": _UNDER, **_INTERVAL}
_MEASURED = {"circuit": _OF, "metric": METRIC, "corruption": HELD_OUT}
_PARTS = Key(
    Word(("nodes", "edges", "groups")),
    "what is knocked out at a time: all edges out of a head or an MLP, an edge, or a named group of nodes",
    default="nodes",
)


def _shared(doc: str, reference: Key) -> Function:
    """A share of what two circuits have in common."""
    return Function(doc, {"circuit": _OF, "reference": reference, "by": BY}, is_share=True)


FUNCTIONS: Mapping[str, Function] = {
    "recall": _shared("Share of the reference that the circuit has, 0 to 1.", _AGAINST),
    "precision": _shared("Share of the circuit that the reference has, 0 to 1.", _AGAINST),
    "jaccard": _shared(
        "What both circuits have, as a share of what either has, 0 to 1 (Jaccard index).", _OTHER
    ),
    "overlap_p": _shared(
        "Probability that unrelated circuits of these sizes share at least so much (hypergeometric).", _OTHER
    ),
    "faithfulness": Function(
        "How much of the metric remains with everything outside the circuit corrupted: 0 corrupted, 1 clean.",
        {**_MEASURED, **_INTERVAL},
    ),
    "random_p": Function(
        "Share of circuits with as many edges, random ones and itself, that are at least as faithful.",
        {
            **_MEASURED,
            "draws": Key(DRAWS, "how many random circuits", default=100, unit="circuits"),
            "connected": CONNECTED,
            "seed": INTERVAL["seed"],
        },
        is_share=True,
    ),
    "incompleteness": Function(
        "The largest |F(C - K) - F(M - K)|: F faithfulness, C the circuit, M the model, K nothing, all "
        "parts of the circuit, random sets of parts, and sets found by greedy search (Wang et al. 2022).",
        {
            **_MEASURED,
            "by": _PARTS,
            "draws": Key(
                Number(integer=True, low=0, high=100_000),
                "how many random sets; each includes every part with probability 1/2",
                default=0,
                unit="sets",
            ),
            "greedy": Key(
                Number(integer=True, low=0, high=1000),
                "steps of a greedy search for the worst set: each adds the part that makes both differ most",
                default=0,
                unit="steps",
            ),
            **_INTERVAL,
        },
    ),
    "minimality": Function(
        "The least |F(C - K - v) - F(C - K)| over the parts v of the circuit, at best over K: nothing, or "
        "what could do v's work, the rest of its group or of the edges into one receiver (Wang et al. 2022).",
        {**_MEASURED, "by": _PARTS, **_INTERVAL},
    ),
    "cpr": Function(
        "Circuit performance ratio: the area under faithfulness at MIB's sizes (Mueller et al. 2025).",
        {"curve": _CURVE, "bound": _BOUND},
        check=_check_sizes,
    ),
    "cmd": Function(
        "Circuit-model distance: the area between faithfulness and 1 at MIB's sizes (Mueller et al. 2025).",
        {"curve": _CURVE, "bound": _BOUND},
        check=_check_sizes,
    ),
    "auc": Function(
        "Area under a ROC curve, 0 to 1.",
        {
            "curve": _CURVE,
            "between": Key(
                Word(("steps", "lines")),
                "how points are joined: `steps` stay at the lower rate (pessimistic), `lines` are straight",
                default="steps",
            ),
        },
        is_share=True,
        check=_check_roc,
    ),
    "score": Function(
        "One of the scores of nodes: of a head, or of a stage of the residual stream (`MLP3`: after it).",
        {
            "scores": Key(one("scores"), "the scores that the claim is about", required=True),
            "node": Key(Text(), 'the row, such as `"L1H0"`', required=True),
            "column": Key(Text(), 'the column, such as `"end"` or `"copying"`; if omitted, the only one'),
            "bound": Key(_BOUND.type, f"{_BOUND.doc}; attribution and weight scores have none"),
        },
        check=_check_score,
    ),
    "clean": Function(
        "Mean of the metric over the unpatched clean run.",
        _WHOLE,
    ),
    "corrupt": Function(
        "Mean of the metric over the unpatched corrupted run.",
        _WHOLE,
    ),
}
