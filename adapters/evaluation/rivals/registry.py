"""METHODS: every way to fine-tune a model that the laboratory compares, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from peft import PeftModel
from torch import nn

from ...names import nearest_names
from .controls import (
    count_control,
    count_small_blocks,
    count_unmixed,
    make_repeated_blocks,
    make_small_blocks,
    make_subspace,
    make_unmixed,
)
from .ether import count_ether, make_ether
from .mapped import MakeMaps, attach_maps, merge_maps
from .method import Count, Method
from .paper import count_paper, make_paper
from .parts import target_layers
from .peers import PEERS, attach_peer
from .plain import attach_full, attach_head
from .size import values_of

__all__ = ["METHODS", "attach", "count_numbers", "merge_ok", "merged", "method_named"]

# Three neighbours each of 1, 3, 10, ...: what a few dozen steps of AdamW need to change the weights by a tenth.
_LOW = (1e-4, 3e-4, 1e-3)
_MIDDLE = (1e-3, 3e-3, 1e-2)
_HIGH = (3e-3, 1e-2, 3e-2)
_HIGHER = (1e-2, 3e-2, 1e-1)
_TOP = (3e-2, 1e-1, 3e-1)
_COMPOUNDS = tuple(f"orders={orders},n_blocks=1" for orders in ("1+2+3+4+5+6", "1+2+3+4", "1+2+3", "1+2"))
_QUIC = (
    "orders=1+2,n_blocks=16,block_share",
    *_COMPOUNDS,
    "orders=1+2,n_blocks=1,n_factors=2",
    "orders=1+2,n_blocks=1,n_factors=4",
    "orders=1,n_blocks=48",
    "orders=1,n_blocks=16",
    "orders=1,n_blocks=4",
    "orders=1,n_blocks=1",
)
_BLOCK_SIZES = (2, 4, 8, 16, 32, 64, 128)


def _peer(name: str, sizes: Sequence[str], rates: tuple[float, ...], note: str) -> Method:
    return Method(name, tuple(sizes), rates, note, attach_peer(name), PEERS[name].count)


def _mapped(
    name: str, sizes: Sequence[str], rates: tuple[float, ...], note: str, make: MakeMaps, count: Count
) -> Method:
    return Method(name, tuple(sizes), rates, note, attach_maps(make), count)


_ALL = (
    Method("head", ("",), (3e-3, 1e-2, 3e-2), "the head alone", attach_head, None),
    Method("full", ("",), (3e-5, 1e-4, 3e-4), "every parameter", attach_full, None),
    _peer("lora", [f"r={r}" for r in (1, 2, 4, 8, 16, 32, 64)], _MIDDLE, "W + 2 B A"),
    _peer("oft", [f"oft_block_size={b}" for b in _BLOCK_SIZES], _HIGH, "W R, R in ⊕ SO(b)"),
    _peer(
        "boft",
        [f"boft_block_size={b}" for b in (2, 4, 8, 16, 32, 64)],  # one factor: see peers.py
        _HIGH,
        "diag(s) W R_m ... R_1, each R in ⊕ SO(b) after a shuffle",
    ),
    _peer("hra", [f"r={r}" for r in (2, 4, 8, 16, 32, 64)], _HIGH, "W H_1 ... H_r, reflections"),
    _peer("road", [f"variant=road_{v}" for v in (1, 2, 4)], _HIGH, "R W, R of scaled 2×2 rotations"),
    _peer("psoft", [f"r={r}" for r in (8, 16, 32, 64, 128, 256)], _HIGH, "W + A (diag R diag - I) B, A B of W's SVD"),
    _peer("vera", [f"r={r}" for r in (16, 256, 1024)], _HIGHER, "W + diag(b) B diag(d) A, A and B random, frozen"),
    _peer(
        "fourierft",
        [f"n_frequency={n}" for n in (16, 100, 350, 1000, 4000, 16000)],
        _HIGHER,
        "W + the inverse Fourier transform of n coefficients",
    ),
    _peer("ia3", ("side=out", "side=in"), _HIGH, "diag(s) W, or W diag(s)"),
    _peer(
        "lokr",
        [f"r={r},decompose_factor={f}" for r, f in ((1, 8), (1, 16), (4, 8), (16, 4), (48, 4), (96, 2))],
        _HIGH,
        "W + A ⊗ B, B of rank r",
    ),
    _peer("randlora", [f"r={r}" for r in (384, 128, 32, 8)], _LOW, "W + Σ B_i diag A_i diag, A and B random, frozen"),
    _peer("c3a", [f"block_size={b}" for b in (384, 192, 96, 48, 24, 12)], _TOP, "W + blocks of circulant matrices"),
    _peer(
        "tinylora",
        [f"r={r},u={u}" for r, u in ((2, 4), (4, 16), (8, 64), (16, 256), (32, 1024))],
        _HIGH,
        "W + U (Σ v_i P_i) V, U and V of W's SVD, P random, frozen",
    ),
    _peer("quic", _QUIC, _HIGH, "R W, R of compound matrices C_k(A), A in SO(n)"),
    _mapped(
        "ether",
        ("n_blocks=1", "n_blocks=4", "n_blocks=32", "n_blocks=4,plus"),
        _HIGH,
        "W H, H of reflections; with plus H+ W H+",
        make_ether,
        count_ether,
    ),
    _mapped(
        "paper",
        ("orders=1+2", "orders=1+2+3", "orders=2", "orders=3", "orders=2+3"),
        _HIGH,
        "the paper's compound matrices: determinants, n² numbers, zero start",
        make_paper,
        count_paper,
    ),
    _mapped(
        "control_subspace", _COMPOUNDS, _HIGH, "R W, R in a random subspace of SO(m)", make_subspace, count_control
    ),
    _mapped(
        "control_shared_oft", _COMPOUNDS, _HIGH, "R W, R of repeated A in SO(n)", make_repeated_blocks, count_control
    ),
    _mapped(
        "control_small_oft", _COMPOUNDS, _HIGH, "R W, R in ⊕ SO(s), s small", make_small_blocks, count_small_blocks
    ),
    _mapped(
        "control_unmixed",
        ("orders=1+2,n_factors=2", "orders=1+2,n_factors=4"),
        _HIGH,
        "R W, R of factors with nothing shuffled between them",
        make_unmixed,
        count_unmixed,
    ),
)
METHODS: dict[str, Method] = {method.name: method for method in _ALL}


def method_named(name: str) -> Method:
    """A method.

    Raises:
        ValueError: there is none of that name; the message has the nearest.
    """
    if name not in METHODS:
        raise ValueError(f"a method must be one of the laboratory's, got {name!r}: {nearest_names([name], METHODS)}")
    return METHODS[name]


def attach(
    model: nn.Module,
    method: str,
    size: str,
    targets: Sequence[str],
    seed: int,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Put a method into a model: everything is frozen but the method's parameters and the head.

    Args:
        model: a model without adapters; changed in place. Its head is the module named "head", if it has one.
        method: a key of `METHODS`.
        size: of the method's own knob, as `parse_size` reads it; the empty text takes the method's defaults.
        targets: names or suffixes of the linear layers to adapt; "head" and "full" do not look at them.
        seed: of all that is drawn.
        options: more values, which win over the size's: fields of the method's configuration.

    Returns:
        the model to train; call it as the one before.

    Raises:
        ValueError: the method, a target or a value is unknown, or the size does not fit the layers.
    """
    spec = method_named(method)
    values = values_of(size, options or {})
    if spec.count is not None:
        target_layers(model, targets)
    return spec.attach(model, values, targets, seed)


def count_numbers(
    model: nn.Module, method: str, size: str, targets: Sequence[str], options: Mapping[str, Any] | None = None
) -> int:
    """How many numbers a method would train besides the head, by its formula; nothing is changed.

    Args:
        model, method, size, targets, options: as for :func:`attach`.
    """
    spec = method_named(method)
    if spec.count is None:
        everything = {name: parameter.numel() for name, parameter in model.named_parameters()}
        return 0 if method == "head" else sum(n for name, n in everything.items() if not name.startswith("head."))
    values = values_of(size, options or {})
    return sum(
        spec.count(layer.out_features, layer.in_features, values) for layer in target_layers(model, targets).values()
    )


def merge_ok(method: str) -> bool:
    """Whether a method can be put into the weights, after which the model is as fast as before."""
    return method_named(method).merges


def merged(model: nn.Module) -> nn.Module:
    """The plain model with a method's maps in its weights; `model` is used up.

    Args:
        model: what :func:`attach` returned.
    """
    if not isinstance(model, PeftModel):
        return merge_maps(model)
    plain: nn.Module = model.merge_and_unload()
    return plain
