"""The packed tensor: the numbers of all modules of an adapter as bytes, with an index of their names."""

import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .quantise import Bits, check_bits, decode, encode, encoded_size

__all__ = ["PACKED", "PackedIndex", "is_packed", "is_parameters", "pack_tensors", "read_index", "unpack_tensors"]

PACKED = "quic_packed"
"""Name of the tensor. PEFT hands tensors to its methods, not the metadata of a file: so the index lies inside."""

_NUMBERS = ("quic_parameters", "quic_in_parameters")
_VERSION = 1
_LARGEST_INDEX = 1 << 24
"""In bytes, unpacked: a name is about a hundred, a small damaged file could ask for any amount."""


@dataclass(frozen=True)
class PackedIndex:
    """What a packed tensor says about itself.

    Args:
        bits: the width of every number, but for the scales of its groups.
        shapes: the shape of the numbers of each module, by their name in an ordinary adapter file.
        n_bytes: how many bytes of the tensor the index takes.
    """

    bits: Bits
    shapes: dict[str, tuple[int, ...]]
    n_bytes: int


def is_packed(tensors: Mapping[str, object]) -> bool:
    """Whether these tensors, or their names, are those of a packed adapter."""
    return PACKED in tensors


def is_parameters(name: str) -> bool:
    """Whether a tensor of this name in an ordinary adapter file holds the numbers of a module's rotation."""
    return name.rpartition(".")[2] in _NUMBERS


def pack_tensors(tensors: Mapping[str, Tensor], bits: Bits) -> dict[str, Tensor]:
    """Store the numbers of all rotations with few bits, in one tensor; all else stays as it is.

    The tensor holds, little-endian: the length of the index (4 bytes), the index (JSON compressed by zlib: version,
    bits, CRC-32 of the rest, names and shapes), and the numbers of every module as :func:`~adapters.quantise.encode`
    stores them. One tensor, because the header of a safetensors file takes 130 bytes for every tensor it names.

    Args:
        tensors: of an adapter file, packed or not.
        bits: 32, 16, 8, 4 or 1.

    Returns:
        `tensors` with one tensor "quic_packed" in place of those for which :func:`is_parameters`.

    Raises:
        ValueError: there are none, or a number is not finite or too large for the width.
    """
    check_bits(bits)
    tensors = unpack_tensors(tensors)
    numbers = {name: tensor for name, tensor in tensors.items() if is_parameters(name)}
    if not numbers:
        raise ValueError(
            f"an adapter to pack must hold tensors named {' or '.join(_NUMBERS)}, got {sorted(tensors)[:3]}"
        )
    body = b"".join(_encode(name, tensor, bits) for name, tensor in numbers.items())
    shapes = {name: list(tensor.shape) for name, tensor in numbers.items()}
    index = {"version": _VERSION, "bits": bits, "crc": zlib.crc32(body), "shapes": shapes}
    text = zlib.compress(json.dumps(index, separators=(",", ":")).encode(), 9)
    data = np.frombuffer(struct.pack("<I", len(text)) + text + body, np.uint8)
    others = {name: tensor for name, tensor in tensors.items() if name not in numbers}
    return {PACKED: torch.from_numpy(data.copy()), **others}


def unpack_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an ordinary adapter file: those of a packed one unpacked, to float32, and others as they are.

    Args:
        tensors: of an adapter file, packed or not.

    Raises:
        ValueError: the packed tensor is damaged, of a later version, or a name in it is also that of another tensor.
    """
    if not is_packed(tensors):
        return dict(tensors)
    index = read_index(tensors[PACKED])
    others = {name: tensor for name, tensor in tensors.items() if name != PACKED}
    if twice := index.shapes.keys() & others.keys():
        raise ValueError(f"numbers must be packed or beside the packed ones, got both for {sorted(twice)}")
    body = tensors[PACKED].cpu().numpy()[index.n_bytes :].tobytes()
    return {**_decode_all(body, index), **others}


def read_index(packed: Tensor) -> PackedIndex:
    """What a packed tensor holds; its numbers are checked against their check sum, and not decoded.

    Args:
        packed: the tensor "quic_packed".

    Raises:
        ValueError: it is not a packed tensor, damaged, or of a later version.
    """
    if packed.dtype != torch.uint8 or packed.dim() != 1:
        raise ValueError(f"{PACKED} must be a row of bytes, got {packed.dtype} of shape {tuple(packed.shape)}")
    data = packed.cpu().numpy().tobytes()
    length = struct.unpack("<I", data[:4])[0] if len(data) >= 4 else 0
    values, end = _read_json(data[4 : 4 + length]), 4 + length
    if (version := values.get("version")) != _VERSION:
        raise ValueError(
            f"this release of qicircuits reads packed adapters of version {_VERSION}, got {version!r}: unpack them "
            "with the release that wrote them"
        )
    check_bits(values.get("bits", 0))
    index = PackedIndex(values["bits"], _shapes(values.get("shapes")), end)
    expected = sum(encoded_size(math.prod(shape), index.bits) for shape in index.shapes.values())
    if len(data) - end != expected or zlib.crc32(data[end:]) != values.get("crc"):
        raise ValueError(
            f"{PACKED} must hold {expected} bytes of numbers with check sum {values.get('crc')}, got "
            f"{len(data) - end} with {zlib.crc32(data[end:])}: the file is truncated or damaged"
        )
    return index


def _encode(name: str, tensor: Tensor, bits: Bits) -> bytes:
    try:
        return encode(tensor, bits)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _decode_all(body: bytes, index: PackedIndex) -> dict[str, Tensor]:
    found, start = {}, 0
    for name, shape in index.shapes.items():
        stop = start + encoded_size(math.prod(shape), index.bits)
        try:
            found[name] = decode(body[start:stop], math.prod(shape), index.bits).reshape(shape)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        start = stop
    return found


def _read_json(compressed: bytes) -> dict[str, Any]:
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(compressed, _LARGEST_INDEX)
        values = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ValueError(
            f"{PACKED} must begin with an index, got {error}: the file is truncated or damaged"
        ) from error
    if not inflate.eof or not isinstance(values, dict):
        raise ValueError(f"{PACKED} must begin with an index that is a JSON object, got {text[:60]!r}")
    return values


def _shapes(values: object) -> dict[str, tuple[int, ...]]:
    rule = f"the index of {PACKED} must give shapes of numbers by their names"
    if not isinstance(values, dict) or not values or not all(map(is_parameters, values)):
        raise ValueError(f"{rule}, got {values!r}")
    for name, shape in values.items():
        if not isinstance(shape, list) or not all(type(size) is int and 0 < size < 2**31 for size in shape):
            raise ValueError(f"{rule}, got {shape!r} for {name}")
    return {name: tuple(shape) for name, shape in values.items()}
