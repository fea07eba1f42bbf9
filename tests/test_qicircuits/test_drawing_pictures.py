"""The pictures themselves: every format, no pyplot, any style, and shapes compared with committed baselines.

To renew the baselines after a wanted change: QICIRCUITS_RENEW_BASELINES=1 pytest <this file>, then look at them.
"""

import io
import itertools
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pennylane as qml
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.style import context
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

from qicircuits import brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape
from qicircuits.circuits import FBS, ControlledRBS, orthogonal_layer, subspace_loader, unary_loader
from qicircuits.drawing import draw_adapter, draw_circuit, draw_compound, draw_layout, draw_resources, draw_training
from qicircuits.drawing.style import ACCENT, BAND, COLOURS, FAINT, INK, LOADER, LOADER_BANDS, PAPER, ink_on
from qicircuits.resources import estimate

SVG = "{http://www.w3.org/2000/svg}"
BASELINES = Path(__file__).parent / "baselines"
MATRIX = np.linalg.qr(np.arange(16.0).reshape(4, 4) ** 0.5)[0]
LAYOUTS = [brickwork(4), pyramid(4), x_shape(4), v_shape(4), staircase(4), butterfly(4), round_robin(5)]


def loaded_layer():
    """A loader with controls, a layer and an inverse, as operations."""
    x, layout = np.arange(1, 7.0), brickwork(4)
    loader, layer = subspace_loader(x, 2, range(4)), orthogonal_layer(np.linspace(-1, 1, 6), layout)
    return [loader, layer, qml.adjoint(unary_loader)(x[:4], range(4), "tree")]


def boxes():
    zero_control = ControlledRBS(0.4, [0, 3, 1, 2], [0, 1])
    return [qml.X(0), zero_control, qml.ctrl(qml.RY(0.5, 1), 3), qml.SWAP([0, 2]), FBS(0.3, range(4))]


def swap_network():
    angles = np.linspace(1, 2, 6)
    return SimpleNamespace(module="query", block=0, layout=brickwork(4), angles=angles, is_swap_network=True)


def training(layers):
    """A made-up training: angles that grow as 1 - exp(-t)."""
    steps = np.arange(0, 101, 10)
    grown = 1 - np.exp(-steps / 40)
    angles = {f"layer_{i}": np.outer(grown, [0.1 * (i + 1), 0.05, -0.2 * (i + 1)]) for i in range(layers)}
    return draw_training(angles, {name: np.linalg.norm(a, axis=1) for name, a in angles.items()}, steps)


def on_dark(draw):
    """A drawing on axes of a dark figure, as in a notebook."""
    ax = Figure(figsize=(6, 4), dpi=100, facecolor="#111111").add_axes((0.2, 0.2, 0.6, 0.65))
    draw(ax)
    return ax


PICTURES = {
    "drawing_circuit_rbs": lambda: draw_circuit(brickwork(4), np.linspace(-1, 1, 6)),
    "drawing_circuit_fbs": lambda: draw_circuit(round_robin(11), np.linspace(-1, 1, 55), gate="fbs"),
    "drawing_circuit_loaders": lambda: draw_circuit(loaded_layer()),
    "drawing_circuit_boxes": lambda: draw_circuit(boxes()),
    "drawing_circuit_swap_network": lambda: draw_circuit(swap_network()),
    "drawing_circuit_dark": lambda: on_dark(lambda ax: draw_circuit(pyramid(4), ax=ax)),
    "drawing_layouts": lambda: draw_layout(*LAYOUTS),
    "drawing_layouts_fbs": lambda: draw_layout(butterfly(8), pyramid(5), gate="fbs"),
    "drawing_adapter": lambda: draw_adapter(features=100, orders=(1, 2), n_blocks=3, n=7),
    "drawing_adapter_whole": lambda: draw_adapter(features=30, orders=(1, 2, 3), n=5),
    "drawing_compound": lambda: draw_compound(MATRIX, 2),
    "drawing_compound_sectors": lambda: draw_compound(MATRIX, (1, 2, 3)),
    "drawing_compound_dark": lambda: on_dark(lambda ax: draw_compound(MATRIX, 2, ax=ax)),
    "drawing_training": lambda: training(2),
    "drawing_training_many": lambda: training(7),
    "drawing_resources": lambda: draw_resources(estimate(brickwork(8))),
    "drawing_resources_dark": lambda: on_dark(lambda ax: draw_resources(estimate(brickwork(8)), ax=ax)),
}
WORDS = {  # one of the words of each picture
    "drawing_circuit_rbs": "−0.60",
    "drawing_circuit_fbs": "angle θ (radians)",
    "drawing_circuit_loaders": "unary loader, inverse",
    "drawing_circuit_boxes": "RY(0.50)",
    "drawing_circuit_swap_network": "read as",
    "drawing_circuit_dark": "pyramid: 6 RBS gates on 4 wires",
    "drawing_layouts": "round_robin: 10 RBS gates on 5 wires",
    "drawing_layouts_fbs": "butterfly: 12 FBS gates on 8 wires",
    "drawing_adapter": "R = ⊕ᵢ [ C₁(Aᵢ) ⊕ C₂(Aᵢ) ⊕ I₅ ] ⊕ I₁",
    "drawing_adapter_whole": "trained: 10 numbers",
    "drawing_compound": "J, subset of wires",
    "drawing_compound_sectors": "k = 2",
    "drawing_compound_dark": "C₂(A), n = 4: 6 × 6",
    "drawing_training": "layer_1",
    "drawing_training_many": "largest angle (radians)",
    "drawing_resources": "order k, on 8 wires",
    "drawing_resources_dark": "order k, on 8 wires",
}


def figure_of(drawn: Axes | Figure) -> Figure:
    return drawn.figure if isinstance(drawn, Axes) else drawn


def pixels(drawn: Axes | Figure) -> np.ndarray:
    """(rows, columns, red green blue alpha) in 0..1 of the file that is written."""
    file = io.BytesIO()
    figure_of(drawn).savefig(file, format="png", dpi=50)
    return imread(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("name", PICTURES)
def test_shapes_are_those_of_the_baseline(name, tmp_path):
    """Words are left out: their pixels depend on matplotlib's version, the shapes' hardly do."""
    figure = figure_of(PICTURES[name]())
    for text in figure.findobj(Text):
        text.set_visible(False)
    drawn, baseline = tmp_path / f"{name}.png", BASELINES / f"{name}.png"
    figure.savefig(drawn, dpi=50)
    if os.environ.get("QICIRCUITS_RENEW_BASELINES"):
        baseline.write_bytes(drawn.read_bytes())
    assert compare_images(str(baseline), str(drawn), tol=2.0) is None


@pytest.mark.parametrize("name", PICTURES)
def test_svg_is_xml_with_the_words(name, tmp_path):
    figure, path = figure_of(PICTURES[name]()), tmp_path / "drawing.svg"
    figure.savefig(path)  # words as outlines, the same everywhere
    outlined = ElementTree.parse(path).getroot()
    assert outlined.tag == f"{SVG}svg"
    points = [float(outlined.get(side).removesuffix("pt")) for side in ("width", "height")]
    np.testing.assert_allclose(points, figure.get_size_inches() * 72, atol=0.01)
    assert not outlined.findall(f".//{SVG}text")
    assert len(outlined.findall(f".//{SVG}path")) > 10
    with rc_context({"svg.fonttype": "none"}):  # words as words
        figure.savefig(path)
    words = ["".join(text.itertext()).strip() for text in ElementTree.parse(path).getroot().iter(f"{SVG}text")]
    assert WORDS[name] in words


@pytest.mark.parametrize("name", PICTURES)
def test_pdf_and_png_are_whole_and_as_large_as_the_figure(name, tmp_path):
    figure = figure_of(PICTURES[name]())
    inches = figure.get_size_inches()
    figure.savefig(tmp_path / "drawing.pdf")
    pdf = (tmp_path / "drawing.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-1.")
    assert pdf.rstrip().endswith(b"%%EOF")
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    np.testing.assert_allclose([float(side) for side in box.groups()], inches * 72, atol=0.01)
    assert b"DejaVuSans" in pdf  # the font travels with it
    figure.savefig(tmp_path / "drawing.png", dpi=80)
    png = (tmp_path / "drawing.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    np.testing.assert_allclose(struct.unpack(">II", png[16:24]), inches * 80, atol=1)


@pytest.mark.parametrize("name", PICTURES)
def test_pages_are_opaque_and_the_users_style_changes_nothing(name):
    """On a dark page a drawing stays what it is."""
    plain = pixels(PICTURES[name]())
    assert (plain[..., 3] == 1).all()
    np.testing.assert_allclose(plain[0, 0, :3], 17 / 255 if name.endswith("dark") else 1)
    with context(["ggplot", "dark_background", {"savefig.transparent": not name.endswith("dark")}]):
        assert np.array_equal(pixels(PICTURES[name]()), plain)


@pytest.mark.parametrize("name", PICTURES)
def test_notebooks_show_drawings_but_not_axes_that_they_were_given(name):
    drawn = PICTURES[name]()
    if name.endswith("dark"):
        assert not hasattr(drawn, "_repr_png_")
        return
    png, size = drawn._repr_png_()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    inches = figure_of(drawn).get_size_inches()
    np.testing.assert_allclose((size["width"], size["height"]), inches * 96, atol=1)
    np.testing.assert_allclose(struct.unpack(">II", png[16:24]), inches * 150, atol=1)


def test_marks_that_mean_different_things_differ_in_grey():
    """At least a tenth of the way from black to white, so that they stay apart in print."""

    def grey(colour):
        return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))

    apart = [(LOADER, accent) for accent in ACCENT.values()] + [tuple(ACCENT.values())]
    apart += [(LOADER, LOADER_BANDS[0]), (FAINT, BAND), (FAINT, LOADER_BANDS[0]), (INK, FAINT)]
    apart += list(itertools.pairwise(COLOURS)) + [(colour, PAPER) for colour in COLOURS]
    assert min(abs(grey(one) - grey(two)) for one, two in apart) > 0.1
    for ground in (PAPER, BAND, *LOADER_BANDS):
        assert contrast(INK, ground) > 7
    assert contrast(FAINT, PAPER) > 4.5
    assert all(contrast(ink_on(colour), colour) > 4.4 for colour in (LOADER, *COLOURS))


def contrast(one, two):
    """The ratio of relative luminances, by WCAG 2."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_pyplot_is_never_imported():
    program = """
import sys
from qicircuits import brickwork
from qicircuits.drawing import draw_adapter, draw_circuit, draw_compound, draw_layout, draw_training
draw_circuit(brickwork(3)), draw_layout(brickwork(3), brickwork(4)), draw_training([[0.1]], [0.1])
draw_adapter(features=10, orders=(1, 2), n=4), draw_compound([[1.0]], 1)
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
