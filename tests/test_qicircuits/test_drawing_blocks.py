"""Adapter diagrams and compound heat maps: to scale, named, and true to their numbers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from qicircuits import brickwork, compound_matrix, random_orthogonal, subspace_dim
from qicircuits.drawing import draw_adapter, draw_compound, draw_resources
from qicircuits.drawing.blocks import Blocks
from qicircuits.drawing.style import INK, PAPER
from qicircuits.resources import estimate

CASES = [
    {"features": 384, "orders": (1, 2), "n_blocks": 1, "block_size": 384, "n": 27, "block_share": False},
    {"features": 100, "orders": (1, 2, 3), "n_blocks": 3, "block_size": 33, "n": 5, "block_share": True},
    {"features": 40, "orders": (2,), "n_blocks": 4, "block_size": 10, "n": 5, "block_share": False},
    {"features": 13, "orders": (2, 1), "n_blocks": 1, "block_size": 10, "n": 4, "block_share": False},
    {"features": 6, "orders": (1,), "n_blocks": 3, "block_size": 2, "n": 2, "block_share": False},
]


def named(ax, gid):
    return next(artist for artist in ax.get_children() if artist.get_gid() == gid)


def sides(collection):
    """The widths of the squares of a collection, checked to be square."""
    spans = [np.ptp(path.vertices, axis=0) for path in collection.get_paths()]
    assert all(np.isclose(*span) for span in spans)
    return [span[0] for span in spans]


def words(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_block_structure_is_to_scale(case):
    ax = draw_adapter(**case)
    blocks = Blocks(**case)
    frames = [(named(ax, "block"), case["block_size"], 1)]
    if case["features"] != case["block_size"]:
        frames.append((named(ax, "rotation"), case["features"], case["n_blocks"]))
    for order in case["orders"]:
        drawn = [c for c in ax.collections if c.get_gid() == f"order-{order}"]
        for collection, (frame, size, count) in zip(drawn, frames, strict=True):
            expected = frame.get_width() * math.comb(case["n"], order) / size
            np.testing.assert_allclose(sides(collection), [expected] * count)
    assert ("pad" in [a.get_gid() for a in ax.get_children()]) == (blocks.pad > 0)
    assert ("untouched" in [a.get_gid() for a in ax.get_children()]) == (blocks.untouched > 0)
    if blocks.untouched:
        frame, size, _ = frames[-1]
        assert named(ax, "untouched").get_width() == pytest.approx(frame.get_width() * blocks.untouched / size)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_plan_is_drawn_as_its_sizes(case):
    assert words(draw_adapter(SimpleNamespace(**case))) == words(draw_adapter(**case))


def test_what_is_trained_is_the_strict_upper_triangle():
    ax = draw_adapter(features=64, orders=(1, 2), n_blocks=2, n=6)
    matrix, trained = named(ax, "matrix"), named(ax, "trained").get_xy()
    x, y = (trained - matrix.get_xy()).T * 6 / matrix.get_width()
    area = abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2
    assert area == pytest.approx(15)
    assert (x >= y - 1e-9).all()
    assert "trained: 15 numbers" in words(ax)
    assert "2 blocks: 30 numbers" in words(ax)
    assert "shared by 2 blocks" in words(draw_adapter(features=64, orders=(1,), n_blocks=2, n=6, block_share=True))


@pytest.mark.parametrize(
    ("case", "formula"),
    list(
        zip(
            CASES,
            [
                "R = C₁(A) ⊕ C₂(A) ⊕ I₆",
                "R = ⊕ᵢ [ C₁(A) ⊕ C₂(A) ⊕ C₃(A) ⊕ I₈ ] ⊕ I₁",
                "R = ⊕ᵢ C₂(Aᵢ)",
                "R = C₂(A) ⊕ C₁(A) ⊕ I₃",
                "R = ⊕ᵢ C₁(Aᵢ)",
            ],
            strict=True,
        )
    ),
)
def test_the_formula_is_the_title(case, formula):
    assert words(draw_adapter(**case))[0] == formula


def test_captions_stay_on_the_page():
    for case in [*CASES, {"features": 4096, "orders": (1, 2, 3), "n_blocks": 64, "n": 7}]:
        ax = draw_adapter(**case)
        ax.figure.canvas.draw()
        page = ax.get_window_extent()
        for text in ax.texts:
            extent = text.get_window_extent()
            assert page.xmin < extent.xmin
            assert extent.xmax < page.xmax
            assert extent.ymin > page.ymin


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ({"features": 10}, ValueError, "give features, orders and n, got features=10, orders=None, n=None"),
        ({"plan": SimpleNamespace(**CASES[0]), "n": 3}, ValueError, "not both"),
        ({"features": 10, "orders": (), "n": 4}, ValueError, r"got \(\)"),
        ({"features": 10, "orders": (1, 1), "n": 4}, ValueError, r"distinct integers in 1..n-1 = 1..3, got \(1, 1\)"),
        ({"features": 10, "orders": (0,), "n": 4}, ValueError, r"got \(0,\)"),
        ({"features": 10, "orders": (4,), "n": 4}, ValueError, r"got \(4,\)"),
        ({"features": 10, "orders": (1, 2), "n": 5}, ValueError, "take 15 features, got block_size=10"),
        (
            {"features": 10, "orders": (1,), "n": 4, "n_blocks": 3, "block_size": 4},
            ValueError,
            "3 blocks of 4 exceed",
        ),
        (
            {"features": 10, "orders": (1,), "n": 4, "n_blocks": 0},
            ValueError,
            "n_blocks must be at least 1, got n_blocks=0",
        ),
        ({"features": 10.0, "orders": (1,), "n": 4}, TypeError, "features must be an integer, got 10.0"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_named(sizes, error, message):
    with pytest.raises(error, match=message):
        draw_adapter(**sizes)


def test_of_a_product_one_factor_is_drawn_and_all_numbers_are_counted():
    shown = words(draw_adapter(features=64, orders=(1, 2), n_blocks=2, n=6, n_factors=3))
    assert shown[0] == "R: a product of 3 factors D = ⊕ᵢ [ C₁(Aᵢ) ⊕ C₂(Aᵢ) ⊕ I₁₁ ]"
    assert {"trained: 15 numbers", "2 blocks: 30 numbers", "3 factors: 90 numbers", "D: 64 × 64"} <= set(shown)
    shared = words(draw_adapter(features=64, orders=(1,), n_blocks=2, n=6, n_factors=3, block_share=True))
    assert {"shared by 2 blocks", "3 factors: 45 numbers"} <= set(shared)


@pytest.mark.parametrize(("n", "order"), [(4, 0), (4, 4), (1, 1), (5, 2), (6, 3), (9, 2)])
def test_the_heat_map_shows_the_compound(n, order):
    matrix = random_orthogonal(n, generator=torch.Generator().manual_seed(n)).requires_grad_()
    ax = draw_compound(matrix, order)
    (image,) = ax.images
    compound = compound_matrix(matrix.detach(), order).numpy()
    np.testing.assert_array_equal(image.get_array(), compound)
    low, high = image.get_clim()
    assert -low == high == np.abs(compound).max()
    dim = subspace_dim(n, order)
    assert ax.get_title().endswith(f"(A), n = {n}: {dim} × {dim}")
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == "minor det A[I, J]"


def test_subsets_are_named_while_there_is_room():
    def names(ax):
        return [text.get_text() for text in ax.get_yticklabels()]

    assert names(draw_compound(np.eye(4), 2)) == ["0,1", "0,2", "0,3", "1,2", "1,3", "2,3"]
    assert names(draw_compound([[2.0]], 0)) == ["∅"]
    large = draw_compound(np.eye(8), 2)
    assert names(large) == ["0", "1", "2", "3", "4", "5"]  # of wires 6 and 7, one subset starts with 6
    np.testing.assert_allclose(large.get_yticks(), [3, 9.5, 15, 19.5, 23, 25.5])


@pytest.mark.parametrize(("n", "orders"), [(4, (1, 2)), (6, (3, 1, 0)), (8, (1, 2))])
def test_several_orders_are_a_direct_sum_with_its_sectors_named(n, orders):
    matrix = random_orthogonal(n, generator=torch.Generator().manual_seed(n))
    ax = draw_compound(matrix, orders)
    drawn = ax.images[0].get_array()
    np.testing.assert_array_equal(drawn, torch.block_diag(*(compound_matrix(matrix, k) for k in orders)).numpy())
    stops = np.cumsum([0, *(subspace_dim(n, k) for k in orders)])
    edges = sorted(line.get_ydata()[0] for line in ax.lines if line.get_ydata()[0] == line.get_ydata()[1])
    np.testing.assert_allclose(edges, stops[1:-1] - 0.5)
    named = [text.get_text() for text in ax.get_xticklabels()]
    assert named == [f"k = {k}" for k in orders if 1.2 * subspace_dim(n, k) * 21 > stops[-1]]


def test_negative_minors_carry_a_minus_where_cells_are_large():
    matrix = random_orthogonal(5, generator=torch.Generator().manual_seed(2))
    ax = draw_compound(matrix, 2)
    (strokes,) = [artist for artist in ax.collections if artist.get_gid() == "minus"]
    places = {tuple(np.rint(path.vertices.mean(0)).astype(int)[::-1]) for path in strokes.get_paths()}
    values = compound_matrix(matrix, 2).numpy()
    assert places == set(zip(*map(list, np.nonzero(values < -0.02 * np.abs(values).max())), strict=True))
    assert not [artist for artist in draw_compound(np.eye(8), 2).collections if artist.get_gid() == "minus"]


def test_a_zero_matrix_has_a_scale():
    assert draw_compound(np.zeros((3, 3)), 2).images[0].get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("matrix", "order", "error", "message"),
    [
        (np.zeros((2, 3)), 1, ValueError, r"square, of shape \(n, n\), got \(2, 3\)"),
        (np.zeros((1, 2, 2)), 1, ValueError, r"got \(1, 2, 2\)"),
        (np.eye(3) * 1j, 1, TypeError, "matrix must be real numbers"),
        (np.full((2, 2), np.inf), 1, ValueError, "matrix must be finite, got inf"),
        (np.eye(3), 4, ValueError, "got order=4"),
        (np.eye(3), (), ValueError, "at least one, got  = 0"),
        (np.eye(20), (3, 4), ValueError, r"got C\(20, 3\) \+ C\(20, 4\) = 5985"),
        (np.eye(3), "12", TypeError, "got '1'"),
        (np.eye(30), 4, ValueError, r"at most 2048 rows, at least one, got C\(30, 4\) = 27405"),
    ],
    ids=str,
)
def test_bad_matrices_are_named(matrix, order, error, message):
    with pytest.raises(error, match=message):
        draw_compound(matrix, order)


@pytest.mark.parametrize(
    "draw", [lambda ax: draw_compound(np.eye(3), 1, ax=ax), lambda ax: draw_resources(estimate(brickwork(4)), ax=ax)]
)
def test_given_axes_on_a_dark_figure_get_light_words_around(draw):
    dark, light = Figure(facecolor="#111111").add_subplot(), Figure(facecolor="white").add_subplot()
    assert draw(dark) is dark
    draw(light)
    words = [[ax.xaxis.label, ax.yaxis.label, ax.title, *ax.get_xticklabels()] for ax in (dark, light)]
    assert {text.get_color() for text in words[0] if text.get_text()} == {PAPER}
    assert {text.get_color() for text in words[1] if text.get_text()} == {INK}
