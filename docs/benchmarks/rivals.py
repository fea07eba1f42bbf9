"""Every way to apply the same pyramid: our methods, and other simulators, which take no part where not installed.

Building circuits, QNodes, index tables and input vectors is left out of the calls; taking the angles (or the matrix)
and giving back the amplitudes (or the gradient) is inside. Each rival has a `read` that brings what its call gives
into our order of amplitudes, to be checked and not timed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from qicircuits import Layout, apply_layout, compound_apply, compound_matrix, pyramid, subsets
from qicircuits.subsets import subset_array, subset_integers

__all__ = ["Problem", "Rival", "gradients", "our_call", "our_methods", "states", "vectors"]

# Peers take part up to these n: one call beyond takes minutes, or more than the memory.
LARGEST = {
    "qibo": 128,
    "lightning.qubit": 24,
    "default.qubit": 20,
    "lightning adjoint": 20,
    "default.qubit backprop": 16,
}
# The method "dense" is not asked to build a C_k of more bytes.
LARGEST_COMPOUND = 2**29


Circuit = Callable[[int], Layout]


class Rival(NamedTuple):
    """What is timed, and how its answer is read."""

    call: Callable[[], Any]
    read: Callable[[Any], np.ndarray] = np.asarray


@dataclass(frozen=True)
class Problem:
    """A circuit with random angles in [-pi, pi], its matrix, and random unit vectors, shape (..., C(n, k))."""

    layout: Layout
    order: int
    angles: Tensor
    matrix: Tensor
    x: Tensor

    @classmethod
    def random(
        cls, n: int, order: int, batch: tuple[int, ...], dtype: torch.dtype, seed: int, *, circuit: Circuit = pyramid
    ) -> "Problem":
        generator = torch.Generator().manual_seed(seed)
        layout = circuit(n)
        angles = (2 * torch.rand(layout.n_gates, dtype=torch.float64, generator=generator) - 1) * math.pi
        x = torch.randn(*batch, math.comb(n, order), dtype=torch.float64, generator=generator)
        x /= x.norm(dim=-1, keepdim=True)
        matrix = apply_layout(torch.eye(n, dtype=torch.float64), angles, layout, 1).mT
        return cls(layout, order, angles.to(dtype), matrix.to(dtype), x.to(dtype))

    @property
    def n(self) -> int:
        return self.layout.n

    def signs(self) -> Tensor:
        """The eigenvalues of Z on the middle wire, in our order of amplitudes."""
        occupied = (subset_array(self.n, self.order) == self.n // 2).any(axis=1)
        return torch.from_numpy(1.0 - 2.0 * occupied).to(self.x)


def our_methods(problem: Problem) -> dict[str, list[str]]:
    """The methods of our two functions that serve the order and fit in the memory."""
    matrix_methods = ["auto", "modes", "rotation", "dense"]
    if min(problem.order, problem.n - problem.order) > 3:
        matrix_methods.remove("modes")
    # At order 1 C_k(A) is A, and "dense" the same product as "modes".
    if problem.order == 1 or problem.x.element_size() * math.comb(problem.n, problem.order) ** 2 > LARGEST_COMPOUND:
        matrix_methods.remove("dense")
    return {"apply_layout": ["auto", "gates", "compound"], "compound_apply": matrix_methods}


def our_call(problem: Problem, function: str, method: str) -> Tensor:
    """One of our methods on the vectors, the circuit given by its angles or by its matrix."""
    if function == "apply_layout":
        return apply_layout(problem.x, problem.angles, problem.layout, problem.order, method=method)
    return compound_apply(problem.matrix, problem.x, problem.order, method=method)


def _our_products(problem: Problem) -> dict[str, Rival]:
    return {
        f"{function} {method}": Rival(partial(our_call, problem, function, method))
        for function, methods in our_methods(problem).items()
        for method in methods
    }


def states(problem: Problem) -> Mapping[str, Callable[[], dict[str, Rival]]]:
    """One vector, through every simulator; each is built when it is called for."""
    return {
        "ours": lambda: _our_products(problem),
        "ffsim": lambda: _ffsim(problem),
        "qibo": lambda: _qibo(problem),
        "lightning.qubit": lambda: _pennylane_state(problem, "lightning.qubit"),
        "default.qubit": lambda: _pennylane_state(problem, "default.qubit"),
    }


def gradients(problem: Problem) -> Mapping[str, Callable[[], dict[str, Rival]]]:
    """The gradient of the expectation of Z on the middle wire towards all angles."""
    return {
        "ours": lambda: _our_gradients(problem),
        "lightning adjoint": lambda: _adjoint(problem),
        "default.qubit backprop": lambda: _backprop(problem),
    }


def vectors(problem: Problem) -> Mapping[str, Callable[[], dict[str, Rival]]]:
    """Many vectors: ours, one product with C_k given, and C_k from `torch.linalg.det` and the product."""
    x, matrix, order = problem.x, problem.matrix, problem.order
    rows = torch.from_numpy(np.asarray(subsets(problem.n, order)))

    def determinants() -> Tensor:
        minors = torch.linalg.det(matrix[rows[:, None, :, None], rows[None, :, None, :]])
        return x @ minors.mT

    def products() -> dict[str, Rival]:
        compound = compound_matrix(matrix, order)
        return {"C_k given": Rival(lambda: x @ compound.mT), "torch.linalg.det": Rival(determinants)}

    return {"ours": lambda: _our_products(problem), "dense": products}


def _our_gradients(problem: Problem) -> dict[str, Rival]:
    trained = replace(problem, angles=problem.angles.clone().requires_grad_())
    signs = problem.signs()

    def gradient(method: str) -> Tensor:
        y = our_call(trained, "apply_layout", method)
        return torch.autograd.grad((signs * y * y).sum(), trained.angles)[0]

    methods = our_methods(problem)["apply_layout"]
    return {f"apply_layout {method}": Rival(partial(gradient, method)) for method in methods}


def _ffsim(problem: Problem) -> dict[str, Rival]:
    """Gate by gate: the public function, and the compiled kernel below it; and by matrix, the orbital rotation.

    Orbital p is our wire n-1-p, which makes its order of amplitudes ours backwards; its angle is minus ours.
    """
    import ffsim
    from ffsim.gates.orbital_rotation import _apply_orbital_rotation_adjacent_spin_in_place as kernel

    n, order = problem.n, problem.order
    x = problem.x.numpy()[::-1].astype(complex)
    pairs = [(n - 1 - i, n - 1 - j) for i, j in problem.layout.pairs]
    matrix = np.ascontiguousarray(problem.matrix.numpy()[::-1, ::-1])

    def kernels() -> np.ndarray:
        y = x.copy().reshape(-1, 1)
        for theta, pair in zip(problem.angles.tolist(), pairs, strict=True):
            kernel(y, math.cos(theta), complex(-math.sin(theta)), pair, n, order)
        return y

    def gates() -> np.ndarray:
        y = x.copy()
        for theta, pair in zip(problem.angles.tolist(), pairs, strict=True):
            y = ffsim.apply_givens_rotation(y, -theta, pair, n, order, copy=False)
        return y

    def read(y: np.ndarray) -> np.ndarray:
        return y.reshape(-1)[::-1]

    return {
        "ffsim kernel": Rival(kernels, read),
        "ffsim gates": Rival(gates, read),
        "ffsim orbital rotation": Rival(lambda: ffsim.apply_orbital_rotation(x, matrix, n, order), read),
    }


def _qibo(problem: Problem) -> dict[str, Rival]:
    """Its Hamming-weight backend; RBS is ours, and its order of amplitudes ours backwards."""
    from qibo import Circuit, gates
    from qibo.backends import HammingWeightBackend

    _fits("qibo", problem.n)
    backend = HammingWeightBackend(platform="numpy")
    circuit = Circuit(problem.n)
    for i, j in problem.layout.pairs:
        circuit.add(gates.RBS(i, j, 0.0))
    x = problem.x.numpy()[::-1].astype(complex)

    def run() -> np.ndarray:
        circuit.set_parameters(problem.angles.numpy())
        return backend.execute_circuit(circuit, problem.order, initial_state=x.copy()).state()

    return {"qibo": Rival(run, lambda y: y[::-1])}


def _circuit(problem: Problem) -> tuple[Callable[[Any], None], np.ndarray]:
    """The pyramid for PennyLane, on all 2^n amplitudes, and where ours stand among them."""
    import pennylane as qml

    places = np.asarray(subset_integers(problem.n, problem.order))
    x = np.zeros(2**problem.n, dtype=complex)
    x[places] = problem.x.numpy()

    def circuit(angles: Any) -> None:
        qml.StatePrep(x, wires=range(problem.n), validate_norm=False)
        for theta, pair in zip(angles, problem.layout.pairs, strict=True):
            qml.SingleExcitation(-2 * theta, wires=pair)

    return circuit, places


def _pennylane_state(problem: Problem, device: str) -> dict[str, Rival]:
    import pennylane as qml

    _fits(device, problem.n)
    circuit, places = _circuit(problem)

    @qml.qnode(qml.device(device, wires=problem.n), diff_method=None)
    def state(angles: np.ndarray) -> Any:
        circuit(angles)
        return qml.state()

    return {device: Rival(lambda: state(problem.angles.numpy()), lambda y: np.asarray(y)[places])}


def _adjoint(problem: Problem) -> dict[str, Rival]:
    import pennylane as qml

    _fits("lightning adjoint", problem.n)
    circuit, _ = _circuit(problem)
    angles = qml.numpy.array(problem.angles.numpy(), requires_grad=True)

    @qml.qnode(qml.device("lightning.qubit", wires=problem.n), diff_method="adjoint")
    def expectation(angles: Any) -> Any:
        circuit(angles)
        return qml.expval(qml.Z(problem.n // 2))

    return {"lightning adjoint": Rival(lambda: qml.grad(expectation)(angles))}


def _backprop(problem: Problem) -> dict[str, Rival]:
    import pennylane as qml

    _fits("default.qubit backprop", problem.n)
    circuit, _ = _circuit(problem)
    angles = problem.angles.clone().requires_grad_()

    @qml.qnode(qml.device("default.qubit", wires=problem.n), diff_method="backprop", interface="torch")
    def expectation(angles: Tensor) -> Tensor:
        circuit(angles)
        return qml.expval(qml.Z(problem.n // 2))

    return {"default.qubit backprop": Rival(lambda: torch.autograd.grad(expectation(angles), angles)[0])}


def _fits(rival: str, n: int) -> None:
    if n > LARGEST[rival]:
        raise MemoryError(f"n <= {LARGEST[rival]}")
