"""The page the drawings share: figures without pyplot, opaque white axes, one ink, one font, one colour scale."""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

__all__ = [
    "ACCENT",
    "BAND",
    "COLOURS",
    "DIVERGING",
    "FAINT",
    "INK",
    "LOADER",
    "LOADER_BANDS",
    "PAPER",
    "colour_bar",
    "ink_around",
    "ink_on",
    "page",
    "sheet",
    "sheet_axes",
    "subscript",
    "write",
]

INK = "#1b1f24"
FAINT = "#69717c"
BAND = "#f0f3f7"
PAPER = "#ffffff"
COLOURS = ("#123f73", "#c2570c", "#52ad97", "#dba6d0")  # from dark to light, so apart in grey as well
ACCENT = {"rbs": "#1b5e9e", "fbs": "#c2570c"}  # apart in hue and in grey, for every common colour blindness
LOADER = "#9fd3b4"  # as light as the layers' gates are dark: apart in print too
LOADER_BANDS = ("#dff0e5", "#eff8f2")
DIVERGING = "RdBu_r"  # safe for red-green colour blindness; for grey, add the sign
FONT = "DejaVu Sans"  # comes with matplotlib, so a drawing is the same everywhere
DPI = 150
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Sheet(Figure):
    """A white figure that notebooks show, though pyplot does not know it and it never has to be closed."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib's, but the page is as it was drawn even where the user's style has another."""
        super().savefig(fname, **{"facecolor": self.get_facecolor(), "transparent": False} | options)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture, and its size on a screen of 96 points an inch."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        width, height = (round(96 * side) for side in self.get_size_inches())
        return file.getvalue(), {"width": width, "height": height}


class SheetAxes(Axes):
    """Axes that notebooks show as the whole of their sheet."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        return self.figure._repr_png_() if isinstance(self.figure, Sheet) else None


def sheet(width: float, height: float) -> Sheet:
    """An empty white figure, in inches."""
    return Sheet(figsize=(width, height), dpi=DPI, facecolor=PAPER)


def sheet_axes(width: float, height: float, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> Axes:
    """The axes of a sheet of their own, in inches; `box` is (left, bottom, width, height) in parts of it."""
    return sheet(width, height).add_axes(box, axes_class=SheetAxes)


def page(ax: Axes | None, width: float, height: float, unit: float) -> tuple[Axes, float]:
    """Axes of width × height drawing units with equal scales, y downwards, and the points that one unit takes.

    Without `ax` the page gets its own figure, `unit` inches a unit; a given `ax` is fitted into. Everything is
    drawn inside the white page, so it stays readable on a dark figure.
    """
    if ax is None:
        ax = sheet_axes(width * unit, height * unit)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", facecolor=PAPER, xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    extent = ax.get_window_extent()
    pixels = min(extent.width / width, extent.height / height)
    return ax, 72 * pixels / ax.figure.dpi


def write(ax: Axes, x: float, y: float, words: str, size: float, colour: str = INK, **options: Any) -> Text:
    """Text at (x, y) in data units, centred unless told otherwise, in the drawings' font; `size` in points."""
    place: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 5} | options
    return ax.text(x, y, words, fontsize=size, color=colour, fontfamily=FONT, **place)


def subscript(number: int) -> str:
    """The number in lowered figures.

    >>> "θ" + subscript(12)
    'θ₁₂'
    """
    return str(number).translate(SUBSCRIPTS)


def ink_around(ax: Axes) -> str:
    """The ink for words outside the page, which stand on the figure's own background: dark or light."""
    return ink_on(ax.figure.get_facecolor())


def ink_on(colour: Any) -> str:
    """The ink, dark or light, for words on a colour."""
    red, green, blue = to_rgb(colour)
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else PAPER


def colour_bar(cax: Axes, limit: float, ticks: dict[float, str], label: str, size: float, ink: str = INK) -> None:
    """Fill `cax` with the scale of `DIVERGING` from -limit to limit; `ticks` maps values to their words."""
    bar = cax.figure.colorbar(ScalarMappable(Normalize(-limit, limit), DIVERGING), cax=cax)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.ax.tick_params(labelsize=size, labelcolor=ink, color=ink, width=0.6, labelfontfamily=FONT)
    bar.set_label(label, fontsize=size, color=ink, fontfamily=FONT)
    bar.outline.set(linewidth=0.6, edgecolor=ink)
