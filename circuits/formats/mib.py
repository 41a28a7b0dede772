"""Submissions to the circuit track of MIB (Mueller et al. 2025): a folder for each task and model.

submission/
    ioi_gpt2/importances.json         a score for every edge, in the format of the EAP-IG package,
    arc_easy_gemma2/importances.pt    or the same as tables;
    mcqa_qwen2.5/0.1.json, ...        or circuits of several sizes, each with the edges that it keeps
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.door import is_folder
from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.eap_ig import read_eap_ig

IMPORTANCES = "importances"
_ENDINGS = (".json", ".pt")  # where an entry has both, the JSON is read


@public
def read_submission(
    folder: str | os.PathLike[str], *, n_kv_heads: Positive | None = None
) -> dict[str, Circuit]:
    """The circuits of a submission, by task and model (`ioi_gpt2`), and by file where an entry has several.

    Importances become a circuit of all edges with their scores, from which circuits of any size are taken;
    several circuits are named `ioi_gpt2.NAME`, and keep what is in them.

    Args:
        folder: the submission, or one of its entries.
        n_kv_heads: as for `read_eap_ig`, for all entries.

    Raises:
        FileError: C601 to C603 and C630, a file of an entry cannot be read; C635, there are no entries.
        GraphError: C458, a score is not finite.
    """
    root = Path(folder)
    found: dict[str, Circuit] = {}
    try:
        entries = sorted(each for each in root.iterdir() if is_folder(each))
        files = {entry: _files(entry) for entry in entries}
        if not any(files.values()):  # an entry by itself
            files = {root.absolute(): _files(root)}
    except (OSError, ValueError) as error:  # a NUL in the name
        name, why = os.fspath(folder), getattr(error, "strerror", None) or error
        raise FileError("C601", f"cannot read {name!r}: {why}") from error
    for name, file in _named(files).items():
        found[name] = read_eap_ig(file, n_kv_heads=n_kv_heads, everything=file.stem == IMPORTANCES)
    if not found:
        raise FileError(
            "C635",
            f"expected an MIB submission, found no .json or .pt file in {os.fspath(folder)!r} or its folders",
            hint="use one folder for each task and model, such as ioi_gpt2/importances.json",
        )
    return found


def _files(entry: Path) -> list[Path]:
    return sorted(each for each in entry.iterdir() if each.suffix in _ENDINGS)


def _named(files: Mapping[Path, list[Path]]) -> dict[str, Path]:
    """The files to read, by what their circuits are called."""
    found: dict[str, Path] = {}
    for entry, held in files.items():
        importances = [file for file in held if file.stem == IMPORTANCES]
        for file in importances or held:
            name = entry.name if importances else f"{entry.name}.{file.stem}"
            other = found.setdefault(name, file)
            if other.with_suffix("") != file.with_suffix(""):
                both = [f"{each.parent.name}/{each.name}" for each in (other, file)]
                raise FileError(
                    "C635",
                    f"two circuits of the submission have the name {name}: {' and '.join(both)}",
                    hint="rename one of the files, or import each folder by itself",
                )
    return found
