"""The kernels for many circuits' weight-1 matrices against torch's engine, which runs where numba is missing."""

import subprocess
import sys

import pytest
import torch

from qicircuits import round_robin, swap_network
from qicircuits.engine.weight_one import circuit_matrix, gate_lists

# Batches of angles: one circuit, none, no gate, one wire, more numbers than a register holds, more than the threads.
SHAPES = ((3,), (0, 6), (0,), (2, 0), (1,), (2, 3, 45), (40, 21))
CASES = f"""
import torch
from qicircuits import round_robin, swap_network
from qicircuits.engine.weight_one import circuit_matrix, gate_lists

def cases():
    for dtype in (torch.float64, torch.float32):
        for shape in {SHAPES}:
            angles = torch.linspace(-3, 3, max(1, torch.Size(shape).numel()), dtype=dtype)
            angles = angles[: torch.Size(shape).numel()].reshape(shape).requires_grad_()
            yield angles, swap_network(angles)
        layout = round_robin(7)
        angles = torch.linspace(-3, 3, layout.n_gates, dtype=dtype, requires_grad=True)
        yield angles, circuit_matrix(angles, *gate_lists(layout), 7)

found = []
for angles, matrix in cases():
    weights = torch.arange(matrix.numel(), dtype=matrix.dtype).reshape(matrix.shape).cos()
    found += [matrix.detach(), *torch.autograd.grad(matrix, angles, weights)]
"""


@pytest.fixture(scope="module")
def by_torch(tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "found.pt"
    program = f"import sys\nsys.modules['numba'] = None\n{CASES}\ntorch.save(found, {str(path)!r})"
    subprocess.run([sys.executable, "-c", program], check=True)
    return torch.load(path)


@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_agree_with_torch(by_torch, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        scope = {}
        exec(CASES, scope)
    finally:
        torch.set_num_threads(before)
    for actual, expected in zip(scope["found"], by_torch, strict=True):
        scale = 1 + float(expected.abs().max() if expected.numel() else 0)
        tolerance = {torch.float64: 1e-12, torch.float32: 5e-6}[expected.dtype] * scale
        torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def test_zero_angles_give_the_identity_exactly():
    assert swap_network(torch.zeros(3, 28)).equal(torch.eye(8).repeat(3, 1, 1))


def test_the_operator_passes_the_checks_of_torch_for_batches():
    layout = round_robin(5)
    angles = torch.randn(2, 3, layout.n_gates, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(circuit_matrix, (angles, *gate_lists(layout), 5))
