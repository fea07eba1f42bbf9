"""No tensor of the size of R, d x d, is made: not in a forward, not in a backward, not for the backward."""

from typing import get_args

import pytest
import torch
from peft import get_peft_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from adapters import QuICConfig, rotation
from adapters.choices import ParameterMap

FEATURES, TOKENS = 768, 3


class LargestTensor(TorchDispatchMode):
    """Watches the size of everything that any operator returns."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            # Views count with what they hold in memory.
            if isinstance(tensor, torch.Tensor):
                self.entries = max(self.entries, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("parameter_map", get_args(ParameterMap))
@pytest.mark.parametrize("side", ["out", "in"])
@pytest.mark.parametrize(("orders", "n_factors"), [((1, 2), 1), ((2,), 1), ((1, 3), 1), ((1, 2), 3)])
def test_nothing_of_the_size_of_r_is_made(orders, n_factors, side, parameter_map, kernels, monkeypatch):
    if not kernels:  # as on a device that the kernels do not serve
        monkeypatch.setattr(rotation, "rotates_blocks", lambda *_: False)
    torch.manual_seed(0)
    # A weight of 768 x 4, so that d x d stands out.
    layer = nn.Linear(4, FEATURES) if side == "out" else nn.Linear(FEATURES, 4)
    config = QuICConfig(
        target_modules=["0"], orders=orders, side=side, parameter_map=parameter_map, n_factors=n_factors, n_blocks=1
    )
    model = get_peft_model(nn.Sequential(layer), config)
    x = torch.randn(TOKENS, layer.in_features, requires_grad=True)
    with LargestTensor() as largest:
        model(x).square().sum().backward()
    assert largest.entries >= 4 * FEATURES, "nothing was watched"
    assert largest.entries < FEATURES**2 / 4
