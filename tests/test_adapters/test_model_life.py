"""An adapted model in use: merging, checkpointing, compilation, copies."""

import copy

import pytest
import torch
from peft import get_peft_model
from tiny_models import bert, gpt2, layers, output, turn
from torch import nn

from adapters import QuICConfig


@pytest.mark.filterwarnings("ignore:Model with `tie_word_embeddings=True` and:UserWarning:peft")
def test_a_weight_that_another_module_holds_is_adapted_but_not_merged():
    base = gpt2()
    expected = output(base)
    model = get_peft_model(base, QuICConfig(target_modules=["wte", "c_proj"], n_blocks=1))
    turn(model)
    turned = output(model)
    weights = {name: parameter.clone() for name, parameter in model.named_parameters()}
    rule = (
        r"^transformer\.wte: merging needs a weight that no other module holds, got one that is also lm_head\.weight"
    )
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ValueError, match=rule):
            merge()
        assert output(model).equal(turned)
    assert all(parameter.equal(weights[name]) for name, parameter in model.named_parameters())
    assert output(model.unload()).equal(expected)


def test_untied_weights_are_merged():
    base = gpt2()
    base.config.tie_word_embeddings = False
    base.lm_head.weight = nn.Parameter(base.lm_head.weight.detach().clone())
    model = get_peft_model(base, QuICConfig(target_modules=["wte"], n_blocks=1))
    turn(model)
    turned = output(model)
    torch.testing.assert_close(output(model.merge_and_unload()), turned, rtol=0, atol=2e-5)


def test_a_module_of_two_names_is_not_merged():
    shared = nn.Linear(12, 12)
    model = get_peft_model(nn.ModuleDict({"a": shared, "b": shared}), QuICConfig(target_modules=["a"], n_blocks=1))
    with pytest.raises(ValueError, match=r"^a: merging needs .* also b\.weight"):
        model.merge_adapter()


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["defualt"], ValueError, r"got \['defualt'\]: the nearest to 'defualt' is 'default'"),
        (["default", "nope"], ValueError, r"got \['nope'\]"),
        ("default", TypeError, "adapter_names must be a list of names, got 'default'"),
    ],
)
def test_merging_unknown_adapters_is_refused(names, error, message):
    model = get_peft_model(bert(), QuICConfig(n_blocks=1, target_modules=None))
    turn(model)
    turned = output(model)
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(error, match=message):
            merge(adapter_names=names)
        assert output(model).equal(turned)
    assert not any(layer.merged for layer in layers(model).values())


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_in_a_transformer(reentrant):
    gradients = []
    for checkpointing in (False, True):
        model = get_peft_model(
            bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
            QuICConfig(n_blocks=1, target_modules=None),
        )
        turn(model)
        torch.manual_seed(1)
        model.train()
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        output(model).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.requires_grad])
    for without, with_ in zip(*gradients, strict=True):
        assert with_.abs().max() > 0
        torch.testing.assert_close(with_, without)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"parameter_map": "rbs", "orders": (2,), "n_blocks": 2, "side": "in"},
        {"n_blocks": 2, "n_factors": 3},
        {"side": "both", "scaling": True},
        {"composition": "additive", "scaling": True},
    ],
)
def test_compiles_to_one_graph(values):
    model = get_peft_model(
        bert(), QuICConfig(module_dropout=0.1, **({"block_share": False, "target_modules": None} | values))
    )
    turn(model)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(output(compiled), output(model))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    expected = torch.autograd.grad(output(model).square().sum(), parameters)
    gradients = torch.autograd.grad(output(compiled).square().sum(), parameters)
    torch.testing.assert_close(gradients, expected)
    compiled.train()
    output(compiled).square().sum().backward()


def test_a_model_can_be_copied():
    model = get_peft_model(bert(), QuICConfig(n_blocks=1, target_modules=None))
    turn(model)
    assert output(copy.deepcopy(model)).equal(output(model))


def test_small_random_start():
    torch.manual_seed(3)
    model = get_peft_model(bert(), QuICConfig(init_weights=False, n_blocks=1, target_modules=None))
    assert not output(model).equal(output(bert()))
    torch.manual_seed(3)
    again = get_peft_model(bert(), QuICConfig(init_weights=False, n_blocks=1, target_modules=None))
    assert output(model).equal(output(again))
