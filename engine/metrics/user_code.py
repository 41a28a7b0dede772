"""What a function of the user's own is computed by: its module, and all that this imports.

Results are stored under the text of this code, so what is missed here would be served when it has changed.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version

from nncirc.circuits.door import read_file

_INSTALLED = tuple(
    {
        f"{os.path.realpath(path)}{os.sep}"
        for name, path in sysconfig.get_paths().items()
        if name.endswith("lib")
    }
)


@dataclass(frozen=True, slots=True)
class Code:
    """The code of a module and of all that it imports.

    Attributes:
        sha256: of its text, and of the versions of what is installed.
        modules: names of the modules that this is of.
    """

    sha256: str
    modules: frozenset[str]


def code_of(module: str, loaded: Collection[str] = ()) -> Code:
    """The code of a module, of every module that it imports, and so on, as far as it is not installed.

    Imports inside of functions count. Of what is installed the version counts.

    Args:
        module: its name, as it can be imported now.
        loaded: names of modules that it is known to load in another way than by `import`.
    """
    found: dict[str, str] = {}
    waiting = [module, *loaded]
    while waiting:
        name = waiting.pop()
        if not name or name in found:
            continue
        spec = _spec(name)
        origin = None if spec is None else spec.origin
        if spec is None or origin is None or not _is_local(name, origin):
            found[name] = "" if spec is None else _version(name)
            continue
        try:
            text = read_file(origin)
        except OSError:
            text = b""
        found[name] = sha256(text).hexdigest()
        above = name.rpartition(".")[0]
        waiting += [above, *_imports(text, above if spec.submodule_search_locations is None else name)]
    lines = (f"{name} {found[name]}" for name in sorted(found) if found[name])
    return Code(sha256("\n".join(lines).encode()).hexdigest(), frozenset(found))


def _is_local(name: str, origin: str | None) -> bool:
    """Whether a module is one that nobody has installed: it has no version, and changes as it is edited."""
    if origin in (None, "built-in", "frozen") or name.partition(".")[0] == "nncirc":
        return False
    return not os.path.realpath(origin).startswith(_INSTALLED)


def loaded_since(before: Collection[str]) -> list[str]:
    """Names of local modules that have been loaded since these were."""
    new = sys.modules.keys() - set(before)
    return sorted(name for name in new if _is_local(name, getattr(sys.modules[name], "__file__", None)))


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is, without importing the packages that it is in; None if nowhere."""
    where: Sequence[str] | None = None
    spec = None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        spec = _found(".".join(parts[:end]), where)
        where = None if spec is None else spec.submodule_search_locations
        if spec is None or (where is None and end < len(parts)):
            return None
    return spec


def _found(name: str, where: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, where)
        except (ImportError, ValueError, OSError, AttributeError):
            continue
        if spec is not None:
            return spec
    return None


def _version(name: str) -> str:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "nncirc":
        return ""  # these are in the key anyway
    try:
        return version(top)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(top), "__version__", ""))


def _imports(text: bytes, package: str) -> Iterator[str]:
    """Names of what a module may import; of `from a import b` also `a.b`, in case it is a module."""
    with warnings.catch_warnings(action="ignore"):  # of escapes in its strings
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):  # an extension module
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
