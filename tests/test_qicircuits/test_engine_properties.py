"""Every fast path against its slow twin on drawn cases: layouts, orders, shapes, strides, empty batches, threads."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qicircuits import (
    apply_layout,
    brickwork,
    butterfly,
    cayley,
    compound_apply,
    compound_matrix,
    exponential,
    is_compound,
    pyramid,
    round_robin,
    staircase,
    swap_network,
    v_shape,
    x_shape,
)
from qicircuits.engine.cpu_rotation import rotate_sectors
from qicircuits.engine.reference import sweep_rows
from qicircuits.engine.weight_one import gate_lists

TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-6}
MAPS = (cayley, exponential, swap_network)


def contiguous(x):
    return x


def transposed(x):
    return x.mT.contiguous().mT


def every_second(x):
    return x.repeat_interleave(2, -1)[..., ::2]


def offset(x):
    return torch.cat((x[..., :1], x), dim=-1)[..., 1:]


STRIDES = (contiguous, transposed, every_second, offset)


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def assert_close(actual, expected):
    """Within the project's tolerance for the dtype of `actual`, relative to the largest number."""
    scale = 1 + float(expected.abs().max() if expected.numel() else 0)
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=TOLERANCE[actual.dtype] * scale)


def with_gradients(function, *inputs):
    """The value and the gradients of the inputs, for one random gradient of the value."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    out = function(*inputs)
    grad = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return out.detach(), *torch.autograd.grad(out, inputs, grad, materialize_grads=True)


@st.composite
def rotations(draw):
    """(features, n, sectors, n_blocks, block_size, number of matrices): sectors in any order, gaps between them."""
    n = draw(st.integers(2, 8))
    orders = draw(st.lists(st.integers(1, n - 1), min_size=1, max_size=3, unique=True))
    sectors, end = [], draw(st.integers(0, 2))
    for order in orders:
        sectors += [order, end, end + math.comb(n, order)]
        end = sectors[-1] + draw(st.integers(0, 1))
    n_blocks = draw(st.integers(1, 3))
    return n_blocks * end + draw(st.integers(0, 5)), n, sectors, n_blocks, end, draw(st.sampled_from((1, n_blocks)))


def slow_rotation(x, matrices, bias, sectors, n_blocks, block_size):
    """R built by its definition, from compound matrices."""
    rotation = torch.eye(x.shape[-1], dtype=x.dtype)
    for block in range(n_blocks):
        for order, start, stop in zip(sectors[::3], sectors[1::3], sectors[2::3], strict=True):
            rows = slice(block * block_size + start, block * block_size + stop)
            rotation = rotation.clone()
            rotation[rows, rows] = compound_matrix(matrices[block % len(matrices)], order)
    v = x if bias is None else x - bias
    return v @ rotation.mT if bias is None else x + (v @ rotation.mT - v)


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    plan=rotations(),
    tokens=st.sampled_from((0, 1, 2, 15, 16, 17, 40, 70)),
    dtype=st.sampled_from(tuple(TOLERANCE)),
    lay=st.sampled_from(STRIDES),
    to_rotation=st.sampled_from(MAPS),
    biased=st.booleans(),
    threads=st.sampled_from((1, 2)),
)
def test_layers_are_the_matrices_they_stand_for(plan, tokens, dtype, lay, to_rotation, biased, threads):
    torch.set_num_threads(threads)
    features, n, *where, count = plan
    generator = torch.Generator().manual_seed(features)
    x = torch.randn(tokens, features, generator=generator, dtype=torch.float64)
    parameters = torch.randn(count, n * (n - 1) // 2, generator=generator, dtype=torch.float64)
    bias = [torch.randn(features, generator=generator, dtype=torch.float64)] if biased else []

    def run(rotation, lay, dtype):
        def function(x, p, b=None):
            return rotation(lay(x), to_rotation(p), b, *where)

        return with_gradients(function, *[t.to(dtype) for t in (x, parameters, *bias)])

    fast = run(rotate_sectors, lay, dtype)
    for actual, expected in zip(fast, run(slow_rotation, contiguous, torch.float64), strict=True):
        assert_close(actual, expected)


LAYOUTS = (brickwork, pyramid, staircase, v_shape, x_shape, butterfly, round_robin)


@st.composite
def circuits(draw):
    """(layout, order, gate, method) with a method that serves them."""
    constructor = draw(st.sampled_from(LAYOUTS))
    n = {butterfly: st.sampled_from((2, 4, 8)), x_shape: st.sampled_from((2, 4, 6, 8))}.get(constructor)
    layout = constructor(draw(st.integers(1, 8) if n is None else n))
    order, gate = draw(st.integers(0, layout.n)), draw(st.sampled_from(("rbs", "fbs")))
    methods = ("auto", "gates", "compound") if is_compound(layout, order, gate) else ("auto", "gates")
    return layout, order, gate, draw(st.sampled_from(methods))


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    circuit=circuits(),
    batch=st.sampled_from(((), (0,), (1,), (3,), (16,), (2, 9), (70,))),
    angle_batch=st.booleans(),
    dtype=st.sampled_from(tuple(TOLERANCE)),
    lay=st.sampled_from((contiguous, every_second, offset)),
    threads=st.sampled_from((1, 2)),
)
def test_circuits_are_their_gates_one_by_one(circuit, batch, angle_batch, dtype, lay, threads):
    torch.set_num_threads(threads)
    layout, order, gate, method = circuit
    generator = torch.Generator().manual_seed(layout.n_gates)
    shape = (*batch, layout.n_gates) if angle_batch else (layout.n_gates,)
    x = torch.randn(*batch, math.comb(layout.n, order), generator=generator, dtype=torch.float64)
    angles = torch.randn(shape, generator=generator, dtype=torch.float64)
    fast = with_gradients(
        lambda x, t: apply_layout(lay(x), t, layout, order, gate, method=method), x.to(dtype), angles.to(dtype)
    )

    def one_by_one(x, t):
        wires = gate_lists(layout)[0]
        turns = t.expand(*batch, -1) if angle_batch else t.reshape(*[1] * len(batch), -1)
        return sweep_rows(x.movedim(-1, 0), turns.movedim(-1, 0), wires, layout.n, order, gate == "fbs").movedim(
            0, -1
        )

    for actual, expected in zip(fast, with_gradients(one_by_one, x, angles), strict=True):
        assert_close(actual, expected)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    n=st.integers(1, 8),
    data=st.data(),
    tokens=st.sampled_from((0, 1, 17, 70)),
    dtype=st.sampled_from(tuple(TOLERANCE)),
    lay=st.sampled_from(STRIDES),
)
def test_compounds_are_applied_as_if_they_were_built(n, data, tokens, dtype, lay):
    order = data.draw(st.integers(0, n))
    serving = {"modes": order in (1, 2, 3), "rotation": 0 < order < n}
    method = data.draw(st.sampled_from(("auto", "dense", *(method for method, serves in serving.items() if serves))))
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(tokens, math.comb(n, order), generator=generator, dtype=torch.float64)
    parameters = torch.randn(n * (n - 1) // 2, generator=generator, dtype=torch.float64)
    fast = with_gradients(
        lambda x, p: compound_apply(cayley(p), lay(x), order, method=method), x.to(dtype), parameters.to(dtype)
    )
    slow = with_gradients(lambda x, p: x @ compound_matrix(cayley(p), order).mT, x, parameters)
    for actual, expected in zip(fast, slow, strict=True):
        assert_close(actual, expected)
