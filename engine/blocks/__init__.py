"""What the engine knows of each thing that the language names: a file each, called as in `dsl/blocks`.

How it is built, what it costs, and what its numbers are called and drawn like. A file is found because it
lies here; what it gives is its `BLOCKS`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from nncirc.engine.blocks.block import Block

__all__ = ["blocks"]


@cache
def blocks() -> Mapping[tuple[str, str], Block]:
    """All blocks, by kind and implementation."""
    names = sorted(each.name for each in pkgutil.iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return {key: block for module in modules for key, block in getattr(module, "BLOCKS", {}).items()}
