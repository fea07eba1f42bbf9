"""Estimates: shots and times by simulation and by hand, crossovers by search, reports, and inputs refused."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from qicircuits import Layout, brickwork, butterfly, pyramid, staircase
from qicircuits.circuits import RBS, orthogonal_layer
from qicircuits.circuits.loaders import direct_sum_loader, unary_loader
from qicircuits.drawing import draw_resources
from qicircuits.resources import (
    CPU_CORE,
    IONS,
    SUPERCONDUCTING,
    Assumptions,
    BlockGroup,
    Computer,
    Machine,
    crossovers,
    describe_blocks,
    estimate,
    shots_for_magnitudes,
    shots_for_number,
    shots_for_vector,
    task_seconds,
)
from qicircuits.resources.crossover import TASKS, loading_seconds


def unit(dim, seed):
    y = np.random.default_rng(seed).normal(size=dim)
    return y / np.linalg.norm(y)


@pytest.mark.parametrize("dim", [2, 10, 35])
def test_interference_reaches_the_error_with_its_shots(dim):
    error, repetitions, rng = 0.1, 4000, np.random.default_rng(dim)
    y, u = unit(dim, seed=dim), np.full(dim, dim**-0.5)
    shots = shots_for_vector(dim, error)
    outcomes = rng.multinomial(shots, np.concatenate([(y + u) ** 2, (y - u) ** 2]) / 4, size=repetitions) / shots
    found = dim**0.5 * (outcomes[:, :dim] - outcomes[:, dim:])
    assert np.sqrt(((found - y) ** 2).sum(1).mean()) == pytest.approx(error, rel=0.05)
    assert found.mean(0) == pytest.approx(y, abs=5 * error / repetitions**0.5)


def test_magnitudes_reach_the_error_with_a_quarter_of_the_shots():
    y, error, repetitions = np.abs(unit(20, seed=0)) + 0.05, 0.01, 1000
    y /= np.linalg.norm(y)
    shots = shots_for_magnitudes(20, error)
    counts = np.random.default_rng(1).multinomial(shots, y**2, size=repetitions)
    distance = ((np.sqrt(counts / shots) - y) ** 2).sum(1).mean()
    assert math.sqrt(distance) == pytest.approx(error, rel=0.05)
    assert shots == pytest.approx(shots_for_vector(20, error) / 4, abs=1)


def test_shots_are_whole_and_at_least_one():
    assert shots_for_number(0.1) == 100
    assert shots_for_vector(1, 0.9) == 2
    assert shots_for_vector(10, 0.1) == 900


def test_the_time_of_a_layout_is_the_critical_path_of_its_gates():
    machine = Machine("odd", 3.0, 7.0, 100.0, 1000.0)
    for layout in (brickwork(5), pyramid(4), butterfly(8), staircase(4)):
        ends = dict.fromkeys(range(layout.n), 0.0)
        for gate in orthogonal_layer([0.3] * layout.n_gates, layout):
            for part in gate.decomposition():
                end = max(ends[wire] for wire in part.wires) + (3.0 if len(part.wires) == 1 else 7.0)
                ends.update(dict.fromkeys(part.wires, end))
        report = estimate(layout, assumptions=Assumptions(machine=machine))
        assert report.circuits[0].run_seconds == max(ends.values()) + 1100


def test_a_layout_with_orders_by_hand():
    assumptions = Assumptions(error=0.1, machine=Machine("by hand", 1.0, 10.0, 2.0, 3.0), computer=CPU_CORE)
    cost = estimate(brickwork(4), orders=(1, 2), assumptions=assumptions).circuits[0]
    assert [sector.dimension for sector in cost.sectors] == [4, 6]
    assert cost.shots == 900  # (4 + 6 - 1) / 0.1^2
    assert cost.run_seconds == 9 * 1 + 8 * 10 + 2 + 3
    # 9 gates of loading, two at a time, take 5 moments of 2 one-qubit and 2 two-qubit gates.
    assert cost.quantum_seconds == 900 * (94 + 5 * 22)
    flops = [3 * k * (4 - k) * math.comb(4, k) for k in (1, 2)]
    assert [sector.paths[0].flops for sector in cost.sectors] == flops


def test_a_layout_that_is_no_compound_has_the_gates_alone():
    cost = estimate(butterfly(4), orders=(1, 2)).circuits[0]
    assert [len(sector.paths) for sector in cost.sectors] == [3, 1]
    assert [bool(sector.crossovers) for sector in cost.sectors] == [True, False]
    fermionic = estimate(butterfly(4), orders=(2,), gate="fbs").circuits[0]
    assert len(fermionic.sectors[0].paths) > 1


@pytest.mark.parametrize("n", [2, 5, 12, 30])
@pytest.mark.parametrize("machine", [SUPERCONDUCTING, IONS], ids=lambda machine: machine.name)
def test_crossovers_are_the_first_sizes_at_which_the_circuit_wins(n, machine):
    # A slow computer, so that every kind of answer occurs.
    for computer in (CPU_CORE, Computer("slow", 1e4, 1e4)):
        assumptions = Assumptions(machine=machine, computer=computer)

        def wins(task, wires, order, assumptions=assumptions):
            quantum, classical = task_seconds(task, wires, order, assumptions)
            return quantum < classical

        for found in crossovers(n, 1, assumptions):
            assert (found.quantum_seconds, found.classical_seconds) == task_seconds(found.task, n, 1, assumptions)
            assert found.order_here == next((k for k in range(1, n // 2 + 1) if wins(found.task, n, k)), None)
            if found.wires_here is None:
                assert not any(wins(found.task, wires, 1) for wires in (2, 3, 10, 1000, 2**20))
            else:
                assert wins(found.task, found.wires_here, 1)
                assert found.wires_here == 2 or not wins(found.task, found.wires_here - 1, 1)


def test_the_classical_engine_wins_what_an_adapter_needs_and_matchgates_on_basis_states():
    for machine in (SUPERCONDUCTING, IONS):
        for order in (1, 2, 3, 5, 10):
            found = {c.task: c for c in crossovers(40, order, Assumptions(machine=machine))}
            for task in ("vector", "density", "basis"):
                assert (found[task].order_here, found[task].wires_here) == (None, None)


def test_the_time_of_a_task_beyond_floating_point_is_infinite():
    for task in TASKS:
        quantum, classical = task_seconds(task, 5000, 2500, Assumptions())
        assert quantum > 0
        assert classical > 0
    assert task_seconds("vector", 5000, 2500, Assumptions())[0] == math.inf
    with pytest.raises(ValueError, match="task must be one of"):
        task_seconds("everything", 4, 1, Assumptions())


def test_a_report_adds_up_its_circuits():
    groups = [BlockGroup(brickwork(4), (1,), 3, "small"), BlockGroup(brickwork(6), (1, 2), 2, "large")]
    report = estimate(groups)
    small, large = (estimate(group).circuits[0] for group in groups)
    assert report.n_circuits == 5
    assert report.two_qubit_gates == 3 * 12 + 2 * 30
    assert report.t_count == 3 * small.t_count + 2 * large.t_count
    assert report.shots == 3 * small.shots + 2 * large.shots
    assert report.quantum_seconds == pytest.approx(3 * small.quantum_seconds + 2 * large.quantum_seconds)
    assert report.classical_seconds == pytest.approx(3 * small.classical_seconds + 2 * large.classical_seconds)
    assert estimate([groups[0], BlockGroup(brickwork(4), (), 1, "gates")]).shots is None


def test_a_report_is_json_and_a_table_with_every_assumption():
    assumptions = Assumptions(machine=IONS, precision=1e-6)
    report = estimate([BlockGroup(brickwork(8), (1, 2), 3, "blocks of [one] layer")], assumptions=assumptions)
    document = json.loads(report.to_json())
    assert document["circuits"][0]["counts"]["two_qubit_gates"] == 56
    assert document["totals"]["n_circuits"] == 3
    assert document["assumptions"]["machine"]["name"] == "trapped ions"
    text = " ".join(str(report).split())
    for words in ("[one] layer", "CNOT │ 56", "registers", "vector", "density", "trapped ions", "1e-06", "all, run"):
        assert words in text
    assert all(" ".join(sentence.split()) in text for sentence in assumptions.sentences())
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(report)
    assert "CNOT" in console.export_text()


def test_a_report_is_text_in_a_notebook_too(monkeypatch):
    report = estimate(brickwork(4), orders=(1,))
    text = str(report)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(report) == text != ""


def test_infinite_times_are_null_in_json():
    report = estimate(brickwork(4), orders=(1,))
    endless = replace(report, circuits=(replace(report.circuits[0], quantum_seconds=math.inf),))
    assert json.loads(endless.to_json())["totals"]["quantum_seconds"] is None
    assert json.loads(report.to_json())["totals"]["quantum_seconds"] == report.quantum_seconds


def test_circuits_of_operations_have_shots_if_they_have_orders():
    operations = orthogonal_layer([0.3] * 6, brickwork(4))
    cost = estimate(operations, orders=[2]).circuits[0]
    assert cost.shots == shots_for_vector(6, 0.01)
    assert cost.quantum_seconds == cost.shots * cost.run_seconds
    assert cost.classical_seconds is None
    assert estimate(operations).shots is None
    assert estimate([]).circuits[0].counts.n_gates == 0


@pytest.mark.parametrize("kind", ["diagonal", "semi_diagonal", "tree"])
def test_a_unary_loader_has_the_gates_of_the_bound_and_takes_at_least_its_time(kind):
    cost = estimate(unary_loader(np.arange(1.0, 9), wires=range(8), kind=kind)).circuits[0]
    assert cost.counts.gates["CNOT"] == 2 * (8 - 1)
    assert cost.t_count == 2 * (8 - 1) * 44
    assert cost.run_seconds >= loading_seconds(8, 8, Assumptions())


def test_loaders_of_sectors_take_longer_than_the_bound():
    for orders in [(2,), (1, 2), (1, 3)]:
        dim = sum(math.comb(6, order) for order in orders)
        cost = estimate(direct_sum_loader(np.arange(1.0, dim + 1), orders, wires=range(6)), orders=orders).circuits[0]
        assert cost.counts.gates["CNOT"] >= 2 * (dim - 1)
        assert "GlobalPhase" not in cost.counts.gates
        assert cost.run_seconds >= loading_seconds(6, dim, Assumptions())
        assert cost.shots == shots_for_vector(dim, 0.01)


def test_the_picture_has_a_line_for_every_task_and_one_for_equal_times():
    axes = draw_resources(estimate(brickwork(9), orders=(1, 2)))
    assert {line.get_gid() for line in axes.lines} == {*TASKS, "equal"}
    vector = next(line for line in axes.lines if line.get_gid() == "vector")
    quantum, classical = task_seconds("vector", 9, 2, Assumptions())
    assert vector.get_xdata().tolist() == [1, 2, 3, 4]
    assert vector.get_ydata()[1] == pytest.approx(quantum / classical)
    with pytest.raises(ValueError, match="at least 2 wires, got n=1"):
        draw_resources(estimate(brickwork(1)))


def test_a_report_has_no_table_without_rows():
    across = Layout(3, (((0, 2),),))  # RBS around a wire: no compound, so nothing is said of crossovers
    assert "would take less time" not in str(estimate(across, orders=(2,)))
    assert "would take less time" in str(estimate(across, orders=(2,), gate="fbs"))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: estimate(lambda theta: RBS(theta, [0, 1])), ValueError, r"construct_tape.*, got <lambda>\(theta\)"),
        (lambda: estimate(3), TypeError, "resources are estimated for a Layout, a PennyLane circuit"),
        (lambda: estimate(torch.zeros(3)), TypeError, "got Tensor"),
        (
            lambda: estimate(brickwork(4), orders=(4,)),
            ValueError,
            r"orders must be distinct and in 1\.\.n-1 = 1\.\.3",
        ),
        (lambda: estimate(brickwork(4), orders=(1, 1)), ValueError, "orders must be distinct"),
        (lambda: estimate(brickwork(4), orders=(1.5,)), TypeError, "an order must be an integer"),
        (lambda: estimate(brickwork(4), orders=2), TypeError, "orders must be a sequence of integers"),
        (lambda: estimate(RBS(0.1, [0, 1]), orders=(2,)), ValueError, "orders must be distinct and in 1"),
        (lambda: estimate(brickwork(4), gate="swap"), ValueError, 'gate must be "rbs" or "fbs", got'),
        (lambda: estimate(brickwork(4), assumptions=1e-3), TypeError, "assumptions must be an Assumptions"),
        (
            lambda: estimate(BlockGroup(brickwork(4), (1,), 1, "b"), (1,)),
            ValueError,
            "has orders and gates of its own",
        ),
        (lambda: BlockGroup(brickwork(4), (1,), 0, "b"), ValueError, "copies must be at least 1, got 0"),
        (lambda: BlockGroup(4, (1,), 1, "b"), TypeError, "layout must be a Layout"),
        (lambda: describe_blocks("block"), TypeError, "resources are estimated for what has circuits, got str"),
        (lambda: Assumptions(error=0), ValueError, "error must be at least 1e-15 and below 1, got 0"),
        (
            lambda: Assumptions(precision=float("nan")),
            ValueError,
            "precision must be at least 1e-15 and below 1, got nan",
        ),
        (lambda: Assumptions(machine="ions"), TypeError, "machine must be a Machine, such as IONS, got 'ions'"),
        (lambda: Assumptions(computer=1e9), TypeError, "computer must be a Computer, such as CPU_CORE"),
        (lambda: Assumptions(vectors=0), ValueError, "vectors must be a positive number, got 0"),
        (
            lambda: Machine("m", -1.0, 1.0, 0.0, 0.0),
            ValueError,
            "times are seconds, at least 0, got one_qubit_gate=-1",
        ),
        (lambda: Machine("m", 1.0, 0.0, 0.0, 0.0), ValueError, "two_qubit_gate must be a positive number, got 0"),
        (lambda: Computer("c", 0.0, 1.0), ValueError, "flops_per_second must be a positive number"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
