"""The gate sweep: definition, reversibility, memory, broadcasting, refusals (equal to circuits: test_equivalence)."""

import math

import pytest
import torch

from qicircuits import (
    Layout,
    apply_layout,
    brickwork,
    butterfly,
    is_compound,
    pyramid,
    round_robin,
    staircase,
    subsets,
    swap_network,
)
from qicircuits.testing import layout_cases


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def slow_sweep(vector, angles, layout, order, gate):
    """The definition, amplitude by amplitude."""
    amplitudes = dict(zip(subsets(layout.n, order), vector.tolist(), strict=True))
    for theta, (i, j) in zip(angles.tolist(), layout.pairs, strict=True):
        for subset in list(amplitudes):
            if i in subset and j not in subset:
                moved = tuple(sorted({*subset, j} - {i}))
                between = sum(min(i, j) < wire < max(i, j) for wire in subset)
                sign = (-1) ** between if gate == "fbs" else 1
                x, y = amplitudes[subset], amplitudes[moved]
                amplitudes[subset] = math.cos(theta) * x - sign * math.sin(theta) * y
                amplitudes[moved] = sign * math.sin(theta) * x + math.cos(theta) * y
    return torch.tensor(list(amplitudes.values()), dtype=torch.float64)


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_every_sector_follows_the_definition(gate):
    backwards = Layout(5, (((4, 0),), ((3, 1),), ((2, 4), (1, 0))), "backwards")
    for layout in [*layout_cases(6, min_n=1), backwards]:
        angles = torch.randn(layout.n_gates, dtype=torch.float64)
        for order in range(layout.n + 1):
            vector = torch.randn(math.comb(layout.n, order), dtype=torch.float64)
            swept = apply_layout(vector, angles, layout, order, gate, method="gates")
            expected = slow_sweep(vector, angles, layout, order, gate)
            torch.testing.assert_close(swept, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize("layout", [pyramid(4), round_robin(5), butterfly(4), staircase(1)], ids=repr)
def test_gradients_match_finite_differences_with_every_broadcast(layout, gate):
    for order in range(layout.n + 1):
        for leading, batch in [((2,), ()), ((), (2,)), ((2, 1), (3,)), ((2, 1), (2, 3))]:
            vectors = torch.randn(*leading, math.comb(layout.n, order), dtype=torch.float64, requires_grad=True)
            angles = torch.randn(*batch, layout.n_gates, dtype=torch.float64, requires_grad=True)
            assert torch.autograd.gradcheck(
                lambda x, t, order=order: apply_layout(x, t, layout, order, gate, method="gates"), (vectors, angles)
            )


def test_batched_angles_are_each_circuit_alone():
    layout, order = brickwork(5), 2
    vectors, angles = torch.randn(4, 3, 10), torch.randn(3, layout.n_gates)
    together = apply_layout(vectors, angles, layout, order, method="gates")
    for row, circuit in enumerate(angles):
        alone = apply_layout(vectors[:, row], circuit, layout, order, method="gates")
        torch.testing.assert_close(together[:, row], alone)


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_the_backward_keeps_the_output_and_the_angles_whatever_the_depth(gate):
    for layout in (staircase(6), pyramid(6), round_robin(6)):
        vectors = torch.randn(16, 20, dtype=torch.float64, requires_grad=True)
        angles = torch.randn(layout.n_gates, dtype=torch.float64, requires_grad=True)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t) or t, lambda t: t):
            out = apply_layout(vectors, angles, layout, 3, gate, method="gates")
        assert sorted(t.numel() for t in kept) == sorted([vectors.numel(), angles.numel()])
        assert any(t.data_ptr() == out.data_ptr() for t in kept), "a copy of the output is kept, not the output"


def test_norms_are_kept_and_the_circuit_backwards_undoes_it():
    layout = round_robin(7)
    vectors, angles = torch.randn(5, 35, dtype=torch.float64), torch.randn(layout.n_gates, dtype=torch.float64)
    out = apply_layout(vectors, angles, layout, 3, "rbs")
    torch.testing.assert_close(out.norm(dim=-1), vectors.norm(dim=-1))
    backwards = Layout(7, layout.moments[::-1])
    reversed_angles = torch.cat([a.flip(0) for a in angles.split([len(m) for m in layout.moments])]).flip(0)
    undone = apply_layout(out, -reversed_angles, backwards, 3, "rbs")
    torch.testing.assert_close(undone, vectors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("order", [1, 2])
def test_vectors_keep_their_dtype_and_short_ones_are_rounded_once(dtype, order):
    layout = brickwork(5)
    vectors, angles = torch.randn(3, math.comb(5, order)).to(dtype), torch.randn(layout.n_gates)
    out = apply_layout(vectors, angles, layout, order)
    assert out.dtype == dtype
    if dtype != torch.float64:
        assert out.equal(apply_layout(vectors.float(), angles, layout, order).to(dtype))


def test_the_swap_network_start_is_a_circuit_of_right_angles_and_a_permutation():
    layout = brickwork(6)
    angles = torch.randn(layout.n_gates, dtype=torch.float64)
    right = torch.full_like(angles, torch.pi / 2)
    unit = torch.eye(6, dtype=torch.float64)
    start = apply_layout(unit, right, layout, 1).mT
    circuit = apply_layout(unit, right + angles, layout, 1).mT
    torch.testing.assert_close(swap_network(angles), start.mT @ circuit, rtol=0, atol=1e-13)


def test_no_vectors_give_no_vectors():
    layout = brickwork(4)
    vectors = torch.zeros(0, 6, requires_grad=True)
    angles = torch.zeros(layout.n_gates, requires_grad=True)
    apply_layout(vectors, angles, layout, 2, method="gates").sum().backward()
    assert vectors.grad.shape == (0, 6)
    assert angles.grad.equal(torch.zeros(layout.n_gates))


def test_the_compound_shortcut_is_refused_where_it_would_be_wrong():
    layout = butterfly(4)
    angles = torch.randn(layout.n_gates)
    for order in (0, 1, 4):
        assert is_compound(layout, order)
        apply_layout(torch.ones(math.comb(4, order)), angles, layout, order, method="compound")
    for order in (2, 3):
        assert not is_compound(layout, order)
        assert is_compound(layout, order, "fbs")
        with pytest.raises(ValueError, match=f"no compound matrix.*butterfly.*order={order}: use method='gates'"):
            apply_layout(torch.ones(math.comb(4, order)), angles, layout, order, method="compound")
    assert all(is_compound(brickwork(4), order) for order in range(5))


@pytest.mark.parametrize("order", [2, 3])
def test_a_circuit_of_any_depth_is_its_compound_whatever_its_gates_round(order):
    layout = Layout(6, brickwork(6).moments * 1000)
    angles, x = torch.randn(layout.n_gates, dtype=torch.float64), torch.randn(50, math.comb(6, order)).double()
    by_gates, by_compound = (apply_layout(x, angles, layout, order, method=m) for m in ("gates", "compound"))
    torch.testing.assert_close(by_compound, by_gates, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("vectors", [1, 50])
@pytest.mark.parametrize("method", ["gates", "compound"])
def test_an_angle_that_is_no_number_gives_what_are_none(method, vectors, dtype):
    layout = brickwork(6)
    for value in (math.nan, math.inf):
        angles = torch.full((layout.n_gates,), value)
        assert apply_layout(torch.ones(vectors, 20, dtype=dtype), angles, layout, 3, method=method).isnan().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": torch.ones(5)}, r"C\(4, 2\) = 6\), got \(5,\)"),
        ({"order": 5}, "in 0..4, got order=5"),
        ({"angles": torch.ones(5)}, r"\(..., 6\), one a gate, got \(5,\)"),
        ({"angles": torch.tensor(1.0)}, r"one a gate, got \(\)"),
        ({"gate": "cnot"}, "gate is 'rbs' or 'fbs', got 'cnot'"),
        ({"method": "fast"}, "'gates', 'compound', got 'fast'"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"vectors": torch.ones(6), "angles": torch.ones(6), "layout": brickwork(4), "order": 2, **change}
    with pytest.raises(ValueError, match=message):
        apply_layout(**arguments)


def test_bad_dtypes_are_refused():
    with pytest.raises(TypeError, match=r"got torch\.int64"):
        apply_layout(torch.ones(6, dtype=torch.int64), torch.ones(6), brickwork(4), 2)
    with pytest.raises(TypeError, match=r"angles must be float32 or float64, got torch\.int64"):
        apply_layout(torch.ones(6), torch.ones(6, dtype=torch.int64), brickwork(4), 2)


def test_bad_types_are_refused():
    with pytest.raises(TypeError, match=r"layout must be a Layout, such as brickwork\(4\), got 'brickwork'"):
        apply_layout(torch.ones(6), torch.ones(6), "brickwork", 2)
    with pytest.raises(TypeError, match="angles must be a torch tensor, got list"):
        apply_layout(torch.ones(6), [0.0] * 6, brickwork(4), 2)
    with pytest.raises(ValueError, match=r"vectors and angles must broadcast, got \(2, 6\) and \(3, 6\)"):
        apply_layout(torch.ones(2, 6), torch.ones(3, 6), brickwork(4), 2)
    with pytest.raises(ValueError, match=r"in 0..4, got order=9"):
        is_compound(butterfly(4), 9)


@pytest.mark.parametrize("order", [1, 2])
def test_autocast_is_kept_out(order):
    layout = brickwork(5)
    vectors, angles = torch.randn(3, math.comb(5, order)), torch.randn(layout.n_gates)
    expected = apply_layout(vectors, angles, layout, order)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert apply_layout(vectors, angles, layout, order).equal(expected)
