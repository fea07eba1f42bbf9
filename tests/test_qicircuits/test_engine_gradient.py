"""What backwards refuse, in words that say what to do, and what they leave out where nobody asks for it."""

import pytest
import torch

from qicircuits import apply_layout, brickwork, cayley, compound_apply, random_orthogonal
from qicircuits.engine.cpu_rotation import rotate_sectors, rotate_sectors_backward

LAYOUT = brickwork(5)
PLAN = ([1, 0, 5, 2, 5, 15, 4, 15, 20, 3, 20, 30], 2, 30)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def rotations():
    """Functions of vectors (..., 10) and of ten numbers, one for every kind of operator that keeps its output."""
    return [
        lambda x, p: apply_layout(x, p, LAYOUT, 2, method="gates"),
        lambda x, p: apply_layout(x, p, LAYOUT, 2, method="compound"),
        lambda x, p: apply_layout(x, p, LAYOUT, 2, phases=p),
        lambda x, p: compound_apply(cayley(p), x, 2, method="rotation"),
        lambda x, p: rotate_sectors(x, cayley(p)[None], None, [2, 0, 10], 1, 10),
    ]


@pytest.mark.parametrize("index", range(len(rotations())))
@pytest.mark.parametrize("tokens", [1, 20])
def test_outputs_changed_in_place_are_refused_or_copied(index, tokens):
    rotate = rotations()[index]
    x, parameters = torch.randn(tokens, 10), torch.randn(10, requires_grad=True)
    (expected,) = torch.autograd.grad((2 * rotate(x, parameters)).abs().square().sum(), parameters)
    changed = rotate(x, parameters).mul_(2).abs().square().sum()
    with pytest.raises(RuntimeError, match=r"must not be changed in place.*allow_mutation_on_saved_tensors"):
        torch.autograd.grad(changed, parameters)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        changed = rotate(x, parameters).mul_(2).abs().square().sum()
        (actual,) = torch.autograd.grad(changed, parameters)
    torch.testing.assert_close(actual, expected)


def test_a_graph_that_was_freed_is_reported_by_torch():
    parameters = torch.randn(10, requires_grad=True)
    loss = apply_layout(torch.randn(3, 10), parameters, LAYOUT, 2, method="gates").square().sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("index", range(len(rotations())))
def test_second_derivatives_are_refused(index):
    x, parameters = torch.randn(20, 10), torch.randn(10, requires_grad=True)
    out = rotations()[index](x, parameters)
    (gradient,) = torch.autograd.grad(out.abs().square().sum(), parameters, create_graph=True)
    with pytest.raises(NotImplementedError, match="differentiated once"):
        gradient.sum().backward()


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("trains_bias", [False, True])
def test_vectors_without_gradient_change_no_other_gradient(trains_bias, share):
    x = torch.randn(40, 65, dtype=torch.float64)
    parameters = torch.randn(1 if share else 2, 10, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(65, dtype=torch.float64, requires_grad=trains_bias)
    wanted = [parameters, bias] if trains_bias else [parameters]

    def gradients(x):
        out = rotate_sectors(x, cayley(parameters), bias, *PLAN)
        return torch.autograd.grad(out.square().sum() + out.sum(), wanted)

    for actual, expected in zip(gradients(x), gradients(x.clone().requires_grad_()), strict=True):
        assert actual.equal(expected)


def test_the_gradient_of_vectors_is_found_only_where_it_is_wanted():
    x, matrices = torch.randn(40, 65), random_orthogonal(5, batch_shape=(2,), dtype=torch.float32)
    for wants_x, shape in ((True, (40, 65)), (False, (0,))):
        grad_x, _ = rotate_sectors_backward(x, x, matrices, None, *PLAN, wants_x)
        assert grad_x.shape == shape


def test_operators_pass_the_checks_of_torch_without_a_gradient_of_the_vectors():
    matrices = random_orthogonal(5, batch_shape=(2,)).requires_grad_()
    for bias in (None, torch.randn(65, dtype=torch.float64, requires_grad=True)):
        torch.library.opcheck(rotate_sectors, (torch.randn(3, 65, dtype=torch.float64), matrices, bias, *PLAN))


TRANSFORMS = {
    "grad": lambda f, p: torch.func.grad(lambda p: f(p).sum())(p),
    "jacrev": lambda f, p: torch.func.jacrev(f)(p),
    "hessian": lambda f, p: torch.func.hessian(lambda p: f(p).sum())(p),
    "jvp": lambda f, p: torch.func.jvp(f, (p,), (p,)),
    "vmap of grad": lambda f, p: torch.func.vmap(torch.func.grad(lambda p: f(p).sum()))(p.expand(3, -1)),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own, of its own
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_derivatives_by_torch_func_are_refused(transform):
    x, parameters = torch.randn(20, 10), torch.randn(10)
    for method in ("gates", "compound"):
        with pytest.raises(NotImplementedError, match=r"by autograd|in reverse mode"):
            TRANSFORMS[transform](lambda p, method=method: apply_layout(x, p, LAYOUT, 2, method=method), parameters)
    for method in ("modes", "dense", "rotation"):
        with pytest.raises(NotImplementedError, match=r"by autograd|in reverse mode"):
            TRANSFORMS[transform](lambda p, method=method: compound_apply(cayley(p), x, 2, method=method), parameters)


def test_the_jacobian_that_is_named_instead_is_found():
    x, parameters = torch.randn(4, 10, dtype=torch.float64), torch.randn(10, dtype=torch.float64, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(
        lambda p: apply_layout(x, p, LAYOUT, 2).sum(0), parameters, vectorize=True
    )
    out = apply_layout(x, parameters, LAYOUT, 2).sum(0)
    rows = [torch.autograd.grad(one, parameters, retain_graph=True)[0] for one in out]
    torch.testing.assert_close(jacobian, torch.stack(rows))
