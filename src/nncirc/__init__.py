"""nncirc: a declarative language and engine for transformer circuits.

All public names are here, and each is loaded on first use (PEP 562), so that importing nncirc is cheap:
torch is imported with the first model.

>>> from nncirc import Graph, Shape, expand
>>> expand(Graph(Shape(2, 2, 2)), "L*H1")
('L0H1', 'L1H1')
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"

# The names are listed once, in the stub that type checkers read, too.
_HOME = {
    alias.name: node.module or ""
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
