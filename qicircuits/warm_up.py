"""Compiling the CPU kernels ahead of their first use."""

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from .checks import check_real
from .compound import compound_apply
from .engine.direct_sum import Selection, direct_sum
from .engine.dispatch import rotate_blocks, rotates, rotates_blocks
from .free_fermion import sample
from .givens import orthogonal_from_angles
from .layouts import brickwork, round_robin
from .orthogonal import cayley, swap_network
from .subspace import apply_layout

__all__ = ["warm_up"]


def warm_up(dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64)) -> dict[torch.dtype, float]:
    """Run every kernel once, forward and backward, so that the first call of yours does not wait for its compiler.

    The machine code is kept in the package's folder, or the user's cache folder where that cannot be written:
    compiling takes a minute or two once for a machine, loading what is there some tenths of a second a process.
    Without numba there is nothing to compile.

    Args:
        dtypes: of the angles and matrices to come, float32 or float64 or both; complex vectors are pairs of them.

    Returns:
        the seconds that each dtype took.

    Raises:
        TypeError: a dtype is another one.

    >>> list(warm_up([torch.float64]))
    [torch.float64]
    """
    for dtype in dtypes:
        check_real(torch.empty(0, dtype=dtype), "a dtype to warm up for")
    seconds = {}
    for dtype in dtypes:
        start = time.perf_counter()
        _run_circuits(dtype)
        _run_layers(dtype)
        sample(torch.eye(2, dtype=dtype), 1)
        if dtype == torch.float64 and rotates(torch.device("cpu"), 2, 1):
            _run_local_gates()
        seconds[dtype] = time.perf_counter() - start
    return seconds


def _run_circuits(dtype: torch.dtype) -> None:
    n, order = 7, 3  # more wires than a window has
    for layout in (brickwork(n), round_robin(n)):
        angles = torch.zeros(layout.n_gates, dtype=dtype, requires_grad=True)
        _differentiate(orthogonal_from_angles(angles[None], layout))
        for vectors in (1, 64):
            x = torch.ones(vectors, math.comb(n, order), dtype=dtype, requires_grad=True)
            _differentiate(apply_layout(x, angles, layout, order, "fbs"))
            _differentiate(apply_layout(x, angles, layout, order, "fbs", method="compound"))
            _differentiate(apply_layout(x, angles, layout, order, "fbs", phases=angles).real)
            _differentiate(apply_layout(x, angles, layout, order, "fbs", phases=angles, method="compound").real)
    compound_apply(torch.eye(n, dtype=dtype), torch.ones(math.comb(n, 4), dtype=dtype), 4)


def _run_layers(dtype: torch.dtype) -> None:
    n, sectors = 5, [(1, 0, 5), (2, 5, 15), (3, 15, 25)]
    if not rotates_blocks(torch.device("cpu"), n, [order for order, _, _ in sectors]):
        return
    parameters = torch.full((1, n * (n - 1) // 2), 0.1, dtype=dtype, requires_grad=True)
    x = torch.ones(64, 25, dtype=dtype, requires_grad=True)
    for to_rotation in (cayley, swap_network):
        for bias in (None, torch.ones(25, dtype=dtype)):
            _differentiate(rotate_blocks(x, to_rotation(parameters), bias, sectors, 1, 25))


def _run_local_gates() -> None:
    """Gates of the PennyLane device, which computes in double precision only."""
    from .engine.local_gates import Circuit, Mix, apply_circuit, plan_mixes  # needs numba

    space = direct_sum(2, (1,))
    swap = Mix((Selection((0, 1), (1, 0)), Selection((0, 1), (0, 1))), 0)
    circuit = Circuit(space, (plan_mixes([swap], space),))
    for dtype in (torch.float64, torch.complex128):
        x = torch.ones(1, 2, dtype=dtype, requires_grad=True)
        entries = torch.tensor([[0, 1, 1, 0]], dtype=dtype, requires_grad=True)
        _differentiate(apply_circuit(x, torch.zeros(1, 0, dtype=torch.float64), entries, circuit).abs())


def _differentiate(out: Tensor) -> None:
    out.sum().backward()
