"""What a circuit diagram shows, before it is drawn: gates on the rows of their wires, in moments, in sections."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..layouts import Layout, Pair
from .style import subscript

__all__ = [
    "READ_AS",
    "GateMark",
    "Moment",
    "Scheme",
    "Section",
    "align",
    "angle_words",
    "box_words",
    "check_circuit",
    "describe",
    "layout_scheme",
    "stagger",
]


READ_AS = "read as"  # heading of the outputs


@dataclass(frozen=True)
class GateMark:
    """One gate.

    Args:
        symbol: "rbs" and "fbs" have signs of their own, everything else is a box.
        rows: the wires, as rows of the diagram: (i, j) of an RBS, (i, ..., j) of an FBS with those between.
        controls: the row and the value, 0 or 1, of each control.
        name: what stands in a box.
        angle: in radians, None if there is none to show.
    """

    symbol: Literal["rbs", "fbs", "box"]
    rows: tuple[int, ...]
    controls: tuple[tuple[int, int], ...] = ()
    name: str = ""
    angle: float | None = None

    @property
    def pair(self) -> Pair:
        """The wires i and j of an RBS or FBS."""
        return self.rows[0], self.rows[-1]

    @property
    def span(self) -> Pair:
        """The highest and the lowest row that the gate or a control of it stands on."""
        rows = [*self.rows, *(row for row, _ in self.controls)]
        return min(rows), max(rows)

    @property
    def kind(self) -> str:
        """What titles call it."""
        return "controlled " * bool(self.controls) + (self.name if self.symbol == "box" else self.symbol.upper())


Moment = tuple[GateMark, ...]


@dataclass(frozen=True)
class Section:
    """A part of a circuit that begins when all before it has ended.

    Args:
        role: a "loader" has a shade of its own; "layer" and other "gates" look alike.
        title: what stands above it, perhaps nothing.
        moments: gates that act at once.
    """

    role: Literal["loader", "layer", "gates"]
    title: str
    moments: tuple[Moment, ...]

    @property
    def marks(self) -> tuple[GateMark, ...]:
        """All gates, moment by moment."""
        return tuple(mark for moment in self.moments for mark in moment)


@dataclass(frozen=True)
class Scheme:
    """A circuit to be drawn.

    Args:
        title: what stands above all.
        wires: the label of each row.
        sections: the parts, in order of application.
        words: for each gate the words for its angle, perhaps none; section by section, moment by moment.
        outputs: for each row what it is read as after the last gate, or nothing at all.
    """

    title: str
    wires: tuple[str, ...]
    sections: tuple[Section, ...]
    words: tuple[str, ...]
    outputs: tuple[str, ...] = ()

    @property
    def marks(self) -> tuple[GateMark, ...]:
        """All gates, in the order of `words`."""
        return tuple(mark for section in self.sections for mark in section.marks)

    @property
    def is_titled(self) -> bool:
        """Whether a section has a title."""
        return any(section.title for section in self.sections)


def check_circuit(gate: str, *layouts: Layout) -> None:
    """Refuse a gate that is neither "rbs" nor "fbs", and a layout that is none."""
    if gate not in ("rbs", "fbs"):
        raise ValueError(f'gate must be "rbs" or "fbs", got {gate!r}')
    for layout in layouts:
        if not isinstance(layout, Layout):
            raise TypeError(f"a layout must be a Layout, such as brickwork(4), got {layout!r}")


def layout_scheme(
    layout: Layout, gate: str, angles: NDArray[np.float64] | None, *, named: bool = True, name: str = ""
) -> Scheme:
    """A layout of RBS or FBS gates, its moments as they are.

    Args:
        layout: where the gates stand.
        gate: "rbs" or "fbs".
        angles: in radians, in the order of the layout's pairs, or None.
        named: whether gates without angles are called θ₀, θ₁, ...
        name: what to call the circuit, by default as the layout.
    """
    values = iter([None] * layout.n_gates if angles is None else angles.tolist())
    moments = tuple(tuple(_layout_mark(pair, gate, next(values)) for pair in moment) for moment in layout.moments)
    marks = [mark for moment in moments for mark in moment]
    names = ["θ" + subscript(k) for k in range(layout.n_gates)] if named else [""] * layout.n_gates
    return Scheme(
        describe(name or layout.name, marks, layout.n, default=f"{gate.upper()} gates"),
        tuple(map(str, range(layout.n))),
        (Section("layer", "", moments),),
        tuple(names) if angles is None else angle_words(marks),
    )


def _layout_mark(pair: Pair, gate: str, angle: float | None) -> GateMark:
    if gate == "rbs":
        return GateMark("rbs", pair, angle=angle)
    step = 1 if pair[0] < pair[1] else -1
    return GateMark("fbs", tuple(range(pair[0], pair[1] + step, step)), angle=angle)


def describe(name: str, marks: Sequence[GateMark], n_wires: int, default: str = "gates") -> str:
    """The title of a diagram: what is drawn, how many gates of each kind, and on how many wires.

    >>> describe("brickwork", [GateMark("fbs", (0, 1))], 2)
    'brickwork: 1 FBS gate on 2 wires'
    >>> describe("unary loader", [GateMark("box", (0,), name="X"), GateMark("rbs", (0, 1))], 2)
    'unary loader: 1 X, 1 RBS on 2 wires'
    """
    counts = Counter(mark.kind for mark in marks)
    gates = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    if len(counts) == 1:
        gates += " gates" if len(marks) > 1 else " gate"
    return f"{name}: {gates or f'0 {default}'} on {n_wires} {'wire' if n_wires == 1 else 'wires'}"


def angle_words(marks: Sequence[GateMark]) -> tuple[str, ...]:
    """The angles with two digits, or four where all of them are small; nothing for gates without."""
    largest = max((abs(mark.angle) for mark in marks if mark.angle is not None), default=0)
    digits = 2 if largest >= 0.1 else 4
    return tuple("" if m.angle is None else f"{m.angle:z.{digits}f}".replace("-", "−") for m in marks)


def box_words(mark: GateMark, word: str) -> str:
    """What stands in a box: its name, with its angle if there is a word for it."""
    return f"{mark.name}({word})" if word else mark.name


def align(marks: Iterable[GateMark]) -> tuple[Moment, ...]:
    """The moments that gates fill if each acts as early as the wires and controls of it are free.

    >>> [len(moment) for moment in align([GateMark("rbs", pair) for pair in [(0, 1), (1, 2), (3, 4)]])]
    [2, 1]
    """
    moments: list[list[GateMark]] = []
    busy: defaultdict[int, int] = defaultdict(int)
    for mark in marks:
        rows = [*mark.rows, *(row for row, _ in mark.controls)]
        first = max(busy[row] for row in rows)
        if first == len(moments):
            moments.append([])
        moments[first].append(mark)
        busy.update(dict.fromkeys(rows, first + 1))
    return tuple(map(tuple, moments))


def stagger(spans: Sequence[Pair]) -> list[int]:
    """The sub-column of each gate of a moment, so that gates of one sub-column do not cross each other's wires.

    >>> stagger([(0, 2), (1, 3), (4, 5)])
    [0, 1, 0]
    """
    lowest: list[int] = []  # by sub-column, the last wire already covered
    column = [0] * len(spans)
    for index in sorted(range(len(spans)), key=lambda g: min(spans[g])):
        first, last = sorted(spans[index])
        free = next((c for c, covered in enumerate(lowest) if covered < first), len(lowest))
        lowest[free : free + 1] = [last]
        column[index] = free
    return column
