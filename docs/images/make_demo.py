"""Make the picture of the demo in the README: what a run of it printed, and a circuit that it drew.

Run `quic demo`, then `python docs/images/make_demo.py` (or with the folder of another run behind it).
"""

import io
import json
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from adapters.evaluation.checks import Checks
from adapters.evaluation.methods import Outcome
from adapters.evaluation.report import DemoReport, print_report

HERE = Path(__file__).parent
LINE, COLUMN = 0.168, 0.0865  # inches: lines of a table meet
EDGE = 0.25


def printed(folder: Path) -> list[str]:
    """What the run printed, with paths as seen from where it was started."""
    document = json.loads((folder / "summary.json").read_text("utf-8"))
    files = {name: Path(path) for name, path in document["files"].items()}
    outcomes = tuple(Outcome(**outcome) for outcome in document["outcomes"])
    report = DemoReport(**{**document, "outcomes": outcomes, "checks": Checks(**document["checks"]), "files": files})
    text = io.StringIO()
    print_report(report, Console(file=text, width=100))
    start = files["summary"].parents[2]  # of runs/demo/summary.json
    return text.getvalue().replace(f"{start}/", "").splitlines()


def main(folder: Path) -> None:
    lines = ["$ quic demo", "", *(line.rstrip() for line in printed(folder))]
    width = COLUMN * max(map(len, lines)) + 2 * EDGE
    height = LINE * len(lines) + 2 * EDGE
    figure = Figure(figsize=(width + height, height), facecolor="white")
    terminal = figure.add_axes((0, 0, width / (width + height), 1), facecolor="#1e2430", xticks=[], yticks=[])
    terminal.set(xlim=(0, width), ylim=(height, 0))
    terminal.spines[:].set_visible(False)
    style = {"color": "#e6e9ef", "family": "monospace", "size": COLUMN * 72 / 0.602}
    for row, line in enumerate(lines):
        terminal.text(EDGE, EDGE + LINE * (row + 0.8), line, **style)
    circuit = figure.add_axes((width / (width + height), 0, height / (width + height), 1))
    circuit.imshow(Image.open(folder / "circuit.png"), interpolation="antialiased")
    circuit.set_axis_off()
    path = HERE / "demo.png"
    figure.savefig(path, dpi=150)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["runs/demo"]))
