"""Where a circuit would take less time than the classical engine, in the order k and the number of wires n."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .classical import as_float, density_flops, sampling_flops, sweep_flops
from .counts import brickwork_counts
from .machine import Assumptions

__all__ = ["TASKS", "Crossover", "crossovers", "task_seconds"]

TASKS = {
    "vector": "all of y from the numbers of x, which is what an adapter needs",
    "density": "the density of one wire, from the numbers of x",
    "basis": "the density of one wire, from a basis state",
    "state": "the density of one wire, from a state that some other circuit prepares in no time",
}
MOST_WIRES = 2**20


@dataclass(frozen=True)
class Crossover:
    """One task on a sector: who is the faster there, and where that changes.

    Attributes:
        task: a key of `TASKS`.
        n, order: the sector.
        quantum_seconds, classical_seconds: for one vector, or one number.
        order_here: the smallest order k <= n/2 at which the circuit is the faster on n wires, None if none is.
        wires_here: the smallest n >= 2k at which it is the faster for this order, None if none up to 2^20 is.
    """

    task: str
    n: int
    order: int
    quantum_seconds: float
    classical_seconds: float
    order_here: int | None
    wires_here: int | None


def crossovers(n: int, order: int, assumptions: Assumptions) -> tuple[Crossover, ...]:
    """The crossovers of all tasks, for a brickwork of RBS gates.

    Args:
        n: number of wires, at least 2.
        order: k, with 0 < k < n.
        assumptions: what is taken for granted.
    """
    return tuple(_crossover(task, n, order, assumptions) for task in TASKS)


def task_seconds(task: str, n: int, order: int, assumptions: Assumptions) -> tuple[float, float]:
    r"""The time of the circuit and of the classical engine for one task on the weight-k sector, with D = C(n, k).

    ======= =================================== ==================================================================
    task    circuit                             classical
    ======= =================================== ==================================================================
    vector  (D - 1)/error^2 runs with loading   the gates on the sector: 3 k (n-k) D flops
    density 1/error^2 runs with loading         the gates, or sampling (`classical.sampling_flops`)
    basis   1/error^2 runs                      free fermions (`classical.density_flops`)
    state   1/error^2 runs                      the gates, with the amplitudes given
    ======= =================================== ==================================================================

    Loading takes ceil((D - 1) / floor(n/2)) moments of RBS gates, at the least. All of this favours the circuit.

    Args:
        task: a key of `TASKS`.
        n: number of wires, at least 2.
        order: k, with 0 < k < n.
        assumptions: what is taken for granted.

    Returns:
        Seconds of the circuit and of the classical engine; infinity beyond the range of floating point.

    Raises:
        ValueError: there is no such task.
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {list(TASKS)}, got {task!r}")
    dim = as_float(math.comb(n, order))
    run = assumptions.machine.run_seconds(brickwork_counts(n))
    shots = (max(dim - 1, 1) if task == "vector" else 1) / assumptions.error**2
    if task in ("vector", "density"):
        run += loading_seconds(n, dim, assumptions)
    seconds = [_seconds(density_flops(n, order), n * n / 2, assumptions)] if task == "basis" else []
    if task == "density":
        seconds.append(_seconds(sampling_flops(n, order, assumptions.error), dim + n * n / 2, assumptions))
    if task != "basis":
        seconds.append(_seconds(as_float(sweep_flops(n, order, n * (n - 1) // 2)), 2 * dim, assumptions))
    return shots * run, min(seconds)


def loading_seconds(n: int, dim: float, assumptions: Assumptions) -> float:
    """The least time to load D real amplitudes: D - 1 RBS gates, floor(n/2) of them at a time."""
    rounds = (dim - 1) / max(n // 2, 1)
    return (math.ceil(rounds) if rounds < 2**53 else rounds) * assumptions.machine.gate_seconds(2, 2)


def _crossover(task: str, n: int, order: int, assumptions: Assumptions) -> Crossover:
    def wins(wires: int, k: int) -> bool:
        quantum, classical = task_seconds(task, wires, k, assumptions)
        return quantum < classical

    here = next((k for k in range(1, n // 2 + 1) if wins(n, k)), None)
    smallest = _first(lambda wires: wins(wires, order), max(2, 2 * order), MOST_WIRES)
    return Crossover(task, n, order, *task_seconds(task, n, order, assumptions), here, smallest)


def _first(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number in low..high at which a condition holds that stays true once it is, None if none is."""
    step = low
    while not holds(step):
        low = step + 1
        if step >= high:
            return None
        step = min(2 * step, high)
    while low < step:
        middle = (low + step) // 2
        if holds(middle):
            step = middle
        else:
            low = middle + 1
    return step


def _seconds(flops: float, numbers: float, assumptions: Assumptions) -> float:
    return assumptions.computer.seconds(flops, numbers * assumptions.itemsize)
