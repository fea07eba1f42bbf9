"""Make the picture of the demo in the README from what a run of it printed and drew:

quic demo 2>&1 | tee runs/demo.txt    # COLUMNS=100 where the terminal is narrower
python docs/images/make_demo.py
"""  # fmt: skip

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

HERE = Path(__file__).parent
RUNS = HERE.parents[1] / "runs"
FIRST = "Load encoder"  # before it libraries may have logged
BARS = "━╸╺"
LINE, COLUMN = 0.168, 0.0865  # inches: lines of a table meet
SIDE, EDGE = 3.1, 0.25


def main() -> None:
    printed = (RUNS / "demo.txt").read_text("utf-8")
    lines = printed[printed.index(FIRST) :].replace(f"{RUNS.parent}/", "").rstrip().splitlines()
    lines = ["$ quic demo", *(line.rstrip() for line in lines)]
    width = COLUMN * max(map(len, lines)) + 2 * EDGE
    height = LINE * len(lines) + 2 * EDGE
    figure = Figure(figsize=(width + SIDE, height), facecolor="white")
    terminal = figure.add_axes((0, 0, width / (width + SIDE), 1), facecolor="#1e2430", xticks=[], yticks=[])
    terminal.set(xlim=(0, width), ylim=(height, 0))
    terminal.spines[:].set_visible(False)
    for row, line in enumerate(lines):
        y = EDGE + LINE * (row + 0.8)
        is_bar = "/" in line and any(mark in line for mark in BARS)
        bar = "".join(mark if is_bar and mark in BARS else " " for mark in line)
        rest = "".join(" " if is_bar and mark in BARS else mark for mark in line)
        for text, colour in ((rest, "#e6e9ef"), (bar, "#6fbf73")):
            terminal.text(EDGE, y, text, color=colour, family="monospace", size=COLUMN * 72 / 0.602, va="baseline")
    for name, bottom, share in (("circuit", 0.43, 0.56), ("block", 0.02, 0.39)):
        axes = figure.add_axes((width / (width + SIDE) + 0.01, bottom, SIDE / (width + SIDE) - 0.02, share))
        axes.imshow(Image.open(RUNS / "demo" / f"{name}.png"), interpolation="antialiased")
        axes.set_axis_off()
    path = HERE / "demo.png"
    figure.savefig(path, dpi=150)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
