"""What curves, comparisons and claims about them mean: do scores, circuits, metrics and corruptions fit?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape
from nncirc.dsl.check.foreseen import check_bound, check_counted
from nncirc.dsl.check.graphs import full_shape
from nncirc.dsl.check.program import Apply, Ref
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import has_intervals, table_of
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = ["check_compare", "check_curve", "check_curves", "check_function", "check_score"]


def check_curve(meaning: Meaning, draft: Draft) -> None:
    """A curve by itself."""
    if draft.implementation == "roc":
        _check_roc(meaning, draft)
        return
    meaning.selects(draft)
    given = meaning.get(draft, "corruption")
    corruption = given or meaning.drafts.get(draft.corruption or "")
    metric = meaning.get(draft, "metric")
    if corruption is not None and metric is not None:
        meaning.measured(draft.where("metric"), metric, corruption)
    if given is not None:
        meaning.circuit_fits(draft.where("corruption"), draft, given)
    elif corruption is not None:
        draft.values["corruption"] = Ref(corruption.name)


def _check_roc(meaning: Meaning, draft: Draft) -> None:
    given = [key for key in ("scores", "circuits") if key in draft.spans]
    if len(given) != 1:
        message = "`roc` is drawn of either `scores` or `circuits`" + (", not both" if given else "")
        meaning.scope.report("C105", message, draft.span, help="give one of the two keys")
        return
    reference, scores = meaning.get(draft, "reference"), meaning.get(draft, "scores")
    by = draft.values.get("by")
    if "rank" in draft.spans and scores is None:
        meaning.scope.report(
            "C271",
            "`rank` says how scores are ranked, and these are circuits",
            draft.where("rank"),
            help="remove it; a circuit says itself how its edges were chosen",
        )
    if scores is not None:
        draft.graph = scores.graph
        _check_scores(meaning, draft, scores, str(by))
    parts = meaning.many(draft, "circuits")
    check_counted(meaning, reference, by, draft.where("by"))
    for part in [*parts, *([draft] if scores is not None else [])]:
        if reference is not None and part is not reference:
            meaning.same_graph(draft.where("reference"), part, reference)


def _check_scores(meaning: Meaning, draft: Draft, scores: Draft, by: str) -> None:
    label = (Label(scores.place, f"uses {scores.implementation}"),)
    of_nodes = scores.implementation == "activation_patching" or scores.values.get("by") == "nodes"
    if scores.implementation not in ("activation_patching", "attribution_patching"):
        meaning.scope.report(
            "C232",
            "these scores do not say how much a metric depends on a node",
            draft.where("scores"),
            labels=label,
            help="use `attribution_patching` or `activation_patching`",
        )
    elif by not in ("edges", "nodes"):
        meaning.scope.report(
            "C271",
            f"scores rank edges or nodes, and not {by} by themselves",
            draft.where("by"),
            labels=label,
            help="write `by = edges` or `by = nodes`, or give `circuits`",
        )
    elif of_nodes and by == "edges":
        meaning.scope.report(
            "C232",
            f"edges are counted here, but `{scores.name}` scores nodes",
            draft.where("by" if "by" in draft.spans else "scores"),
            labels=label,
            help="write `by = nodes`, or use `attribution_patching` with `by = edges`",
        )
    elif scores.implementation == "activation_patching":
        metric = meaning.get(scores, "metric")
        if metric is not None and metric.values.get("normalize") is False:
            meaning.scope.report(
                "C560",
                "these scores are the metric itself, and its value without an effect is not known",
                draft.where("scores"),
                labels=(*label, Label(metric.place, "this metric is not normalized")),
                help="set `normalize = true` in the metric",
            )


def check_compare(meaning: Meaning, draft: Draft) -> None:
    """A comparison: one graph, and a metric for what needs one."""
    parts, reference = meaning.many(draft, "circuits"), meaning.get(draft, "reference")
    against = parts[:1] if reference is None else [reference]
    for part in parts:
        for other in against:
            if part is not other:
                meaning.same_graph(draft.where("circuits"), other, part)
    check_counted(meaning, parts[0] if parts else None, draft.values.get("by"), draft.where("by"))
    metric, given = meaning.get(draft, "metric"), meaning.get(draft, "corruption")
    if "metric" not in draft.spans:
        _unused(meaning, draft, ("corruption", "draws", "connected", "resamples", "level", "seed"), "metric")
        return
    if "draws" not in draft.spans:
        _unused(meaning, draft, ("connected",), "draws")
    found = {part.corruption for part in parts}
    corruption = given or (meaning.drafts.get(found.pop() or "") if len(found) == 1 else None)
    if corruption is None:
        if parts and "corruption" not in draft.spans:
            meaning.scope.report(
                "C235",
                "it is not said how the rest of the model is corrupted",
                draft.where("metric"),
                labels=(Label(draft.where("circuits"), "these were not all found with one corruption"),),
                help="add `corruption = …`",
            )
        return
    draft.values["corruption"] = Ref(corruption.name)
    if metric is not None:
        meaning.measured(draft.where("metric"), metric, corruption)
    for part in parts:
        meaning.circuit_fits(draft.where("metric"), part, corruption)


def _unused(meaning: Meaning, draft: Draft, keys: Sequence[str], needed: str) -> None:
    for key in keys:
        if key in draft.spans:
            meaning.scope.report(
                "C271",
                f"`{key}` says nothing without `{needed}`",
                draft.where(key),
                help=f"add `{needed} = …`, or remove it",
            )


def check_curves(meaning: Meaning, draft: Draft) -> None:
    """The curves of one plot have the same axes."""
    found = {each.implementation: each for each in meaning.many(draft, "curve")}
    if len(found) > 1:
        meaning.scope.report(
            "C272",
            f"one plot cannot have both {' and '.join(found)}: their axes differ",
            draft.where("curve"),
            labels=[Label(each.place, f"uses {name}") for name, each in found.items()],
            help="draw two plots",
        )


def check_function(meaning: Meaning, applied: Apply, span: Span) -> None:
    """A function of a curve has the curve it is about; parts by groups have groups."""
    arguments = applied.arguments
    curve, circuit = (
        meaning.drafts.get(value.name) if isinstance(value, Ref) else None
        for value in (arguments.get("curve"), arguments.get("circuit"))
    )
    if curve is not None:
        wanted = "roc" if applied.function == "auc" else "faithfulness"
        if curve.implementation != wanted:
            meaning.scope.report(
                "C270",
                f"`{applied.function}` is an area under a curve using {wanted}",
                span,
                labels=(Label(curve.place, f"uses {curve.implementation}"),),
                help="`roc` has auc, `faithfulness` has cpr and cmd",
            )
        elif wanted == "faithfulness" and curve.values.get("edges", "mib") != "mib":
            meaning.scope.report(
                "C270",
                f"`{applied.function}` is an area over MIB's circuit sizes, and this curve has others",
                span,
                labels=(Label(curve.where("edges"), "its sizes"),),
                help="write `edges = mib` in the curve",
            )
    check_counted(meaning, circuit, arguments.get("by"), span)
    check_bound(meaning, applied, span)
    if arguments.get("by") == "groups" and circuit is not None and _found(circuit):
        meaning.scope.report(
            "C273",
            f"`{circuit.name}` has no groups to knock out",
            span,
            labels=(Label(circuit.place, f"uses {circuit.implementation}"),),
            help="groups are those of a `reference` circuit; write `by = nodes` or `by = edges`",
        )


def check_score(meaning: Meaning, applied: Apply, call: syntax.Call) -> None:
    """The row and the column that `score(...)` reads are some of the table's, where that is known."""
    scores, node, column = (applied.arguments.get(key) for key in ("scores", "node", "column"))
    draft = meaning.drafts.get(scores.name) if isinstance(scores, Ref) else None
    if draft is None or not isinstance(node, str) or not (column is None or isinstance(column, str)):
        return
    label = (Label(draft.place, f"uses {draft.implementation}"),)
    if draft.name not in meaning.known.tables:
        table = table_of(draft.name, draft.implementation, draft.values, *_shape_of(meaning, draft))
        rows = None if table is None or table.rows is None else frozenset(table.rows)
        meaning.known.tables[draft.name] = None if table is None else (table, rows)
    known = meaning.known.tables[draft.name]
    if known is None:
        meaning.scope.report(
            "C247",
            f"`{draft.name}` are scores of edges, and `score` reads those of nodes",
            call.span,
            labels=label,
            help=f"write `by = nodes` in `{draft.name}`",
        )
        return
    table, names = known
    wrong, at = None if names is not None and node in names else table.wrong_row(node), node
    if wrong is None:
        wrong, at = table.wrong_column(node, column), column or ""
    if wrong is not None:
        strings = (each.value for each in call.arguments if isinstance(each.value, syntax.String))
        span = next((each.span for each in strings if each.value == at), call.span)
        meaning.scope.report("C247", wrong[0], span, labels=label, help=wrong[1])
    elif applied.arguments.get("bound") and not has_intervals(draft.implementation, draft.values, column):
        given = (each for each in call.arguments if each.key is not None and each.key.text == "bound")
        what = f"column `{column}` of `{draft.name}`" if column else f"`{draft.name}`"
        meaning.scope.report(
            "C561",
            f"{what} has no intervals",
            next((each.span for each in given), call.span),
            labels=label,
            help="leave `bound` out; estimates of attribution have none, nor have numbers of weights",
        )


def _shape_of(meaning: Meaning, scores: Draft) -> tuple[Graph | None, Shape | None]:
    """The graph and the model's shape of a block of scores, where they are known."""
    graph = meaning.get(scores, "graph")
    data = next((each for key in ("data", "source") if (each := meaning.get(scores, key))), None)
    prompts = meaning.data_of(scores) or data
    model = meaning.get(graph or prompts or scores, "model")
    shape = None if model is None else meaning.shapes(model.implementation, model.values)
    if shape is None:
        return None, None
    try:
        return (None if graph is None else meaning.graph(graph)), full_shape(shape)
    except GraphError:  # said where the model is declared
        return None, None


def _found(circuit: Draft) -> bool:
    """Whether a circuit surely has no groups: one that was found, or written down without them."""
    if circuit.implementation in ("union", "intersection", "difference"):
        return False
    return circuit.implementation != "reference" or not (circuit.groups or circuit.group_spans)
