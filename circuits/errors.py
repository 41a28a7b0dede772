"""The exception tree: every error that a user can cause has a code, a subject and a hint.

    NncircError
    ├── ScriptError    C0xx syntax, C1xx names and keys, C2xx values   (raised by nncirc.dsl)
    ├── DataError      C3xx prompts, tokens, positions, answers
    ├── ModelError     C4xx models: loading, families, guards
    ├── GraphError     C45x nodes, edges, circuits
    ├── MethodError    C5xx corruptions, metrics, methods
    ├── FileError      C6xx reading and writing files
    ├── ResourceError  C7xx memory, disk, interruption
    └── ArgumentError  C75x arguments of a Python function

`nncirc explain CODE` prints the long form of a code; `nncirc.dsl.codes` holds the texts.
"""

from __future__ import annotations

_MOST = 2000
"""Characters of a message or a hint: what a screen shows. A file may hold names of any length."""


def _fitting(text: str) -> str:
    """Text without its middle, if it is too long."""
    return text if len(text) <= _MOST else f"{text[: _MOST - 600]} … {text[-500:]}"


class NncircError(Exception):
    """An error with a stable code, what is wrong, and what to do.

    Attributes:
        code: stable, such as `C301`; `nncirc explain` knows it.
        message: one or more lines: what was found and what was expected.
        hint: what to do about it, or None.
        about: the key of the script's block that is concerned, if the code does not determine it, or None.
    """

    def __init__(self, code: str, message: str, *, hint: str | None = None, about: str | None = None) -> None:
        self.message = _fitting(message)
        super().__init__(self.message)
        self.code = code
        self.hint = None if hint is None else _fitting(hint)
        self.about = about

    def __str__(self) -> str:
        text = f"[{self.code}] {self.message}"
        return f"{text}\n  help: {self.hint}" if self.hint else text


class ScriptError(NncircError):
    """A script with an error of syntax or meaning."""


class DataError(NncircError):
    """Prompts, tokens, positions or answers that cannot be used."""


class ModelError(NncircError):
    """A model that cannot be loaded, or for which the engine would give wrong numbers."""


class GraphError(NncircError):
    """A node or an edge that the graph lacks, or circuits on different graphs."""


class MethodError(NncircError):
    """A method, corruption or metric that cannot answer the question put to it."""


class FileError(NncircError):
    """A file that cannot be read or written, or is not what it should be."""


class ResourceError(NncircError):
    """Memory or disk ran out, or the run was interrupted."""


class ArgumentError(NncircError):
    """Arguments of a Python function that do not fit it; `nncirc.circuits.arguments` says which they are."""
