"""Rows with rotations of their own: each is what it is alone, by the kernel and by its twin."""

import pytest
import torch

from adapters.plan import plan_blocks
from adapters.rotation import Rotation
from adapters.rows import RowGroup, rotate_as_blocks, rotate_rows
from qicircuits import random_orthogonal
from qicircuits.engine import cpu_tiles

FORMS = ({}, {"n_blocks": 2}, {"block_size": 11}, {"n_blocks": 2, "block_share": True})
OWNERS = [2, 2, -1, 0, 2, 1, -1]


def group(orders, form, dtype=torch.float64, owners=OWNERS):
    torch.manual_seed(0)
    plan = plan_blocks(25, orders, **form)
    count = plan.parameter_shape[0]
    matrices = random_orthogonal(plan.n, batch_shape=(3, count), dtype=dtype)
    matrices[1] = torch.eye(plan.n)
    return RowGroup("out", Rotation(plan, "cayley"), matrices, owners)


def one_by_one(rows, x, bias):
    alone = [
        row if owner < 0 else rows.rotation.rotate(rows.matrices[owner], row, bias)
        for row, owner in zip(x, rows.owners, strict=True)
    ]
    return torch.stack(alone)


@pytest.mark.parametrize("rotate", [rotate_rows, rotate_as_blocks])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orders", [(1,), (2,), (2, 1), (1, 3)])
@pytest.mark.parametrize("tokens", [(), (1,), (2, 3), (9,), (0,)])
def test_every_row_is_what_it_is_alone(rotate, orders, form, tokens):
    """Few tokens a row are rotated vector by vector, many in tiles; neighbours with one owner together."""
    rows = group(orders, form)
    x, bias = torch.randn(7, *tokens, 25, dtype=torch.float64), torch.randn(25, dtype=torch.float64)
    for shift in (None, bias):
        rotated = rotate(rows, x, shift)
        torch.testing.assert_close(rotated, one_by_one(rows, x, shift), rtol=0, atol=1e-13)
        for row in (2, 5, 6):  # no owner, and an A that is I
            assert rotated[row].equal(x[row])


@pytest.mark.parametrize("rotate", [rotate_rows, rotate_as_blocks])
@pytest.mark.parametrize("orders", [(2, 1), (1, 3)])
def test_gradients_are_those_of_the_rows_alone(rotate, orders):
    rows = group(orders, {"n_blocks": 2})
    matrices = rows.matrices.requires_grad_()
    x = torch.randn(7, 2, 25, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(25, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(7, 2, 25, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((way(rows, x, bias) * weights).sum(), (x, bias, matrices)) for way in (rotate, one_by_one)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_short_types_are_rounded_once(dtype):
    rows = group((1, 2), {"n_blocks": 2}, torch.float32)
    x = torch.randn(7, 3, 25).to(dtype)
    rotated = rotate_rows(rows, x)
    assert rotated.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(rotated.float(), one_by_one(rows, x.float(), None), rtol=eps, atol=4 * eps)


def test_a_batch_without_owners_is_returned():
    rows = group((1, 2), {}, owners=[-1, -1])
    x = torch.randn(2, 3, 25)
    assert rotate_rows(rows, x) is x
    assert rotate_rows(rows._replace(owners=[]), x[:0]).shape == (0, 3, 25)


def test_more_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(cpu_tiles, "_MULTIPLICATIONS_PER_THREAD", 1)  # threads share out even so little
    rows = group((1, 2), {"n_blocks": 2}, torch.float32)
    x = torch.randn(7, 200, 25)
    expected = rotate_rows(rows, x)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert rotate_rows(rows, x).equal(expected)
    finally:
        torch.set_num_threads(threads)
