"""Cases and assertions for circuits: ours, and those of users who want to know that theirs are the same map."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress

import torch
from torch import Tensor

from .checks import check_square
from .circuits import weight_block
from .circuits.factors import Circuit
from .compound import compound_matrix
from .layouts import LAYOUTS, Layout
from .subsets import subsets, subspace_dim
from .subspace import apply_layout

__all__ = ["assert_circuit_is_compound", "assert_circuit_is_layout", "layout_cases", "minors"]


def layout_cases(max_n: int, min_n: int = 2) -> Iterator[Layout]:
    """All layouts at every number of wires that they exist for, min_n <= n <= max_n.

    >>> [layout.name for layout in layout_cases(3, min_n=3)]
    ['brickwork', 'pyramid', 'round_robin', 'staircase', 'v_shape']
    """
    for n, make in itertools.product(range(min_n, max_n + 1), LAYOUTS.values()):
        with suppress(ValueError):  # some do not exist for every n
            yield make(n)


def minors(matrix: Tensor, order: int) -> Tensor:
    """C_k(A) from the definition: det A[I, J] as the signed sum over k! permutations.

    The slow twin of `compound_matrix`, for k up to about 6.

    Args:
        matrix: A, shape (n, n).
        order: k, with 0 <= k <= n.

    Returns:
        shape (C(n, k), C(n, k)), differentiable also where minors vanish.

    >>> minors(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 2)
    tensor([[-2.]])
    """
    check_square(matrix)
    dim = subspace_dim(matrix.shape[-1], order)
    members = torch.tensor(subsets(matrix.shape[-1], order)).long().reshape(dim, order)
    total = matrix.new_zeros(dim, dim)
    for permutation in itertools.permutations(range(order)):
        inversions = sum(p > q for p, q in itertools.combinations(permutation, 2))
        product = matrix.new_ones(dim, dim)
        for r, s in enumerate(permutation):
            product = product * matrix[members[:, r, None], members[None, :, s]]
        total = total + (-1) ** inversions * product
    return total


def assert_circuit_is_layout(
    circuit: Circuit,
    angles: Tensor,
    layout: Layout,
    gate: str = "rbs",
    *,
    orders: Iterable[int] | None = None,
    tolerance: float = 1e-12,
) -> None:
    """Assert that a PennyLane circuit does to every sector what the gates of a layout do.

    Args:
        circuit: an operation, a list of operations, a tape, a QNode or a quantum function without arguments, on
            wires 0..n-1.
        angles: theta in radians, shape (n_gates,), float64.
        layout: where the gates stand.
        gate: "rbs" or "fbs".
        orders: the Hamming weights to compare; 0..n if left out.
        tolerance: the largest difference allowed between two entries of a block.

    Raises:
        AssertionError: the blocks of a weight differ; says which, and by how much.
        TypeError: the angles are not a float64 tensor.
        ValueError: the angles are not one for each gate.

    >>> from qicircuits import staircase
    >>> from qicircuits.circuits import RBS
    >>> circuit = [RBS(0.1, wires=[0, 1]), RBS(0.2, wires=[1, 2])]
    >>> assert_circuit_is_layout(circuit, torch.tensor([0.1, 0.2], dtype=torch.float64), staircase(3))
    """
    _check_double(angles, "angles")
    for order in range(layout.n + 1) if orders is None else orders:
        states = torch.eye(subspace_dim(layout.n, order), dtype=torch.float64)
        _compare(circuit, apply_layout(states, angles, layout, order, gate).mT, order, layout.n, tolerance)


def assert_circuit_is_compound(
    circuit: Circuit, matrix: Tensor, *, orders: Iterable[int] | None = None, tolerance: float = 1e-12
) -> None:
    """Assert that a PennyLane circuit acts on every sector as the compound C_k(A) of a matrix.

    Args:
        circuit: as :func:`assert_circuit_is_layout`.
        matrix: A, shape (n, n), float64, or complex128 of a circuit with phases.
        orders: the Hamming weights to compare; 0..n if left out.
        tolerance: the largest difference allowed between two entries of a block.

    Raises:
        AssertionError: the blocks of a weight differ; says which, and by how much.
        TypeError: the matrix is not a tensor in double precision.
        ValueError: the matrix is not square.

    >>> from qicircuits import orthogonal_from_angles
    >>> from qicircuits.circuits import RBS
    >>> rotation = orthogonal_from_angles(torch.tensor([0.3], dtype=torch.float64))
    >>> assert_circuit_is_compound(RBS(0.3, wires=[0, 1]), rotation)
    """
    _check_double(matrix, "matrix")
    check_square(matrix)
    n = matrix.shape[-1]
    for order in range(n + 1) if orders is None else orders:
        _compare(circuit, compound_matrix(matrix, order), order, n, tolerance)


def _check_double(numbers: Tensor, name: str) -> None:
    if not isinstance(numbers, Tensor) or numbers.dtype not in (torch.float64, torch.complex128):
        got = numbers.dtype if isinstance(numbers, Tensor) else type(numbers).__name__
        raise TypeError(f"{name} must be a tensor in double precision, lest rounding be a deviation, got {got}")


def _compare(circuit: Circuit, expected: Tensor, order: int, n: int, tolerance: float) -> None:
    block = torch.as_tensor(weight_block(circuit, order, wires=range(n))).detach()
    deviation = float((block - expected.detach()).abs().max())
    if not deviation <= tolerance:
        raise AssertionError(
            f"the circuit must act on the weight-{order} sector of {n} wires as expected, within {tolerance:.0e}, "
            f"got a deviation of {deviation:.1e}"
        )
