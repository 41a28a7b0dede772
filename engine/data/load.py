"""Tokenizers, from a folder or from the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from nncirc.circuits.arguments import public
from nncirc.circuits.door import at_home, is_folder, is_there, read_text, require_regular_files
from nncirc.circuits.errors import ModelError, NncircError
from nncirc.engine.data import gguf_file
from nncirc.engine.data.examples import Tokenizer
from nncirc.engine.shortage import causes, shortage

T = TypeVar("T")

FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model", "vocab.txt")
"""A folder with none of these has no tokenizer."""

SECONDS = 5.0
"""How long the hub has to answer before it counts as out of reach."""


@public
def load_tokenizer(folder_or_id: str | Path, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a model.

    A folder is read without the network. For a hub id, files that were downloaded before are used if the
    hub cannot be reached; whether it can is asked once and quickly.

    Args:
        folder_or_id: a folder ("./models/mine", or any path that exists), a `.gguf` file, or a hub id
            ("openai-community/gpt2").
        revision: branch, tag or commit on the hub.

    Raises:
        ModelError: C421, no such folder or no tokenizer in it; C422, its files are damaged; C423, the hub
            cannot be reached; C424, the hub has no such model or revision, or does not give it to you.
    """
    name = str(folder_or_id)
    if name.endswith(gguf_file.SUFFIX):
        return _from_gguf(at_home(name))
    if isinstance(folder_or_id, Path) or is_local(name):
        return _from_folder(at_home(name))
    return from_hub(name, revision, "tokenizer of", lambda offline: _load(name, revision, offline=offline))


def is_local(name: str) -> bool:
    """Whether a name is that of a folder or of a `.gguf` file, there or not, and no hub id."""
    local = name.startswith((".", "/", "~")) or name.endswith(gguf_file.SUFFIX) or name.count("/") > 1
    return local or is_there(at_home(name))


def no_folder(folder: Path) -> str | None:
    """Why a path leads to no folder."""
    if is_folder(folder):
        return None
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except ValueError:  # a null byte in the name
        return "has an invalid name"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "is a file, not a folder"


def list_folder(folder: Path) -> list[str]:
    """What is in a model's folder, which libraries will read: nothing but files and folders.

    Raises:
        ModelError: C403, it cannot be read, or a file in it is no regular one.
    """
    try:
        require_regular_files(folder)
        return sorted(one.name for one in folder.iterdir())
    except OSError as error:
        raise unreadable(error, folder) from None


def unreadable(error: OSError, folder: Path) -> ModelError:
    """The error of a file in a model's folder that cannot be read."""
    name = error.filename or folder
    return ModelError(
        "C403",
        f"the model in {folder} cannot be loaded: cannot read {Path(name).name}: {error.strerror or error}",
        hint="its files must be regular files that you can read",
    )


def _from_folder(folder: Path) -> Tokenizer:
    if what := no_folder(folder):
        raise ModelError("C421", f"the model folder {folder} {what}")
    found = list_folder(folder)
    if not set(FILES) & set(found):
        there = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") if found else "nothing"
        raise ModelError(
            "C421",
            f"the folder {folder} has no tokenizer: expected one of {', '.join(FILES)}; found {there}",
            hint="save it beside the model: tokenizer.save_pretrained(folder)",
        )
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "config.json",
        "special_tokens_map.json",
    ):
        if name in found:
            check_json(folder / name)
    try:
        return _load(str(folder), None, offline=True)
    except Exception as error:  # noqa: BLE001 - the tokenizers library raises bare Exception
        if short := shortage(error):
            raise short from None
        raise ModelError(
            "C422",
            f"the tokenizer in {folder} cannot be loaded: {first_line(error)}",
            hint="copy its files again, or save it again with save_pretrained",
        ) from None


def _from_gguf(file: Path) -> Tokenizer:
    with gguf_file.alone(file) as folder:
        try:
            return _load(folder, None, offline=True, gguf_file=gguf_file.NAME)
        except Exception as error:  # noqa: BLE001 - likewise
            raise shortage(error) or ModelError(
                "C422",
                f"the tokenizer in {file} cannot be loaded: {first_line(error)}",
                hint='give another as `tokenizer`: tokenizer = "owner/name"',
            ) from None


def check_json(file: Path) -> None:
    """Raise C422 unless the file holds a JSON object."""
    try:
        text = read_text(file)
        content = json.loads(text)
        if "\\ud" in text.lower():  # half of a surrogate pair is no character
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError, OSError) as error:
        raise ModelError(
            "C422", f"{file} is damaged: {first_line(error)}", hint="copy the file again"
        ) from None
    if not isinstance(content, dict):
        raise ModelError(
            "C422",
            f"{file} is damaged: expected a JSON object, found a {type(content).__name__}",
            hint="copy the file again",
        )


def from_hub(name: str, revision: str | None, what: str, load: Callable[[bool], T]) -> T:
    """What `load(offline)` gives of a hub id, or why it does not; `what` it is: "tokenizer of", "model".

    Raises:
        ModelError: C423, the hub cannot be reached; C424, it does not give the model.
    """
    from huggingface_hub import errors

    at = f"{name} at {revision}" if revision else name
    reached = hub_reached()
    try:
        return load(not reached)
    except NncircError:
        raise
    except Exception as error:  # noqa: BLE001 - transformers wraps what the hub said in many ways
        if short := shortage(error):
            raise short from None
        why = tuple(causes(error))
        if not reached:
            raise ModelError(
                "C423",
                f"the Hugging Face hub cannot be reached, and the {what} {at} has not been downloaded",
                hint="connect to the network and try again, or give a local folder",
            ) from None
        if any(isinstance(one, errors.GatedRepoError) for one in why):
            message, hint = (
                f"{name} is gated: it is available only to users who accepted its terms",
                ("accept them on the model's page and log in with `hf auth login`"),
            )
        elif any(isinstance(one, errors.RevisionNotFoundError) for one in why):
            message, hint = f"{name} has no revision {revision}", "use a branch, tag or commit from its page"
        elif any(isinstance(one, errors.RepositoryNotFoundError) for one in why):
            message, hint = f"the hub has no model {name}, or it is private", "check the name: owner/name"
        else:
            message, hint = f"the {what} {at} cannot be loaded: {first_line(error)}", None
        raise ModelError("C424", message, hint=hint) from None


@cache
def hub_reached() -> bool:
    """True if the hub answers within a few seconds; asked once a process.

    The hub's client retries every file for minutes where there is no network.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        answer = get_session().head(constants.ENDPOINT, timeout=SECONDS)
    except Exception:  # noqa: BLE001 - whatever went wrong, the hub was not reached
        return False
    return bool(answer.status_code < 500)


def _load(name: str, revision: str | None, *, offline: bool, **options: Any) -> Tokenizer:
    from transformers import AutoTokenizer

    options |= {"revision": revision} if revision else {}
    load = AutoTokenizer.from_pretrained
    found = load(name, local_files_only=offline, trust_remote_code=False, **options)
    # These are looked at when something is encoded, and then end in a TypeError, or in an endless recursion.
    if isinstance(found.model_max_length, bool) or not isinstance(found.model_max_length, int | float):
        raise TypeError(f"model_max_length must be a number; found {found.model_max_length!r}"[:200])
    if found.unk_token == "":
        raise ValueError("unk_token is empty; a vocabulary without one leaves the key out")
    return cast("Tokenizer", found)


def first_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    said = error.strerror if isinstance(error, OSError) else None
    lines = (said or str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
