"""The kernels for single state vectors against their slow twin: values, gradients, sectors cut in two, threads."""

import math

import pytest
import torch

from qicircuits import (
    Layout,
    apply_layout,
    brickwork,
    butterfly,
    compound_apply,
    compound_matrix,
    pyramid,
    round_robin,
    staircase,
    subsets,
)
from qicircuits.engine import cpu_state_plan, dispatch
from qicircuits.engine.cpu_state_plan import StatePlan, state_plan
from qicircuits.engine.cpu_states import sweep_phased_states, sweep_states
from qicircuits.engine.plan import gate_table
from qicircuits.engine.reference import sweep_phased_rows, sweep_rows
from qicircuits.engine.weight_one import gate_lists, gate_wires
from qicircuits.testing import layout_cases

TOLERANCE = {torch.float64: 1e-12, torch.complex128: 1e-12, torch.float32: 5e-6, torch.complex64: 5e-6}
PARTS = {torch.complex64: torch.float32, torch.complex128: torch.float64}
BACKWARDS = Layout(5, (((4, 0),), ((3, 1),), ((2, 4), (1, 0))), "backwards")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=["whole", "cut", "made anew"])
def _plans(request, monkeypatch):
    """Sectors in one piece, or treated like large ones: cut, in narrow columns, tables for a few gates at a time."""
    if request.param != "whole":
        monkeypatch.setattr(cpu_state_plan, "_UNCUT", 0)
        monkeypatch.setattr(cpu_state_plan, "_SMALLEST_BLOCK", 0)
        monkeypatch.setattr(cpu_state_plan, "_COLUMNS", 6)
    if request.param == "made anew":
        monkeypatch.setattr(cpu_state_plan, "_KEPT_RUNS", 8)
    state_plan.cache_clear()
    yield
    state_plan.cache_clear()


def with_gradients(function, x, *turns):
    """The value of a function and the gradients of its inputs, for one random gradient of the value."""
    inputs = [t.detach().requires_grad_() for t in (x, *turns)]
    out = function(*inputs)
    grad = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    return out.detach(), *torch.autograd.grad(out, inputs, grad)


def compare(x, layout, order, fermionic, circuits=1, phased=False):
    """The kernel with its slow twin, relative to the largest entry."""
    rest = layout.n, order, fermionic
    turns = torch.randn(1 + phased, circuits, layout.n_gates, dtype=PARTS.get(x.dtype, x.dtype))
    fast, slow = (sweep_phased_states, sweep_phased_rows) if phased else (sweep_states, sweep_rows)
    wires = gate_wires(layout), gate_lists(layout)[0]
    actual = with_gradients(lambda x, *t: fast(x, *t, wires[0], *rest), x, *turns)
    expected = with_gradients(lambda x, *t: slow(x.mT, *(s.mT for s in t), wires[1], *rest).mT, x, *turns)
    for one, other in zip(actual, expected, strict=True):
        scale = 1 + float(other.abs().max() if other.numel() else 0)
        torch.testing.assert_close(one, other, rtol=0, atol=TOLERANCE[x.dtype] * scale)


@pytest.mark.usefixtures("_plans")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("fermionic", [False, True])
def test_states_are_those_of_torch(fermionic, dtype):
    for layout in [*layout_cases(6, min_n=1), BACKWARDS]:
        for order in range(layout.n + 1):
            x = torch.randn(3, math.comb(layout.n, order), dtype=dtype)
            compare(x, layout, order, fermionic, circuits=1 + 2 * (order % 2), phased=dtype.is_complex)


@pytest.mark.usefixtures("_plans")
@pytest.mark.parametrize("n", [9, 12])
def test_long_runs_and_their_tails_are_those_of_torch(n):
    for dtype in (torch.float32, torch.float64):
        for layout in (brickwork(n), round_robin(n)):
            compare(torch.randn(1, math.comb(n, 4), dtype=dtype), layout, 4, True)
    compare(torch.randn(1, math.comb(n, 4), dtype=torch.complex64), round_robin(n), 4, True, phased=True)
    compare(torch.randn(2, math.comb(n, 4), dtype=torch.complex128), round_robin(n), 4, True)


@pytest.mark.parametrize("order", [1, 2, 7])
@pytest.mark.parametrize("cut", [True, False])
def test_the_runs_of_a_gate_are_its_pairs_of_rows(order, cut, monkeypatch):
    monkeypatch.setattr(cpu_state_plan, "_UNCUT", 0 if cut else 2**18)
    monkeypatch.setattr(cpu_state_plan, "_SMALLEST_BLOCK", 0)
    n = 8
    for pair in [(0, 1), (3, 4), (6, 7), (0, 7), (5, 2), (7, 4), (3, 1)]:
        plan = StatePlan(list(pair), n, order, fermionic=True)
        assert bool(plan.cut) == cut
        (stage,) = plan.stages()
        rows = []
        for place, kind in enumerate(stage.kind):
            for group in range(stage.groups[kind], stage.groups[kind + 1]):
                for run in range(stage.stops[group], stage.stops[group + 1]):
                    a, b = stage.offset_a[place] + stage.a[run], stage.offset_b[place] + stage.b[run]
                    rows += [(a + i, b + i, stage.signs[group]) for i in range(stage.lengths[group])]
        table = gate_table(n, order, *pair)
        assert sorted(rows) == sorted(zip(table.a, table.b, table.parity, strict=True))


@pytest.mark.parametrize("tokens", [0, 1, 3])
@pytest.mark.parametrize(
    "lay",
    [torch.clone, lambda x: x.mT.contiguous().mT, lambda x: x.repeat_interleave(2, 1)[:, ::2], lambda x: x.conj()],
)
def test_states_take_any_strides_and_conjugates(lay, tokens):
    compare(lay(torch.randn(tokens, 35, dtype=torch.complex128)), round_robin(7), 3, True, phased=True)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_gates_at_zero_change_no_bit(dtype):
    x = torch.randn(2, 20, dtype=dtype)
    x[0, 0], x[1, 1] = -0.0, torch.inf
    layout = brickwork(6)
    zeros = torch.zeros(1, layout.n_gates, dtype=PARTS.get(dtype, dtype))
    out = sweep_states(x, zeros, gate_wires(layout), 6, 3, False)
    assert out.numpy().tobytes() == x.numpy().tobytes()


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize("layout", [pyramid(4), round_robin(5), butterfly(4)], ids=repr)
def test_gradients_of_phased_circuits_match_finite_differences_with_every_broadcast(layout, gate):
    for order in range(layout.n + 1):
        for lead, batch, phase_batch in [((), (), ()), ((2,), (), ()), ((), (2,), ()), ((2, 1), (1,), (3,))]:
            dim, kind = math.comb(layout.n, order), {"dtype": torch.float64, "requires_grad": True}
            vectors = torch.randn(*lead, dim, dtype=torch.complex128, requires_grad=True)
            angles, phases = (
                torch.randn(*batch, layout.n_gates, **kind),
                torch.randn(*phase_batch, layout.n_gates, **kind),
            )
            assert torch.autograd.gradcheck(
                lambda x, t, p, order=order: apply_layout(x, t, layout, order, gate, phases=p),
                (vectors, angles, phases),
                fast_mode=True,
            )


def test_each_vector_has_its_own_angles_on_the_kernel(monkeypatch):
    monkeypatch.setattr(dispatch, "sweep_rows", None)
    layout, order = round_robin(6), 3
    vectors, angles = torch.randn(4, 1, 20), torch.randn(3, layout.n_gates)
    together = apply_layout(vectors, angles, layout, order, method="gates")
    assert together.shape == (4, 3, 20)
    for column, circuit in enumerate(angles):
        alone = apply_layout(vectors[:, 0], circuit, layout, order, method="gates")
        torch.testing.assert_close(together[:, column], alone)


@pytest.fixture
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("holes", [1, 2, 3])
def test_sectors_of_many_ones_are_as_small_as_those_of_many_zeros(holes):
    n = 60
    for layout in (staircase(n), Layout(n, (((0, n - 1), (n - 2, 3)), ((20, 1),)))):
        assert count_numbers(layout, n - holes) <= 2 * count_numbers(layout, holes)
        compare(torch.randn(2, math.comb(n, holes), dtype=torch.float64), layout, n - holes, True)


def count_numbers(layout, order):
    """How many numbers the tables of a circuit hold."""
    stages = StatePlan(gate_lists(layout)[0], layout.n, order, True).stages()
    return sum(field.size for stage in stages for field in stage)


@pytest.mark.usefixtures("_threads")
def test_threads_change_nothing_but_the_order_of_sums(monkeypatch):
    monkeypatch.setattr("qicircuits.engine.cpu_state_sweeps._CHUNK", 16)
    monkeypatch.setattr(cpu_state_plan, "_UNCUT", 0)
    monkeypatch.setattr(cpu_state_plan, "_COLUMNS", 64)
    state_plan.cache_clear()
    layout = round_robin(10)
    x = torch.randn(2, 252, dtype=torch.float64)
    angles = torch.randn(1, layout.n_gates, dtype=torch.float64)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(with_gradients(lambda x, t: sweep_states(x, t, gate_wires(layout), 10, 5, True), x, angles))
    state_plan.cache_clear()
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


def test_few_vectors_and_many_agree_and_large_sectors_need_no_table_of_pairs():
    layout = pyramid(12)
    vectors, angles = torch.randn(20, 495, dtype=torch.float64), torch.randn(layout.n_gates, dtype=torch.float64)
    many = apply_layout(vectors, angles, layout, 4, method="gates")
    few = torch.stack([apply_layout(vector, angles, layout, 4, method="gates") for vector in vectors])
    torch.testing.assert_close(many, few, rtol=0, atol=1e-12)
    layout = brickwork(22)
    state, angles = torch.randn(math.comb(22, 9)), torch.randn(layout.n_gates)  # half a million amplitudes, cut
    out = apply_layout(state, angles, layout, 9)
    torch.testing.assert_close(out.norm(), state.norm(), rtol=1e-5, atol=0)
    assert not torch.allclose(out, state, atol=1e-1)
    order = [g for moment in reversed(range(layout.depth)) for g in _gates_of(layout, moment)]
    undone = apply_layout(out, -angles[order], Layout(22, layout.moments[::-1]), 9)
    torch.testing.assert_close(undone, state, rtol=0, atol=5e-5)


def _gates_of(layout, moment):
    first = sum(len(m) for m in layout.moments[:moment])
    return range(first, first + len(layout.moments[moment]))


def test_what_does_not_fit_is_refused_with_the_bytes():
    needed = r"needs [\d,]{15,} bytes, [\d,]+ bytes are available"
    with pytest.raises(MemoryError, match="2704156 x 2704156, " + needed):
        compound_matrix(torch.eye(24), 12)
    with pytest.raises(MemoryError, match="2704156 x 2704156, " + needed):
        compound_apply(torch.eye(24), torch.zeros(1).expand(math.comb(24, 12)), 12, method="dense")
    state = torch.zeros(1).expand(math.comb(44, 12))
    layout = brickwork(44)
    with pytest.raises(
        MemoryError, match=r"apply_layout on 1 vectors of 21090682613 amplitudes needs 84,362,730,452"
    ):
        apply_layout(state, torch.zeros(layout.n_gates), layout, 12)
    with pytest.raises(MemoryError, match="subsets needs"):
        subsets(44, 22)


def test_operators_pass_the_checks_of_torch():
    layout = round_robin(5)
    rest = gate_wires(layout), 5, 2, True
    for dtype in (torch.float64, torch.complex128):
        x = torch.randn(3, 10, dtype=dtype, requires_grad=True)
        turns = [torch.randn(1, layout.n_gates, dtype=torch.float64, requires_grad=True) for _ in range(2)]
        torch.library.opcheck(sweep_states, (x, turns[0], *rest))
    torch.library.opcheck(sweep_phased_states, (x, *turns, *rest))
    columns = [x.detach().mT.requires_grad_(), *(turn.detach().mT.requires_grad_() for turn in turns)]
    torch.library.opcheck(sweep_phased_rows, (*columns, gate_lists(layout)[0], *rest[1:]))


def test_compiled_there_is_no_graph_break():
    layout = brickwork(5)

    def function(x, angles, phases):
        real = apply_layout(x, angles, layout, 2, method="gates")
        return apply_layout(real, angles, layout, 2, phases=phases, method="gates")

    inputs = torch.randn(10), torch.randn(layout.n_gates), torch.randn(2, layout.n_gates)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(with_gradients(compiled, *inputs), with_gradients(function, *inputs), strict=True):
        torch.testing.assert_close(actual, expected)
