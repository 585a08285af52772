"""What a checkpoint stores: the tensors of all files that an engine reads."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from evalpack.checkpoint.source import Source, read_json
from evalpack.checkpoint.tensors import Tensor
from evalpack.errors import UserError
from evalpack.hub import wanted

_INDEX = "model.safetensors.index.json"
_PART = re.compile(r"-\d+-of-\d+\.")
_PICKLE = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True)
class Stored:
    """The tensors by name, and what they take.

    Attributes:
        tensors: all tensors of the files that an engine reads.
        size: their bytes, which the headers say.
        claimed: their bytes as the index says; None if it says nothing.
    """

    tensors: dict[str, Tensor]
    size: int
    claimed: int | None


def read_stored(source: Source) -> Stored:
    """Read the headers of all safetensors files.

    Raises:
        UserError: if files are missing or damaged, or the weights are in another format.
    """
    index = read_json(source, _INDEX)
    files = _whole(source) if index is None else _indexed(source, index.get("weight_map"))
    tensors: dict[str, Tensor] = {}
    held: dict[str, str] = {}
    with ThreadPoolExecutor(8) as pool:  # the hub answers a header in a tenth of a second
        for file, found in zip(files, pool.map(source.tensors, files), strict=True):
            if twice := found.keys() & tensors.keys():
                name = min(twice)
                raise UserError(
                    f"{source.name}: {held[name]} and {file} both hold {name}; keep one set of"
                    " weights"
                )
            tensors |= found
            held |= dict.fromkeys(found, file)
    if index is not None and (lost := index["weight_map"].keys() - tensors.keys()):
        raise UserError(
            f"{source.name}: the index names {min(lost)}, which no file holds; fetch it again"
        )
    claimed = ((index or {}).get("metadata") or {}).get("total_size")
    size = sum(tensor.size for tensor in tensors.values())
    return Stored(tensors, size, int(claimed) if isinstance(claimed, int | float) else None)


def _whole(source: Source) -> list[str]:
    """The safetensors files of a checkpoint without an index."""
    files = sorted(
        file
        for file in source.files
        if file.endswith(".safetensors") and wanted(file) and not file.startswith("adapter_")
    )
    if not files:
        raise UserError(f"{source.name} {_other_format(source)}")
    if any(_PART.search(file) for file in files):
        raise UserError(
            f"{source.name}: {files[0]} is part of a set, but {_INDEX} is missing; fetch it again"
        )
    return files


def _indexed(source: Source, weight_map: object) -> list[str]:
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{source.name}: {_INDEX} names no files; fetch it again")
    files = sorted({str(file) for file in weight_map.values()})
    missing = [file for file in files if file not in source.files]
    if missing:
        raise UserError(
            f"{source.name}: {len(missing)} of the {len(files)} files that {_INDEX} names are"
            f" missing, the first is {missing[0]}; fetch them"
        )
    return files


def _other_format(source: Source) -> str:
    if any(file.endswith(".gguf") for file in source.files):
        return (
            "holds GGUF files only; give the checkpoint they were made of, in safetensors (GGUF"
            " is for a server: `backend: openai`)"
        )
    if any(file.endswith(_PICKLE) for file in source.files):
        return "has no safetensors; pickle checkpoints are not loaded, as they can run code"
    return "has no weights: no *.safetensors file that an engine reads"
