"""The codes of what goes wrong when a script runs: C3xx data, C4xx models and graphs, C5xx methods,
C6xx files, C7xx resources. Their texts are shown by `nncirc explain`, as those of `catalogue.py` are.
"""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.catalogue import Entry

__all__ = ["RUN"]

RUN: Mapping[str, Entry] = {}
