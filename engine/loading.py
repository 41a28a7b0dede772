"""Loading models: from a folder, from the Hugging Face hub, or one that comes with the package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors.torch import load_file

from nncirc.circuits.door import at_home, open_file, read_text
from nncirc.circuits.errors import ModelError
from nncirc.circuits.models import COMPILED, model_folder
from nncirc.engine import guards
from nncirc.engine.compiled import build, read_config, symbol_tokenizer
from nncirc.engine.data import load_tokenizer
from nncirc.engine.data.load import (
    check_json,
    first_line,
    from_hub,
    is_local,
    list_folder,
    no_folder,
    unreadable,
)
from nncirc.engine.families import family_of
from nncirc.engine.model import Model

DType: TypeAlias = Literal["float32", "float64", "bfloat16", "float16"]
DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load_bundled(name: str, *, dtype: DType = "float64", device: str = "cpu") -> Model:
    """A small model that comes with the package, trained or compiled (`nncirc.circuits.models.BUNDLED`).

    Raises:
        ModelError: C401, there is no such model; otherwise as `load_huggingface` or `load_compiled`.
    """
    folder = model_folder(name)
    if name in COMPILED:
        return _load_compiled(folder, dtype, device, name=name)
    return _load(folder, None, dtype, device, name=name, tokenizer=None)


def load_compiled(path: str | Path, *, dtype: DType = "float64", device: str = "cpu") -> Model:
    """A program that was compiled to the weights of a transformer, from a folder (`nncirc.engine.compiled`).

    Args:
        path: the folder, with `config.json` and `model.safetensors`.
        dtype: of weights and activations.
        device: a torch device.

    Raises:
        ModelError: C402 to C406, as `load_huggingface`; C432, a kind of compiled model that is not known
            here; C413 to C420, a guard fails.
        FileError: C601 to C603, the config cannot be read or is another.
    """
    return _load_compiled(at_home(path), dtype, device, name=str(path))


def _load_compiled(folder: Path, dtype: DType, device: str, *, name: str) -> Model:
    _check_device(device)
    digest = _hash(_files(folder))
    config = read_config(folder)
    try:
        weights = load_file(folder / "model.safetensors")
    except Exception as error:  # noqa: BLE001 - safetensors raises anything at damaged files
        raise ModelError(
            "C403",
            f"the model in {folder} cannot be loaded: {first_line(error)}",
            hint="its files are damaged: copy them again",
            about=str(folder),
        ) from None
    module = _ready(build(config, weights, name).to(DTYPES[dtype]), device, name)
    made = {"id": name, "dtype": dtype, "device": device, "weights_sha256": digest}
    return _guarded(Model(module, symbol_tokenizer(config), made, name))


def load_huggingface(
    id: str | Path,  # noqa: A002 - the hub's own word
    *,
    revision: str | None = None,
    dtype: DType = "float32",
    device: str = "cpu",
    tokenizer: str | None = None,
) -> Model:
    """A causal language model from a local folder or from the Hugging Face hub.

    Weights are read from safetensors only, never unpickled, and every weight must be there. The guards
    of `nncirc.engine.guards` run before the model is given back.

    Args:
        id: a folder, or a hub id such as `openai-community/gpt2`.
        revision: branch, tag or commit on the hub.
        dtype: of weights and activations.
        device: a torch device.
        tokenizer: folder or hub id of the tokenizer; None for the model's own.

    Raises:
        ModelError: C402 the folder has no model, C403 its files are damaged, C404 weights are missing or
            do not fit, C405 weights are not finite, C406 no such device; C411 no adapter for this type of
            model; C413 to C420, a guard fails; C421 to C424, the tokenizer or the hub.
    """
    place = at_home(id) if isinstance(id, Path) or is_local(id) else id
    return _load(place, revision, dtype, device, name=str(id), tokenizer=tokenizer)


def _load(
    place: str | Path, revision: str | None, dtype: DType, device: str, *, name: str, tokenizer: str | None
) -> Model:
    made: dict[str, Any] = {"id": name, "dtype": dtype, "device": device}
    _check_device(device)
    if isinstance(place, Path):
        made["weights_sha256"] = _check_folder(place)
        module = _from_folder(place, dtype)
    else:
        module = from_hub(
            place, revision, "model", lambda offline: _pretrained(place, dtype, revision, offline)
        )
        made["revision"] = getattr(module.config, "_commit_hash", None) or revision
    module = _ready(module, device, name)
    return _guarded(Model(module, load_tokenizer(tokenizer or place, revision), made, name))


def _ready(module: Any, device: str, name: str) -> Any:
    """The module on its device, if its weights are numbers."""
    _check_finite(module, name)
    try:
        return module.to(device).eval().requires_grad_(False)
    except RuntimeError as error:
        raise ModelError(
            "C406", f"{name} does not fit on {device}: {first_line(error)}", hint='write `device = "cpu"`'
        ) from None


def _guarded(model: Model) -> Model:
    """The model, if the guards let it pass."""
    passed = {holds: float(f"{error:.1e}") for holds, error in guards.check(model).items()}
    facts = {"type": model.family.model_type, "d_model": model.d_model, "guards": passed}
    return replace(model, made={**model.made, **facts}, guard=guards.Reach.of(model))


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            "C406", f"there is no device {device!r} here: {first_line(error)}", hint='write `device = "cpu"`'
        ) from None


def _check_folder(folder: Path) -> str:
    """Look at a folder before it is loaded; the hash of its weights."""
    weights = _files(folder)
    config = folder / "config.json"
    check_json(config)
    family_of(str(json.loads(read_text(config)).get("model_type")))
    return _hash(weights)


def _files(folder: Path) -> list[Path]:
    """The files with weights of a folder that has all that a model needs."""
    if what := no_folder(folder):
        raise ModelError("C402", f"the model folder {folder} {what}", about=str(folder))
    names = list_folder(folder)
    weights = [folder / name for name in names if name.endswith(".safetensors")]
    for missing, found in (("config.json", "config.json" in names), ("*.safetensors", weights)):
        if not found:
            hint = (
                "weights are read from safetensors only: model.save_pretrained(folder)"
                if missing != "config.json"
                else "save it with model.save_pretrained(folder)"
            )
            raise ModelError(
                "C402", f"the model folder {folder} has no {missing}", hint=hint, about=str(folder)
            )
    return weights


def _hash(weights: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in weights:
        try:
            with open_file(file) as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            raise unreadable(error, file.parent) from None
    return digest.hexdigest()


def _from_folder(folder: Path, dtype: DType) -> Any:
    try:
        return _pretrained(str(folder), dtype, None, offline=True)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - transformers and safetensors raise anything at damaged files
        raise ModelError(
            "C403",
            f"the model in {folder} cannot be loaded: {first_line(error)}",
            hint="its files are damaged or do not belong together: copy them again",
            about=str(folder),
        ) from None


def _pretrained(name: str, dtype: DType, revision: str | None, offline: bool) -> Any:
    from transformers import AutoModelForCausalLM

    options = {"revision": revision} if revision else {}
    with _quiet():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=DTYPES[dtype],
            attn_implementation="sdpa",
            use_safetensors=True,
            local_files_only=offline,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told by name below, where transformers prints a report
            **options,
        )
    module, info = loaded
    _check_complete(name, info)
    return module


def _check_complete(name: str, info: dict[str, Any]) -> None:
    """transformers fills in random numbers where weights are missing; here that is an error."""
    missing = sorted(str(key) for key in info.get("missing_keys", ()))
    mismatched = sorted(str(key) for key in info.get("mismatched_keys", ()))
    for what, keys in (("lack", missing), ("have the wrong shape for", mismatched)):
        if keys:
            raise ModelError(
                "C404",
                f"the weights of {name} {what} {_listed(keys)}",
                hint="the config does not belong to these weights, or the file is incomplete",
                about=name,
            )


def _listed(keys: Sequence[str], most: int = 3) -> str:
    rest = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {rest} more" if rest > 0 else "")


def _check_finite(module: Any, name: str) -> None:
    for key, weight in module.named_parameters():
        if not torch.isfinite(weight).all():
            raise ModelError(
                "C405",
                f"the weights of {name} hold values that are not finite, first in {key}",
                hint="the file is damaged, or the dtype too narrow: try dtype = float32",
                about=name,
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' log lines and progress bars: what matters is raised."""
    import transformers.utils.logging

    logging: Any = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
