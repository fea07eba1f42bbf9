"""The drawing of a training: every angle and every distance at its step, layers apart and named."""

import math

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from qicircuits.drawing import draw_training
from qicircuits.drawing.training import _short

STEPS = [0, 5, 20]


def history(layers, angles=3):
    generator = np.random.default_rng(layers)
    names = [f"model.layer.{index}.query" for index in range(layers)]
    turned = {name: generator.normal(size=(3, angles)) for name in names}
    return turned, {name: np.linalg.norm(values, axis=1) for name, values in turned.items()}


def curves(ax, start):
    """The values at the steps of all lines of a layer, by its name."""
    found = {}
    for artist in ax.collections:
        if str(artist.get_gid()).startswith(start):
            paths = [path.vertices for path in artist.get_paths()]
            assert all(np.array_equal(path[:, 0], STEPS) for path in paths)
            found[artist.get_gid().removeprefix(start)] = np.stack([path[:, 1] for path in paths], axis=1)
    return found


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_few_layers_have_a_line_for_every_angle(layers):
    angles, distances = history(layers)
    figure = draw_training(angles, {name: torch.tensor(values) for name, values in distances.items()}, STEPS)
    upper, lower = figure.axes
    drawn = curves(upper, "angles-")
    assert list(drawn) == list(angles)
    for name in angles:
        np.testing.assert_array_equal(drawn[name], angles[name])
        np.testing.assert_array_equal(curves(lower, "distance-")[name][:, 0], distances[name])
    (legend,) = figure.legends
    expected = ["model.layer.0.query"] if layers == 1 else [f"{index}.query" for index in range(layers)]
    assert [text.get_text() for text in legend.get_texts()] == expected
    dashes = [artist.get_linestyle()[0] for artist in lower.collections]
    assert len({str(dash) for dash in dashes}) == layers  # apart in grey, too
    assert (upper.get_xlim(), lower.get_xlim()) == ((0, 20), (0, 20))


def test_many_layers_have_one_line_each_and_a_scale_from_first_to_last():
    angles, distances = history(9)
    figure = draw_training(angles, distances, STEPS)
    upper, lower, scale = figure.axes
    for name, values in curves(upper, "angles-").items():
        np.testing.assert_array_equal(values[:, 0], np.abs(angles[name]).max(axis=1))
    assert len(curves(lower, "distance-")) == 9
    assert upper.get_ylabel().startswith("largest angle")
    assert [text.get_text() for text in scale.get_yticklabels()] == ["0.query", "8.query"]
    assert scale.get_ylim() == (0, 8)
    colours = [artist.get_colors()[0] for artist in lower.collections]
    light = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in colours]
    assert light == sorted(light)  # in grey, the order stays


@pytest.mark.parametrize("layers", [1, 4, 9])
def test_words_stay_on_the_page(layers):
    angles, distances = history(layers)
    figure = draw_training(angles, distances, STEPS)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    left, bottom, right, top = figure.get_tightbbox(canvas.get_renderer()).extents  # inches, of all that is drawn
    width, height = figure.get_size_inches()
    assert (left > 0, bottom > 0, right < width, top < height) == (True,) * 4


def test_plain_arrays_and_a_single_step():
    figure = draw_training([[0.1, -0.2], [0.3, 0.4]], [0.0, 0.5])
    assert not figure.legends
    np.testing.assert_array_equal(figure.axes[1].collections[0].get_paths()[0].vertices, [[0, 0], [1, 0.5]])
    single = draw_training([[0.1, -0.2]], [0.3], [7])
    assert [line.get_ydata().tolist() for line in single.axes[0].lines if line.get_marker() == "."] == [[0.1, -0.2]]


def test_names_are_told_apart_and_not_too_long():
    assert _short(["a.b.0.q", "a.b.0.k"]) == ["q", "k"]
    assert _short(["a.q", "b.q"]) == ["a.q", "b.q"]
    (long,) = _short(["encoder." * 10 + "query"])
    assert len(long) == 40
    assert long.endswith("encoder.query")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0.1]], [0.1, 0.2]), ValueError, r"shape \(2, any number\).* got \(1, 1\) and \(2,\)"),
        (([0.1, 0.2], [0.1, 0.2]), ValueError, r"got \(2,\) and \(2,\)"),
        ((np.zeros((2, 0)), [0.1, 0.2]), ValueError, r"got \(2, 0\)"),
        (({}, {}), ValueError, "at least one"),
        (({"a": [[0.1]]}, {"b": [0.1]}), ValueError, r"the same layers.*got \['a'\], \['b'\]"),
        (({"a": [[0.1]], "b": [[0.1]]}, {"a": [0.1], "b": [0.1, 0.2]}), ValueError, r"for 'b'"),
        (([[0.1], [0.2]], [0.1, 0.2], [1, 1]), ValueError, "steps are ascending"),
        (([[0.1], [0.2]], [0.1, 0.2], [1]), ValueError, "2 distances"),
        (([[0.1]], 0.1), ValueError, "0 distances"),
        ((np.zeros((0, 2)), []), ValueError, "0 distances"),
        (([[math.nan]], [0.1]), ValueError, "angles must be finite"),
        (([["a"]], [0.1]), TypeError, "angles must be real numbers"),
    ],
)
def test_what_does_not_fit_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        draw_training(*arguments)
