"""Warming up: what it compiles is all that later calls need."""

import subprocess
import sys

import pytest
import torch

from qicircuits import warm_up


@pytest.mark.integration
def test_later_calls_use_what_is_compiled():
    # Signatures, not compilations: what the disk holds is not compiled, and whether it does is not ours to know.
    program = """
import sys
import pennylane as qml
import torch
from numba.core.dispatcher import Dispatcher
from qicircuits import (
    apply_layout, brickwork, cayley, compound_apply, orthogonal_from_angles, random_orthogonal, round_robin, warm_up,
)
from qicircuits.engine.dispatch import rotate_blocks
from qicircuits.free_fermion import sample

def signatures():
    engine = [vars(module) for name, module in sys.modules.items() if name.startswith("qicircuits.engine")]
    kernels = {value for names in engine for value in names.values() if isinstance(value, Dispatcher)}
    return {(kernel.py_func.__qualname__, str(one)) for kernel in kernels for one in kernel.signatures}

warm_up()
warm = signatures()
for dtype in (torch.float32, torch.float64):
    parts = torch.complex64 if dtype == torch.float32 else torch.complex128
    for layout in (brickwork(9), round_robin(9)):
        angles = torch.randn(layout.n_gates, dtype=dtype, requires_grad=True)
        orthogonal_from_angles(angles, layout).sum().backward()
        orthogonal_from_angles(angles.expand(2, -1), layout).sum().backward()
        for x in (torch.randn(126), torch.randn(100, 126), torch.randn(126, 9).mT):
            for order in (4, 5):
                for phases in (None, angles):
                    for method in ("gates", "compound", "auto"):
                        for own in (dtype, parts):
                            if layout.is_nearest_neighbour or method != "compound":
                                y = apply_layout(x.to(own), angles, layout, order, phases=phases, method=method)
                                y.abs().sum().backward()
    for vectors in (1, 20):
        compound_apply(random_orthogonal(9, dtype=dtype), torch.randn(vectors, 126, dtype=dtype), 5)
    parameters = torch.randn(2, 15, dtype=dtype, requires_grad=True)
    sectors = [(1, 0, 6), (3, 6, 26), (2, 26, 41)]
    x = torch.randn(3, 90, dtype=dtype)
    rotate_blocks(x, cayley(parameters), torch.ones(90, dtype=dtype), sectors, 2, 41).sum().backward()
    sample(random_orthogonal(7, dtype=dtype)[:, :3], 20)

@qml.qnode(qml.device("qicircuits.subspace", wires=4))
def circuit(theta, phase):
    qml.BasisState([1, 1, 0, 0], wires=range(4))
    qml.DoubleExcitation(theta, wires=range(4))
    for wire in (0, 1, 2) * 3:
        qml.SingleExcitation(theta, wires=[wire, wire + 1])
    qml.SWAP([0, 3])
    if phase:
        qml.CPhaseShift10(theta, wires=[0, 1])
    return qml.expval(qml.X(0) @ qml.X(1) + qml.Z(2))

for phase in (False, True):
    for theta in (torch.tensor(0.1), torch.tensor([0.1, 0.2, 0.3])):
        circuit(theta.requires_grad_(), phase).sum().backward()
assert warm, "no kernels"
assert signatures() == warm, signatures() - warm
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_it_says_the_seconds_of_each_dtype():
    seconds = warm_up([torch.float64])
    assert list(seconds) == [torch.float64]
    assert seconds[torch.float64] > 0


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match=r"a dtype to warm up for must be float32 or float64, got torch.float16"):
        warm_up([torch.float16])
