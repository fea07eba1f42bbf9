"""What an estimate takes for granted: gate times, the speed of a computer, precision, error and batch."""

from dataclasses import dataclass, fields

from .counts import GateCounts

__all__ = ["CPU_CORE", "IONS", "SUPERCONDUCTING", "Assumptions", "Computer", "Machine"]

_SMALLEST = 1e-15
"""No answer in floating point has a smaller error."""


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be a positive number, got {value!r}")


@dataclass(frozen=True)
class Machine:
    """A quantum computer without errors and with all wires connected, by its times in seconds.

    Args:
        name: what reports call it.
        one_qubit_gate, two_qubit_gate: time of one gate; gates on different wires run at the same time.
        readout: time to measure all wires.
        reset: time from the end of a readout to the next run.

    Raises:
        ValueError: a time is negative, or that of the two-qubit gate is not positive.
    """

    name: str
    one_qubit_gate: float
    two_qubit_gate: float
    readout: float
    reset: float

    def __post_init__(self) -> None:
        _check_positive(two_qubit_gate=self.two_qubit_gate)
        for field in fields(self)[1:]:
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise ValueError(f"times are seconds, at least 0, got {field.name}={getattr(self, field.name)!r}")

    def gate_seconds(self, one_qubit_depth: int, two_qubit_depth: int) -> float:
        """The sum of both depths' times: no circuit takes longer, and those of the layouts take as long."""
        return one_qubit_depth * self.one_qubit_gate + two_qubit_depth * self.two_qubit_gate

    def run_seconds(self, counts: GateCounts) -> float:
        """The time of one run of a circuit, readout and reset included."""
        return self.gate_seconds(counts.one_qubit_depth, counts.two_qubit_depth) + self.readout + self.reset


@dataclass(frozen=True)
class Computer:
    """A classical computer: seconds = max(flops / rate, bytes / bandwidth).

    Args:
        name: what reports call it.
        flops_per_second, bytes_per_second: what it sustains.

    Raises:
        ValueError: a speed is not positive.
    """

    name: str
    flops_per_second: float
    bytes_per_second: float

    def __post_init__(self) -> None:
        _check_positive(flops_per_second=self.flops_per_second, bytes_per_second=self.bytes_per_second)

    def seconds(self, flops: float, n_bytes: float) -> float:
        """The time that so many operations on so many bytes take."""
        return max(flops / self.flops_per_second, n_bytes / self.bytes_per_second)


SUPERCONDUCTING = Machine("superconducting", 25e-9, 50e-9, 500e-9, 500e-9)
IONS = Machine("trapped ions", 10e-6, 100e-6, 100e-6, 100e-6)
CPU_CORE = Computer("one CPU core", 5e10, 1e10)


@dataclass(frozen=True)
class Assumptions:
    """Everything that an estimate takes for granted and a user may change.

    Args:
        machine: the quantum computer.
        computer: the classical one.
        precision: operator norm error of each rotation of a fault-tolerant machine.
        error: root mean square of |y' - y|, for an input x with |x| = 1.
        vectors: how many vectors share one matrix, as the tokens of a batch do.
        itemsize: bytes of a number on the classical computer.

    Raises:
        TypeError: the machine or the computer is none.
        ValueError: a number is not positive, or the precision or the error not in 1e-15 .. 1.
    """

    machine: Machine = SUPERCONDUCTING
    computer: Computer = CPU_CORE
    precision: float = 1e-9
    error: float = 0.01
    vectors: int = 1024
    itemsize: int = 4

    def __post_init__(self) -> None:
        for name, kind, example in (("machine", Machine, "IONS"), ("computer", Computer, "CPU_CORE")):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be a {kind.__name__}, such as {example}, got {getattr(self, name)!r}")
        _check_positive(vectors=self.vectors, itemsize=self.itemsize)
        for name in ("precision", "error"):
            if not _SMALLEST <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least {_SMALLEST} and below 1, got {getattr(self, name)!r}")

    def sentences(self) -> tuple[str, ...]:
        """All assumptions, one a sentence, for people."""
        m, c = self.machine, self.computer
        return (
            f"Machine: {m.name}, no errors, every pair of wires connected; one-qubit gate {m.one_qubit_gate:g} s, "
            f"two-qubit gate {m.two_qubit_gate:g} s, readout {m.readout:g} s, reset {m.reset:g} s; one run after the "
            "other.",
            "RBS = 2 CNOT + 2 RY + 2 H; every gate as early as its wires allow, none cancelled; a swap network's "
            "permutation is a relabelling of wires, not gates. Other operations: PennyLane's decomposition.",
            f"T count: {self.precision:g} operator-norm error a rotation, 1.149 log2(1/e) + 9.2 T gates each; the "
            "errors of all rotations add up at most. Times are those of the gates before error correction.",
            f"Shots for y: root mean square of |y' - y| is {self.error:g} at |x| = 1; signs by interference with a "
            "uniform state on one more wire, (D - 1)/error^2 shots for D amplitudes of all sectors; "
            "what the uniform state costs is left out.",
            "Loading x: D - 1 RBS gates, as many as x has free numbers, n/2 at a time: no loader of RBS gates on as "
            "many wires is faster. They are in the time of a vector and not in the counts of gates; circuits of "
            "other operations load for themselves.",
            f"Computer: {c.name}, {c.flops_per_second:g} flops and {c.bytes_per_second:g} bytes a second, whichever "
            f"takes longer; {self.itemsize} bytes a number, {self.vectors:,} vectors share a matrix.",
        )
