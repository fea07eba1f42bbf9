"""Training on the circuit: gradients and whole trajectories by PennyLane are those of the torch engine."""

import functools
import itertools

import numpy as np
import pennylane as qml
import pytest
import torch

from qicircuits import apply_layout, brickwork, butterfly, pyramid, subspace_dim
from qicircuits.circuits import RBS, orthogonal_layer, subspace_loader, trainable_layer
from qicircuits.subsets import subsets

ORDERS = [(1,), (2,), (1, 2)]
METHODS = ["parameter-shift", "adjoint", "backprop"]
CASES = [
    *((brickwork(4), "rbs", orders, method) for orders in ORDERS for method in METHODS),
    *((butterfly(4), gate, (2,), method) for gate in ("rbs", "fbs") for method in METHODS),
    *((brickwork(4), "rbs", orders, "backprop") for orders in ((2, 1), (3, 4, 1))),
]
OPTIMIZERS = {
    "SGD": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.5),
    "Adam": functools.partial(torch.optim.Adam, lr=0.05),
}


def numbers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def by_engine(layout, orders, gate="rbs"):
    """R(theta) x on the direct sum, by the engine."""
    sizes = [subspace_dim(layout.n, order) for order in orders]

    def layer(x, theta):
        parts = zip(x.split(sizes, dim=1), orders, strict=True)
        return torch.cat([apply_layout(part, theta, layout, order, gate) for part, order in parts], dim=1)

    return layer, sum(sizes)


def trajectory(loss, start, optimizer, steps):
    """The angles before every step and after the last, shape (steps + 1, n_gates), and the losses."""
    theta = start.clone().requires_grad_()
    chosen = optimizer([theta])
    angles, losses = [start.clone()], []
    for _ in range(steps):
        chosen.zero_grad()
        value = loss(theta)
        value.backward()
        chosen.step()
        angles.append(theta.detach().clone())
        losses.append(value.item())
    return torch.stack(angles), losses


@pytest.mark.parametrize(("layout", "gate", "orders", "method"), CASES, ids=str)
def test_values_and_gradients_are_those_of_the_engine(layout, gate, orders, method):
    engine, dim = by_engine(layout, orders, gate)
    x, weights = numbers(2, dim), numbers(2, dim, seed=1)
    found = {}
    for name, layer in (
        ("engine", engine),
        ("circuit", trainable_layer(layout, orders, gate=gate, diff_method=method)),
    ):
        theta = numbers(layout.n_gates, seed=2).requires_grad_()
        y = layer(x, theta)
        (y**3 * weights).sum().backward()  # a loss that no linear readout has
        found[name] = y.detach(), theta.grad
    for ours, theirs in zip(found["engine"], found["circuit"], strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-11)
    assert found["engine"][1].abs().max() > 0.1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", ["parameter-shift", "adjoint"])
@pytest.mark.parametrize("orders", ORDERS, ids=str)
def test_a_block_trains_to_the_same_angles_step_by_step(orders, method, optimizer):
    layout = brickwork(4)
    engine, dim = by_engine(layout, orders)
    circuit = trainable_layer(layout, orders, diff_method=method)
    x = numbers(2, dim)
    target = engine(x, numbers(layout.n_gates, seed=1))
    start = numbers(layout.n_gates, seed=2)
    runs = [
        trajectory(
            lambda theta, layer=layer: ((layer(x, theta) - target) ** 2).mean(), start, OPTIMIZERS[optimizer], 8
        )
        for layer in (engine, circuit)
    ]
    (ours, losses), (theirs, _) = runs
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-11)
    assert losses[-1] < losses[0]
    assert (ours[-1] - start).abs().max() > 0.1


def hopping_and_density(n):
    """Observables of one particle that preserve the weight: on neighbours, so without a sign of wires between."""
    return [qml.Z(i) for i in range(n)] + [
        0.5 * (qml.X(i) @ qml.X(i + 1) + qml.Y(i) @ qml.Y(i + 1)) for i in range(n - 1)
    ]


def quadratic_forms(y, n, order):
    """The expectation values of the same observables from the vector y, shape (batch, 2 n - 1)."""
    members = [set(subset) for subset in subsets(n, order)]
    diagonal = torch.tensor([[1.0 - 2 * (i in subset) for subset in members] for i in range(n)], dtype=y.dtype)
    hopping = torch.zeros(n - 1, len(members), len(members), dtype=y.dtype)
    for (a, left), (b, right) in itertools.product(enumerate(members), repeat=2):
        if len(moved := sorted(left ^ right)) == 2 and moved[1] == moved[0] + 1:
            hopping[moved[0], a, b] = 1
    return torch.cat((y**2 @ diagonal.T, torch.einsum("ba,iac,bc->bi", y, hopping, y)), dim=1)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", ["parameter-shift", "adjoint"])
@pytest.mark.parametrize("device", ["default.qubit", "qicircuits.subspace"])
@pytest.mark.parametrize("order", [1, 2])
def test_a_loss_of_observables_trains_the_same_on_both_devices(order, device, method, optimizer):
    layout = pyramid(4)
    x = torch.nn.functional.normalize(numbers(2, subspace_dim(4, order)))
    wanted = quadratic_forms(apply_layout(x, numbers(6, seed=1), layout, order), 4, order)

    @qml.qnode(qml.device(device, wires=4), diff_method=method)
    def measured(vector, theta):
        subspace_loader(vector, order, wires=range(4))
        orthogonal_layer(theta, layout)
        return [qml.expval(observable) for observable in hopping_and_density(4)]

    def on_circuit(theta):
        values = torch.stack([torch.stack(measured(vector, theta)) for vector in x])
        return ((values - wanted) ** 2).mean()

    def on_engine(theta):
        return ((quadratic_forms(apply_layout(x, theta, layout, order), 4, order) - wanted) ** 2).mean()

    start = numbers(6, seed=2)
    ours, losses = trajectory(on_engine, start, OPTIMIZERS[optimizer], 3)
    theirs, _ = trajectory(on_circuit, start, OPTIMIZERS[optimizer], 3)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-11)
    assert losses[-1] < losses[0]


def shifted(function, theta, step):
    """Central differences of a function of the angles with a shift, shape (n_gates, ...)."""
    return torch.stack(
        [(function(theta + step * e) - function(theta - step * e)) for e in torch.eye(len(theta)).double()]
    )


def test_two_shifts_are_enough_for_y_and_not_for_an_expectation_value_in_y():
    layout, order = brickwork(4), 2
    x, theta = numbers(1, 6), numbers(6, seed=1)
    layer = trainable_layer(layout, (order,))
    jacobian = torch.autograd.functional.jacobian(lambda angles: apply_layout(x, angles, layout, order), theta)
    two_terms = shifted(lambda angles: layer(x, angles), theta, np.pi / 2) / 2
    torch.testing.assert_close(two_terms.permute(1, 2, 0), jacobian, rtol=0, atol=1e-12)
    for k in (1, 2):  # on the weight-1 sector too, where RBS is a rotation of two amplitudes

        def density(angles, k=k):
            return apply_layout(numbers(1, subspace_dim(4, k)), angles, layout, k)[0, 0] ** 2

        gradient = torch.autograd.functional.jacobian(density, theta)
        assert (shifted(density, theta, np.pi / 2) / 2 - gradient).abs().max() > 0.01
        # Frequencies 1 and 2: the four-term rule, which PennyLane takes from RBS.parameter_frequencies.
        near, far = (shifted(density, theta, step) for step in (np.pi / 4, 3 * np.pi / 4))
        a, b = (np.sqrt(2) + 1) / (2 * np.sqrt(2)), (np.sqrt(2) - 1) / (2 * np.sqrt(2))
        torch.testing.assert_close(a * near - b * far, gradient, rtol=0, atol=1e-12)
    assert RBS.parameter_frequencies == [(1, 2)]


def test_the_chain_rule_to_the_angle_of_single_excitation():
    layout, x = brickwork(3), torch.nn.functional.normalize(numbers(1, 3))[0]
    device = qml.device("default.qubit", wires=3)

    def gradient(angles, place):
        @qml.qnode(device, diff_method="parameter-shift")
        def circuit(angles):
            subspace_loader(x, 1, wires=range(3))
            for angle, pair in zip(angles, layout.pairs, strict=True):
                place(angle, pair)
            return qml.expval(qml.Z(0))

        angles = angles.clone().requires_grad_()
        circuit(angles).backward()
        return angles.grad

    theta = numbers(3, seed=1)
    by_theta, by_phi = gradient(theta, RBS), gradient(-2 * theta, qml.SingleExcitation)
    torch.testing.assert_close(by_theta, -2 * by_phi, rtol=0, atol=1e-12)


def test_gradients_from_shots_scatter_about_the_exact_one():
    layout, orders = brickwork(3), (1, 2)
    engine, dim = by_engine(layout, orders)
    x, weights = numbers(1, dim), numbers(1, dim, seed=1)

    def gradient(layer):
        theta = numbers(3, seed=2).requires_grad_()
        (layer(x, theta) * weights).sum().backward()  # linear in y: the estimate has no bias
        return theta.grad

    device = qml.device("default.qubit", wires=4, seed=3)
    measured = trainable_layer(layout, orders, device=device, diff_method="parameter-shift", shots=200)
    found = torch.stack([gradient(measured) for _ in range(30)])
    off = found.mean(0) - gradient(engine)
    assert (off.abs() < 5 * found.std(0) / 30**0.5).all()
    assert (found.std(0) > 0.01).all()


@pytest.mark.parametrize("interface", ["torch", "autograd"])
def test_the_library_is_that_of_the_angles(interface):
    layout, x = brickwork(3), numbers(2, 3).numpy()
    layer = trainable_layer(layout, (1,))
    angles = numbers(3, seed=1)
    theta = angles if interface == "torch" else qml.numpy.array(angles.numpy(), requires_grad=True)
    y = layer(x, theta)
    assert qml.math.get_interface(y) == interface
    np.testing.assert_allclose(y, apply_layout(torch.from_numpy(x), angles, layout, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("layout", "orders", "error", "message"),
    [
        ("brickwork", (1,), TypeError, "layout must be a Layout"),
        (brickwork(3), (), ValueError, r"distinct weights in 1..3, not 3 alone, got \(\)"),
        (brickwork(3), (0, 1), ValueError, r"got \(0, 1\)"),
        (brickwork(3), (3,), ValueError, r"not 3 alone, got \(3,\)"),
        (brickwork(3), (1, 1), ValueError, r"got \(1, 1\)"),
        (brickwork(3), (1.5,), TypeError, "an order must be an integer"),
        (brickwork(3), 2, TypeError, r"must be a sequence of integers, such as \(1, 2\), got 2"),
    ],
    ids=str,
)
def test_bad_requests_are_refused(layout, orders, error, message):
    with pytest.raises(error, match=message):
        trainable_layer(layout, orders)


def test_bad_vectors_and_angles_are_refused():
    layer = trainable_layer(brickwork(3), (1,))
    theta = numbers(3)
    with pytest.raises(ValueError, match="zeros"):
        layer(torch.zeros(1, 3).double(), theta)
    with pytest.raises(ValueError, match="shape"):
        layer(numbers(1, 4), theta)
    with pytest.raises(ValueError, match="needs angles of shape"):
        layer(numbers(1, 3), numbers(2))
    with pytest.raises(qml.exceptions.DeviceError, match="Hadamard"):
        trainable_layer(brickwork(3), (1,), device=qml.device("qicircuits.subspace", wires=4))(numbers(1, 3), theta)
