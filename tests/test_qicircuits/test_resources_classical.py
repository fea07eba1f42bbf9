"""Flops by formula against counting: the gates one by one, the profiler, the kernels' tables, samples."""

import itertools
import math

import numpy as np
import pytest
import torch

from qicircuits import (
    brickwork,
    butterfly,
    compound_apply,
    compound_matrix,
    orthogonal_from_angles,
    random_orthogonal,
    staircase,
    subsets,
)
from qicircuits.engine.cpu_windows import window_rows
from qicircuits.resources import Computer, classical_paths
from qicircuits.resources.classical import as_float, density_flops, sampling_flops, sweep_flops


def path(name, n, order, **values):
    options = {"n_gates": n * (n - 1) // 2, "is_compound": True} | values
    return next(cost for cost in classical_paths(n, order, **options) if cost.path == name)


@pytest.mark.parametrize("layout", [brickwork(2), brickwork(6), staircase(5), butterfly(8)], ids=repr)
def test_the_flops_of_the_gates_are_counted_pair_by_pair(layout):
    for order in range(1, layout.n):
        # A pair of amplitudes takes 4 multiplications and 2 additions.
        counted = sum(6 for i, j in layout.pairs for s in subsets(layout.n, order) if i in s and j not in s)
        assert sweep_flops(layout.n, order, layout.n_gates) == counted
    n = layout.n
    assert sweep_flops(n, 1, n * (n - 1) // 2) == 3 * 1 * (n - 1) * n


@pytest.mark.parametrize(("n", "order"), [(4, 2), (9, 2), (7, 3), (12, 10)])
def test_the_flops_of_the_modes_and_of_the_product_are_those_of_the_profiler(n, order):
    vectors = 5
    x = torch.randn(vectors, math.comb(n, order), dtype=torch.float64)
    a = random_orthogonal(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for method in ("modes", "dense"):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], with_flops=True) as profile:
            compound_apply(a, x, order, method=method)
        found = sum(event.flops for event in profile.key_averages() if event.key in ("aten::mm", "aten::bmm"))
        assert path(method, n, order).flops * vectors == found


@pytest.mark.parametrize(("n", "order"), [(5, 2), (6, 3), (8, 5)])
def test_building_a_compound_takes_the_flops_of_the_recursion(n, order):
    # Every minor of order j is a sum of j products of an entry and a minor of order j - 1.
    counted = sum(
        j + (j - 1) for j in range(2, order + 1) for _ in itertools.product(range(math.comb(n, j)), repeat=2)
    )
    assert path("dense", n, order).build_flops == counted


@pytest.mark.parametrize(("n", "order"), [(4, 3), (6, 3), (7, 3), (10, 4), (13, 5), (12, 9)])
def test_the_flops_of_the_windows_are_those_of_their_tables(n, order):
    rows = window_rows(n, order)
    groups = np.diff(rows.group_stops)
    assert path("windows", n, order).flops == int((2 * rows.counts**2 * groups).sum())


def test_only_what_is_a_compound_has_other_paths_than_the_gates():
    assert [cost.path for cost in classical_paths(8, 2, n_gates=12, is_compound=False)] == ["gates"]
    assert [cost.path for cost in classical_paths(8, 1, n_gates=28, is_compound=True)] == [
        "gates",
        "registers",
        "dense",
    ]
    assert [cost.path for cost in classical_paths(16, 4, n_gates=120, is_compound=True)] == [
        "gates",
        "windows",
        "dense",
    ]


def test_the_gates_take_the_fewest_flops_above_order_one():
    for n, order in itertools.product((6, 9, 24, 44), (2, 3, 4)):
        costs = classical_paths(n, order, n_gates=n * (n - 1) // 2, is_compound=True)
        assert min(costs, key=lambda cost: cost.flops).path == "gates"


def test_bytes_hold_the_vector_and_its_image_and_shared_ones_shrink_with_the_batch():
    for one, many in zip(
        classical_paths(8, 2, n_gates=28, is_compound=True, vectors=1, itemsize=8),
        classical_paths(8, 2, n_gates=28, is_compound=True, vectors=10**9, itemsize=8),
        strict=True,
    ):
        assert 2 * 28 * 8 <= many.bytes < one.bytes
        assert one.seconds(Computer("slow", 2.0, 1e9), 1) == (one.flops + one.build_flops) / 2
    assert path("gates", 8, 2, vectors=1, itemsize=8).bytes == 2 * 28 * 8 + 28 * 8
    assert path("dense", 8, 2, vectors=1, itemsize=8).bytes == 2 * 28 * 8 + 2 * 28**2 * 8


def test_the_estimator_by_sampling_has_the_mean_and_the_variance_of_a_run():
    n, order, wire = 6, 3, 2
    generator = torch.Generator().manual_seed(3)
    angles = torch.rand(n * (n - 1) // 2, generator=generator, dtype=torch.float64)
    a = orthogonal_from_angles(angles, brickwork(n))
    x = torch.randn(math.comb(n, order), generator=generator, dtype=torch.float64)
    x /= x.norm()
    compound = compound_matrix(a, order)
    holds = torch.tensor([float(wire in subset) for subset in subsets(n, order)], dtype=torch.float64)
    density = (compound @ x).square() @ holds
    turned = compound.T @ torch.diag(holds) @ compound
    # It connects subsets that differ by one particle at most, each I with 1 + k(n-k) of them.
    near = torch.tensor(
        [[len(set(s) - set(t)) <= 1 for t in subsets(n, order)] for s in subsets(n, order)], dtype=torch.bool
    )
    assert near.sum(1).unique().tolist() == [1 + order * (n - order)]
    assert turned[~near].abs().max() < 1e-12
    # It is the rank-one operator of the row of A: O_IJ = +- a_i a_j where J is I with i taken out and j put in.
    off = turned - torch.diag(turned.diagonal())
    first, second = subsets(n, order).index((0, 1, 2)), subsets(n, order).index((0, 1, 3))
    assert off[first, second].item() == pytest.approx((a[wire, 2] * a[wire, 3]).item())
    local = turned @ x / x
    assert (x.square() @ local).item() == pytest.approx(density.item())
    # An outcome of the circuit is 0 or 1: its square has the same mean.
    assert (x.square() @ local.square()).item() == pytest.approx(density.item())
    assert sampling_flops(n, order, 0.1) == pytest.approx(2 * 20 + density_flops(n, order) + 4 * 10 / 0.1**2)


def test_numbers_beyond_floating_point_are_infinite():
    assert as_float(10**300) == 1e300
    assert as_float(10**400) == math.inf
