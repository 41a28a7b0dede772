"""Where in the script an error of a run stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nncirc.circuits.errors import NncircError
from nncirc.dsl.check.program import Assertion, Declaration
from nncirc.dsl.text.diagnostics import Diagnostic
from nncirc.dsl.text.source import Span

_MODEL = ("id", "path", "name")

# The key of a block that an error is about, where the code tells; otherwise the block itself.
_KEYS = {
    **dict.fromkeys(("C402", "C403", "C404", "C426", "C427", "C429", "C430"), _MODEL),
    "C303": ("answer", "foil"),
    "C304": ("foil", "answer"),
    "C306": ("prompt", "clean"),
    "C307": ("prompt",),
    "C309": ("slots",),
    "C310": ("size",),
    "C311": ("prompt", "clean"),
    "C315": ("path",),
    "C316": ("path",),
    "C317": ("clean", "corrupt", "path"),
    "C332": ("at",),
    "C344": ("answer_ids", "foil_ids"),
    "C334": ("positions",),
    "C353": ("task",),
    "C405": ("id", "dtype"),
    "C406": ("device",),
    "C411": ("id",),
    "C428": ("dtype", *_MODEL),
    "C436": ("id",),
    "C421": ("tokenizer", "id"),
    "C422": ("tokenizer", "id"),
    "C423": ("id",),
    "C424": ("revision", "id"),
    "C460": ("nodes",),
    "C523": ("direction", "base", "into"),
}


class ProgramError(NncircError):
    """An error of a run with its place in the script."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.code, diagnostic.message, hint=diagnostic.help)
        self.diagnostic = diagnostic


@contextmanager
def placed(declaration: Declaration | Assertion) -> Iterator[None]:
    """Errors inside get the place of a declaration or a claim, unless they have one."""
    try:
        yield
    except ProgramError:
        raise
    except NncircError as error:
        span = span_of(declaration, error.code, error.about)
        raise ProgramError(Diagnostic(error.code, error.message, span, help=error.hint)) from error


def span_of(declaration: Declaration | Assertion, code: str, about: str | None = None) -> Span:
    """Where an error of this code stands in a declaration or a claim: at the key that it is about, if any."""
    if isinstance(declaration, Assertion):
        return declaration.span
    for key in (about or "", *_KEYS.get(code, ())):
        if key in declaration.spans:
            return declaration.spans[key]
    return declaration.span
