"""The plan of blocks: the largest n that fits, and clear refusals where nothing does."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.plan import plan_blocks


@pytest.mark.parametrize(
    ("features", "orders", "choice", "n_blocks", "block_size", "n", "pad", "untouched"),
    [
        (768, (1, 2), {}, 1, 768, 38, 27, 0),
        (384, (1, 2), {}, 1, 384, 27, 6, 0),
        (768, (2,), {"n_blocks": 3}, 3, 256, 23, 3, 0),
        (768, (1,), {"block_size": 32}, 24, 32, 32, 0, 0),
        (10, (1, 2), {"block_size": 6}, 1, 6, 3, 0, 4),
        (2, (1,), {}, 1, 2, 2, 0, 0),
        (26, (1, 2), {"n_blocks": 4}, 4, 6, 3, 0, 2),
        (8, (1, 3), {}, 1, 8, 4, 0, 0),
    ],
)
def test_plan_gives_the_sizes(features, orders, choice, n_blocks, block_size, n, pad, untouched):
    plan = plan_blocks(features, orders, **choice)
    assert (plan.n_blocks, plan.block_size, plan.n, plan.pad, plan.untouched) == (
        n_blocks,
        block_size,
        n,
        pad,
        untouched,
    )


@given(
    features=st.integers(1, 400),
    orders=st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
    n_blocks=st.none() | st.integers(1, 8),
    block_size=st.none() | st.integers(1, 80),
    block_share=st.booleans(),
)
def test_every_feature_is_in_one_place_and_n_is_the_largest(features, orders, n_blocks, block_size, block_share):
    if n_blocks is not None:
        block_size = None
    arguments = {"n_blocks": n_blocks, "block_size": block_size, "block_share": block_share}
    size, smallest = block_size or features // (n_blocks or 1), max(orders) + 1
    if size > features or sum(math.comb(smallest, order) for order in orders) > size:
        with pytest.raises(ValueError, match=r"too small|larger than"):
            plan_blocks(features, orders, **arguments)
        return
    plan = plan_blocks(features, orders, **arguments)
    widths = [stop - start for _, start, stop in plan.sectors]
    assert [order for order, _, _ in plan.sectors] == orders
    assert widths == [math.comb(plan.n, order) for order in orders]
    assert [start for _, start, _ in plan.sectors] == [sum(widths[:i]) for i in range(len(widths))]
    assert plan.n > max(orders)
    assert sum(widths) <= plan.block_size < sum(math.comb(plan.n + 1, order) for order in orders)
    assert plan.n_blocks * (sum(widths) + plan.pad) + plan.untouched == features
    assert 0 <= plan.untouched < (n_blocks or plan.block_size)
    different = 1 if block_share else plan.n_blocks
    assert plan.n_parameters == different * math.comb(plan.n, 2) == math.prod(plan.parameter_shape)


@pytest.mark.parametrize(
    ("features", "orders", "choice", "message"),
    [
        (10, (), {}, "at least one compound order"),
        (10, (1, 1), {}, r"distinct, got \(1, 1\)"),
        (10, (0, 1), {}, r"at least 1 .*got \(0, 1\)"),
        (10, (-2,), {}, "at least 1"),
        (
            10,
            (1, 3),
            {"block_size": 5},
            r"block_size=5 is too small for orders \(1, 3\): the smallest block .* 4 \+ 4 = 8",
        ),
        (
            10,
            (12,),
            {},
            r"a block of 10 // 1 = 10 features is too small for orders \(12,\).* 13 features with n = 13",
        ),
        (1, (1,), {}, "2 features with n = 2"),
        (10, (1,), {"block_size": 11}, "block_size=11 is larger than the 10 features"),
        (10, (1,), {"n_blocks": 11}, "a block of 10 // 11 = 0 features is too small"),
        (10, (1,), {"n_blocks": 0}, "n_blocks must be at least 1, got n_blocks=0"),
        (10, (1,), {"block_size": -4}, "block_size must be at least 1, got block_size=-4"),
        (10, (1,), {"block_size": 4, "n_blocks": 2}, "not both, got n_blocks=2, block_size=4"),
    ],
)
def test_plan_refuses_what_has_no_room(features, orders, choice, message):
    with pytest.raises(ValueError, match=message):
        plan_blocks(features, orders, **choice)


@pytest.mark.parametrize(
    ("orders", "choice"),
    [(2, {}), ("12", {}), ((1.0,), {}), ((True,), {}), ((1,), {"n_blocks": 2.0}), ((1,), {"block_size": "8"})],
)
def test_plan_refuses_what_is_not_an_integer(orders, choice):
    with pytest.raises(TypeError, match="must be"):
        plan_blocks(10, orders, **choice)
