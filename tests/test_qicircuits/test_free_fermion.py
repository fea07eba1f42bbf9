"""Free fermions against sectors, circuits and definitions; exact samples; gradients; large n; refusals."""

import itertools
import math

import numpy as np
import pennylane as qml
import pytest
import torch
from scipy.stats import chisquare

from qicircuits import (
    apply_layout,
    brickwork,
    butterfly,
    is_compound,
    orthogonal_from_angles,
    pyramid,
    rank_subset,
    round_robin,
    staircase,
    subsets,
    x_shape,
)
from qicircuits.circuits import orthogonal_layer
from qicircuits.engine.cpu_determinantal import reject_subsets
from qicircuits.engine.determinantal import project_subsets
from qicircuits.engine.minors import determinant
from qicircuits.free_fermion import (
    amplitude,
    correlations,
    evolve,
    log_amplitude,
    marginals,
    one_body_matrix,
    sample,
)
from qicircuits.subsets import subset_array
from qicircuits.testing import layout_cases, minors

CLOSE = {"rtol": 0, "atol": 1e-12}


def reject(orbitals, shots, generator):
    return reject_subsets(orbitals, torch.randint(-(2**63), 2**63 - 1, (shots,), generator=generator))


def project(orbitals, shots, generator):
    uniform = torch.rand(shots, orbitals.shape[1], dtype=torch.float64, generator=generator)
    return project_subsets(orbitals, uniform)


SAMPLERS = pytest.mark.parametrize("sampler", [reject, project])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def random_orbitals(n, k, *batch, dtype=torch.float64):
    return torch.linalg.qr(torch.randn(*batch, n, k, dtype=torch.float64)).Q.to(dtype)


def every_amplitude(orbitals):
    """All C(n, k) of them, in the order of the sector."""
    n, k = orbitals.shape[-2:]
    return amplitude(orbitals, subset_array(n, k))


def basis_state(n, wires):
    state = torch.zeros(math.comb(n, len(wires)), dtype=torch.float64)
    state[rank_subset(wires, n)] = 1
    return state


def occupations(n, k):
    """Whether each subset holds each wire, shape (C(n, k), n)."""
    return torch.tensor([[wire in subset for wire in range(n)] for subset in subsets(n, k)]).double()


def hop(state, n, k, i, j):
    """a_i^dagger a_j on amplitudes of the sector, by the definition."""
    out = torch.zeros_like(state)
    for subset, value in zip(subsets(n, k), state.tolist(), strict=True):
        rest = [wire for wire in subset if wire != j]
        if j in subset and i not in rest:
            sign = (-1) ** (subset.index(j) + sum(wire < i for wire in rest))
            out[rank_subset(sorted([*rest, i]), n)] += sign * value
    return out


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
def test_amplitudes_are_those_of_the_gates_on_every_sector(gate):
    for layout in layout_cases(6, min_n=1):
        angles = torch.randn(layout.n_gates, dtype=torch.float64)
        for k in range(layout.n + 1):
            if is_compound(layout, k, gate):
                wires = sorted(torch.randperm(layout.n)[:k].tolist())
                expected = apply_layout(basis_state(layout.n, wires), angles, layout, k, gate, method="gates")
                torch.testing.assert_close(every_amplitude(evolve(wires, angles, layout, gate)), expected, **CLOSE)


def test_circuits_follow_each_other_and_are_their_matrix():
    first, second = round_robin(6), brickwork(6)
    angles = [torch.randn(layout.n_gates, dtype=torch.float64) for layout in (first, second)]
    wires = [1, 2, 5]
    orbitals = evolve(evolve(wires, angles[0], first, "fbs"), angles[1], second)
    states = apply_layout(basis_state(6, wires), angles[0], first, 3, "fbs", method="gates")
    states = apply_layout(states, angles[1], second, 3, method="gates")
    torch.testing.assert_close(every_amplitude(orbitals), states, **CLOSE)
    matrix = orthogonal_from_angles(angles[1], second) @ orthogonal_from_angles(angles[0], first)
    torch.testing.assert_close(orbitals, matrix[:, wires], **CLOSE)


def test_batches_are_each_state_alone():
    layout = pyramid(5)
    angles, start = torch.randn(3, 2, layout.n_gates, dtype=torch.float64), random_orbitals(5, 2, 2)
    wires = torch.tensor([[[0, 1], [0, 4], [2, 3]], [[1, 2], [1, 4], [3, 4]]])
    orbitals = evolve(start, angles, layout)
    assert amplitude(orbitals, wires).shape == (3, 2, 2, 3)
    assert evolve([0, 3], angles, layout).shape == (3, 2, 5, 2)
    for a, b in itertools.product(range(3), range(2)):
        alone = evolve(start[b], angles[a, b], layout)
        torch.testing.assert_close(orbitals[a, b], alone, **CLOSE)
        for function in (marginals, one_body_matrix, correlations, lambda v: amplitude(v, wires)):
            torch.testing.assert_close(function(orbitals)[a, b], function(alone), **CLOSE)


@pytest.mark.parametrize(("n", "k"), [(1, 0), (1, 1), (4, 0), (4, 1), (5, 2), (5, 3), (4, 4)])
def test_expectation_values_follow_their_definitions(n, k):
    orbitals = random_orbitals(n, k)
    state = every_amplitude(orbitals)
    held = occupations(n, k).reshape(len(state), n)
    torch.testing.assert_close(state.square().sum(), torch.tensor(1.0).double(), **CLOSE)
    torch.testing.assert_close(marginals(orbitals), state.square() @ held, **CLOSE)
    torch.testing.assert_close(correlations(orbitals), held.T @ (state.square()[:, None] * held), **CLOSE)
    one_body = [[float(state @ hop(state, n, k, i, j)) for j in range(n)] for i in range(n)]
    torch.testing.assert_close(one_body_matrix(orbitals), torch.tensor(one_body, dtype=torch.float64), **CLOSE)


@pytest.mark.parametrize(("layout", "gate"), [(brickwork(6), "rbs"), (x_shape(6), "fbs"), (butterfly(8), "fbs")])
def test_a_pennylane_circuit_agrees(layout, gate):
    n, wires = layout.n, [0, 2, 3]
    angles = torch.randn(layout.n_gates, dtype=torch.float64)

    @qml.qnode(qml.device("default.qubit", wires=n))
    def circuit():
        qml.BasisState(np.array([wire in wires for wire in range(n)], dtype=int), wires=range(n))
        orthogonal_layer(angles.numpy(), layout, gate=gate)
        hopping = (qml.X(1) @ qml.Z(2) @ qml.X(3) + qml.Y(1) @ qml.Z(2) @ qml.Y(3)) / 2
        return [
            qml.probs(wires=range(n)),
            qml.expval(hopping),
            *[qml.expval(qml.Z(wire)) for wire in range(n)],
            qml.expval(qml.Z(0) @ qml.Z(n - 1)),
        ]

    probabilities, hopping, *z, zz = circuit()
    orbitals = evolve(wires, angles, layout, gate)
    density, pairs = marginals(orbitals), correlations(orbitals)
    expected = np.zeros(2**n)
    expected[(1 << (n - 1 - subset_array(n, 3))).sum(axis=1)] = every_amplitude(orbitals).square()
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose((1 - np.array(z)) / 2, density, rtol=0, atol=1e-12)
    np.testing.assert_allclose(zz, 1 - 2 * density[0] - 2 * density[-1] + 4 * pairs[0, -1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(hopping, 2 * one_body_matrix(orbitals)[1, 3], rtol=0, atol=1e-12)


@SAMPLERS
@pytest.mark.parametrize(("n", "k"), [(6, 1), (6, 3), (7, 5), (12, 2)])
def test_samples_follow_the_squared_amplitudes(n, k, sampler):
    layout = pyramid(n)
    orbitals = evolve(range(k), torch.randn(layout.n_gates, dtype=torch.float64), layout)
    shots = 40_000
    drawn = sampler(orbitals, shots, torch.Generator().manual_seed(1)).sort(-1).values
    assert drawn.shape == (shots, k)
    counts = np.zeros(math.comb(n, k))
    np.add.at(counts, [rank_subset(subset, n) for subset in drawn.tolist()], 1)
    expected = shots * every_amplitude(orbitals).square().numpy()
    rare = expected < 5  # one bin together, as the test wants them
    counts = np.append(counts[~rare], counts[rare].sum() + 1e-9)
    expected = np.append(expected[~rare], expected[rare].sum() + 1e-9)
    assert chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 0.01


@SAMPLERS
def test_samples_of_many_wires_have_the_marginals_and_correlations_of_their_state(sampler):
    orbitals = random_orbitals(60, 20)
    shots = 20_000
    drawn = sampler(orbitals, shots, torch.Generator().manual_seed(1)).sort(-1).values
    assert drawn.diff(dim=-1).min() > 0
    held = torch.nn.functional.one_hot(drawn, 60).sum(1).double()
    pairs = correlations(orbitals)
    deviations = (held.T @ held / shots - pairs) / (pairs * (1 - pairs) / shots).sqrt()
    # 1,830 numbers nearly normal: their mean square has a spread of about 3 %.
    assert abs(float(deviations.triu().square().sum()) / 1830 - 1) < 0.15
    assert float(deviations.abs().max()) < 4.5


@SAMPLERS
def test_samples_are_repeated_by_their_seed_and_do_not_depend_on_how_they_are_shared_out(sampler, monkeypatch):
    orbitals = random_orbitals(9, 4)
    drawn = [sampler(orbitals, 50, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
    monkeypatch.setattr("qicircuits.engine.determinantal._NUMBERS_AT_ONCE", 100)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert sampler(orbitals, 50, torch.Generator().manual_seed(3)).equal(drawn[0])
    finally:
        torch.set_num_threads(threads)


def test_without_kernels_torch_draws(monkeypatch):
    orbitals = random_orbitals(9, 4, dtype=torch.float32)
    drawn = [sample(orbitals, 50, generator=torch.Generator().manual_seed(3))]
    monkeypatch.setattr("qicircuits.engine.determinantal._HAS_KERNELS", False)
    drawn.append(sample(orbitals, 50, generator=torch.Generator().manual_seed(3)))
    for subset, sampler in zip(drawn, (reject, project), strict=True):
        expected = sampler(orbitals.double(), 50, torch.Generator().manual_seed(3))
        assert subset.equal(expected.sort(-1).values)


def test_samples_of_basis_states_and_empty_ones_are_what_they_must_be():
    layout = staircase(6)
    start = evolve([1, 4], torch.zeros(5, requires_grad=True), layout)
    assert sample(start, 3).equal(torch.tensor([[1, 4]] * 3))
    assert sample(start, 0).shape == (0, 2)
    assert sample(random_orbitals(5, 0), 3).shape == (3, 0)
    assert sample(random_orbitals(5, 5), 2).equal(torch.arange(5).repeat(2, 1))
    assert sample(random_orbitals(1, 1), 2).equal(torch.tensor([[0], [0]]))


@pytest.mark.parametrize("extreme", [0.0, 1 - 2**-53])
def test_the_most_extreme_random_numbers_draw_possible_wires(extreme):
    for n, k in [(9, 4), (5, 5)]:
        for _ in range(20):
            drawn = project_subsets(random_orbitals(n, k), torch.full((2, k), extreme, dtype=torch.float64))
            assert drawn.sort().values.diff().min() > 0
    uniform = torch.full((1, 2), extreme, dtype=torch.float64)
    assert set(project_subsets(torch.eye(6).double()[:, [1, 4]], uniform).squeeze().tolist()) == {1, 4}


def test_no_wire_is_drawn_twice_when_a_zero_accepts_whatever_is_proposed():
    step = 0x9E3779B97F4A7C15  # of SplitMix64: the stream that starts at -m steps has a zero as its m-th number
    starts = [-m * step % 2**64 for m in range(1, 80)]
    seeds = torch.tensor([start - 2**64 if start >= 2**63 else start for start in starts])
    for n, k in [(9, 4), (5, 5)]:
        for _ in range(20):
            drawn = reject_subsets(random_orbitals(n, k), seeds)
            assert drawn.sort().values.diff().min() > 0


def test_thousands_of_wires():
    n, k = 2000, 1000
    layout = staircase(n)
    orbitals = evolve(random_orbitals(n, k), torch.randn(layout.n_gates, dtype=torch.float64), layout)
    density, pairs = marginals(orbitals), correlations(orbitals)
    torch.testing.assert_close(density.sum(), torch.tensor(float(k)).double(), rtol=1e-12, atol=0)
    torch.testing.assert_close(pairs.sum(-1), k * density, rtol=1e-10, atol=0)
    drawn = sample(orbitals, 1)
    assert drawn.diff().min() > 0
    sign, log = log_amplitude(orbitals, drawn)
    assert sign.abs().equal(torch.ones(1).double())
    # No amplitude of a likely subset is far below the mean probability, 1 / C(n, k).
    assert -2 * math.log(math.comb(n, k)) < 2 * float(log) < 0
    assert amplitude(orbitals.float(), drawn) == 0


@pytest.mark.parametrize("rank", range(5))
def test_the_gradient_of_an_amplitude_is_right_at_minors_of_every_rank(rank):
    factors = torch.randn(2, 4, 4, dtype=torch.float64)
    matrix = factors[0, :, :rank] @ factors[1, :rank]
    for m in (matrix, torch.eye(4, dtype=torch.float64)[:, [0, 2, 1, 3]] * (torch.arange(4) < rank)):
        gradients = []
        for function in (determinant, lambda x: minors(x, 4).squeeze()):
            x = m.clone().requires_grad_()
            gradients.append(torch.autograd.grad(function(x), x)[0])
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-12 * (1 + float(m.abs().max()) ** 3))
    assert (gradients[0].abs().max() > 0.5) == (rank >= 3)


def test_gradients_match_finite_differences():
    layout = brickwork(4)
    angles = torch.zeros(layout.n_gates, dtype=torch.float64, requires_grad=True)  # all minors but one are singular
    assert torch.autograd.gradcheck(lambda t: every_amplitude(evolve([0, 1], t, layout)), angles)
    angles = torch.randn(2, layout.n_gates, dtype=torch.float64, requires_grad=True)
    start = random_orbitals(4, 2).requires_grad_()
    for function in (marginals, one_body_matrix, correlations, every_amplitude):
        assert torch.autograd.gradcheck(lambda v, t, f=function: f(evolve(v, t, layout)), (start, angles))
    assert torch.autograd.gradcheck(lambda v: log_amplitude(v, [[0, 1], [1, 3]])[1], start)


def test_logarithms_are_those_of_the_amplitudes_and_do_not_underflow():
    orbitals = random_orbitals(7, 3, 2)
    wires = subset_array(7, 3)
    sign, log = log_amplitude(orbitals, wires)
    torch.testing.assert_close(sign * log.exp(), amplitude(orbitals, wires), **CLOSE)
    sign, log = log_amplitude(torch.eye(4)[:, :2], [1, 2])
    assert (sign, log) == (0, -math.inf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_are_kept_and_autocast_is_kept_out(dtype):
    layout = pyramid(8)
    angles = torch.randn(layout.n_gates, dtype=dtype)
    start = random_orbitals(8, 3)
    functions = (marginals, one_body_matrix, correlations, every_amplitude, lambda v: log_amplitude(v, [0, 1, 2])[1])
    orbitals, exact = evolve(start.to(dtype), angles, layout), evolve(start, angles.double(), layout)
    tolerance = 1e-12 if dtype == torch.float64 else 5e-6
    for function in functions:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = function(orbitals)
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.double(), function(exact), rtol=tolerance, atol=tolerance)
    assert evolve([0, 2], angles, layout).dtype == dtype


def test_the_determinant_is_an_operator_like_torchs_own():
    torch.library.opcheck(determinant, (random_orbitals(3, 3, 2).requires_grad_(),))
    for shape in [(0, 3, 3), (2, 0, 0), (1, 1)]:
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        determinant(x).sum().backward()
        assert x.grad.equal(torch.ones(shape).double())
    compiled = torch.compile(lambda v: correlations(v).sum(), fullgraph=True, backend="aot_eager")
    orbitals = random_orbitals(5, 2)
    torch.testing.assert_close(compiled(orbitals), correlations(orbitals).sum())


def test_amplitudes_compile_without_a_graph_break():
    orbitals, wires = random_orbitals(5, 2), torch.tensor([[0, 1], [1, 4]])
    for function in (amplitude, lambda v, w: log_amplitude(v, w)[1]):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(orbitals, wires), function(orbitals, wires))


def test_layouts_that_are_no_free_fermions_are_refused():
    layout = butterfly(4)
    angles = torch.randn(layout.n_gates)
    with pytest.raises(ValueError, match=r"do not act on free fermions.*butterfly.*k=2: use apply_layout, or gate="):
        evolve([0, 1], angles, layout)
    for wires in ([], [1], range(4)):  # no particle, one, or no hole: there is none in between
        expected = apply_layout(basis_state(4, wires).float(), angles, layout, len(wires), method="gates")
        torch.testing.assert_close(every_amplitude(evolve(wires, angles, layout)), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": [1, 0]}, r"strictly increasing wires in 0..3, got \(1, 0\)"),
        ({"start": [0, 4]}, r"strictly increasing wires in 0..3, got \(0, 4\)"),
        ({"start": [[0, 1]]}, r"one subset of wires, shape \(k,\), got shape \(1, 2\)"),
        ({"start": torch.eye(5)[:, :2]}, r"shape \(..., 4, k\), got \(5, 2\)"),
        ({"start": torch.ones(4, 2)}, r"orthonormal columns, V\^T V = I within 1e-03, got a deviation of"),
        ({"start": torch.full((4, 2), torch.nan)}, "got a deviation of nan"),
        ({"angles": torch.ones(5)}, r"\(..., 6\), one a gate, got \(5,\)"),
        ({"gate": "cnot"}, "gate is 'rbs' or 'fbs', got 'cnot'"),
    ],
)
def test_bad_circuits_are_refused(change, message):
    arguments = {"start": [0, 1], "angles": torch.ones(6), "layout": brickwork(4), **change}
    with pytest.raises(ValueError, match=message):
        evolve(**arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: marginals(v.T), ValueError, r"shape \(..., n, k\) with n >= 1, got shape \(2, 4\)"),
        (lambda v: marginals(v[0]), ValueError, r"got shape \(2,\)"),
        (lambda v: correlations(2 * v), ValueError, "orthonormal columns, .* got a deviation of 3.0e"),
        (lambda v: marginals(v.half()), TypeError, r"orbitals must be float32 or float64, got torch\.float16"),
        (lambda v: marginals(v.tolist()), TypeError, "orbitals must be a torch tensor, got list"),
        (lambda v: amplitude(v, [0, 1, 2]), ValueError, r"k=2 orbitals have shape \(..., 2\), got \(3,\)"),
        (lambda v: amplitude(v, [[0, 1], [2, 2]]), ValueError, r"in 0..3, got \(2, 2\)"),
        (lambda v: amplitude(v, [-1, 1]), ValueError, r"in 0..3, got \(-1, 1\)"),
        (lambda v: amplitude(v, 1), ValueError, "a subset of wires is a list of them, got 1"),
        (lambda v: log_amplitude(v, [0.0, 1.0]), TypeError, r"wires must be integers, got torch\.float64"),
        (lambda v: sample(v.expand(2, 4, 2), 1), ValueError, r"one state, shape \(n, k\), got \(2, 4, 2\)"),
        (lambda v: sample(v, -1), ValueError, "number of shots must be at least 0, got -1"),
        (lambda v: sample(v, 1.5), TypeError, r"shots must be an integer, got 1\.5"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.eye(4)[:, :2])
