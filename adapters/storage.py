"""Small files: an adapter packed into few bits a number and back, and what that does to its rotations."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save
from torch import Tensor

from .adapter_file import read_stored
from .class_names import CLASS_NAMES
from .config import QuICConfig
from .evaluation.run_folder import check_replaceable, run_folder
from .packed import PACKED, is_packed, is_parameters, pack_tensors, read_index, unpack_tensors
from .quantise import Bits, check_bits
from .rotation import Rotation
from .rotation_change import rotation_change
from .saved import rotations_of, saved_config

__all__ = ["FileSize", "LayerChange", "PackReport", "pack_adapter", "unpack_adapter"]

_CONFIG = "adapter_config.json"
_COPIED = ("README.md", CLASS_NAMES)
_FILES = (_CONFIG, SAFETENSORS_WEIGHTS_NAME, *_COPIED)


@dataclass(frozen=True)
class FileSize:
    """What the bytes of an adapter file are spent on.

    Args:
        numbers: trained numbers of the rotations: codes and scales.
        names: header of the safetensors file, and the index of a packed one: names, shapes and offsets.
        others: scales, biases and modules trained in full, which are not packed.
    """

    numbers: int
    names: int
    others: int

    @property
    def total(self) -> int:
        """The size of the file."""
        return self.numbers + self.names + self.others


@dataclass(frozen=True)
class LayerChange:
    """What packing does to the rotation of one layer, as :func:`~adapters.rotation_change.rotation_change` finds it.

    Args:
        module: its name.
        n_numbers: how many trained numbers it has.
        turn: |R - I|_F, how much the adapter turns; to compare with.
        frobenius: |R - R'|_F, for the R' that comes back from the file.
        operator: |R - R'|_2.
    """

    module: str
    n_numbers: int
    turn: float
    frobenius: float
    operator: float


@dataclass(frozen=True)
class PackReport:
    """What packing an adapter costs and saves.

    Args:
        bits: the width of a number in the file, but for the scales of groups of 64.
        before, after: the adapter file as it was and packed.
        layers: what became of the rotations. A folder does not say how many blocks share one A: of such blocks,
            one is counted.
    """

    bits: Bits
    before: FileSize
    after: FileSize
    layers: tuple[LayerChange, ...]

    def to_json(self) -> dict[str, Any]:
        """The report in JSON's types."""
        sizes = {name: asdict(size) | {"total": size.total} for name, size in self._sizes()}
        return {"bits": self.bits, **sizes, "layers": [asdict(layer) for layer in self.layers]}

    def _sizes(self) -> tuple[tuple[str, FileSize], ...]:
        return ("before", self.before), ("after", self.after)


def pack_adapter(folder: Path, output: Path | None, bits: Bits) -> PackReport:
    """Write a saved adapter with few bits a number; it loads by ``PeftModel.from_pretrained`` as the other did.

    Rounded are the numbers that the map makes rotations of: whatever the width, R stays orthogonal. The new folder is
    complete when it appears; if anything fails, what was there before stays.

    Args:
        folder: what ``save_pretrained`` or this function wrote.
        output: the new folder; one that holds an adapter and nothing else is replaced. None writes nothing.
        bits: 32, 16, 8, 4 or 1.

    Returns:
        sizes, and the changes of the rotations.

    Raises:
        ValueError: there is no QuIC adapter in the folder, or a damaged one; a number is too large for the width; or
            the output holds something else.
    """
    check_bits(bits)
    _check_output(output)
    config, tensors, before = _read(folder)
    packed = pack_tensors(tensors, bits)
    data = save(packed, {"format": "pt", "quic_bits": str(bits)})
    unpacked = unpack_tensors(packed)
    layers = []
    for old, new in zip(rotations_of(config, tensors), rotations_of(config, unpacked), strict=True):
        layers.append(_change(*old, new[2], config.n_factors))
    if output is not None:
        config.packed_bits = bits
        _write(folder, output, config, data)
    return PackReport(bits, before, _size(packed, len(data)), tuple(layers))


def unpack_adapter(folder: Path, output: Path) -> FileSize:
    """Write a packed adapter as an ordinary one in float32, which every loader of PEFT adapters reads.

    Args:
        folder: what :func:`pack_adapter` wrote; an ordinary adapter is copied.
        output: as for :func:`pack_adapter`.

    Returns:
        the size of the new file.

    Raises:
        ValueError: as :func:`pack_adapter`.
    """
    _check_output(output)
    config, tensors, _ = _read(folder)
    data = save(tensors, {"format": "pt"})
    config.packed_bits = None
    _write(folder, output, config, data)
    return _size(tensors, len(data))


def _change(module: str, rotation: Rotation, numbers: Tensor, rounded: Tensor, n_factors: int) -> LayerChange:
    # A folder's rotations hold the blocks of all factors side by side.
    blocks = rotation.plan.n_blocks // n_factors
    rotation = replace(rotation, plan=replace(rotation.plan, n_blocks=blocks, n_factors=n_factors))
    turn = rotation_change(rotation, torch.zeros_like(numbers), numbers)
    change = rotation_change(rotation, numbers, rounded)
    return LayerChange(module, numbers.numel(), turn.frobenius, change.frobenius, change.operator)


def _check_output(output: Path | None) -> None:
    if output is not None:
        check_replaceable(output, _FILES, mark=_CONFIG)


def _read(folder: Path) -> tuple[QuICConfig, dict[str, Tensor], FileSize]:
    """Configuration, tensors (unpacked) and size of the adapter file."""
    config = saved_config(folder)
    stored = read_stored(folder)
    return config, unpack_tensors(stored), _size(stored, (folder / SAFETENSORS_WEIGHTS_NAME).stat().st_size)


def _size(tensors: Mapping[str, Tensor], total: int) -> FileSize:
    if is_packed(tensors):
        numbers = tensors[PACKED].nbytes - read_index(tensors[PACKED]).n_bytes
    else:
        numbers = sum(tensor.nbytes for name, tensor in tensors.items() if is_parameters(name))
    others = sum(tensor.nbytes for name, tensor in tensors.items() if not is_parameters(name) and name != PACKED)
    return FileSize(numbers, total - numbers - others, others)


def _write(folder: Path, output: Path, config: QuICConfig, data: bytes) -> None:
    """The new folder: the configuration with its new fields, the file, the model card and the names of classes."""
    config.check()  # sets the version that the fields need
    values = json.loads((folder / _CONFIG).read_text("utf-8"))
    values |= {"packed_bits": config.packed_bits, "config_version": config.config_version}
    with run_folder(output) as new:
        (new / _CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True), "utf-8")
        (new / SAFETENSORS_WEIGHTS_NAME).write_bytes(data)
        for name in _COPIED:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
