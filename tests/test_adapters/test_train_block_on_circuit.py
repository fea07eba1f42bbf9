"""An adapter's block trained through PennyLane reaches the numbers that the engine reaches, step by step."""

import functools
import math

import pytest
import torch
from peft import get_peft_model
from torch import nn

from adapters import QuICConfig, compile_adapter
from qicircuits.circuits import trainable_layer


def trained(parameters, outputs, target, optimizer, steps=4):
    """The parameters before every step and after the last, and the losses."""
    path, losses = [parameters.detach().clone()], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((outputs() - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        path.append(parameters.detach().clone())
        losses.append(loss.item())
    return torch.stack(path), losses


@pytest.mark.parametrize(("optimizer", "method"), [("SGD", "parameter-shift"), ("Adam", "adjoint")])
@pytest.mark.parametrize(("features", "orders"), [(4, (1,)), (6, (2,)), (10, (1, 2))], ids=str)
def test_a_block_of_the_map_rbs_is_trained_as_its_circuit(features, orders, optimizer, method):
    torch.manual_seed(0)
    base = nn.Linear(3, features, dtype=torch.float64)
    inputs, target = torch.randn(4, 3).double(), torch.randn(4, features).double()
    make = (
        functools.partial(torch.optim.SGD, lr=0.5)
        if optimizer == "SGD"
        else functools.partial(torch.optim.Adam, lr=0.05)
    )
    weight, bias = base.weight.detach().clone(), base.bias.detach().clone()
    model = get_peft_model(
        nn.ModuleDict({"layer": base}),
        QuICConfig(target_modules=["layer"], orders=orders, parameter_map="rbs", n_blocks=1),
    )
    layer = model.base_model.model["layer"]
    compiled = compile_adapter(model, "layer")  # at the start: only its layout and the reading out are used
    own = layer.quic_parameters["default"]
    theta = own.detach()[0].clone().requires_grad_()
    circuit = trainable_layer(compiled.layout, orders, diff_method=method)
    sizes = [math.comb(compiled.layout.n, order) for order in orders]

    def on_circuit():
        amplitudes = circuit(inputs @ weight.T, math.pi / 2 + theta).split(sizes, dim=1)
        read = [
            part @ torch.from_numpy(compiled.read_out(torch.eye(size).double().numpy(), order)).T
            for part, size, order in zip(amplitudes, sizes, orders, strict=True)
        ]
        return torch.cat(read, dim=1) + bias

    assert own.dtype == torch.float64
    ours, losses = trained(own, lambda: layer(inputs), target, make([own]))
    theirs, _ = trained(theta, on_circuit, target, make([theta]))
    torch.testing.assert_close(theirs, ours[:, 0], rtol=0, atol=1e-11)
    assert losses[-1] < losses[0]
    assert ours[-1].abs().max() > 0.05
