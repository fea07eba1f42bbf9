"""Circuit and layout diagrams: one shape a gate, in its moment, on its wires, with its angle."""

import itertools
import math

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from qicircuits import Layout, brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape
from qicircuits.drawing import draw_circuit, draw_layout
from qicircuits.drawing.diagram import TOP, gate_outline
from qicircuits.drawing.scheme import GateMark, stagger

LAYOUTS = [pyramid(5), brickwork(5), x_shape(6), v_shape(4), staircase(3), butterfly(8), round_robin(7)]


def labelled(ax, start):
    """The artists whose gid is `start`-<number>, by number."""
    found = [artist for artist in ax.findobj() if str(artist.get_gid()).startswith(f"{start}-")]
    return dict(sorted((int(artist.get_gid().split("-")[1]), artist) for artist in found))


def box(polygon):
    (left, top), (right, bottom) = polygon.get_xy().min(0), polygon.get_xy().max(0)
    return left, top, right, bottom


def clash(one, two):
    """Whether two boxes (left, top, right, bottom) share a point."""
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@pytest.mark.parametrize("draw", [draw_layout, draw_circuit])
def test_one_shape_a_gate_on_its_wires(draw, layout, gate):
    gates = labelled(draw(layout, gate=gate), "gate")
    assert list(gates) == list(range(layout.n_gates))
    for polygon, (i, j) in zip(gates.values(), layout.pairs, strict=True):
        assert isinstance(polygon, Polygon)
        _, top, _, bottom = box(polygon)
        assert top == pytest.approx(TOP + min(i, j), abs=0.45)
        assert bottom == pytest.approx(TOP + max(i, j), abs=0.45)
        assert top < TOP + min(i, j)
        assert bottom > TOP + max(i, j)


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@pytest.mark.parametrize("angles", [False, True])
def test_moments_are_in_order_and_gates_apart(layout, angles):
    ax = draw_circuit(layout, np.linspace(-1, 1, layout.n_gates) if angles else None)
    gates = list(labelled(ax, "gate").values())
    bounds = [box(polygon) for polygon in gates]
    moment_of = [m for m, moment in enumerate(layout.moments) for _ in moment]
    for a, b in itertools.combinations(range(layout.n_gates), 2):
        assert not clash(bounds[a], bounds[b])
        if moment_of[a] < moment_of[b]:
            assert bounds[a][2] < bounds[b][0]
    numbers = labelled(ax, "moment")
    assert [text.get_text() for text in numbers.values()] == [str(m) for m in range(layout.depth)]
    positions = [text.get_position()[0] for text in numbers.values()]
    assert positions == sorted(positions)
    assert [text.get_text() for text in labelled(ax, "wire").values()] == [str(w) for w in range(layout.n)]


def test_stagger_uses_as_few_columns_as_gates_cross():
    assert stagger([(0, 4), (1, 5), (2, 6), (3, 7)]) == [0, 1, 2, 3]
    assert stagger([(0, 1), (2, 3), (4, 5)]) == [0, 0, 0]
    assert stagger([(3, 4), (2, 5), (1, 6), (7, 0)]) == [3, 2, 1, 0]
    for moment in round_robin(10).moments:
        crossing = max(sum(i <= wire <= j for i, j in moment) for wire in range(10))
        assert max(stagger(moment)) + 1 == crossing


def test_rbs_leaves_the_wires_between_alone_and_fbs_marks_them():
    def width_at(wire, gate):
        mark = GateMark(gate, (0, 3) if gate == "rbs" else (0, 1, 2, 3))
        outline = gate_outline(mark, 0.0, TOP, 1)
        near = np.abs(outline[:, 1] - TOP - wire) < 0.05
        return np.ptp(outline[near, 0]) if near.any() else 0.0

    def widest(gate):
        return max(width_at(wire, gate) for wire in (1, 2))

    assert widest("rbs") < 0.1 < widest("fbs") < width_at(0, "fbs")
    assert width_at(0, "rbs") > 0.3


def test_small_circuits_spell_their_angles():
    angles = torch.tensor([0.5, -1.25, 3.0, 0.0, -0.001, 2.0], requires_grad=True)
    ax = draw_circuit(brickwork(4), angles)
    words = [text.get_text() for text in labelled(ax, "angle").values()]
    assert words == ["0.50", "−1.25", "3.00", "0.00", "0.00", "2.00"]
    assert not ax.child_axes
    names = [text.get_text() for text in labelled(draw_circuit(brickwork(4)), "angle").values()]
    assert names == ["θ₀", "θ₁", "θ₂", "θ₃", "θ₄", "θ₅"]
    tiny = labelled(draw_circuit(staircase(2), [0.0012]), "angle")
    assert tiny[0].get_text() == "0.0012"


@pytest.mark.parametrize("angles", [None, [-0.3] * 28])
def test_words_touch_no_gate_and_no_word(angles):
    ax = draw_circuit(round_robin(8), angles)
    ax.figure.canvas.draw()
    words = [t.get_window_extent() for t in labelled(ax, "angle").values()]
    gates = [polygon.get_window_extent() for polygon in labelled(ax, "gate").values()]
    assert len(words) == 28
    for k, word in enumerate(words):
        assert not any(word.overlaps(gate) for gate in gates[:k] + gates[k + 1 :])
        assert not any(word.overlaps(other) for other in words[:k])


def test_many_angles_are_colours_with_a_bar_in_radians():
    layout = brickwork(27)
    angles = np.linspace(-math.pi / 2, math.pi / 2, layout.n_gates)
    ax = draw_circuit(layout, angles)
    gates = labelled(ax, "gate")
    assert len(gates) == 351
    assert not labelled(ax, "angle")
    (bar,) = ax.child_axes
    assert [t.get_text() for t in bar.get_yticklabels()] == ["−π/2", "0", "π/2"]
    assert "radians" in bar.get_ylabel()
    first, middle, last = (np.array(gates[k].get_facecolor()[:3]) for k in (0, 175, 350))
    assert first[2] > first[0] + 0.2  # blue is negative, red positive, near-white zero
    assert last[0] > last[2] + 0.2
    assert middle.min() > 0.95
    np.testing.assert_allclose(matplotlib.colormaps["RdBu_r"](0.0)[:3], first)


def test_negative_colours_carry_a_minus_for_print_in_grey():
    layout, angles = round_robin(11), np.tile([0.5, -0.5, 0.001, -0.001, -0.02], 11)
    ax = draw_circuit(layout, angles)
    (strokes,) = [artist for artist in ax.collections if artist.get_gid() == "minus"]
    gates = labelled(ax, "gate")
    expected = {
        (round(box(gates[k])[0] + box(gates[k])[2], 6) / 2, TOP + wire)
        for k in np.flatnonzero(angles < -0.01)
        for wire in layout.pairs[k]
    }
    found = {tuple(path.vertices.mean(0)) for path in strokes.get_paths()}
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=1e-6)


@pytest.mark.parametrize(("largest", "ticks"), [(0.0, "1"), (0.01, "0.01"), (1.5, "π/2"), (math.pi, "π"), (7.0, "7")])
def test_the_scale_ends_at_the_largest_angle_or_a_part_of_pi(largest, ticks):
    (bar,) = draw_circuit(brickwork(11), [0.0] * 54 + [-largest]).child_axes
    assert [t.get_text() for t in bar.get_yticklabels()] == [f"−{ticks}", "0", ticks]


def test_small_axes_show_colours_instead_of_illegible_words():
    ax = Figure(figsize=(2, 2)).add_subplot()
    assert draw_circuit(brickwork(9), [0.1] * 36, ax=ax) is ax
    assert ax.child_axes
    assert not labelled(ax, "angle")
    assert len(labelled(ax, "gate")) == 36


def test_gates_that_run_upwards_carry_an_arrow():
    up = draw_circuit(Layout(4, (((2, 0), (3, 1)), ((0, 1),))))
    assert [text.get_text() for text in up.texts].count("↑") == 2
    assert "↑" not in [text.get_text() for text in draw_circuit(brickwork(4)).texts]


def test_few_wires_and_no_gates():
    ax = draw_circuit(Layout(1, ()), [])
    assert not labelled(ax, "gate")
    assert not ax.child_axes
    assert "custom: 0 RBS gates on 1 wire" in [text.get_text() for text in ax.texts]


def test_large_circuits_number_only_some_wires_and_moments():
    ax = draw_layout(staircase(150))
    ax.figure.canvas.draw()
    for name in ("wire", "moment"):
        extents = [text.get_window_extent() for text in labelled(ax, name).values()]
        assert 2 < len(extents) < 149
        assert not any(one.overlaps(two) for one, two in itertools.pairwise(extents))


def test_several_layouts_share_one_figure_and_one_scale():
    figure = draw_layout(*LAYOUTS)
    assert isinstance(figure, Figure)
    assert [len(labelled(ax, "gate")) for ax in figure.axes] == [layout.n_gates for layout in LAYOUTS]
    figure.canvas.draw()
    pixels = [ax.transData.transform((1, 0))[0] - ax.transData.transform((0, 0))[0] for ax in figure.axes]
    np.testing.assert_allclose(pixels, pixels[0])
    extents = [ax.get_window_extent().padded(-1).extents for ax in figure.axes]
    assert not any(clash(one, two) for one, two in itertools.combinations(extents, 2))


@pytest.mark.parametrize("draw", [draw_layout, draw_circuit])
def test_the_title_stays_on_the_page(draw):
    for layout in [*LAYOUTS, staircase(2), brickwork(27)]:
        ax = draw(layout)
        ax.figure.canvas.draw()
        assert ax.get_window_extent().xmax > ax.texts[-1].get_window_extent().xmax


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: draw_circuit(brickwork(4), [1.0]), ValueError, r"needs angles of shape \(6,\), got \(1,\)"),
        (lambda: draw_circuit(brickwork(4), np.zeros((1, 6))), ValueError, r"shape \(6,\), got \(1, 6\)"),
        (lambda: draw_circuit(staircase(2), [math.nan]), ValueError, "angles must be finite, got nan"),
        (lambda: draw_circuit(staircase(2), [1j]), TypeError, "angles must be real numbers"),
        (lambda: draw_circuit(staircase(2), "a"), TypeError, "angles must be real numbers, got 'a'"),
        (lambda: draw_circuit(staircase(2), gate="cnot"), ValueError, "got 'cnot'"),
        (lambda: draw_circuit("brickwork"), TypeError, "must be a Layout.*got 'brickwork'"),
        (lambda: draw_layout(gate="rbs"), TypeError, "got none"),
        (lambda: draw_layout(brickwork(3), 3), TypeError, "got 3"),
        (lambda: draw_layout(brickwork(3), gate="x"), ValueError, "got 'x'"),
        (lambda: draw_layout(*LAYOUTS, ax=Figure().add_subplot()), ValueError, "got 7 layouts"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
