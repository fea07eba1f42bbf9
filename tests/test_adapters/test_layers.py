"""The layers: forward is the merged weight's forward, an untouched adapter changes no bit, and PEFT's life cycle."""

import copy
import itertools
from typing import get_args

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from adapters import QuICConfig
from adapters.choices import ParameterMap
from qicircuits import is_orthogonal

MAPS = get_args(ParameterMap)
ORDERS = ((1,), (2,), (3,), (2, 3), (1, 2))
BLOCKS = ({}, {"n_blocks": 2}, {"n_blocks": 2, "block_share": True}, {"block_size": 14})


def conv1d():
    layer = Conv1D(26, 24)
    nn.init.normal_(layer.bias)
    return layer


# Each face: the layer, an input for it, and the sides it can be rotated on.
FACES = {
    "linear": (lambda: nn.Linear(24, 26), lambda: torch.randn(2, 5, 24), ("out", "in")),
    "linear without bias": (lambda: nn.Linear(24, 26, bias=False), lambda: torch.randn(5, 24), ("out", "in")),
    "conv1d": (conv1d, lambda: torch.randn(2, 5, 24), ("out", "in")),
    "conv2d": (
        lambda: nn.Conv2d(24, 26, 3, stride=2, padding=1, dilation=2),
        lambda: torch.randn(2, 24, 7, 6),
        ("out", "in"),
    ),
    "embedding": (lambda: nn.Embedding(9, 26, padding_idx=0), lambda: torch.randint(0, 9, (2, 5)), ("out",)),
}
FACE_SIDES = [(face, side) for face, (_, _, sides) in FACES.items() for side in sides]


def adapted(face, *, dtype=torch.float32, config=None, **values):
    """A model of one adapted layer, the same without adapter, and an input."""
    torch.manual_seed(0)
    make_layer, make_input, _ = FACES[face]
    base = nn.Sequential()
    base.add_module("layer", make_layer())
    base.to(dtype).eval()
    x = make_input()
    config = config or QuICConfig(target_modules=["layer"], **({"block_share": False} | values))
    model = get_peft_model(copy.deepcopy(base), config)
    return model.eval(), base, x.to(dtype) if x.is_floating_point() else x


def layer_of(model):
    return model.get_submodule("base_model.model.layer")


def turn(model, name="default", std=0.3):
    nn.init.normal_(layer_of(model).quic_parameters[name], std=std)


@pytest.mark.parametrize(("face", "side"), FACE_SIDES)
@pytest.mark.parametrize("parameter_map", MAPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_untouched_adapter_changes_no_bit(face, side, parameter_map, dtype):
    for orders, blocks in itertools.product(ORDERS, BLOCKS):
        model, base, x = adapted(face, dtype=dtype, side=side, parameter_map=parameter_map, orders=orders, **blocks)
        assert layer_of(model).quic_parameters["default"].dtype == torch.float32
        for training in (False, True):
            model.train(training)
            assert model(x).equal(base(x))


@pytest.mark.parametrize(("face", "side"), FACE_SIDES)
@pytest.mark.parametrize("parameter_map", MAPS)
@pytest.mark.parametrize("orders", ORDERS)
def test_forward_is_the_merged_forward(face, side, parameter_map, orders):
    for blocks in BLOCKS:
        model, base, x = adapted(
            face, dtype=torch.float64, side=side, parameter_map=parameter_map, orders=orders, **blocks
        )
        turn(model)
        expected = model(x)
        assert (expected - base(x)).abs().max() > 1e-3
        weight = layer_of(model).weight.clone()
        model.merge_adapter(safe_merge=True)
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)
        assert not layer_of(model).weight.allclose(weight)
        model.unmerge_adapter()
        torch.testing.assert_close(layer_of(model).weight, weight, rtol=0, atol=1e-13)
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)
        unloaded = model.merge_and_unload()
        assert type(unloaded.layer) is type(base.layer)
        torch.testing.assert_close(unloaded(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("face", "side"), FACE_SIDES)
def test_single_precision_costs_a_few_ulp(face, side):
    model, _, x = adapted(face, side=side)
    turn(model)
    exact = copy.deepcopy(model).double()
    result = exact(x.double() if x.is_floating_point() else x)
    assert (model(x) - result).abs().max() < 3e-6 * result.abs().max()


@pytest.mark.parametrize(("face", "side"), FACE_SIDES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_base(face, side, dtype):
    model, _, x = adapted(face, dtype=dtype, side=side)
    turn(model)
    result = model(x)
    assert result.dtype == dtype
    (result.float() * torch.randn(result.shape)).sum().backward()  # rotations do not change the sum of squares
    assert layer_of(model).quic_parameters["default"].grad.abs().max() > 0
    exact = copy.deepcopy(model).double()(x.double() if x.is_floating_point() else x)
    tolerance = 4 * torch.finfo(dtype).eps * exact.abs().max()
    assert (result - exact).abs().max() < tolerance
    model.merge_adapter()
    assert layer_of(model).weight.dtype == dtype
    assert (model(x) - exact).abs().max() < tolerance


@pytest.mark.parametrize(("face", "side"), FACE_SIDES)
@pytest.mark.parametrize("parameter_map", MAPS)
def test_training_moves_every_number_and_stays_orthogonal(face, side, parameter_map):
    model, base, x = adapted(face, side=side, parameter_map=parameter_map, n_blocks=2)
    parameters = layer_of(model).quic_parameters["default"]
    assert [p.shape for p in model.parameters() if p.requires_grad] == [parameters.shape]
    assert parameters.numel() == layer_of(model).quic_rotation["default"].plan.n_parameters
    weight = layer_of(model).weight.clone()
    target = torch.randn_like(base(x))
    optimizer = torch.optim.Adam([parameters], lr=0.05)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        losses.append((model(x) - target).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert parameters.abs().min() > 0
    assert is_orthogonal(layer_of(model).matrices("default"))
    assert layer_of(model).weight.equal(weight)


@pytest.mark.parametrize("face", ["linear", "conv1d", "conv2d"])
def test_bias_gradient_is_not_rotated(face):
    model, base, x = adapted(face, dtype=torch.float64, bias="quic_only")
    turn(model)
    bias = layer_of(model).bias
    assert bias.requires_grad
    grad = torch.randn_like(base(x))
    model(x).backward(grad)
    channel = -3 if face == "conv2d" else -1
    expected = grad.movedim(channel, -1).flatten(0, -2).sum(0)
    torch.testing.assert_close(bias.grad, expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        before = model(x)
        bias += 1
    torch.testing.assert_close(model(x), before + 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("side", ["out", "in"])
def test_memory_format_is_kept(side):
    model, base, x = adapted("conv2d", side=side)
    x = x.to(memory_format=torch.channels_last)
    base.to(memory_format=torch.channels_last)
    model.to(memory_format=torch.channels_last)
    assert model(x).equal(base(x))
    assert model(x).stride() == base(x).stride()


def test_unbatched_image():
    model, _, x = adapted("conv2d")
    turn(model)
    torch.testing.assert_close(model(x[0]), model(x)[0])


def test_blocks_that_share_are_alike():
    model, _, _ = adapted("linear", n_blocks=2, block_share=True)
    turn(model)
    assert layer_of(model).matrices("default").shape == (1, 4, 4)
    assert "n_blocks=2, n_parameters=6" in repr(layer_of(model))


@pytest.mark.parametrize(("face", "side"), FACE_SIDES)
def test_module_dropout_skips_the_whole_module(face, side):
    model, base, x = adapted(face, side=side, module_dropout=0.4)
    turn(model)
    rotated, plain = model(x), base(x)
    assert not rotated.equal(plain)
    model.train()
    outputs = [model(x) for _ in range(40)]
    skipped = sum(output.equal(plain) for output in outputs)
    assert skipped + sum(output.equal(rotated) for output in outputs) == 40
    assert 5 < skipped < 30


def two_adapters(face, side, other_side):
    model, base, x = adapted(face, dtype=torch.float64, side=side)
    model.add_adapter(
        "second", QuICConfig(target_modules=["layer"], side=other_side, orders=(2,), parameter_map="rbs", n_blocks=1)
    )
    turn(model)
    turn(model, "second")
    return model, base, x


@pytest.mark.parametrize(
    ("face", "side", "other_side"),
    [(face, *sides) for face in FACES for sides in itertools.product(FACES[face][2], repeat=2)],
)
def test_two_adapters_compose_switch_and_go(face, side, other_side):
    model, base, x = two_adapters(face, side, other_side)
    first = model(x)
    model.set_adapter("second")
    second = model(x)
    layer = layer_of(model)
    assert not layer.quic_parameters["default"].requires_grad
    assert layer.quic_parameters["second"].requires_grad
    model.base_model.set_adapter(["default", "second"])
    both = model(x)
    for a, b in itertools.combinations((first, second, both, base(x)), 2):
        assert not a.allclose(b)

    model.merge_adapter()
    assert layer.merged_adapters == ["default", "second"]
    torch.testing.assert_close(model(x), both, rtol=0, atol=1e-12)
    model.unmerge_adapter()
    torch.testing.assert_close(model(x), both, rtol=0, atol=1e-12)
    model.merge_adapter(["second"])
    torch.testing.assert_close(model(x), second, rtol=0, atol=1e-12)
    with pytest.warns(UserWarning, match="additionally merging default"):
        model.merge_adapter(["default"])
    with pytest.warns(UserWarning, match="nothing to do"):
        model.merge_adapter(["default"])
    model.unmerge_adapter()

    with model.disable_adapter():
        assert model(x).allclose(base(x), rtol=0, atol=1e-12)
    model.set_adapter("second")
    model.delete_adapter("default")
    torch.testing.assert_close(model(x), second, rtol=0, atol=1e-12)
    assert list(layer.quic_parameters) == list(layer.quic_rotation) == ["second"]


def test_disabled_adapter_changes_no_bit():
    for face, side in FACE_SIDES:
        model, base, x = adapted(face, side=side)
        turn(model)
        with model.disable_adapter():
            assert model(x).equal(base(x))
        assert not model(x).equal(base(x))


def test_disabling_takes_a_merged_adapter_out():
    model, base, x = adapted("linear", dtype=torch.float64)
    turn(model)
    model.merge_adapter()
    with model.disable_adapter():
        torch.testing.assert_close(model(x), base(x), rtol=0, atol=1e-13)
    assert not layer_of(model).merged
    with pytest.warns(UserWarning, match="no adapter is merged"):
        layer_of(model).unmerge()


def test_safe_merge_refuses_before_it_writes():
    model, _, _ = adapted("linear")
    turn(model)
    layer = layer_of(model)
    with torch.no_grad():
        layer.quic_parameters["default"][0, 0] = float("nan")
    weight = layer.weight.clone()
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity from adapter 'default'"):
        model.merge_adapter(safe_merge=True)
    assert layer.weight.equal(weight)
    assert not layer.merged


def test_merging_into_a_quantised_weight_is_refused():
    model, _, _ = adapted("linear")
    turn(model)
    layer = layer_of(model)
    quantised = (layer.weight.detach() * 100).to(torch.int8)
    layer.base_layer.weight = nn.Parameter(quantised, requires_grad=False)
    with pytest.raises(ValueError, match=r"floating-point weight, got torch\.int8"):
        model.merge_adapter()


def test_gradient_checkpointing_gives_the_same_gradients():
    from torch.utils.checkpoint import checkpoint

    model, _, x = adapted("linear")
    model.train()
    turn(model)
    parameters = layer_of(model).quic_parameters["default"]
    (expected,) = torch.autograd.grad(model(x).square().sum(), parameters)
    (grad,) = torch.autograd.grad(checkpoint(model, x, use_reentrant=False).square().sum(), parameters)
    assert grad.equal(expected)


def test_autocast_changes_only_the_base_layer():
    model, base, x = adapted("linear")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(x).equal(base(x))
        turn(model)
        assert model(x).dtype == torch.bfloat16
    assert (model(x) - base(x)).abs().max() > 0.1
