"""Text diagrams: the same gates on the same wires as in the scheme, in lines that fit, and read back from them."""

import re
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qicircuits import Layout, brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape
from qicircuits.circuits import ControlledRBS, orthogonal_layer, subspace_loader
from qicircuits.drawing import draw_circuit

LAYOUTS = [pyramid(5), brickwork(5), x_shape(6), v_shape(4), staircase(3), butterfly(8), round_robin(7)]


def grids(text, n):
    """The diagram's lines of wires and gaps, chunk by chunk, each padded to a rectangle."""
    lines = text.splitlines()
    chunks = [lines[i : i + 2 * n - 1] for i, line in enumerate(lines) if re.match(r" +0 [─⋯]", line)]
    return [[line.ljust(max(map(len, chunk))) for line in chunk] for chunk in chunks]


def bars(text, n, ends="●"):
    """Every bar from end to end, found by walking down the columns of the text: (wires, word beside it)."""
    gates = []
    for grid in grids(text, n):
        for x in range(len(grid[0])):
            column = [line[x] for line in grid]
            start = None
            for row, character in enumerate(column):
                if character == ends and start is None:
                    start = row
                elif character == ends:
                    word = re.match(r" ?([^ │┃]*)", grid[start + 1][x + 1 :]).group(1)
                    gates.append(((start // 2, row // 2), word))
                    start = None
    return gates


@pytest.mark.parametrize("width", [40, 64, 100])
@pytest.mark.parametrize(("gate", "ends"), [("rbs", "●"), ("fbs", "◆")])
@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_the_gates_can_be_read_back(layout, gate, ends, width):
    angles = np.arange(layout.n_gates) / 10 + 0.1
    text = draw_circuit(layout, angles, gate=gate, output="text", width=width)
    assert max(map(len, text.splitlines()[1:])) <= width
    expected = {(tuple(sorted(pair)), f"{angle:.2f}") for pair, angle in zip(layout.pairs, angles, strict=True)}
    found = bars(text, layout.n, ends)
    assert len(found) == layout.n_gates
    assert set(found) == expected


def test_moments_stand_in_one_column():
    text = draw_circuit(brickwork(5), output="text")
    (grid,) = grids(text, 5)
    columns = [{x for x, character in enumerate(grid[2 * wire]) if character == "●"} for wire in range(5)]
    numbers = [line for line in text.splitlines() if line.startswith("moment")]
    places = [match.start() for match in re.finditer(r"\d", numbers[0])]
    assert set.union(*columns) == set(places)
    assert columns[0] == set(places[::2])
    assert columns[4] == set(places[1::2])


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_layout_can_be_read_back(data):
    n = data.draw(st.integers(2, 7))
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    moments = tuple((pair,) for pair in data.draw(st.lists(st.sampled_from(pairs), max_size=12)))
    text = draw_circuit(Layout(n, moments), angles=False, output="text", width=40)
    assert [wires for wires, _ in bars(text, n)] == [tuple(sorted(pair)) for (pair,) in moments]
    assert text.count("↑") == sum(i > j for ((i, j),) in moments)


def test_folding_repeats_the_labels_and_marks_the_cut():
    text = draw_circuit(pyramid(9), angles=False, output="text", width=40)
    chunks = grids(text, 9)
    assert len(chunks) > 1
    numbers = re.findall(r"^moment(.*)$", text, flags=re.MULTILINE)
    assert " ".join(numbers).split() == [str(m) for m in range(pyramid(9).depth)]
    for index, chunk in enumerate(chunks):
        assert [line.split()[0] for line in chunk[::2]] == [str(wire) for wire in range(9)]
        assert all((" ⋯" in line) == (index > 0) for line in chunk[::2])
        assert all(line.endswith("⋯") == (index < len(chunks) - 1) for line in chunk[::2])


def test_sections_are_named_and_parted_and_controls_explained():
    layout, x = brickwork(5), np.arange(1, 11.0)
    circuit = [subspace_loader(x, 2, range(5)), orthogonal_layer(np.zeros(10), layout)]
    text = draw_circuit(circuit, output="text", width=200)
    assert re.search(r"╭ subspace loader ─+╮ +╭ layer ─+╮", text)
    assert [line.count("░") for line in grids(text, 5)[0]] == [1] * 9
    assert sum(line.count("•") for line in grids(text, 5)[0]) == 2
    assert text.endswith("• is a control on 1, ◦ on 0")
    assert "control" not in draw_circuit(circuit[1], output="text")
    folded = draw_circuit(circuit, output="text", width=40)
    assert max(map(len, folded.splitlines()[1:])) <= 40
    assert not re.search(r"(░[─⋯ ]*$)|(^ *\S* [─⋯]*─?░)", folded, flags=re.MULTILINE)


def test_values_of_controls_and_wires_that_pass():
    text = draw_circuit([ControlledRBS(0.3, [0, 2, 1, 3], [0, 1]), qml.SWAP([0, 2])], output="text")
    (grid,) = grids(text, 4)
    column = next(x for x, character in enumerate(grid[0]) if character == "◦")
    assert [line[column] for line in grid] == ["◦", "│", "●", "┃", "•", "┃", "●"]
    assert "┤SWAP├" in grid[0]
    assert "┼────┼" in grid[2]
    assert "┤    ├" in grid[4]


def test_small_and_empty_circuits():
    assert draw_circuit(Layout(1, ()), output="text") == "custom: 0 RBS gates on 1 wire\n\n\n     0 ───"
    assert draw_circuit(Layout(2, ()), output="text").splitlines()[3:] == ["     0 ───", "", "     1 ───"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"output": "text", "width": 39}, ValueError, "at least 40 characters, got width=39"),
        ({"output": "text", "width": "all"}, TypeError, "width must be an integer"),
        ({"width": 80}, ValueError, 'width in characters is for output="text", got width=80'),
        ({"output": "text", "ax": object()}, ValueError, "axes hold a picture"),
    ],
)
def test_options_of_one_output_are_refused_by_the_other(options, error, message):
    with pytest.raises(error, match=message):
        draw_circuit(brickwork(3), **options)


def test_the_page_shows_what_is_printed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "how-to" / "draw_circuits.md"
    code, _, rest = page.read_text("utf-8").partition("```text\n")
    blocks = re.findall(r"^```python\n(.*?)^```$", code, flags=re.MULTILINE | re.DOTALL)
    exec(compile("\n".join(blocks), str(page), "exec"), {})
    assert capsys.readouterr().out == rest.partition("```")[0]
