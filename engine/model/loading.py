"""Loading models: from a folder, from the Hugging Face hub, or one that comes with the package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from nncirc.circuits.arguments import public
from nncirc.circuits.door import at_home, open_file, read_text
from nncirc.circuits.errors import ModelError, NncircError, ResourceError
from nncirc.circuits.families import family_of
from nncirc.circuits.models import COMPILED, model_folder
from nncirc.circuits.words import memory_in_words
from nncirc.engine.data import gguf_file
from nncirc.engine.data.load import (
    FILES,
    check_json,
    first_line,
    from_hub,
    is_local,
    list_folder,
    load_tokenizer,
    no_folder,
    unreadable,
)
from nncirc.engine.model import guards
from nncirc.engine.model.compiled import (
    BUFFERS,
    CompiledConfig,
    build,
    read_config as read_compiled,
    read_hooked,
    symbol_tokenizer,
    tensors,
)
from nncirc.engine.model.configs import AttentionImplementation, empty, read_config
from nncirc.engine.model.model import Model
from nncirc.engine.runs.memory import free_memory
from nncirc.engine.shortage import shortage

DType: TypeAlias = Literal["float32", "float64", "bfloat16", "float16"]
Bits: TypeAlias = Literal[8, 4]
DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in get_args(DType)}

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
SINGLE, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"

_IDLE = (".masked_bias", ".rotary_emb.inv_freq")
"""Constants that older versions of transformers saved beside the weights, which nothing reads."""


@public
def load_bundled(name: str, *, dtype: DType = "float64", device: str = "cpu") -> Model:
    """A small model that comes with the package, trained or compiled (`nncirc.circuits.models.BUNDLED`).

    Raises:
        ModelError: C401, there is no such model; otherwise as `load_huggingface` or `load_compiled`.
    """
    folder = model_folder(name)
    if name in COMPILED:
        return _load_compiled(folder, dtype, device, name=name)
    return _load(folder, None, _How(dtype, device), name=name)


@public
def load_compiled(path: str | Path, *, dtype: DType = "float64", device: str = "cpu") -> Model:
    """A program that was compiled to the weights of a transformer, from a folder (`engine.model.compiled`).

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


@public
def load_transformer_lens(
    path: str | Path, *, dtype: DType = "float32", device: str = "cpu", tokenizer: str | None = None
) -> Model:
    """A model that was trained with TransformerLens, from its state dict and its config in a folder.

    Prompts are the tokenizer's tokens, without a BOS that it does not set itself. Without a tokenizer, in the
    folder or given, tokens are called by their numbers: "3 0 12".

    Args:
        path: the folder, with `config.json` (the fields of `HookedTransformerConfig`) and
            `model.safetensors` (`state_dict()` of the `HookedTransformer`).
        dtype: of weights and activations.
        device: a torch device.
        tokenizer: folder or hub id of the tokenizer; None for that in the folder.

    Raises:
        ModelError: C402 to C406, as `load_huggingface`; C429, tensors that the config has no place for; C432,
            a kind of model that is not known here; C413 to C420, a guard fails; C421 to C424, the tokenizer.
        FileError: C601 to C603, the config cannot be read or is another.
    """
    folder = at_home(path)
    if folder.suffix in _PICKLES:
        raise ModelError(
            "C402",
            f"{path} is a pickle, which can run code when it is read",
            hint=f'convert it: save_file(torch.load("{folder.name}", weights_only=True),'
            ' "folder/model.safetensors")',
        )
    return _load_compiled(folder, dtype, device, name=str(path), read=read_hooked, tokenizer=tokenizer)


def _load_compiled(
    folder: Path,
    dtype: DType,
    device: str,
    *,
    name: str,
    read: Callable[[Path], CompiledConfig] = read_compiled,
    tokenizer: str | None = None,
) -> Model:
    _check_device(device)
    digest = _hash(_weight_files(folder, indexed=False))
    config = read(folder)
    try:
        weights = load_file(folder / SINGLE)
    except Exception as error:  # noqa: BLE001 - safetensors raises anything at damaged files
        raise _damaged(folder, error) from None
    module = _ready(build(config, weights, name).to(DTYPES[dtype]), device, name)
    surplus = weights.keys() - {key for key, *_ in tensors(config)}
    check_no_more(name, sorted(key for key in surplus if not (config.hooked and key.endswith(BUFFERS))))
    made = {"id": name, "dtype": dtype, "device": device, "weights_sha256": digest}
    own = str(folder) if config.hooked and set(FILES) & set(list_folder(folder)) else None
    place = tokenizer or own
    symbols = symbol_tokenizer(config) if place is None else load_tokenizer(place)
    return guards.guarded(Model(module, symbols, made, name))


@public
def load_huggingface(
    id: str | Path,  # noqa: A002 - the hub's own word
    *,
    revision: str | None = None,
    dtype: DType = "float32",
    device: str = "cpu",
    tokenizer: str | None = None,
    attn_implementation: AttentionImplementation | None = None,
    device_map: str | None = None,
    quantize: Bits | None = None,
) -> Model:
    """A causal language model from a local folder, a `.gguf` file, or from the Hugging Face hub.

    Weights are read from safetensors and gguf only, never unpickled, and every weight must be there. The
    guards of `nncirc.engine.model.guards` run before the model is given back.

    Args:
        id: a folder, a `.gguf` file, or a hub id such as `openai-community/gpt2`.
        revision: branch, tag or commit on the hub.
        dtype: of weights and activations.
        device: a torch device.
        tokenizer: folder or hub id of the tokenizer; None for the model's own.
        attn_implementation: what transformers computes attention with; None for `sdpa` where the family has
            it. Flash attention knows no float64, in which blocks are tried.
        device_map: handed to transformers instead of `device`; all weights must end up on one device.
        quantize: 4 for weights of 4 bits, by bitsandbytes, in all linear modules whose matrices are not
            needed: output projections, the outputs of MLPs and the unembedding stay as they are.

    Raises:
        ModelError: C402 the folder has no model, C403 its files are damaged, C404 weights are missing or
            do not fit, C405 weights are not finite, C406 no such device; C411 no adapter for this type of
            model; C412 to C420 and C425 to C428, a guard fails; C421 to C424, the tokenizer or the hub;
            C429, weights that the config has no place for; C430, the config says what no model can be;
            C438, a package is missing that this needs; C439, the model does not allow an option; C440, a
            `.gguf` file says what transformers does not take over.
        ResourceError: C701, there is not enough memory.
    """
    place = at_home(id) if isinstance(id, Path) or is_local(id) else id
    how = _How(dtype, device, attn_implementation, device_map, quantize)
    how.check(place)
    return _load(place, revision, how, name=str(id), tokenizer=tokenizer)


@dataclass(frozen=True, slots=True)
class _How:
    """How transformers is to load a model; the arguments of `load_huggingface`."""

    dtype: DType
    device: str
    attention: AttentionImplementation | None = None
    device_map: str | None = None
    quantize: Bits | None = None

    @property
    def placed(self) -> bool:
        """Whether transformers puts the weights on their device."""
        return self.device_map is not None or self.quantize is not None

    def check(self, place: str | Path) -> None:
        """Whether packages are there that this needs, and no option excludes another.

        Raises:
            ModelError: C438, C439.
        """
        if self.device_map is not None:
            gguf_file.require(("accelerate",), "device_map")
        if self.quantize == 8:
            raise ModelError(
                "C439",
                "8-bit modules of bitsandbytes round what they read, so their gradients are not those of what"
                " they compute",
                hint="use quantize = 4, or a narrower dtype",
            )
        if self.quantize is not None:
            gguf_file.require(("accelerate", "bitsandbytes"), f"quantize = {self.quantize}")
        if self.quantize is not None and self.dtype == "float64":
            raise ModelError(
                "C439",
                "quantized weights are computed with in float32 at most, not in float64",
                hint="use dtype = float32",
            )
        if self.placed and str(place).endswith(gguf_file.SUFFIX):
            raise ModelError(
                "C439",
                "a .gguf file is loaded without device_map and quantize: its weights are made plain ones",
                hint="omit both",
            )

    def options(self, config: Any) -> dict[str, Any]:
        """What transformers is told beside the dtype and the attention."""
        if not self.placed:
            return {}
        options: dict[str, Any] = {"device_map": self.device_map or {"": self.device}}
        if self.quantize is None:
            return options
        import transformers

        family = family_of(config.model_type, config.to_dict())
        plain = [family.output, family.unembed, family.mlp_output, family.mlp_writes]
        make: Any = transformers.BitsAndBytesConfig
        options["quantization_config"] = make(
            load_in_4bit=True,
            bnb_4bit_compute_dtype=torch.float32,  # as blocks are tried more exactly than in half precision
            llm_int8_skip_modules=sorted({path.rpartition(".")[2] for path in plain if path}),
        )
        return options


def _load(
    place: str | Path,
    revision: str | None,
    how: _How,
    *,
    name: str,
    tokenizer: str | None = None,
) -> Model:
    made: dict[str, Any] = {"id": name, "dtype": how.dtype, "device": how.device}
    _check_device(how.device)
    if isinstance(place, Path) and place.suffix == gguf_file.SUFFIX:
        module, made["weights"] = _from_gguf(place, how)
        made["weights_sha256"] = _hash([place])
    elif isinstance(place, Path):
        files = _weight_files(place)
        check_json(place / "config.json")
        config = read_config(str(place))
        made["weights_sha256"] = _hash(files)
        try:
            module = _pretrained(str(place), str(place), config, how)
            _check_files(files, module, name)
        except NncircError:
            raise
        except Exception as error:  # noqa: BLE001 - transformers and safetensors raise anything
            raise _damaged(place, error) from None
    else:

        def load(offline: bool) -> Any:
            config = read_config(place, revision=revision, offline=offline)
            options = {"revision": revision} if revision else {}
            return _pretrained(place, place, config, how, local_files_only=offline, **options)

        module = from_hub(place, revision, "model", load)
        made["revision"] = getattr(module.config, "_commit_hash", None) or revision
    module = _ready(module, None if how.placed else how.device, name)
    if how.placed:
        made["device"] = _only_device(module, name)
    made |= {} if how.quantize is None else {"quantize": how.quantize}
    made["attn_implementation"] = module.config._attn_implementation
    return guards.guarded(Model(module, load_tokenizer(tokenizer or place, revision), made, name))


def _only_device(module: Any, name: str) -> str:
    """The device that all weights are on: what all layers write is added up there."""
    found = sorted({str(weight.device) for weight in module.parameters()})
    if len(found) > 1:
        raise ModelError(
            "C439",
            f"device_map put {name} on several devices: {', '.join(found)}; what all layers write is added up"
            " on one",
            hint="use device, a narrower dtype, or quantize",
        )
    return found[0]


def _from_gguf(file: Path, how: _How) -> tuple[Any, list[str]]:
    """The model of a `.gguf` file, and the types of the tensors in it."""
    name = gguf_file.NAME
    with gguf_file.alone(file) as folder:
        try:
            config = read_config(folder, gguf_file=name)
            with redirect_stderr(StringIO()):  # transformers shows how far it is
                module = _pretrained(folder, str(file), config, how, gguf_file=name)
            types = gguf_file.check_said(file, config, module)
        except NncircError:
            raise
        except Exception as error:  # noqa: BLE001 - transformers and gguf raise anything
            raise _damaged(file, error) from None
    # The weights are plain ones, which transformers would treat as quantized.
    del module.config.quantization_config, module.hf_quantizer
    module.is_quantized = False
    return module, types


def _damaged(folder: Path, error: Exception) -> Exception:
    return shortage(error) or ModelError(
        "C403",
        f"the model in {folder} cannot be loaded: {first_line(error)}",
        hint="copy its files again: they are damaged or do not belong together",
    )


def _ready(module: Any, device: str | None, name: str) -> Any:
    """The module on its device, if its weights are numbers; each is moved by itself, and then freed.

    None leaves it where it is.
    """
    _check_finite(module, name)
    try:
        return (module if device is None else module.to(device)).eval().requires_grad_(False)
    except RuntimeError as error:
        raise ModelError(
            "C406", f"{name} does not fit on {device}: {first_line(error)}", hint='write `device = "cpu"`'
        ) from None


def _check_device(device: str) -> None:
    """Whether a device computes, also in float64, as all metrics are, and gives back what it computed."""
    try:
        (torch.ones(1, dtype=torch.float64, device=device) + 1).cpu()
    except Exception as error:  # noqa: BLE001 - every backend raises what it likes
        raise ModelError(
            "C406",
            f"the device {device!r} is not available, or has no float64: {first_line(error)}",
            hint='write `device = "cpu"`',
        ) from None


def _weight_files(folder: Path, *, indexed: bool = True) -> list[Path]:
    """The files with weights that are loaded from a folder: one, or those that its index lists, if it may.

    Raises:
        ModelError: C402, there is no model; C403, a file cannot be read or is not in the folder.
    """
    if what := no_folder(folder):
        raise ModelError("C402", f"the model folder {folder} {what}")
    names = list_folder(folder)
    missing, hint = None, "weights are read from safetensors only: model.save_pretrained(folder)"
    if "config.json" not in names:
        missing, hint = "config.json", "save it with model.save_pretrained(folder)"
    elif not any(name.endswith(".safetensors") for name in names):
        missing = "*.safetensors"
    elif SINGLE not in names and not (indexed and INDEX in names):
        missing = SINGLE
    if missing:
        raise ModelError("C402", f"the model folder {folder} has no {missing}", hint=hint)
    if ADAPTER in names:
        raise ModelError(
            "C402",
            f"the model folder {folder} contains an unmerged adapter ({ADAPTER}), which would be ignored",
            hint="merge it into the weights and save them: model.merge_and_unload().save_pretrained(folder)",
        )
    return [folder / SINGLE] if SINGLE in names else _listed_files(folder, names)


def _listed_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of an index, which are all in its own folder."""
    index = folder / INDEX
    check_json(index)
    where = json.loads(read_text(index)).get("weight_map")
    files = sorted({str(file) for file in where.values()}) if isinstance(where, dict) else []
    for file in files:
        if file not in names:
            raise ModelError(
                "C403",
                f"the model in {folder} cannot be loaded: {INDEX} lists {file!r}, which is not in the folder",
                hint="copy its files again; an index may only list files beside it",
            )
    if not files:
        raise ModelError(
            "C403",
            f"the model in {folder} cannot be loaded: {INDEX} has no weight_map listing files",
            hint="copy its files again",
        )
    return [folder / file for file in files]


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


def _pretrained(place: str, name: str, config: Any, how: _How, **options: Any) -> Any:
    """The model with its weights, all of them and no others."""
    dtype = how.dtype
    module = empty(config, DTYPES[dtype], name, how.attention)
    needed, free = sum(weight.nbytes for weight in module.parameters()), free_memory(torch.device("cpu"))
    if needed > free and not how.placed:
        raise ResourceError(
            "C701",
            f"{name} needs {memory_in_words(needed)} in {dtype}; {memory_in_words(free)} of memory is free",
            hint="use a smaller model, a narrower dtype, or a machine with more memory",
        )
    with _quiet():
        loaded, info = type(module).from_pretrained(
            place,
            config=config,
            dtype=DTYPES[dtype],
            attn_implementation=module.config._attn_implementation,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # raised by name below, where transformers prints a report
            **{"local_files_only": True, **how.options(config), **options},
        )
    _check_complete(name, info)
    if dtype == "float64" and hasattr(loaded, "set_experts_implementation"):
        loaded.set_experts_implementation("eager")  # the fast one knows no float64
    return loaded


def _check_complete(name: str, info: dict[str, Any]) -> None:
    """transformers fills in random numbers where weights are missing, and ignores those that no part uses.

    Here both are errors.
    """
    missing = sorted(str(key) for key in info.get("missing_keys", ()))
    mismatched = sorted(str(key) for key in info.get("mismatched_keys", ()))
    for what, keys in (("lack", missing), ("have the wrong shape for", mismatched)):
        if keys:
            raise ModelError(
                "C404",
                f"the weights of {name} {what} {_listed(keys)}",
                hint="use the config saved with these weights, or copy the weights again",
            )
    keys = sorted(str(key) for key in info.get("unexpected_keys", ()))
    check_no_more(name, [key for key in keys if not key.endswith(_IDLE)])


def _check_files(files: Sequence[Path], module: Any, name: str) -> None:
    """Every weight is in the files once and in fractions.

    Of a weight that is there twice transformers takes one without a word; and it takes whole numbers, which
    quantized weights are saved as, as they are.

    Raises:
        ModelError: C403, a weight is there twice; C404, it has no fractions.
    """
    weights = {key for key, _ in module.named_parameters(remove_duplicate=False)}
    found: dict[str, str] = {}
    for file in files:
        with safe_open(file, framework="np") as tensors:  # only names and types are read
            for key in tensors.keys():  # noqa: SIM118 - it is no mapping
                weight = key if key in weights else f"{module.base_model_prefix}.{key}"
                if weight not in weights:
                    continue
                here = f"{key} of {file.name}"
                if weight in found:
                    raise ModelError(
                        "C403",
                        f"the files of {name} contain one weight twice: as {found[weight]} and as {here}",
                        hint="copy the model again, or save it again: model.save_pretrained(folder)",
                    )
                found[weight] = here
                kind = str(tensors.get_slice(key).get_dtype())
                if not kind.startswith(("F", "BF")):
                    raise ModelError(
                        "C404",
                        f"the weights of {name} have type {kind} for {key}; expected floating point",
                        hint="save them as float32 or float64",
                    )


def _listed(keys: Sequence[str], most: int = 3) -> str:
    rest = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {rest} more" if rest > 0 else "")


def check_no_more(name: str, surplus: Sequence[str]) -> None:
    """Refuse weights that no part of the model would use.

    Raises:
        ModelError: C429, there are some.
    """
    if surplus:
        raise ModelError(
            "C429",
            f"the config of {name} does not use the weights {_listed(surplus)}",
            hint="use the config.json saved with the weights, or save the model without them:"
            " AutoModelForCausalLM.from_pretrained(folder).save_pretrained(other)",
        )


def _check_finite(module: Any, name: str) -> None:
    for key, weight in module.named_parameters():
        # No copy is made, as `isfinite` would; NaN and infinities are among the extremes.
        if weight.numel() and not all(map(torch.isfinite, weight.aminmax())):
            raise ModelError(
                "C405",
                f"the weights of {name} contain values that are not finite, first in {key}",
                hint="use dtype = float32 if the dtype is too narrow, or copy the file again",
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
