"""From source text to a checked program: parser, diagnostics, schema, checker.

>>> from nncirc.dsl import check_text
>>> result = check_text('model gpt2 using huggingface { id = "gpt2" }')
>>> result.program.declarations["gpt2"].values["dtype"]
'float32'
"""

from nncirc.dsl.check.checker import CheckResult, check_file, check_text
from nncirc.dsl.check.program import Assertion, Declaration, Program
from nncirc.dsl.text.diagnostics import Diagnostic, Label, render, render_all, to_json
from nncirc.dsl.text.source import Source, Span

__all__ = [
    "Assertion",
    "CheckResult",
    "Declaration",
    "Diagnostic",
    "Label",
    "Program",
    "Source",
    "Span",
    "check_file",
    "check_text",
    "render",
    "render_all",
    "to_json",
]
