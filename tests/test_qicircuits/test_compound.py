"""Compound matrices: the definition, Cauchy-Binet, gradients where minors vanish, application without building."""

import math

import numpy as np
import pytest
import torch

from qicircuits import compound_apply, compound_matrix, is_orthogonal, random_orthogonal, subsets, unrank_subset
from qicircuits.testing import minors

SIZES = [(n, k) for n in range(1, 8) for k in range(n + 1)]
LARGE = [(11, 2), (11, 3), (11, 8), (11, 9), (12, 10), (13, 12), (12, 12), (40, 39)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def gradients(outputs, inputs):
    weights = torch.randn(outputs.shape, dtype=outputs.dtype, generator=torch.Generator().manual_seed(1))
    if not outputs.requires_grad:  # C_0 is constant
        return tuple(torch.zeros_like(i) for i in inputs)
    return torch.autograd.grad((weights * outputs).sum(), inputs, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize(("n", "order"), [s for s in SIZES if s[1] <= 5])
def test_entries_and_gradient_are_those_of_the_definition(n, order):
    matrix = torch.randn(n, n, dtype=torch.float64, requires_grad=True)
    built, defined = compound_matrix(matrix, order), minors(matrix, order)
    torch.testing.assert_close(built, defined, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients(built, [matrix]), gradients(defined, [matrix]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "order"), LARGE)
def test_large_orders_by_complement_match_determinants(n, order):
    matrix = torch.randn(n, n, dtype=torch.float64)
    compound = compound_matrix(matrix, order)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        i, j = torch.randint(math.comb(n, order), (2,), generator=generator).tolist()
        rows, columns = (list(unrank_subset(index, n, order)) for index in (i, j))
        minor = torch.linalg.det(matrix[rows][:, columns])
        torch.testing.assert_close(compound[i, j], minor, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("order", range(6))
def test_the_gradient_is_right_where_minors_vanish(order):
    for matrix in (torch.eye(5), torch.zeros(5, 5), torch.ones(5, 5)):
        a = matrix.double().requires_grad_()
        built, defined = gradients(compound_matrix(a, order), [a]), gradients(minors(a, order), [a])
        torch.testing.assert_close(built, defined, rtol=0, atol=1e-12)
        if order and matrix.equal(torch.eye(5)):
            assert built[0].abs().max() > 0.1


def test_cauchy_binet_inverse_and_the_ends():
    a, b = torch.randn(2, 6, 6, dtype=torch.float64)
    for order in range(7):
        product = compound_matrix(a, order) @ compound_matrix(b, order)
        torch.testing.assert_close(compound_matrix(a @ b, order), product)
        torch.testing.assert_close(compound_matrix(a.mT, order), compound_matrix(a, order).mT)
        assert is_orthogonal(compound_matrix(random_orthogonal(6), order))
    assert compound_matrix(a, 0).equal(torch.ones(1, 1, dtype=torch.float64))
    torch.testing.assert_close(compound_matrix(a, 6), torch.linalg.det(a).reshape(1, 1))


def test_compounds_of_complements_are_orthogonal():
    for order in range(8, 13):
        assert is_orthogonal(compound_matrix(random_orthogonal(12), order))


@pytest.mark.parametrize("method", ["auto", "dense", "modes"])
@pytest.mark.parametrize(("n", "order"), [*SIZES, (11, 2), (18, 2), (17, 3), (11, 9), (12, 10)])
def test_applying_is_multiplying(n, order, method):
    if method == "modes" and min(order, n - order if n > 10 else order) > 3:
        with pytest.raises(ValueError, match=f"got order={order}"):
            compound_apply(torch.eye(n), torch.zeros(math.comb(n, order)), order, method=method)
        return
    matrix = torch.randn(2, n, n, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(3, 1, 2, math.comb(n, order), dtype=torch.float64, requires_grad=True)
    applied = compound_apply(matrix, vectors, order, method=method)
    multiplied = (compound_matrix(matrix, order) @ vectors.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(applied, multiplied)
    torch.testing.assert_close(gradients(applied, (matrix, vectors)), gradients(multiplied, (matrix, vectors)))


@pytest.mark.parametrize("method", ["dense", "modes"])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("batch", "leading"),
    [
        ((), ()),
        ((), (0,)),
        ((2,), ()),
        ((2,), (2,)),
        ((2,), (4, 1)),
        ((2, 1), (3,)),
        ((1, 3), (5, 2, 1)),
        ((2,), (0, 2)),
    ],
)
def test_leading_dimensions_broadcast(batch, leading, order, method):
    matrix = torch.randn(*batch, 5, 5, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(*leading, math.comb(5, order), dtype=torch.float64, requires_grad=True)
    applied = compound_apply(matrix, vectors, order, method=method)
    compound = compound_matrix(matrix, order)
    expected = torch.einsum("...ij,...j->...i", compound, vectors)
    assert applied.shape == expected.shape == (*torch.broadcast_shapes(batch, leading), math.comb(5, order))
    torch.testing.assert_close(applied, expected)
    torch.testing.assert_close(gradients(applied, (matrix, vectors)), gradients(expected, (matrix, vectors)))


@pytest.mark.parametrize("method", ["dense", "modes"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_identity_leaves_every_bit(order, method):
    vectors = torch.randn(7, math.comb(9, order))
    assert compound_apply(torch.eye(9), vectors, order, method=method).equal(vectors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_vectors_keep_their_dtype(dtype):
    matrix = random_orthogonal(6, dtype=torch.float32)
    vectors = torch.randn(4, 15).to(dtype)
    applied = compound_apply(matrix, vectors, 2)
    assert applied.dtype == dtype
    assert applied.equal(compound_apply(matrix, vectors.float(), 2).to(dtype))


@pytest.mark.parametrize("order", [2, 3])
def test_modes_keep_only_matrix_and_vectors_for_the_backward(order):
    matrix = random_orthogonal(20).requires_grad_()
    vectors = torch.randn(8, math.comb(20, order), dtype=torch.float64, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        compound_apply(matrix, vectors, order, method="modes")
    assert sum(kept) == matrix.numel() + vectors.numel()


def test_bad_input_is_refused():
    square = torch.eye(4)
    with pytest.raises(ValueError, match=r"must be square, .* got \(3, 4\)"):
        compound_matrix(torch.ones(3, 4), 2)
    with pytest.raises(ValueError, match=r"must be square, .* got \(4,\)"):
        compound_matrix(torch.ones(4), 2)
    with pytest.raises(ValueError, match=r"in 0..4, got order=5"):
        compound_matrix(square, 5)
    with pytest.raises(ValueError, match=r"in 0..4, got order=-1"):
        compound_apply(square, torch.ones(1), -1)
    for dtype in (torch.int64, torch.float16):
        with pytest.raises(TypeError, match=f"complex64 or complex128, got {dtype}"):
            compound_matrix(square.to(dtype), 2)
    with pytest.raises(TypeError, match=r"floating-point dtype, complex64 or complex128, got torch\.int64"):
        compound_apply(square, torch.ones(6, dtype=torch.int64), 2)
    with pytest.raises(ValueError, match=r"C\(4, 2\) = 6\), got \(2, 5\)"):
        compound_apply(square, torch.ones(2, 5), 2)
    with pytest.raises(ValueError, match=r"C\(4, 2\) = 6\), got \(\)"):
        compound_apply(square, torch.tensor(1.0), 2)
    with pytest.raises(ValueError, match="got 'sparse'"):
        compound_apply(square, torch.ones(6), 2, method="sparse")
    with pytest.raises(ValueError, match=r"k <= 3.* got order=4"):
        compound_apply(torch.eye(6), torch.ones(15), 4, method="modes")


@pytest.mark.parametrize("order", [11, 12])
def test_orders_beyond_the_middle_of_singular_matrices_are_refused(order):
    with pytest.raises(ValueError, match=rf"cond\(A\)\^\(n-k\) must be at most .* for n=12, order={order}"):
        compound_matrix(torch.zeros(12, 12), order)


def test_a_nearly_singular_matrix_is_right_or_refused():
    values = torch.ones(11, dtype=torch.float64)
    for smallest in (1e-3, 1e-4, 1e-8, 1e-12):
        values[-2:] = smallest
        left, right = random_orthogonal(11), random_orthogonal(11)
        try:
            compound = compound_matrix(left @ values.diag() @ right, 9)
        except ValueError:
            assert smallest < 1e-3
            continue
        product = compound_matrix(left, 9) @ torch.diag(minors_of_diagonal(values, 9)) @ compound_matrix(right, 9)
        torch.testing.assert_close(compound, product, rtol=0, atol=1e-7)


def minors_of_diagonal(values, order):
    return torch.stack([values[list(subset)].prod() for subset in subsets(len(values), order)])


def test_the_first_compound_is_a_copy():
    matrix = torch.eye(3)
    compound_matrix(matrix, 1).mul_(2)
    assert matrix.equal(torch.eye(3))


@pytest.mark.parametrize("method", ["dense", "modes"])
@pytest.mark.parametrize("order", [1, 2])
def test_autocast_is_kept_out(method, order):
    matrix = random_orthogonal(9, dtype=torch.float32).requires_grad_()
    vectors = torch.randn(5, math.comb(9, order), requires_grad=True)
    expected = compound_apply(matrix, vectors, order, method=method)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        applied = compound_apply(matrix, vectors, order, method=method)
    assert applied.equal(expected)
    for got, wanted in zip(
        gradients(applied, (matrix, vectors)), gradients(expected, (matrix, vectors)), strict=True
    ):
        assert got.equal(wanted)


# What torch itself imports for forward mode uses torch.jit.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_forward_mode_is_refused_and_not_silently_zero():
    matrix, tangent = torch.randn(2, 4, 4, dtype=torch.float64)
    for order in (1, 2):
        with pytest.raises(NotImplementedError, match="reverse mode, got matrix with a forward-mode tangent"):
            torch.func.jvp(lambda a, order=order: compound_matrix(a, order), (matrix,), (tangent,))


def test_what_is_no_tensor_is_refused():
    for call in (lambda: compound_matrix(np.eye(3), 2), lambda: compound_apply(np.eye(3), torch.ones(3), 2)):
        with pytest.raises(TypeError, match="matrix must be a torch tensor, got ndarray"):
            call()
    with pytest.raises(TypeError, match="vectors must be a torch tensor, got list"):
        compound_apply(torch.eye(3), [1.0, 2.0, 3.0], 2)
    with pytest.raises(TypeError, match=r"order must be an integer, got 2\.0"):
        compound_matrix(torch.eye(3), 2.0)
    with pytest.raises(ValueError, match=r"n >= 1, got \(0, 0\)"):
        compound_matrix(torch.zeros(0, 0), 0)
    with pytest.raises(ValueError, match=r"must broadcast, got \(2, 3\) and \(4, 3, 3\)"):
        compound_apply(torch.ones(4, 3, 3), torch.ones(2, 3), 2)
    with pytest.raises(ValueError, match="must be on one device, got cpu and meta"):
        compound_apply(torch.eye(3, device="meta"), torch.ones(3), 2)


@pytest.mark.parametrize(("n", "order"), [(5, 2), (8, 3), (13, 11)])
def test_rotations_are_applied_by_their_own_method_and_batched(n, order):
    matrices = random_orthogonal(n, batch_shape=(2,), generator=torch.Generator().manual_seed(n))
    x = torch.randn(3, 2, math.comb(n, order), dtype=torch.float64)
    expected = torch.einsum("bij,tbj->tbi", compound_matrix(matrices, order), x)
    for method in ("rotation", "auto"):
        torch.testing.assert_close(compound_apply(matrices, x, order, method=method), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", range(1, 6))
def test_every_method_gives_a_rotation_its_whole_gradient(order):
    # Not only the one along SO(n): the length of A x does not change there, and its gradient would be zero.
    matrix = random_orthogonal(6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x = torch.randn(4, math.comb(6, order), dtype=torch.float64)
    by_definition, *others = [
        torch.autograd.grad(compound_apply(matrix, x, order, method=method).square().sum(), matrix)[0]
        for method in ("dense", "rotation", "auto")
    ]
    for gradient in others:
        torch.testing.assert_close(gradient, by_definition)


@pytest.mark.parametrize(
    ("matrix", "order", "message"),
    [
        (2 * torch.eye(4), 2, r"needs A in SO\(n\), got one that is not orthogonal"),
        (torch.diag(torch.tensor([1.0, 1.0, -1.0])), 2, "determinant -1"),
        (torch.eye(4), 4, r"serves 0 < k < n .* got order=4, n=4"),
    ],
)
def test_what_is_no_rotation_is_refused_by_that_method(matrix, order, message):
    with pytest.raises(ValueError, match=message):
        compound_apply(matrix, torch.ones(math.comb(len(matrix), order)), order, method="rotation")


@pytest.mark.parametrize(("n", "order"), [(8, 4), (12, 9)])
@pytest.mark.parametrize("method", ["auto", "dense", "rotation"])
def test_no_matrices_give_no_vectors(n, order, method):
    matrix, x = torch.zeros(0, n, n), torch.zeros(5, 0, math.comb(n, order))
    assert compound_apply(matrix, x, order, method=method).shape == x.shape


def test_numbers_that_torch_has_yet_to_negate_are_taken_for_what_they_are():
    rotation = random_orthogonal(8, generator=torch.Generator().manual_seed(0))
    lazy = torch.complex(torch.zeros_like(rotation), -rotation).conj().imag
    assert lazy.is_neg()
    for vectors in (1, 100):
        x = torch.ones(vectors, 70, dtype=torch.float64)
        assert compound_apply(lazy, x, 4).equal(compound_apply(rotation, x, 4))


@pytest.mark.parametrize("method", ["auto", "rotation", "modes"])
def test_vectors_that_do_not_fit_are_refused_with_the_bytes(method):
    x = torch.zeros(1, dtype=torch.float64).expand(10**7, math.comb(40, 3))
    with pytest.raises(MemoryError, match=r"10000000 vectors of 9880 amplitudes needs 1,580,800,000,000 bytes"):
        compound_apply(torch.eye(40, dtype=torch.float64), x, 3, method=method)


@pytest.mark.parametrize("vectors", [1, 20])
def test_rotations_compile_without_a_graph_break(vectors):
    rotation = random_orthogonal(6, generator=torch.Generator().manual_seed(0))
    x = torch.randn(vectors, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    compiled = torch.compile(
        lambda matrix, x: compound_apply(matrix, x, 3, method="rotation"), fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(compiled(rotation, x), compound_apply(rotation, x, 3), rtol=0, atol=1e-12)
