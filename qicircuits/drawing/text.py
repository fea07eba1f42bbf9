"""Write the scheme of a circuit as text: a line for each wire and each gap, folded where lines would be too long."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from ..subsets import check_integer
from .scheme import READ_AS, GateMark, Moment, Scheme, box_words, stagger

__all__ = ["write_diagram"]

NARROWEST = 40  # characters in a line
CUT = "⋯"
ENDS = {"rbs": "●", "fbs": "◆"}
PARITY = "◇"
CONTROLS = {1: "•", 0: "◦"}
LEGEND = "• is a control on 1, ◦ on 0"


@dataclass(frozen=True)
class _Strip:
    """Neighbouring columns: the section they are of, None between two; the line of the moment's number; the lines."""

    section: int | None
    number: str
    lines: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.number)


def write_diagram(scheme: Scheme, width: int) -> str:
    """The diagram, in lines of at most so many characters.

    An RBS is ● on its two wires with a thick bar between, an FBS ◆ with ◇ on the wires between; controls are • for 1
    and ◦ for 0; other gates are boxes. An arrow tells a pair (i, j) with i > j.

    Args:
        scheme: the circuit.
        width: of a line, at least 40; a gate that is wider is not broken.

    Raises:
        TypeError: the width is not an integer.
        ValueError: the width is less than 40.
    """
    if check_integer(width, "width") < NARROWEST:
        raise ValueError(f"width must be at least {NARROWEST} characters, got {width=}")
    margin = max(map(len, ["moment", *scheme.wires]))
    room = width - margin - 3 - max((len(output) + 1 for output in (*scheme.outputs, READ_AS)), default=0)
    chunks = list(_fold(list(_strips(scheme, room)), room)) or [[_blank(0, 1, len(scheme.wires))]]
    text = [scheme.title]
    for index, chunk in enumerate(chunks):
        text += ["", *_assemble(scheme, chunk, margin, is_first=index == 0, is_last=index == len(chunks) - 1)]
    if any(mark.controls for mark in scheme.marks):
        text += ["", LEGEND]
    return "\n".join(line.rstrip() for line in text)


def _strips(scheme: Scheme, room: int) -> Iterator[_Strip]:
    """A strip for each moment, or where it is too wide for each of its columns, and one between two sections."""
    n = len(scheme.wires)
    words = iter(scheme.words)
    for index, section in enumerate(scheme.sections):
        if index:
            yield _Strip(None, "   ", tuple("─░─" if line % 2 == 0 else " ░ " for line in range(2 * n - 1)))
        strips = []
        for number, moment in enumerate(section.moments):
            columns = list(_columns(moment, [next(words) for _ in moment], str(number), index, n))
            strips += [_join(columns)] if sum(strip.width for strip in columns) <= room else columns
        missing = len(section.title) + 4 - sum(strip.width for strip in strips)
        if section.title and missing > 0:
            strips[-1] = _join([strips[-1], _blank(index, missing, n)])
        yield from strips


def _columns(moment: Moment, words: list[str], number: str, section: int, n: int) -> Iterator[_Strip]:
    column_of = stagger([mark.span for mark in moment])
    for column in range(max(column_of) + 1):
        there = [pair for pair, c in zip(zip(moment, words, strict=True), column_of, strict=True) if c == column]
        boxes = [len(box_words(mark, word)) + 2 for mark, word in there if mark.symbol == "box"]
        beside = [_word_beside(mark, word) for mark, word in there if mark.symbol != "box"]
        anchor = 1 + max((size // 2 for size in boxes), default=0)
        right = max([(size - 1) // 2 for size in boxes] + [len(word) for word in beside] + [1])
        grid = [list(line) for line in _blank(section, anchor + 1 + right, n).lines]
        for mark, word in there:
            _place(grid, mark, word, anchor)
        shown = number if column == 0 else ""
        yield _Strip(section, shown.rjust(anchor + 1).ljust(len(grid[0])), tuple("".join(line) for line in grid))


def _word_beside(mark: GateMark, word: str) -> str:
    arrow = "↑" if mark.pair[0] > mark.pair[1] else ""
    return f" {arrow}{word}" if arrow or word else ""


def _place(grid: list[list[str]], mark: GateMark, word: str, anchor: int) -> None:
    """Write one gate into the lines of its column; wire i is line 2 i."""
    first, last = mark.span
    for line in range(2 * first, 2 * last + 1):
        grid[line][anchor] = "│" if line % 2 else "┼"
    if mark.symbol == "box":
        _place_box(grid, mark, box_words(mark, word), anchor)
    else:
        low, high = min(mark.rows), max(mark.rows)
        for line in range(2 * low, 2 * high + 1):
            grid[line][anchor] = "┃" if line % 2 else "╂"
        for row in mark.rows:
            grid[2 * row][anchor] = ENDS[mark.symbol] if row in mark.pair else PARITY
        beside = _word_beside(mark, word)
        grid[2 * low + 1][anchor + 1 : anchor + 1 + len(beside)] = beside
    for row, value in mark.controls:
        grid[2 * row][anchor] = CONTROLS[value]


def _place_box(grid: list[list[str]], mark: GateMark, words: str, anchor: int) -> None:
    low, high = min(mark.rows), max(mark.rows)
    start = anchor - (len(words) + 2) // 2
    for line in range(2 * low, 2 * high + 1):
        inside = words if line == 2 * low else " " * len(words)
        left, right = ("│", "│") if line % 2 else ("┤", "├")
        if line % 2 == 0 and line // 2 not in mark.rows:  # the wire passes, and is not acted on
            left, inside, right = "┼", "─" * len(words), "┼"
        grid[line][start : start + len(words) + 2] = f"{left}{inside}{right}"


def _blank(section: int, width: int, n: int) -> _Strip:
    return _Strip(section, " " * width, tuple(" ─"[line % 2 == 0] * width for line in range(2 * n - 1)))


def _join(strips: list[_Strip]) -> _Strip:
    lines = tuple("".join(parts) for parts in zip(*(strip.lines for strip in strips), strict=True))
    return _Strip(strips[0].section, "".join(strip.number for strip in strips), lines)


def _fold(strips: list[_Strip], room: int) -> Iterator[list[_Strip]]:
    """As many strips as there is room for, then the next; nothing parts sections at the end or start of a line."""
    chunk: list[_Strip] = []
    for strip in strips:
        if chunk and sum(s.width for s in chunk) + strip.width > room:
            yield chunk[: -1 if chunk[-1].section is None else None]
            chunk = []
        if chunk or strip.section is not None:
            chunk.append(strip)
    if chunk:
        yield chunk


def _assemble(scheme: Scheme, chunk: list[_Strip], margin: int, *, is_first: bool, is_last: bool) -> Iterator[str]:
    """The lines of a chunk with headings, labels on the left and, at the end, what the wires are read as."""
    blank = " " * (margin + 2)
    if scheme.is_titled:
        groups = [(s, list(strips)) for s, strips in itertools.groupby(chunk, key=lambda strip: strip.section)]
        yield blank + "".join(_heading(scheme, s, sum(strip.width for strip in strips)) for s, strips in groups)
    number = "".join(strip.number for strip in chunk)
    yield f"{'moment' * bool(number.strip()):>{margin}}  {number}" + f"  {READ_AS}" * (
        is_last and bool(scheme.outputs)
    )
    for line, cells in enumerate(zip(*(strip.lines for strip in chunk), strict=True)):
        yield _line(scheme, line, "".join(cells), margin, is_first=is_first, is_last=is_last)


def _heading(scheme: Scheme, section: int | None, width: int) -> str:
    """The title of a section over its columns; what does not fit is cut off."""
    title = "" if section is None else scheme.sections[section].title
    if not title:
        return " " * width
    return f"╭{f' {title} '[: width - 2]:─<{width - 2}}╮"


def _line(scheme: Scheme, line: int, cells: str, margin: int, *, is_first: bool, is_last: bool) -> str:
    if line % 2:
        return f"{'':{margin}}  {cells}"
    output = f" {scheme.outputs[line // 2]}" if is_last and scheme.outputs else ""
    start, end = ("─" if is_first else CUT), ("─" if is_last else CUT)
    return f"{scheme.wires[line // 2]:>{margin}} {start}{cells}{end}{output}"
