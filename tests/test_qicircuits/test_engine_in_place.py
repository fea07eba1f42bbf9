"""Vectors turned where they stand: what the rotation of a copy in float64 gives, rounded once."""

import pytest
import torch

from qicircuits import random_orthogonal
from qicircuits.engine.cpu_in_place import rotate_in_place
from qicircuits.engine.cpu_rotation import rotate_sectors
from qicircuits.engine.dispatch import rotates_in_place

# (features, n, sectors, n_blocks, block_size, number of matrices)
PLANS = (
    (70, 9, [2, 0, 36], 1, 40, 1),
    (47, 5, [2, 0, 10, 1, 10, 15], 3, 15, 3),
    (50, 5, [1, 0, 5, 2, 5, 15], 3, 16, 1),
    (7, 3, [1, 0, 3, 2, 3, 6], 1, 7, 1),
)
LAYOUTS = {
    "rows": torch.clone,
    "columns": lambda x: x.mT.contiguous().mT,
    "every other row": lambda x: x.repeat_interleave(2, 0)[::2],
}


def matrices_of(plan):
    _, n, _, _, _, count = plan
    return random_orthogonal(n, batch_shape=(count,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("lay", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("tokens", [0, 1, 8, 13, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_it_is_the_rotation_of_a_wide_copy(plan, dtype, tokens, lay):
    torch.manual_seed(tokens)
    features, _, *where, _ = plan
    x = lay(torch.randn(tokens, features, dtype=dtype))
    expected = rotate_sectors(x.double(), matrices_of(plan), None, *where).to(dtype)
    assert rotates_in_place(x, where[0][::3])
    rotate_in_place(x, matrices_of(plan), *where)
    torch.testing.assert_close(x, expected, rtol=1e-15, atol=1e-15)


def test_a_rotation_by_the_identity_changes_no_bit():
    x = torch.randn(40, 47)
    x[0, 0], x[1, 1], x[2, 2] = -0.0, torch.inf, torch.nan
    before = x.numpy().tobytes()
    rotate_in_place(x, torch.eye(5, dtype=torch.float64).expand(3, 5, 5), *PLANS[1][2:5])
    assert x.numpy().tobytes() == before


def test_threads_change_nothing():
    torch.manual_seed(0)
    start = torch.randn(1000, 47)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            x = start.clone()
            rotate_in_place(x, matrices_of(PLANS[1]), *PLANS[1][2:5])
            found.append(x)
    finally:
        torch.set_num_threads(before)
    assert found[0].equal(found[1])


@pytest.mark.parametrize(
    ("x", "orders"),
    [
        (torch.zeros(3, 40), (1,)),
        (torch.zeros(3, 40), (2, 3)),
        (torch.zeros(3, 40, dtype=torch.bfloat16), (1, 2)),
        (torch.zeros(3, 40, 2, 2), (1, 2)),
        (torch.zeros(6, 80)[::2, ::2], (1, 2)),
    ],
    ids=["order 1 alone", "order 3", "bfloat16", "a convolution", "no stride 1"],
)
def test_what_it_leaves_to_others(x, orders):
    assert not rotates_in_place(x, orders)
