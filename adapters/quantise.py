"""Few bits a number and back: groups of numbers that share a scale, and the bytes they take in a file."""

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

__all__ = ["BITS", "GROUP", "Bits", "check_bits", "decode", "encode", "encoded_size", "quantise"]

Bits = Literal[32, 16, 8, 4, 1]

BITS: tuple[Bits, ...] = get_args(Bits)
"""The widths a number can be stored in: float32, float16, and codes of 8, 4 and 1 bit."""

GROUP = 64
"""So many consecutive numbers of a tensor share a scale of 16 bits, which costs a quarter of a bit each."""

# The sixteen levels that lose least of normal numbers; of the tables that were measured they lost least of trained
# adapters (docs/results/small_files.md). J. Max, Quantizing for minimum distortion, IRE Trans. Inf. Theory 6 (1960).
_NORMAL = torch.tensor([0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733]) / 2.733

# What the codes 0, 1, ... stand for, in units of the scale.
_LEVELS = {
    8: torch.arange(-127, 128) / 127,
    4: torch.cat((-_NORMAL.flip(0), _NORMAL)),
    1: torch.tensor([-1.0, 1.0]),
}
# The scale is the best of these fractions of the largest magnitude: with 4 bits, one that cuts off the largest
# numbers can be closer to all the others.
_FRACTIONS = {8: (1.0,), 4: tuple(1 - 0.02 * step for step in range(31))}


def quantise(numbers: Tensor, bits: Bits) -> Tensor:
    """The numbers as they come back from a file of so many bits: x -> Q(x), with Q(Q(x)) = Q(x) exactly.

    For 8, 4 and 1 bit, each group of 64 consecutive numbers has a scale s (a bfloat16) and Q(x) = s l, where l is a
    level of the width: i/127 for integers |i| <= 127, one of sixteen that suit normal numbers, or ±1. The scale is
    the largest magnitude of the group for 8 bits, the fraction of it with the least squared error for 4, and the mean
    magnitude, which has the least squared error, for 1. A group of zeros stays zero.

    Args:
        numbers: of any shape and floating-point dtype; finite.
        bits: 32, 16, 8, 4 or 1.

    Returns:
        the numbers, shape, dtype and device of `numbers`; computed in float32.

    Raises:
        ValueError: the width is another one, or a number is not finite or too large for float16 or float32.
    """
    check_bits(bits)
    flat = _checked(numbers, bits)
    if bits in _LEVELS:
        scales, codes = _encode_groups(flat, bits)
        flat = _decode_groups(scales, codes, bits, flat.numel())
    elif bits == 16:
        flat = flat.half()
    return flat.to(numbers.dtype).reshape(numbers.shape)


def encode(numbers: Tensor, bits: Bits) -> bytes:
    """What a file holds of numbers: first the scales of all groups, two bytes each, then the codes, low bits first.

    Args:
        numbers: as for :func:`quantise`.
        bits: 32, 16, 8, 4 or 1.

    Returns:
        little-endian bytes, as many as :func:`encoded_size` says.

    Raises:
        ValueError: as :func:`quantise`.
    """
    check_bits(bits)
    flat = _checked(numbers, bits).cpu()
    if bits not in _LEVELS:
        return flat.numpy().astype(f"<f{bits // 8}").tobytes()
    scales, codes = _encode_groups(flat, bits)
    each = 8 // bits
    padded = torch.nn.functional.pad(codes.flatten()[: flat.numel()], (0, -flat.numel() % each)).reshape(-1, each)
    packed = (padded << (bits * torch.arange(each))).sum(1)
    return scales.view(torch.int16).numpy().astype("<i2").tobytes() + packed.to(torch.uint8).numpy().tobytes()


def decode(data: bytes, count: int, bits: Bits) -> Tensor:
    """The numbers that :func:`encode` stored: Q(x).

    Args:
        data: what it returned.
        count: how many numbers they are.
        bits: 32, 16, 8, 4 or 1.

    Returns:
        float32, shape (count,).

    Raises:
        ValueError: the data have another length, or hold a code or a scale that is never written.
    """
    check_bits(bits)
    if len(data) != encoded_size(count, bits):
        raise ValueError(
            f"{count} numbers of {bits} bits take {encoded_size(count, bits)} bytes, got {len(data)} bytes"
        )
    if bits not in _LEVELS:
        flat = torch.from_numpy(np.frombuffer(data, f"<f{bits // 8}").astype(np.float32))
    else:
        n_groups = math.ceil(count / GROUP)
        scales = torch.from_numpy(np.frombuffer(data, "<i2", n_groups).astype(np.int16)).view(torch.bfloat16)
        packed = torch.from_numpy(np.frombuffer(data, np.uint8, offset=2 * n_groups).astype(np.int64))
        codes = ((packed.unsqueeze(1) >> (bits * torch.arange(8 // bits))) & (2**bits - 1)).flatten()[:count]
        if (codes >= len(_LEVELS[bits])).any():
            raise ValueError(f"codes of {bits} bits must be below {len(_LEVELS[bits])}, got {int(codes.max())}")
        flat = _decode_groups(scales, _in_groups(codes), bits, count)
    if not flat.isfinite().all():
        raise ValueError(f"stored numbers must be finite, got NaN or infinity among {count} numbers of {bits} bits")
    return flat


def encoded_size(count: int, bits: Bits) -> int:
    """The number of bytes that :func:`encode` makes of so many numbers.

    >>> [encoded_size(351, bits) for bits in BITS]
    [1404, 702, 363, 188, 56]
    """
    scales = 2 * math.ceil(count / GROUP) if bits in _LEVELS else 0
    return scales + math.ceil(count * bits / 8)


def check_bits(bits: int) -> None:
    """Refuse a width that numbers are not stored in.

    Raises:
        ValueError: it is not one of 32, 16, 8, 4 and 1.
    """
    if type(bits) is not int or bits not in BITS:
        raise ValueError(f"bits must be one of {BITS}, got {bits!r}")


def _checked(numbers: Tensor, bits: Bits) -> Tensor:
    """The numbers in float32, one after the other."""
    flat = numbers.detach().flatten().float()
    largest = 0.0 if not flat.numel() else float(flat.abs().max())
    limit = torch.finfo(torch.float16).max if bits == 16 else torch.finfo(torch.float32).max
    if not largest <= limit:  # NaN is not
        raise ValueError(f"numbers of {bits} bits must be finite and at most {limit:g}, got {largest:g}")
    return flat


def _in_groups(flat: Tensor) -> Tensor:
    return torch.nn.functional.pad(flat, (0, -flat.numel() % GROUP)).reshape(-1, GROUP)


def _encode_groups(flat: Tensor, bits: Bits) -> tuple[Tensor, Tensor]:
    """Scales, bfloat16 of shape (groups,), and codes, shape (groups, 64)."""
    groups, counted = _in_groups(flat), _in_groups(torch.ones_like(flat))  # the last group may be shorter
    if bits == 1:
        scales = _as_scale((groups / counted.sum(1, keepdim=True)).abs().sum(1))
        return scales, _nearest(groups, scales, bits)
    fractions = torch.tensor(_FRACTIONS[bits], device=flat.device)
    candidates = _as_scale(fractions.unsqueeze(1) * groups.abs().amax(1))  # (fractions, groups)
    codes = _nearest(groups, candidates, bits)
    found = _LEVELS[bits].to(flat.device)[codes] * candidates.float().unsqueeze(-1)
    # Relative to the largest: squares of tiny numbers would all be zero, and those of huge ones infinite.
    unit = groups.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    best = ((found / unit - groups / unit).square() * counted).sum(-1).argmin(0)
    chosen = torch.arange(len(groups), device=flat.device)
    return candidates[best, chosen], codes[best, chosen]


def _as_scale(magnitudes: Tensor) -> Tensor:
    return magnitudes.clamp_max(torch.finfo(torch.bfloat16).max).bfloat16()


def _nearest(groups: Tensor, scales: Tensor, bits: Bits) -> Tensor:
    """The code of the level nearest to each number, shape (..., groups, 64) for scales of shape (..., groups)."""
    levels = _LEVELS[bits].to(groups.device)
    steps = scales.float().unsqueeze(-1)
    return torch.bucketize(groups / torch.where(steps > 0, steps, 1), (levels[1:] + levels[:-1]) / 2)


def _decode_groups(scales: Tensor, codes: Tensor, bits: Bits, count: int) -> Tensor:
    levels = _LEVELS[bits].to(codes.device)[codes]
    return (levels * scales.float().unsqueeze(1)).flatten()[:count]
