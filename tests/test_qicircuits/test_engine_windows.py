"""C_k(A) by windows of six wires against the compound matrix itself."""

import math

import numpy as np
import pytest
import torch

from qicircuits import compound_matrix, random_orthogonal, subsets
from qicircuits.engine.cpu_tiles import scratch, tile_width
from qicircuits.engine.cpu_windows import factor_windows, rotate_windows, window_rows

SECTORS = [(n, k) for n in range(4, 10) for k in range(1, n)] + [(13, 3), (14, 11)]
TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-12}


def rotate(matrix, x, order):
    n, dim = len(matrix), x.shape[1]
    windows = factor_windows(matrix.double().numpy(), order, x.numpy().dtype)
    y, width = torch.empty_like(x), tile_width(dim, x.dtype)
    tile = scratch(dim * width, x.numpy())
    sizes = dim, dim, 0, len(x), tile, width
    rotate_windows(x.view(-1).numpy(), dim, 1, y.view(-1).numpy(), *sizes, *windows, *window_rows(n, order))
    return y


@pytest.mark.parametrize(("n", "order"), SECTORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_the_compound_matrix(n, order, dtype):
    generator = torch.Generator().manual_seed(n * order)
    matrix = random_orthogonal(n, generator=generator, dtype=torch.float64)
    x = torch.randn(19, math.comb(n, order), generator=generator, dtype=dtype)
    expected = x.double() @ compound_matrix(matrix, order).mT
    error = (rotate(matrix, x, order) - expected).norm() / expected.norm()
    assert error < TOLERANCE[dtype]


@pytest.mark.parametrize(("n", "order"), [(4, 3), (6, 3), (7, 2), (11, 4)])
def test_the_identity_changes_no_bit(n, order):
    x = torch.randn(5, math.comb(n, order))
    x[0, 0], x[1, 1], x[2, 2] = -0.0, torch.inf, torch.nan
    assert rotate(torch.eye(n), x, order).numpy().tobytes() == x.numpy().tobytes()


@pytest.mark.parametrize("n", range(4, 15))
def test_their_product_is_the_matrix(n):
    matrix = random_orthogonal(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    x = torch.eye(n, dtype=torch.float64)
    torch.testing.assert_close(rotate(matrix, x, 1), matrix.mT, rtol=0, atol=1e-13)


def test_rotations_of_sparse_angles_are_factored_too():
    matrix = torch.eye(12, dtype=torch.float64)
    matrix[[3, 3, 9, 9], [3, 9, 3, 9]] = torch.tensor([0.0, -1.0, 1.0, 0.0], dtype=torch.float64)
    matrix[[0, 1], [0, 1]] = -1.0
    x = torch.eye(math.comb(12, 3), dtype=torch.float64)
    torch.testing.assert_close(rotate(matrix, x, 3), compound_matrix(matrix, 3).mT, rtol=0, atol=0)


def test_a_window_mixes_all_rows_with_particles_and_holes_inside_once():
    rows = window_rows(9, 4)
    inside = np.array([[wire in subset for wire in range(3, 9)] for subset in subsets(9, 4)]).sum(axis=1)
    mixed = []
    for c in range(rows.stops[0], rows.stops[1]):  # the window applied first is the last one, on the wires 3..8
        groups = rows.groups[rows.group_stops[c] : rows.group_stops[c + 1]]
        mixed.extend((groups[:, None] + rows.offsets[c, : rows.counts[c]]).ravel().tolist())
    assert sorted(mixed) == np.flatnonzero((inside > 0) & (inside < 6)).tolist()
