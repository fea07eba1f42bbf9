"""Rotations computed for all layers at once: the same numbers and gradients as layer by layer, whoever calls them."""

import copy
import io
from typing import get_args

import pytest
import torch
from peft import PeftModel, get_peft_model
from tiny_models import IDS, bert, gpt2, layers, output, turn
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from adapters import QuICConfig
from adapters.choices import ParameterMap
from adapters.maps import LayerRotations, rotations, share_rotations
from adapters.rotation import Rotation
from qicircuits import cayley, exponential, swap_network

MAPS = get_args(ParameterMap)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class CountSolves(TorchDispatchMode):
    """Counts the calls of Cayley's map."""

    calls = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.calls += function is torch.ops.aten._linalg_solve_ex.default
        return function(*args, **(kwargs or {}))


def adapted(base=None, **values):
    """A turned model, in evaluation mode so that it has no dropout of its own."""
    config = QuICConfig(**({"block_share": False, "target_modules": "all-linear", **values}))
    model = get_peft_model(base or bert(), config).eval()
    turn(model)
    return model


def trained(model):
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def gradients(model, loss):
    return torch.autograd.grad(loss, trained(model), allow_unused=True)


def loss_of(model, ids=IDS):
    result = output(model, ids)
    return (result * torch.linspace(-1, 1, result.numel()).reshape(result.shape)).sum()


@pytest.mark.parametrize("parameter_map", MAPS)
def test_together_is_one_by_one(parameter_map):
    parameters = [torch.randn(count, 10, requires_grad=True) for count in (3, 1, 4)]
    weights = [torch.randn(count, 5, 5) for count in (3, 1, 4)]
    together = rotations(parameter_map, parameters)
    alone = [Rotation.matrices(Rotation(None, parameter_map), numbers) for numbers in parameters]
    for actual, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(actual, expected)
    expected = torch.autograd.grad(alone, parameters, weights)
    torch.testing.assert_close(torch.autograd.grad(together, parameters, weights, retain_graph=True), expected)
    # What no loss reaches gets no gradient, and a graph is passed as often as anyone wants.
    gradient, *none = torch.autograd.grad(together[0], parameters, weights[0], allow_unused=True)
    torch.testing.assert_close(gradient, expected[0])
    assert none == [None, None]


def test_of_several_sizes_they_are_built_together_where_the_device_can(monkeypatch):
    def build(parameters, shapes, parameter_map):
        counts = [number * n * (n - 1) // 2 for number, n in shapes]
        blocks = zip(parameters.split(counts), shapes, strict=True)
        return [cayley(numbers.view(number, n * (n - 1) // 2)) for numbers, (number, n) in blocks]

    parameters = [torch.randn(count, n * (n - 1) // 2, requires_grad=True) for count, n in ((3, 5), (1, 2), (2, 9))]
    expected = [cayley(numbers) for numbers in parameters]
    # As on a GPU, where one launch builds all of them (tests/test_qicircuits/test_cuda.py); here its twin does.
    monkeypatch.setattr("adapters.maps.builds_rotations", lambda device, parameter_map, n: n < 100)
    monkeypatch.setattr("adapters.maps.build_rotations", build)
    together = rotations("cayley", parameters)
    torch.testing.assert_close(together, tuple(expected))
    weights = [torch.randn_like(matrices) for matrices in expected]
    torch.testing.assert_close(
        torch.autograd.grad(together, parameters, weights), torch.autograd.grad(expected, parameters, weights)
    )


def test_a_forward_computes_the_rotations_of_all_layers_at_once():
    model = adapted()
    sizes = {layer.quic_rotation["default"].plan.n for layer in layers(model).values()}
    with CountSolves() as count:
        loss = loss_of(model)
    assert count.calls == len(sizes) < len(layers(model))
    with CountSolves() as count:
        loss.backward()
    assert count.calls < len(layers(model))


@pytest.mark.parametrize("parameter_map", MAPS)
def test_sharing_changes_no_number(parameter_map):
    model = adapted(parameter_map=parameter_map)
    shared = loss_of(model)
    alone = loss_of(model.get_base_model())  # not through PEFT: each layer for itself
    torch.testing.assert_close(shared, alone)
    torch.testing.assert_close(gradients(model, shared), gradients(model, alone))


def test_nothing_stays_shared_where_the_rotations_of_another_layer_fail():
    first, second = LayerRotations(), LayerRotations()
    parameters = torch.randn(1, 6).requires_grad_()
    wanted = [(first, "cayley", parameters), (second, "exponential", torch.zeros(1, 5, requires_grad=True))]
    # No upper triangle has five numbers.
    with pytest.raises(ValueError, match=r"got \(1, 5\)"), share_rotations(wanted):
        pass
    with torch.no_grad():
        parameters.neg_()
        torch.testing.assert_close(first("cayley", parameters), cayley(parameters))


def test_losses_may_be_passed_backward_in_any_order():
    model = adapted()
    first, second = loss_of(model), loss_of(model, IDS.flip(1))
    separate = [gradients(model, loss) for loss in (first, second)]
    both = gradients(model, loss_of(model) + loss_of(model, IDS.flip(1)))
    torch.testing.assert_close(both, tuple(a + b for a, b in zip(*separate, strict=True)), rtol=1e-4, atol=1e-4)


def test_gradients_accumulate_over_batches():
    model = adapted()
    for ids in (IDS, IDS.flip(1)):
        loss_of(model, ids).backward()
    expected = gradients(model, loss_of(model) + loss_of(model, IDS.flip(1)))
    torch.testing.assert_close(tuple(p.grad for p in trained(model)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_user_may_checkpoint_any_part(reentrant):
    model = adapted()
    expected = gradients(model, loss_of(model))
    for layer in model.get_base_model().encoder.layer:
        forward = layer.forward
        layer.forward = lambda hidden, *args, forward=forward, **kwargs: checkpoint(
            lambda hidden: forward(hidden, *args, **kwargs), hidden, use_reentrant=reentrant
        )
    model.get_base_model().embeddings.register_forward_hook(lambda module, args, out: out.requires_grad_())
    loss_of(model).backward()
    torch.testing.assert_close(tuple(p.grad for p in trained(model)), expected)


def test_layers_that_are_not_called_get_no_gradient():
    model = adapted()
    hidden = model(IDS).last_hidden_state  # before the pooler
    found = gradients(model, hidden.square().sum())
    named = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert {name.split(".")[2] for name, gradient in zip(named, found, strict=True) if gradient is None} == {"pooler"}


def test_a_part_of_the_model_works_alone():
    model = adapted()
    hidden = torch.randn(2, 5, 32)
    part = model.get_base_model().encoder.layer[0]
    loss_of(model).backward()
    part(hidden).sum().backward()  # its own rotations, not those of the call before


def kept_output(model):
    with torch.no_grad():
        return output(model)


def change_in_place(model):
    with torch.no_grad():
        for parameter in trained(model):
            parameter.mul_(1.5)


def change_data(model):
    for parameter in trained(model):  # as exponential averages do: torch counts no version of it
        parameter.data.mul_(1.5)


def replace_data(model):
    for parameter in trained(model):
        parameter.data = parameter.data * 1.5


def load(model):
    state = {name: value * 1.5 if "quic_" in name else value for name, value in model.state_dict().items()}
    model.load_state_dict(state)


def step(model):
    optimizer = torch.optim.SGD(trained(model), lr=0.1)
    loss_of(model).backward()
    optimizer.step()


@pytest.mark.parametrize("change", [change_in_place, change_data, replace_data, load, step])
@pytest.mark.parametrize("parameter_map", MAPS)
def test_what_is_kept_follows_the_parameters(change, parameter_map):
    model = adapted(parameter_map=parameter_map)
    before = kept_output(model)
    with CountSolves() as count:
        assert kept_output(model).equal(before)
    assert count.calls == 0
    change(model)
    expected = kept_output(adapted_like(model))
    assert not expected.allclose(before)
    assert kept_output(model).equal(expected)


def adapted_like(model):
    """The same numbers in a model that has kept nothing."""
    other = adapted(parameter_map=model.peft_config["default"].parameter_map)
    other.load_state_dict(model.state_dict())
    return other


def test_what_is_kept_follows_the_dtype():
    model = adapted()
    before = kept_output(model)
    model.double()
    torch.testing.assert_close(kept_output(model).float(), before)
    assert layers(model)["base_model.model.pooler.dense"].matrices("default").dtype == torch.float64


def test_parameters_of_a_functional_call_are_used():
    model = adapted()
    before = kept_output(model)
    other = {name: parameter * 1.5 for name, parameter in model.named_parameters() if parameter.requires_grad}
    for _ in range(2):
        with torch.no_grad():
            result = functional_call(model, other, (IDS,)).pooler_output
        assert not result.allclose(before)
    change_in_place(model)
    torch.testing.assert_close(kept_output(model), result)


def test_inference_mode_leaves_nothing_that_autograd_cannot_use():
    model = adapted(inference_mode=True)
    with torch.inference_mode():
        expected = output(model)
    embeddings = torch.randn(3, 7, 32, requires_grad=True)
    model(inputs_embeds=embeddings).pooler_output.sum().backward()
    assert embeddings.grad.abs().max() > 0
    torch.testing.assert_close(kept_output(model), expected)


def test_copies_and_files_hold_nothing_that_was_kept():
    model = adapted()
    before = kept_output(model)
    loss_of(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert isinstance(other, PeftModel)
        assert kept_output(other).equal(before)
        change_in_place(other)
        assert not kept_output(other).equal(before)
    assert kept_output(model).equal(before)


def test_an_adapter_that_takes_the_name_of_another_is_not_mistaken_for_it():
    model = adapted(parameter_map="cayley")
    numbers = {name: parameter.clone() for name, parameter in model.named_parameters() if "quic_" in name}
    before = kept_output(model)
    model.add_adapter("other", QuICConfig(target_modules="all-linear", n_blocks=1))
    model.set_adapter("other")
    model.delete_adapter("default")
    model.add_adapter("default", QuICConfig(target_modules="all-linear", parameter_map="exponential", n_blocks=1))
    model.set_adapter("default")
    model.load_state_dict(numbers, strict=False)
    assert not kept_output(model).allclose(before)


def test_generation_is_that_of_the_merged_model():
    model = adapted(gpt2(), target_modules=["c_attn"])
    ids = torch.arange(1, 6)[None]
    options = {"max_new_tokens": 5, "do_sample": False}
    expected = model.generate(input_ids=ids, **options)
    assert model.generate(input_ids=ids, **options).equal(expected)
    model.merge_adapter()
    assert model.generate(input_ids=ids, **options).equal(expected)


def test_distributed_training_has_the_same_gradients(tmp_path):
    model = adapted()
    expected = gradients(model, loss_of(model))
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        for _ in range(2):
            model.zero_grad()
            loss_of(wrapped).backward()
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(tuple(p.grad for p in trained(model)), expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("orders", [(1, 2), (1, 3)])
def test_a_layer_keeps_its_output_and_no_more(orders, bias):
    layer = nn.Linear(24, 26, bias=bias)
    model = get_peft_model(nn.Sequential(layer), QuICConfig(target_modules=["0"], orders=orders, n_blocks=1))
    nn.init.normal_(model.get_submodule("base_model.model.0").quic_parameters["default"])
    x = torch.randn(40, 24, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = model(x)
    held = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    large = [t for t in kept if t.untyped_storage().data_ptr() not in held and t.numel() > 100]
    assert [t.data_ptr() for t in large] == [y.data_ptr()]


@pytest.mark.parametrize("to_rotation", [cayley, exponential, swap_network])
def test_matrices_are_orthogonal_after_ten_thousand_steps(to_rotation):
    numbers = torch.zeros(6, requires_grad=True)
    optimizer = torch.optim.Adam([numbers], lr=0.01, fused=True)
    for weights in torch.randn(10_000, 4, 4):  # a new direction every time, so that nothing comes to rest
        optimizer.zero_grad()
        to_rotation(numbers).backward(weights)
        optimizer.step()
    assert numbers.abs().max() > 0.1
    matrix = to_rotation(numbers.detach())
    assert matrix.dtype == torch.float32
    assert torch.linalg.matrix_norm(matrix.mT @ matrix - torch.eye(4)) <= 1e-5
