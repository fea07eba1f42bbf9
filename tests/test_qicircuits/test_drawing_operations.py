"""Diagrams of operations: loaders, layers, tapes, controls and boxes, each gate where it acts and in its moment."""

import math
from types import SimpleNamespace

import numpy as np
import pennylane as qml
import pytest
import torch

from qicircuits import brickwork, butterfly, pyramid, round_robin, staircase, v_shape, x_shape
from qicircuits.circuits import (
    FBS,
    RBS,
    ControlledRBS,
    clifford_loader,
    direct_sum_loader,
    orthogonal_layer,
    slater_loader,
    subspace_loader,
    unary_loader,
)
from qicircuits.drawing import draw_circuit
from qicircuits.drawing.operations import operations_scheme
from qicircuits.drawing.reading import read_circuit
from qicircuits.drawing.scheme import layout_scheme

LOADERS = {
    "unary": lambda: unary_loader(np.arange(1, 6.0), range(5)),
    "semi-diagonal": lambda: unary_loader(np.arange(1, 6.0), range(5), "semi_diagonal"),
    "tree": lambda: unary_loader(np.arange(1, 8.0), range(7), "tree"),
    "subspace": lambda: subspace_loader(np.arange(1, 21.0), 3, range(6)),
    "up to 2": lambda: direct_sum_loader(np.arange(1, 16.0), (1, 2), range(5)),
    "gap": lambda: direct_sum_loader(np.arange(1, 9.0), (3, 1), range(4)),
    "slater": lambda: slater_loader(np.linalg.qr(np.arange(10.0).reshape(5, 2) ** 0.5)[0], range(5)),
    "clifford": lambda: clifford_loader(np.arange(1, 6.0), range(5)),
    "one state": lambda: subspace_loader([-2.0], 3, range(3)),
    "one wire": lambda: unary_loader([-1.0], range(1)),
}


def acted_on(scheme):
    """For each row the gates on it, in order: their symbol, rows, controls, name and angle."""
    return [
        [mark for mark in scheme.marks if row in (*mark.rows, *(r for r, _ in mark.controls))]
        for row in range(len(scheme.wires))
    ]


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("inverse", [False, True])
def test_a_loader_shows_the_gates_of_its_plan_in_as_many_moments(name, inverse):
    loader = LOADERS[name]()
    scheme = operations_scheme(qml.adjoint(loader) if inverse else loader)
    (section,) = scheme.sections
    assert section.role == "loader"
    assert len(section.moments) == loader.plan.depth
    assert scheme.title.startswith(f"{loader.plan.name} loader" + ", inverse" * inverse)
    expected = [
        (set(slot.wires), tuple(zip(slot.controls, slot.values, strict=True)))
        for slot in (loader.plan.slots[::-1] if inverse else loader.plan.slots)
    ]
    for row, marks in enumerate(acted_on(scheme)):
        here = [gate for gate in expected if row in gate[0] or row in dict(gate[1])]
        assert [(set(mark.rows), mark.controls) for mark in marks] == here
    angles = sorted(abs(mark.angle) for mark in scheme.marks if mark.symbol == "rbs")
    given = [loader.data[0][slot.angle] for slot in loader.plan.slots if slot.gate == "RBS"]
    np.testing.assert_allclose(angles, sorted(map(abs, given)))


@pytest.mark.parametrize("gate", ["rbs", "fbs"])
@pytest.mark.parametrize(
    "layout", [brickwork(5), pyramid(5), x_shape(6), v_shape(4), staircase(4), round_robin(6)], ids=repr
)
def test_a_queued_layer_is_drawn_as_its_layout(layout, gate):
    angles = np.linspace(-1, 1, layout.n_gates)
    queued = operations_scheme(orthogonal_layer(angles, layout, gate=gate))
    placed = layout_scheme(layout, gate, angles)
    assert acted_on(queued) == acted_on(placed)
    if gate == "rbs":  # FBS gates that overlap are not queued as one moment
        assert [set(m) for m in queued.sections[0].moments] == [set(m) for m in placed.sections[0].moments]


def test_loaders_and_layers_are_sections_of_a_list_and_of_a_tape():
    layout = brickwork(5)
    angles, x = np.linspace(-1, 1, layout.n_gates), np.arange(1, 11.0)

    def circuit():
        loader, layer = subspace_loader(x, 2, range(5)), orthogonal_layer(angles, layout)
        return [loader, layer, qml.adjoint(subspace_loader)(x, 2, range(5))]

    listed = operations_scheme(circuit())
    assert [(section.role, section.title) for section in listed.sections] == [
        ("loader", "subspace loader"),
        ("layer", "layer"),
        ("loader", "subspace loader, inverse"),
    ]
    assert [len(section.moments) for section in listed.sections] == [9, 5, 9]
    tape = qml.tape.make_qscript(lambda: circuit() and qml.state())()
    assert operations_scheme(tape) == listed
    assert operations_scheme([tape]) == listed
    angles_back = [mark.angle for mark in listed.sections[2].marks if mark.symbol == "rbs"]
    assert sorted(angles_back) == sorted(-m.angle for m in listed.sections[0].marks if m.symbol == "rbs")


def test_every_list_inside_is_a_section_of_its_own():
    layers = [orthogonal_layer([0.1], staircase(2)), [qml.X(0), RBS(0.2, [0, 1])]]
    sections = operations_scheme(layers).sections
    assert [(section.role, section.title) for section in sections] == [("layer", "layer"), ("gates", "gates")]


@pytest.mark.parametrize(
    ("operation", "rows", "controls", "name", "angle"),
    [
        (qml.X("b"), (1,), (), "X", None),
        (qml.adjoint(qml.X("b")), (1,), (), "X", None),
        (qml.adjoint(qml.S("b")), (1,), (), "S†", None),
        (qml.CNOT(["a", "b"]), (1,), ((0, 1),), "X", None),
        (qml.ctrl(qml.X("c"), ["a", "b"], [0, 1]), (2,), ((0, 0), (1, 1)), "X", None),
        (qml.CZ(["c", "a"]), (0,), ((2, 1),), "Z", None),
        (qml.ctrl(qml.RY(0.3, "c"), ["b"], [0]), (2,), ((1, 0),), "RY", 0.3),
        (qml.SWAP(["a", "c"]), (0, 2), (), "SWAP", None),
        (qml.GlobalPhase(0.5), (0, 1, 2), (), "phase", 0.5),
        (qml.Rot(0.1, 0.2, 0.3, "a"), (0,), (), "Rot", None),
        (RBS(0.3, ["c", "a"]), (2, 0), (), "", 0.3),
        (qml.adjoint(RBS(0.3, ["a", "c"])), (0, 2), (), "", -0.3),
        (FBS(0.3, ["a", "c", "b"]), (0, 2, 1), (), "", 0.3),
        (ControlledRBS(0.3, ["c", "a", "b"], [0]), (0, 1), ((2, 0),), "", 0.3),
        (qml.adjoint(ControlledRBS(0.3, ["c", "a", "b"])), (0, 1), ((2, 1),), "", -0.3),
        (qml.ctrl(RBS(0.3, ["a", "b"]), "c"), (0, 1), ((2, 1),), "", 0.3),
        (qml.ctrl(qml.adjoint(RBS(0.3, ["a", "b"])), "c"), (0, 1), ((2, 1),), "", -0.3),
        (qml.adjoint(qml.ctrl(RBS(0.3, ["a", "b"]), "c")), (0, 1), ((2, 1),), "", -0.3),
        (RBS(torch.tensor(0.3, dtype=torch.float64, requires_grad=True), ["a", "b"]), (0, 1), (), "", 0.3),
    ],
    ids=str,
)
def test_gates_by_name(operation, rows, controls, name, angle):
    *_, mark = operations_scheme([qml.I("a"), qml.I("b"), qml.I("c"), operation]).marks
    assert (mark.rows, mark.controls, mark.name, mark.angle) == (rows, controls, name, angle)


def test_wires_are_sorted_where_they_are_numbers():
    assert operations_scheme([RBS(0.1, [5, 2]), RBS(0.2, [2, 0])]).wires == ("0", "2", "5")
    assert operations_scheme([RBS(0.1, ["q", 2]), RBS(0.2, [2, 0])]).wires == ("q", "2", "0")


def test_controls_are_dots_and_boxes_are_named():
    ax = draw_circuit([qml.X(0), ControlledRBS(0.3, [3, 2, 0, 1], [0, 1]), qml.ctrl(qml.RY(0.5, 3), 0)])
    controls = [artist for artist in ax.patches if str(artist.get_gid()).startswith("control-")]
    places = {round(artist.center[1] - 2.0): artist.get_facecolor()[:3] for artist in controls[:2]}
    assert places == {3: (1.0, 1.0, 1.0), 2: controls[2].get_facecolor()[:3]}
    words = [text.get_text() for text in ax.texts]
    assert "X" in words
    assert "RY(0.50)" in words
    assert "circuit: 1 X, 1 controlled RBS, 1 controlled RY on 4 wires" in words


def test_what_is_read_off_a_swap_network_stands_behind_its_wires():
    block = SimpleNamespace(
        module="query", block=1, layout=brickwork(4), angles=torch.linspace(-1, 1, 6), is_swap_network=True
    )
    scheme = read_circuit(block, None, None)
    assert scheme.outputs == ("−3", "+2", "−1", "+0")
    assert scheme.title == "query, block 1, as brickwork: 6 RBS gates on 4 wires"
    assert [mark.angle for mark in scheme.marks] == block.angles.tolist()
    block.is_swap_network = False
    assert read_circuit(block, False, None).outputs == ()
    assert not any(read_circuit(block, False, None).words)


def test_angles_are_optional():
    layer = orthogonal_layer(np.linspace(-1, 1, 12), butterfly(8))
    for circuit in (layer, butterfly(8)):
        ax = draw_circuit(circuit, angles=False)
        assert not [text for text in ax.texts if str(text.get_gid()).startswith("angle")]
        assert not ax.child_axes
    batch = [RBS(np.array([0.1, 0.2]), [0, 1]), qml.RY(np.array([0.1, 0.2]), 0)]
    assert [mark.angle for mark in operations_scheme(batch, with_angles=False).marks] == [None, None]
    with pytest.raises(ValueError, match=r"angles=False draws a batch without them, got RBS with .* shape \(2,\)"):
        draw_circuit(batch)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: draw_circuit([RBS(0.1, [0, 1]), 3]), TypeError, "made of operations.*got 3"),
        (lambda: draw_circuit(qml.state), TypeError, r"construct_tape\(qnode\).*got the function <function state"),
        (lambda: draw_circuit(qml.state, [0.1]), TypeError, "got the function"),
        (lambda: draw_circuit([RBS(0.1, [0, 1])], [0.1]), ValueError, r"only a layout is given angles.*\[0.1\]"),
        (lambda: draw_circuit([RBS(0.1, [0, 1])], gate="rbs"), ValueError, "gate='rbs'"),
        (lambda: draw_circuit([RBS(math.nan, [0, 1])]), ValueError, "the angle of RBS must be finite, got nan"),
        (lambda: draw_circuit(brickwork(3), output="svg"), ValueError, 'must be "mpl" or "text", got \'svg\''),
    ],
)
def test_what_is_no_circuit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_gates_at_all():
    assert draw_circuit([]).texts[-1].get_text() == "circuit: 0 gates on 0 wires"
    assert draw_circuit([], output="text").splitlines()[0] == "circuit: 0 gates on 0 wires"
