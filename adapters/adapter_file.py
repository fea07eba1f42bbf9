"""The file that holds an adapter's tensors: found in a folder or on the hub, and read; never a pickle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from peft.utils import SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .packed import PACKED, is_packed, unpack_tensors

__all__ = ["Shapes", "find_adapter_file", "read_stored", "read_tensors", "read_where"]

Shapes = Mapping[str, tuple[int, ...]]


def find_adapter_file(place: str, subfolder: str | None = None, **download: Any) -> Path | None:
    """The file of an adapter's tensors; one on the hub is fetched into its cache.

    Args:
        place: a folder, or the name of a repository on the hub.
        subfolder: the adapter's folder inside it.
        download: as for :func:`huggingface_hub.hf_hub_download`.

    Returns:
        the safetensors file, or None if there is none.

    Raises:
        ValueError: there is only a pickle, which is never read.
    """
    file = _find(place, SAFETENSORS_WEIGHTS_NAME, subfolder, download)
    if file is None and _find(place, WEIGHTS_NAME, subfolder, download):
        raise ValueError(
            f"an adapter must be saved in {SAFETENSORS_WEIGHTS_NAME}, got only {WEIGHTS_NAME} in {place}, a pickle, "
            "which can run any code while it is read: save it anew where it comes from, by "
            "model.save_pretrained(folder) without safe_serialization=False"
        )
    return file


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of the adapter in a folder, on the CPU: those of a packed one unpacked.

    Raises:
        ValueError: there is no adapter file, or a pickle, or a damaged one.
    """
    return _unpack(read_stored(folder), folder)


def read_stored(folder: Path) -> dict[str, Tensor]:
    """As :func:`read_tensors`, as they are in the file."""
    file = find_adapter_file(str(folder))
    if file is None:
        raise ValueError(f"the folder of an adapter must hold {SAFETENSORS_WEIGHTS_NAME}, got none in {folder}")
    return _read(file, lambda _: True)[1]


def read_where(file: Path, is_wanted: Callable[[str], bool]) -> tuple[Shapes, dict[str, Tensor]]:
    """The shapes of all tensors of an adapter file, and some of the tensors; of a packed one as if it were unpacked.

    Args:
        file: a safetensors file.
        is_wanted: whether a tensor of this name is to be read.

    Raises:
        ValueError: the file is truncated or not readable.
    """
    shapes, tensors = _read(file, lambda name: name == PACKED or is_wanted(name))
    if is_packed(tensors):
        tensors = _unpack(tensors, file)
        shapes.pop(PACKED)
        shapes |= {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return shapes, {name: tensor for name, tensor in tensors.items() if is_wanted(name)}


def _find(place: str, name: str, subfolder: str | None, download: Mapping[str, Any]) -> Path | None:
    folder = Path(place, subfolder or "")
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        return Path(hf_hub_download(place, name, subfolder=subfolder, **download))
    except EntryNotFoundError:
        return None


def _read(file: Path, is_wanted: Callable[[str], bool]) -> tuple[dict[str, tuple[int, ...]], dict[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as tensors:
            names = list(tensors.keys())
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
            return shapes, {name: tensors.get_tensor(name) for name in names if is_wanted(name)}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"an adapter file must be a complete safetensors file, got {file}: {error}") from error


def _unpack(tensors: Mapping[str, Tensor], place: Path) -> dict[str, Tensor]:
    try:
        return unpack_tensors(tensors)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
