"""The CPU kernels against their slow twins: values, gradients, strides, threads, a forked child, torch's checks."""

import math
import subprocess
import sys

import pytest
import torch

from qicircuits import (
    Layout,
    apply_layout,
    brickwork,
    cayley,
    compound_matrix,
    exponential,
    is_orthogonal,
    orthogonal_from_angles,
    random_orthogonal,
    round_robin,
    swap_network,
)
from qicircuits.engine import cpu_tiles
from qicircuits.engine.cpu_gates import sweep_tokens
from qicircuits.engine.cpu_givens import brickwork_turns
from qicircuits.engine.cpu_rotation import rotate_sectors
from qicircuits.engine.cpu_rows import rotate_runs
from qicircuits.engine.cpu_tiles import in_chunks
from qicircuits.engine.reference import sweep_rows
from qicircuits.engine.weight_one import gate_lists, gate_wires
from qicircuits.testing import layout_cases

TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-6}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def assert_close(actual, expected):
    """Relative to the largest entry."""
    tolerance = TOLERANCE[expected.dtype] * (1 + float(expected.abs().max() if expected.numel() else 0))
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def with_gradients(function, *inputs):
    """The value of a function and the gradients of its inputs, for one random gradient of the value."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    out = function(*inputs)
    grad = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    return out.detach(), *torch.autograd.grad(out, inputs, grad)


def slow_sweep(x, angles, wires, n, order, fermionic):
    return sweep_rows(x.mT, angles[:, None], wires, n, order, fermionic).mT


def compare_sweeps(x, layout, order, fermionic):
    plan = layout.n, order, fermionic
    angles = torch.randn(layout.n_gates, dtype=x.dtype)
    fast = with_gradients(lambda x, t: sweep_tokens(x, t, gate_wires(layout), *plan), x, angles)
    slow = with_gradients(lambda x, t: slow_sweep(x, t, gate_lists(layout)[0], *plan), x, angles)
    for actual, expected in zip(fast, slow, strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("fermionic", [False, True])
def test_sweeps_are_those_of_torch(fermionic, dtype):
    backwards = Layout(5, (((4, 0),), ((3, 1),), ((2, 4), (1, 0))), "backwards")
    for layout in [*layout_cases(6, min_n=1), backwards]:
        for order in range(layout.n + 1):
            compare_sweeps(torch.randn(19, math.comb(layout.n, order), dtype=dtype), layout, order, fermionic)


@pytest.mark.parametrize("tokens", [0, 1, 15, 16, 64, 150])
@pytest.mark.parametrize(
    "lay", [torch.clone, lambda x: x.mT.contiguous().mT, lambda x: x.repeat_interleave(2, 1)[:, ::2]]
)
def test_sweeps_take_any_strides_and_number_of_tokens(lay, tokens):
    compare_sweeps(lay(torch.randn(tokens, 35, dtype=torch.float64)), round_robin(7), 3, True)


def test_broadcast_vectors_are_not_copied_nor_mixed_up():
    compare_sweeps(torch.randn(1, 20).expand(40, 20), brickwork(6), 3, False)


def test_wide_sectors_get_narrower_tiles():
    compare_sweeps(torch.randn(5, math.comb(18, 5)), Layout(18, (((0, 1), (3, 17)), ((1, 2),))), 5, True)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_gates_at_zero_change_no_bit(dtype):
    x = torch.randn(40, 20, dtype=dtype)
    x[0, 0], x[1, 1], x[2, 2] = -0.0, torch.inf, torch.nan
    layout = brickwork(6)
    out = sweep_tokens(x, torch.zeros(layout.n_gates, dtype=dtype), gate_wires(layout), 6, 3, False)
    assert out.numpy().tobytes() == x.numpy().tobytes()


MAPS = (cayley, exponential, swap_network)
# (features, n, sectors, n_blocks, block_size, number of matrices)
PLANS = (
    (9, 9, (1, 0, 9), 1, 9, 1),
    (70, 9, (2, 0, 36), 1, 40, 1),
    (47, 5, (2, 0, 10, 1, 10, 15), 3, 15, 3),
    (50, 5, (1, 0, 5, 2, 5, 15), 3, 16, 1),
    (45, 6, (3, 0, 20), 2, 22, 2),
    (60, 5, (1, 0, 5, 2, 5, 15, 4, 15, 20, 3, 20, 30), 2, 30, 2),
)


def slow_rotation(x, matrices, bias, sectors, n_blocks, block_size):
    """R built by its definition."""
    parts, end = [], 0
    for block in range(n_blocks):
        for order, start, stop in sorted(
            zip(sectors[::3], sectors[1::3], sectors[2::3], strict=True), key=lambda s: s[1]
        ):
            parts += [torch.eye(block * block_size + start - end, dtype=x.dtype)]
            parts += [compound_matrix(matrices[block % len(matrices)], order)]
            end = block * block_size + stop
    return x @ torch.block_diag(*parts, torch.eye(x.shape[1] - end, dtype=x.dtype)).mT


def compare_rotations(x, plan, to_rotation, transpose=False):
    _, n, *where, count = plan
    parameters = torch.randn(count, n * (n - 1) // 2, dtype=x.dtype)

    def rotate(rotation):
        def function(x, p):
            matrices = to_rotation(p).mT if transpose else to_rotation(p)
            return rotation(x, matrices, None, list(where[0]), *where[1:])

        return with_gradients(function, x, parameters)

    for actual, expected in zip(rotate(rotate_sectors), rotate(slow_rotation), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("to_rotation", MAPS)
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_rotations_are_the_matrices_they_stand_for(plan, to_rotation, dtype):
    for transpose in (False, True):
        compare_rotations(torch.randn(21, plan[0], dtype=dtype), plan, to_rotation, transpose)


@pytest.mark.parametrize("tokens", [0, 1, 16, 200, 1500])
@pytest.mark.parametrize(
    "lay", [torch.clone, lambda x: x.mT.contiguous().mT, lambda x: x.repeat_interleave(2, 1)[:, ::2]]
)
def test_rotations_take_any_strides_and_number_of_tokens(lay, tokens):
    compare_rotations(lay(torch.randn(tokens, 60, dtype=torch.float64)), PLANS[-1], cayley)


@pytest.mark.parametrize("to_rotation", MAPS)
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_gradients_match_finite_differences(plan, to_rotation):
    _, n, *where, count = plan
    parameters = torch.randn(count, n * (n - 1) // 2, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, plan[0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, p: rotate_sectors(x, to_rotation(p), None, list(where[0]), *where[1:]),
        (x, parameters),
        fast_mode=True,
    )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("to_rotation", MAPS)
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_zero_parameters_change_no_bit(plan, to_rotation, dtype):
    features, n, *where, count = plan
    x = torch.randn(40, features, dtype=dtype)
    x[0, 0], x[1, 1], x[2, 2] = -0.0, torch.inf, torch.nan
    identity = to_rotation(torch.zeros(count, n * (n - 1) // 2, dtype=dtype))
    out = rotate_sectors(x, identity, None, list(where[0]), *where[1:])
    assert out.numpy().tobytes() == x.numpy().tobytes()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_bias_is_not_rotated(plan, dtype):
    features, n, *where, count = plan
    x, parameters = torch.randn(21, features, dtype=dtype), torch.randn(count, n * (n - 1) // 2, dtype=dtype)
    parameters[0] = 0  # a block that does not turn, among others that do
    bias = torch.randn(features, dtype=dtype)

    def inside(x, p, b):
        return rotate_sectors(x, cayley(p), b, list(where[0]), *where[1:])

    def around(x, p, b):
        return slow_rotation(x - b, cayley(p), None, list(where[0]), *where[1:]) + b

    for actual, expected in zip(
        with_gradients(inside, x, parameters, bias), with_gradients(around, x, parameters, bias), strict=True
    ):
        assert_close(actual, expected)
    block = list(where[0])[2]
    assert count == 1 or inside(x, parameters, bias)[:, :block].equal(x[:, :block])
    assert inside(x, torch.zeros_like(parameters), bias).equal(x)


def test_built_by_rotating_unit_vectors_it_is_orthogonal():
    for features, n, *where, count in PLANS:
        matrices = random_orthogonal(n, batch_shape=(count,))
        assert is_orthogonal(rotate_sectors(torch.eye(features).double(), matrices, None, list(where[0]), *where[1:]))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12])
def test_turns_are_those_of_a_brickwork_that_is_the_matrix(n):
    signed = torch.eye(n, dtype=torch.float64)[torch.randperm(n)]
    signed[0] *= torch.linalg.det(signed).round()
    for matrix in (random_orthogonal(n), signed, torch.eye(n, dtype=torch.float64)):
        cos, sin = (torch.from_numpy(turn) for turn in brickwork_turns(matrix.numpy()))
        torch.testing.assert_close(cos.square() + sin.square(), torch.ones_like(cos), rtol=0, atol=1e-14)
        circuit = orthogonal_from_angles(torch.atan2(sin, cos), brickwork(n))
        torch.testing.assert_close(circuit, matrix, rtol=0, atol=1e-12)


def test_the_backward_keeps_the_output_and_the_matrices():
    x, matrices = torch.randn(8, 60, requires_grad=True), random_orthogonal(5, batch_shape=(2,), dtype=torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        out = rotate_sectors(x, matrices.requires_grad_(), None, list(PLANS[-1][2]), 2, 30)
    assert sorted(t.data_ptr() for t in kept) == sorted([out.data_ptr(), matrices.data_ptr()])


def both_operators():
    """Values and gradients of both operators on enough tokens for every thread to have some."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2000, 60, generator=generator)
    matrices = random_orthogonal(5, batch_shape=(2,), generator=generator, dtype=torch.float32)
    layout = brickwork(5)
    angles = torch.randn(layout.n_gates, generator=generator)
    return (
        *with_gradients(lambda x, a: rotate_sectors(x, a, None, list(PLANS[-1][2]), 2, 30), x, matrices),
        *with_gradients(lambda x, t: sweep_tokens(x, t, gate_wires(layout), 5, 2, False), x[:, :10], angles),
    )


@pytest.fixture
def _threads(monkeypatch):
    """Threads that share out even the little work of a test."""
    monkeypatch.setattr(cpu_tiles, "_MULTIPLICATIONS_PER_THREAD", 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_threads_change_nothing_but_the_order_of_sums():
    torch.set_num_threads(1)
    alone = both_operators()
    for threads in (2, 3):
        torch.set_num_threads(threads)
        for actual, expected in zip(both_operators(), alone, strict=True):
            assert_close(actual, expected)


@pytest.mark.parametrize(("multiplications", "chunks"), [(0, 1), (2**24 - 1, 1), (2**24, 2), (2**30, 3)])
def test_little_work_is_not_shared_out(multiplications, chunks):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert len(in_chunks(lambda first, last: (first, last), 100, 5, multiplications)) == chunks
    finally:
        torch.set_num_threads(before)


def test_a_forked_child_has_threads_of_its_own():
    # In an interpreter of its own: what other tests have started must not be forked.
    program = """
import multiprocessing
import torch
from qicircuits.engine import cpu_tiles

def chunks(queue):
    queue.put(sorted(cpu_tiles.in_chunks(lambda first, last: (first, last), 100, 5)))

torch.set_num_threads(2)
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
chunks(queue)
child = context.Process(target=chunks, args=(queue,), daemon=True)
child.start()
child.join(60)
print(child.exitcode, queue.get(), queue.get())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout == "0 [(0, 50), (50, 100)] [(0, 50), (50, 100)]\n", done.stderr


def test_without_numba_the_engine_is_that_of_torch():
    program = """
import sys
sys.modules["numba"] = None
import torch
from qicircuits import apply_layout, brickwork
from qicircuits.engine.dispatch import rotates_blocks
y = apply_layout(torch.ones(10), torch.ones(10), brickwork(5), 2)
print(rotates_blocks(torch.device("cpu"), 5, (1, 2)), y[0].item())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    served, first = done.stdout.split()
    assert served == "False"
    expected = apply_layout(torch.ones(10), torch.ones(10), brickwork(5), 2)[0].item()
    assert float(first) == pytest.approx(expected, 1e-5)


def test_operators_pass_the_checks_of_torch():
    layout = round_robin(5)
    x = torch.randn(7, 10, dtype=torch.float64, requires_grad=True)
    angles = torch.randn(layout.n_gates, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(sweep_tokens, (x, angles, gate_wires(layout), 5, 2, True))
    matrices = random_orthogonal(5, batch_shape=(2,)).requires_grad_()
    x = torch.randn(3, 60, dtype=torch.float64, requires_grad=True)
    for bias in (None, torch.randn(60, dtype=torch.float64, requires_grad=True)):
        torch.library.opcheck(rotate_sectors, (x, matrices, bias, list(PLANS[-1][2]), 2, 30))
        several = matrices.detach().expand(3, 2, 5, 5).contiguous().requires_grad_()
        torch.library.opcheck(rotate_runs, (x, several, bias, [1, 3], [2, -1], list(PLANS[-1][2]), 2, 30))


def test_compiled_there_is_no_graph_break():
    layout, plan = brickwork(5), (list(PLANS[-1][2]), 2, 30)
    wires = gate_wires(layout)

    def function(x, parameters, angles):
        rotated = rotate_sectors(x, swap_network(parameters), None, *plan)
        return sweep_tokens(rotated[:, :10], angles, wires, 5, 2, False)

    inputs = torch.randn(20, 60), torch.randn(2, 10), torch.randn(layout.n_gates)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(with_gradients(compiled, *inputs), with_gradients(function, *inputs), strict=True):
        assert_close(actual, expected)
