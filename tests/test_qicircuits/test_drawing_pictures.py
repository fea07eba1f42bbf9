"""The pictures themselves: every format, no pyplot, any style, and shapes compared with committed baselines.

To renew the baselines after a wanted change: QICIRCUITS_RENEW_BASELINES=1 pytest <this file>, then look at them.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

from qicircuits import brickwork, butterfly, pyramid, round_robin
from qicircuits.drawing import draw_adapter, draw_circuit, draw_compound, draw_layout

BASELINES = Path(__file__).parent / "baselines"
PICTURES = {
    "drawing_circuit_rbs": lambda: draw_circuit(brickwork(4), np.linspace(-1, 1, 6)),
    "drawing_circuit_fbs": lambda: draw_circuit(round_robin(11), np.linspace(-1, 1, 55), gate="fbs"),
    "drawing_layouts": lambda: draw_layout(butterfly(8), pyramid(5), gate="fbs"),
    "drawing_adapter": lambda: draw_adapter(features=100, orders=(1, 2), n_blocks=3, n=7),
    "drawing_compound": lambda: draw_compound(np.linalg.qr(np.arange(16.0).reshape(4, 4) ** 0.5)[0], 2),
}


def figure_of(drawn: Axes | Figure) -> Figure:
    return drawn.figure if isinstance(drawn, Axes) else drawn


def pixels(drawn: Axes | Figure) -> np.ndarray:
    figure = figure_of(drawn)
    figure.set_dpi(50)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


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
    assert compare_images(str(baseline), str(drawn), tol=3.0) is None


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_every_format_is_written(name, suffix, magic, tmp_path):
    path = tmp_path / f"drawing.{suffix}"
    figure_of(PICTURES[name]()).savefig(path)
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("style", ["dark_background", "ggplot", "seaborn-v0_8-whitegrid"])
def test_the_users_style_changes_nothing(name, style):
    plain = pixels(PICTURES[name]())
    with context(style):
        assert np.array_equal(pixels(PICTURES[name]()), plain)
    assert plain[0, 0].tolist() == [255, 255, 255, 255]  # opaque, so that it reads on a dark page


def test_pyplot_is_never_imported():
    program = """
import sys
from qicircuits import brickwork
from qicircuits.drawing import draw_adapter, draw_circuit, draw_compound, draw_layout
draw_circuit(brickwork(3)), draw_layout(brickwork(3), brickwork(4))
draw_adapter(features=10, orders=(1, 2), n=4), draw_compound([[1.0]], 1)
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
