"""Metrics and corruptions that are functions of a user's own, from a Python module or an installed package.

They are code that a script brings along, so nothing is loaded unless whoever runs the script allows it.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from torch import Tensor

from nncirc.circuits.errors import MethodError, NncircError
from nncirc.circuits.kinds import described
from nncirc.engine.data.encoding import decode
from nncirc.engine.data.examples import Dataset, Example
from nncirc.engine.data.slots import render
from nncirc.engine.data.targets import asked_as
from nncirc.engine.data.tokens import frame_of
from nncirc.engine.metrics.metric import Logits, Measure, unbounded
from nncirc.engine.metrics.user_code import Code, code_of, loaded_since
from nncirc.engine.runs.corruptions import Corruption, Resample

METRICS, CORRUPTIONS = "nncirc.metrics", "nncirc.corruptions"


@dataclass(frozen=True, slots=True)
class Checked:
    """A metric's function of the user's own, and what it gives, checked.

    Attributes:
        name: `module:function`, or that of an entry point.
        function: what is called.
        code: of its module and of all that this imports.
    """

    name: str
    function: Callable[[Logits], Tensor]
    code: Code

    @property
    def source(self) -> str:
        """SHA-256 of its code."""
        return self.code.sha256

    def __call__(self, logits: Logits) -> Tensor:
        """Its value at every position read.

        Raises:
            MethodError: C585, it loads further modules; C586, it gives something else; C587, it raises an
                error.
        """
        value = _called(self.name, self.function, logits, self.code)
        wanted = tuple(logits.patched.shape[:3])
        if not isinstance(value, Tensor) or tuple(value.shape) != wanted or not value.is_floating_point():
            found = (
                f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else described(value)
            )
            raise MethodError(
                "C586",
                f"{self.name} returned {found}; expected a float for every row, prompt and position:"
                f" {wanted}",
                hint="reduce over the vocabulary: logits.at(logits.answer, logits.patched)",
            )
        return value.double()


def own_measure(name: str, folder: Path, *, allowed: bool) -> Measure:
    """The measure of a name: a `Measure`, or a function of `Logits` of which more is better.

    Args:
        name: `module:function`, or an entry point of the group `nncirc.metrics`.
        folder: where modules are looked for first.
        allowed: whether whoever runs this allows code.

    Raises:
        MethodError: C584, code is not allowed; C585, it cannot be loaded; C586, it is not a metric.
    """
    found, code = load(name, METRICS, folder, allowed=allowed)
    if not isinstance(found, Measure):
        _check_takes_one(name, found, "the `Logits` of a metric")
        found = Measure(found, (), 1, "")
    measure = found
    function = Checked(name, measure.function, code)
    # What it does with logits is not known, so neither is how far rounding moves it, nor from what logits.
    return replace(measure, function=function, columns=False, of_change=None, sensitivity=unbounded)


def own_corruption(name: str, dataset: Dataset, folder: Path, *, allowed: bool) -> Corruption:
    """What a function makes of the clean prompts: a corruption, or for each its corrupted text or tokens.

    Arguments as of `own_measure`, with the group `nncirc.corruptions`.

    Raises:
        MethodError: C584 to C587.
        DataError: C306 and others, a text cannot be tokenized.
    """
    function, code = load(name, CORRUPTIONS, folder, allowed=allowed)
    _check_takes_one(name, function, "the `Dataset` of clean prompts")
    made = _called(name, function, dataset, code)
    if isinstance(made, Corruption):
        return made
    if not isinstance(made, Sequence) or isinstance(made, str) or len(made) != len(dataset.examples):
        raise MethodError(
            "C586",
            f"{name} returned {described(made)}; expected a text, or token ids, for each of"
            f" {len(dataset.examples)} prompts",
            hint="return [example.text.replace(...) for example in dataset.examples]",
        )
    pairs = zip(dataset.examples, made, strict=True)
    return Resample(tuple(_prompt(name, dataset, *pair) for pair in pairs), name, code.sha256)


def _prompt(name: str, dataset: Dataset, clean: Example, given: object) -> Example:
    if isinstance(given, str):
        frame = frame_of(dataset.tokenizer)
        tokens = render(dataset.tokenizer, frame, (given,) if given else (), lambda _: "").tokens
        return asked_as(replace(clean, text=given, tokens=tokens, forced=0), clean)
    if isinstance(given, Sequence) and given and all(type(token) is int and token >= 0 for token in given):
        return replace(clean, text=decode(dataset.tokenizer, given), tokens=tuple(given))
    raise MethodError(
        "C586",
        f"{name} returned {described(given)} for a prompt; expected a text or a list of token ids",
        hint="return [example.text.replace(...) for example in dataset.examples]",
    )


def load(name: str, group: str, folder: Path, *, allowed: bool) -> tuple[Any, Code]:
    """What a name refers to, and its code.

    Raises:
        MethodError: C584, C585.
    """
    if not allowed:
        raise MethodError(
            "C584",
            f"the script runs its own code, {name}",
            hint="if you trust it, add --allow-code: nncirc run --allow-code",
        )
    module, colon, function = name.partition(":")
    if not colon:
        known = {entry.name: entry for entry in entry_points(group=group)}
        if name not in known:
            there = f"expected {', '.join(sorted(known))}" if known else "that group is empty"
            raise MethodError(
                "C585",
                f"no installed package has an entry point {name} in {group}; {there}",
                hint='for a function in a module write "module:function"',
            )
        return _loaded(name, known[name].module, known[name].load)
    with _first(folder):
        found, code = _loaded(name, module, lambda: importlib.import_module(module))
    if not hasattr(found, function):
        raise MethodError(
            "C585", f"the module {module} has no {function}", hint="write a function's name after the colon"
        )
    return getattr(found, function), code


_LOADED: dict[str, list[str]] = {}
"""By module the local modules that were loaded when it was first loaded."""


def _loaded(name: str, module: str, make: Callable[[], Any]) -> tuple[Any, Code]:
    before = set(sys.modules)
    try:
        found = make()
        return found, code_of(module, _LOADED.setdefault(module, loaded_since(before)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's code raises what it likes, SystemExit too
        raise MethodError(
            "C585",
            f"{name} cannot be loaded: {_line(error)}",
            hint="modules are searched for beside the script, and on Python's path",
        ) from None


@contextmanager
def _first(folder: Path) -> Iterator[None]:
    """Within it, modules are looked for in a folder first."""
    path = os.path.realpath(folder)
    sys.path.insert(0, path)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(path)


def _check_takes_one(name: str, function: object, what: str) -> None:
    problem = "is not a function" if not callable(function) else None
    if problem is None:
        try:
            inspect.signature(function).bind(None)  # type: ignore[arg-type]
        except TypeError:
            problem = f"does not take one argument, {what}"
        except ValueError:  # a builtin that does not say what it takes
            pass
    if problem is not None:
        raise MethodError("C586", f"{name} {problem}", hint=f"write a function that takes {what}")


def _called(name: str, function: Callable[[Any], Any], argument: object, code: Code) -> Any:
    before = set(sys.modules)
    try:
        found = function(argument)
    except (NncircError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - a user's code raises what it likes
        at = inspect.trace()[-1]
        where = f"{Path(at.filename).name}, line {at.lineno}"
        raise MethodError(
            "C587",
            f"{name} raised {_line(error)} ({where})",
            hint="the error is in that function, not in the script",
        ) from None
    # Results are stored under the code that was known before: a change of these would not be seen.
    unknown = [module for module in loaded_since(before) if module not in code.modules]
    if unknown:
        raise MethodError(
            "C585",
            f"{name} imports the module {unknown[0]} under a name computed at run time",
            hint=f"write `import {unknown[0]}` in its module",
        )
    return found


def _line(error: BaseException) -> str:
    """The type of an error, and the first line of what it says, if it says anything."""
    try:
        said = (str(error).splitlines() or [""])[0][:200]
    except Exception:  # noqa: BLE001 - a user's own error may fail to print
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
