"""Models of a type that no adapter is for: which entries of the table fit their modules, and what to write.

Only the guards decide whether an entry is right; here are only those whose modules are all there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from nncirc.circuits.errors import ModelError
from nncirc.circuits.families import GROUP, family_of, is_known
from nncirc.circuits.families.family import Family, places
from nncirc.circuits.families.table import FAMILIES


def entries_of(module: Any) -> tuple[str | None, ...]:
    """The entries by which a model may be taken apart: None for its own, or those of the table that fit.

    Raises:
        ModelError: C411, no entry fits; the hint is an entry to complete.
    """
    config = module.config
    if is_known(config.model_type):
        return (None,)
    found = candidates(module)
    if not found:
        raise unknown(module, "none of the known entries names modules that it has")
    return found


_FIRST = ("llama", "gpt2", "gpt_neox")
"""By which of several types with the same entry it is called."""


def candidates(module: Any) -> tuple[str, ...]:
    """Entries of the table whose modules and keys a model has, those that name most modules first."""
    config, found = module.config.to_dict(), dict[str, Family]()
    there = {name for name, _ in module.named_modules()}
    for name in (*_FIRST, *FAMILIES):
        try:
            family = family_of(name, config)
        except (ModelError, KeyError, TypeError, ValueError):  # it is made of other keys
            continue
        keys = (family.keys.layers, family.keys.heads)
        fits = all(path in there for _, path in places(family)) and all(key in config for key in keys)
        if fits and name != "compiled" and family not in found.values():
            found[name] = family
    return tuple(sorted(found, key=lambda name: -len(places(found[name]))))


def unknown(module: Any, why: str) -> ModelError:
    """The error for a model that no entry fits, with one to complete."""
    kind = str(module.config.model_type)
    return ModelError(
        "C411",
        f"unsupported model type {kind[:60]!r}: {why}",
        hint=f"a package can add this entry, completed, under the name {kind[:60]!r} in the entry point group"
        f" {GROUP!r} (docs/models.md):\n{skeleton(module)}",
    )


def skeleton(module: Any) -> str:
    """An entry with what can be guessed from the names and kinds of modules; `...` where nothing can."""
    blocks, block = _blocks(module)
    outside = [(path, each) for path, each in module.named_modules() if not path.startswith(blocks)]
    ends = [path for path, each in outside if _is_norm(path, each)]
    unembed = module.get_output_embeddings()
    children = [(name, each) for name, each in block.named_children() if [*each.parameters()]]
    norms = [name for name, each in children if _is_norm(name, each)]
    rest = [name for name, _ in children if name not in norms]
    attention = _named(rest, "att")
    mlp = _named([name for name in rest if name != attention], "mlp", "ffn", "feed", "")
    inside = [*_leaves(block, mlp)]
    made = [path for path, leaf in _leaves(block, attention) if _is_matrix(leaf)]
    output = _named(made, "o_proj", "out", "dense", "c_proj", "wo") or (made[-1] if len(made) > 1 else None)
    before = sorted((path for path in made if path != output), key=_of_a_kind)
    units = ", ".join(map(_quoted, before)) or "..."
    matrices = [path for path, leaf in inside if _is_matrix(leaf)]
    fields = {
        "blocks": blocks,
        "final_norm": ends[-1] if ends else None,
        "unembed": next((path for path, each in outside if each is unembed), None),
        "attention_norm": norms[0] if norms else None,
        "attention": attention,
        "output": output,
        "mlp_norm": norms[1] if len(norms) > 1 else None,
        "mlp": mlp,
        "activation": _named([path for path, leaf in inside if not [*leaf.parameters()]], "act", "elu"),
        "mlp_output": matrices[-1] if matrices else None,
        "gated": matrices[-1] if len(matrices) > 2 else None,
    }
    told = [f"{name}={_quoted(path)}," for name, path in fields.items() if path or name != "gated"]
    told.append(f"units=side_by_side({units}),{'  # or by_group' if len(made) == 2 else ''}")
    if norms[2:]:
        told.append(f"# not named yet: {', '.join(norms[2:])}")
    return "\n".join(["    FAMILY = Family(", *(f"        {line}" for line in told), "    )"])


def _of_a_kind(path: str) -> int:
    """Queries first, then keys, then values, as far as names say so."""
    return "qkv".find(path.rpartition(".")[2][:1])


def _quoted(path: str | None) -> str:
    return "..." if path is None else f'"{path}"'


def _named(paths: Iterable[str], *parts: str) -> str | None:
    """The first path whose last name has the first of some parts that any has."""
    paths = [*paths]
    found = (path for part in parts for path in paths if part in path.rpartition(".")[2].lower())
    return next(found, None)


def _blocks(module: Any) -> tuple[str, Any]:
    """The longest list of modules, the outermost of several."""
    modules = module.named_modules()
    lists = [(name, each) for name, each in modules if isinstance(each, nn.ModuleList) and len(each)]
    if not lists:
        return "...", nn.Module()
    name, found = max(lists, key=lambda one: (len(one[1]), -one[0].count(".")))
    return name, found[0]


def _leaves(block: Any, path: str | None) -> Iterator[tuple[str, Any]]:
    modules = () if path is None else block.get_submodule(path).named_modules(prefix=path)
    for name, each in modules:
        if not [*each.children()]:
            yield name, each


def _is_matrix(module: Any) -> bool:
    return getattr(getattr(module, "weight", None), "ndim", 0) == 2


def _is_norm(path: str, module: Any) -> bool:
    kind = f"{path.rpartition('.')[2]} {type(module).__name__}".lower()
    return not [*module.children()] and ("norm" in kind or "ln_" in kind)
