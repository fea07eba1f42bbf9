"""y = R x from measurements: a layer run with shots and with noise, signs of y included."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..layouts import Layout
from ..subsets import check_integer
from .execute import unit_vectors
from .machines import DeviceMachine, Machine, TrajectoryMachine
from .noise import Noise
from .trajectories import Trajectories

__all__ = ["MeasuredLayer", "Protocol", "measure_layer"]

Protocol = Literal["interference", "magnitudes"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredLayer:
    """What the runs of a layer gave.

    Args:
        y: estimate of R x, shape (batch, C(n, k)).
        standard_error: of each entry of y by the shots alone, not by the noise, same shape; 0 without shots.
        kept: the fraction of runs that ended with the weight k that they began with, shape (batch,), 1 without
            noise; for "magnitudes" the mean of its two circuits.
    """

    y: Floats
    standard_error: Floats
    kept: Floats


def measure_layer(
    vectors: ArrayLike,
    angles: ArrayLike,
    layout: Layout,
    order: int,
    *,
    shots: int | None = None,
    noise: Noise | None = None,
    trajectories: Trajectories | None = None,
    post_select: bool = True,
    protocol: Protocol = "interference",
    gate: Literal["rbs", "fbs"] = "rbs",
    seed: int | None = None,
) -> MeasuredLayer:
    r"""Run a layer on vectors of the weight-k sector as a quantum machine would, from loader to measurement.

    "interference": one more wire, the last, holds :math:`(|0\rangle\, y + |1\rangle\, u)/\sqrt2` with
    :math:`u_I = 1/\sqrt D`, D = C(n, k), and meets a Hadamard gate before all wires are measured. With f_0I and f_1I
    the fractions of outcomes,

    .. math:: y'_I = \sqrt D\,(f_{0I} - f_{1I})

    has the mean y_I, sign included, and :math:`E|y' - y|^2 = (D - 1)/S` after S shots, whatever y is.

    "magnitudes": |y_I| is the root of the fraction of outcome I in S/2 shots of loader and layer alone, the sign is
    that of f_0I - f_1I in S/2 shots of the circuit above. :math:`E|y' - y|^2` nears :math:`(D - 1)/(2S)` for
    S y_I^2 >> 1; for fewer shots, and under noise, magnitudes are biased upwards where y_I is small.

    The circuits have no controlled layer and no controlled loader: their gates leave |0...0> as it is, so k CNOT from
    the last wire switch them. All entries are scaled back by the norm of x.

    Args:
        vectors: x, shape (batch, C(n, k)), real, none of them zero.
        angles: theta in radians, shape (n_gates,).
        layout: where the gates stand.
        order: Hamming weight k, with 1 <= k <= n - 1: other sectors have one state, which no layer changes.
        shots: S, runs for each vector, at least 1, for "magnitudes" 2; the limit of many if left out.
        noise: what the machine does wrong; nothing if left out.
        trajectories: simulate on the sectors, with noise as a mean over random errors, for tens of wires; if left
            out on all 2^(n + 1) amplitudes, and under noise on density matrices of 4^(n + 1) numbers.
        post_select: count only the runs of the right weight; otherwise other runs count as none of the outcomes I.
        protocol: "interference" or "magnitudes".
        gate: "rbs" or "fbs".
        seed: of the shots.

    Raises:
        TypeError: a vector is complex, the order or the number of shots not an integer, the noise not a Noise, or the
            trajectories not Trajectories.
        ValueError: there is no vector, or one is zero, not finite or of another length, as the angles may be; there
            are too few shots, the order is not in 1..n-1, the protocol is none of the two, or no run was kept.
        MemoryError: the states, or the density matrix under noise, do not fit.

    >>> from qicircuits import staircase
    >>> measure_layer([[3.0, 4.0]], [np.pi / 2], staircase(2), order=1).y.round(3)
    array([[-4.,  3.]])
    """
    _check_request(angles, layout, order, shots, noise, protocol)
    if trajectories is not None and not isinstance(trajectories, Trajectories):
        raise TypeError(f"trajectories must be a Trajectories, such as Trajectories(16), got {trajectories!r}")
    order, shots = int(order), None if shots is None else int(shots)  # PennyLane takes no integers of numpy
    x, norms = unit_vectors(vectors, layout.n, order)
    machine: Machine
    if trajectories is None:
        machine = DeviceMachine(x, angles, layout, order, gate, noise, seed)
    else:
        machine = TrajectoryMachine(x, angles, layout, order, gate, noise, seed, trajectories)
    measure = {"interference": _by_interference, "magnitudes": _by_magnitudes}[protocol]
    measured = measure(machine, shots, post_select)
    return MeasuredLayer(norms * measured.y, norms * measured.standard_error, measured.kept)


def _by_interference(machine: Machine, shots: int | None, post_select: bool) -> MeasuredLayer:
    outcomes = machine.interfere(shots)  # (batch, 2, D)
    kept = outcomes.sum((1, 2))
    counted = _counted(kept, post_select)
    outcomes = outcomes / counted[:, :, None]
    difference, dim = outcomes[:, 0] - outcomes[:, 1], outcomes.shape[2]
    variance = dim * (outcomes.sum(1) - difference**2)
    return MeasuredLayer(np.sqrt(dim) * difference, np.sqrt(variance / _runs(shots, counted)), kept)


def _by_magnitudes(machine: Machine, shots: int | None, post_select: bool) -> MeasuredLayer:
    for_magnitudes = None if shots is None else shots // 2
    outcomes = machine.interfere(None if shots is None else shots - shots // 2)
    fractions = machine.load_and_rotate(for_magnitudes)  # (batch, D)
    kept = fractions.sum(1)
    counted = _counted(kept, post_select)
    fractions = fractions / counted
    y = np.where(outcomes[:, 0] < outcomes[:, 1], -1, 1) * np.sqrt(fractions)
    error = np.sqrt((1 - fractions) / (4 * _runs(for_magnitudes, counted)))
    return MeasuredLayer(y, error, (kept + outcomes.sum((1, 2))) / 2)


def _counted(kept: Floats, post_select: bool) -> Floats:
    """The fraction of runs that outcomes are counted among, shape (batch, 1)."""
    if not post_select:
        return np.ones((len(kept), 1))
    if not kept.all():
        raise ValueError("post-selection needs a run of the right weight for every vector, got none: take more shots")
    return kept[:, None]


def _runs(shots: int | None, counted: Floats) -> Floats:
    return (np.inf if shots is None else shots) * counted


def _check_request(
    angles: ArrayLike, layout: Layout, order: int, shots: int | None, noise: Noise | None, protocol: Protocol
) -> None:
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout, such as brickwork(4), got {layout!r}")
    if np.shape(angles) != (layout.n_gates,):
        raise ValueError(f"{layout!r} needs angles of shape ({layout.n_gates},), got shape {np.shape(angles)}")
    if not 1 <= check_integer(order, "order") < layout.n:
        raise ValueError(f"a layer changes the sectors of orders 1..{layout.n - 1} of {layout.n} wires, got {order}")
    if protocol not in get_args(Protocol):
        raise ValueError(f'protocol must be "interference" or "magnitudes", got {protocol!r}')
    fewest = get_args(Protocol).index(protocol) + 1
    if shots is not None and check_integer(shots, "shots") < fewest:
        raise ValueError(f'shots must be at least {fewest} for protocol="{protocol}", got {shots}')
    if noise is not None and not isinstance(noise, Noise):
        raise TypeError(f"noise must be a Noise, such as Noise(depolarizing=0.01), got {noise!r}")
