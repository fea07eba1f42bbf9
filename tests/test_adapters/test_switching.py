"""Merged weights that go from one adapter to another: what unmerging and merging gives, again and again."""

import copy

import pytest
import torch
from peft import get_peft_model
from test_bank import give, random_parameters, with_bank
from tiny_models import bert, gpt2, layers, output, turn, vit
from torch import nn

from adapters import AdapterBank, QuICConfig

FORMS = (
    {},
    {"side": "in", "n_blocks": 2},
    {"orders": (2,), "parameter_map": "rbs", "block_size": 11},
    {"orders": (1, 3), "n_blocks": 2, "block_share": True},
    {"n_blocks": 2, "n_factors": 2},
    {"side": "in", "n_blocks": 2, "n_factors": 2},
    {"side": "both", "n_blocks": 2},
)


def weights(model):
    return {name: layer.get_base_layer().weight.detach().clone() for name, layer in layers(model).items()}


def assert_close(found, expected, atol):
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=atol)


@pytest.mark.parametrize("make", [bert, gpt2])
@pytest.mark.parametrize("config", FORMS)
def test_switching_in_a_bank_is_merging_alone(make, config):
    model, bank, alone = with_bank(make, **config)
    base = weights(model)
    for name in ("a1", "a0", "default", "a3"):  # the first is merged, the others switched
        bank.switch(name)
        assert bank.current == name
        expected = copy.deepcopy(alone)
        if name != "default":
            give(expected, bank.parameters(name))
        unmerged = output(expected)
        expected.merge_adapter()
        assert_close(weights(model), weights(expected), 5e-6)
        torch.testing.assert_close(output(model), unmerged, rtol=0, atol=5e-4)
    model.unmerge_adapter()
    assert_close(weights(model), base, 5e-6)
    bank.switch("default")
    for layer, twin in zip(layers(model).values(), layers(alone).values(), strict=True):
        assert layer.quic_parameters["default"].equal(twin.quic_parameters["default"])


@pytest.mark.parametrize("config", FORMS)
def test_switching_between_adapters_of_the_model(config):
    """Of one form by one rotation, of several forms, and of layers that only one of them has."""
    model = get_peft_model(
        bert(), QuICConfig(**({"block_share": False, "target_modules": "all-linear"} | config))
    ).eval()
    model.add_adapter("same", QuICConfig(**({"block_share": False, "target_modules": "all-linear"} | config)))
    model.add_adapter(
        "map",
        QuICConfig(
            **({"block_share": False, "target_modules": "all-linear"} | config | {"parameter_map": "exponential"})
        ),
    )
    model.add_adapter("other", QuICConfig(target_modules=["query"], side="in", orders=(1,), n_blocks=1))
    model.add_adapter(
        "scaled", QuICConfig(**({"block_share": False, "target_modules": "all-linear", "scaling": True} | config))
    )
    model.add_adapter("more", QuICConfig(target_modules=["query", "word_embeddings"], n_blocks=1))
    for name in ("default", "same", "map", "other", "scaled", "more"):
        for layer in layers(model).values():
            if name in layer.quic_parameters:
                nn.init.normal_(layer.quic_parameters[name], std=0.3)
    base = weights(model)
    for name in ("same", "map", "other", "scaled", "default", "more", "more"):
        model.base_model.switch_adapter(name)
        expected = copy.deepcopy(model)
        for layer_name, layer in layers(expected).items():
            layer.merged_adapters.clear()
            layer.get_base_layer().weight.data = base[layer_name].clone()
        expected.merge_adapter([name])
        assert_close(weights(model), weights(expected), 5e-6)
        holds = {layer.merged_adapters == [name] for layer in layers(model).values() if name in layer.quic_parameters}
        assert holds == {True}
    with pytest.warns(UserWarning, match="nothing to unmerge"):  # layers that have nothing of the last one
        model.unmerge_adapter()
    assert_close(weights(model), base, 5e-6)


def test_convolutions_switch():
    model, bank, _ = with_bank(vit, target_modules=["projection"])
    x = torch.randn(2, 3, 16, 16)
    expected = output(model, x, adapter_names=["a1", "a1"])
    bank.switch("a0")
    bank.switch("a1")
    torch.testing.assert_close(output(model, x), expected, rtol=0, atol=1e-4)


def test_drift_over_a_thousand_switches():
    """Every switch rounds the weights once, and errors of a thousand cancel: with A in float32 they came to 1e-5."""
    model, bank, _ = with_bank(bert, target_modules=r".*layer.0.*query")
    bank.switch("a0")
    first = weights(model)
    for index in range(1, 1001):
        bank.switch(f"a{index % 4}")
    for name, weight in weights(model).items():
        assert (weight - first[name]).norm() / first[name].norm() < 1e-6
        assert not weight.equal(first[name])


def test_a_host_that_was_trained_is_kept_as_it_is():
    model, bank, _ = with_bank(bert)
    bank.switch("a0")
    bank.switch("default")
    model.unmerge_adapter()
    turn(model)
    trained = output(model)
    bank.switch("a1")
    bank.switch("default")
    model.unmerge_adapter()
    torch.testing.assert_close(output(model), trained, rtol=0, atol=5e-4)


def test_states_in_conflict_are_refused_and_nothing_changes():
    model, bank, _ = with_bank(bert)
    model.add_adapter("other", QuICConfig(target_modules=["query"], n_blocks=1))
    model.merge_adapter(["other"])
    before, tuner = weights(model), model.base_model
    with pytest.raises(ValueError, match="must hold 'default' or no adapter, got 'other' merged"):
        bank.switch("a0")
    with pytest.warns(UserWarning, match="additionally merging default"):
        model.merge_adapter(["default"])
    for call in (lambda: bank.switch("a0"), lambda: tuner.switch_adapter("other")):
        with pytest.raises(ValueError, match=r"one adapter or none, got \['default', 'other'\] merged"):
            call()
    model.unmerge_adapter()
    assert_close(weights(model), before, 10)
    bank.switch("a0")
    with pytest.raises(ValueError, match=r"got merged \['default'\]"):
        model(torch.arange(6)[None], adapter_names=["a1"])
    for call, what in (
        (bank.detach, "detaching the bank"),
        (lambda: bank.remove("a0"), "removing 'a0'"),
        (lambda: model(torch.arange(6)[None], adapter_names=["default"]), "serving 'default'"),
    ):
        with pytest.raises(
            ValueError, match=rf"{what} needs 'default' in its own place, got 'a0' there: call switch"
        ):
            call()
    bank.remove("a1")
    bank.switch("default")
    bank.detach()
    with pytest.raises(ValueError, match=r"got.*'defualt'.*nearest to 'defualt' is 'default'"):
        tuner.switch_adapter("defualt")


def test_weights_that_cannot_be_merged_are_refused_and_nothing_changes():
    model = get_peft_model(gpt2(), QuICConfig(target_modules=["c_fc", "wte"], n_blocks=1))  # wte is tied to the head
    bank = AdapterBank(model)
    bank.add("a0", random_parameters(model, 0))
    before = output(model)
    with pytest.raises(ValueError, match="a weight that no other module holds"):
        bank.switch("a0")
    assert output(model).equal(before)
    assert bank.current == "default"
    model, bank, _ = with_bank(bert)
    bank.switch("a0")
    packed = layers(model)["base_model.model.pooler.dense"].get_base_layer()
    packed.weight = nn.Parameter(torch.zeros(32, 32, dtype=torch.int8), requires_grad=False)
    before = weights(model)
    with pytest.raises(ValueError, match=r"floating-point weight, got torch\.int8"):
        bank.switch("a1")
    assert_close(weights(model), before, 0)
    assert bank.current == "a0"
