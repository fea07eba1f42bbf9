"""QuICModel in real architectures: targets, several adapters, and injections that fail."""

import pytest
import torch
from peft import PeftModel, get_peft_model
from tiny_models import IDS, bert, gpt2, layers, output, turn, vit
from torch import nn
from transformers import (
    BertForSequenceClassification,
    T5Config,
)

from adapters import QuICConfig


@pytest.mark.parametrize(
    ("make", "values", "targets"),
    [
        (bert, {}, {"encoder.layer.0.attention.self.query", "encoder.layer.1.attention.self.value"}),
        (bert, {"target_modules": ["value"], "layers_to_transform": [1]}, {"encoder.layer.1.attention.self.value"}),
        (bert, {"target_modules": r".*\.0\.intermediate\.dense"}, {"encoder.layer.0.intermediate.dense"}),
        (bert, {"target_modules": ["dense"], "exclude_modules": "encoder.*"}, {"pooler.dense"}),
        (bert, {"target_modules": ["word_embeddings"]}, {"embeddings.word_embeddings"}),
        (bert, {"target_modules": "all-linear"}, {"pooler.dense", "encoder.layer.0.output.dense"}),
        (gpt2, {}, {"transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"}),
        (gpt2, {"target_modules": "all-linear"}, {"transformer.h.0.attn.c_proj", "transformer.h.1.mlp.c_fc"}),
        (vit, {"target_modules": ["projection"]}, {"embeddings.patch_embeddings.projection"}),
        (vit, {"target_modules": "all-linear", "side": "in"}, None),
    ],
)
def test_targets_are_found_untouched_and_merged(make, values, targets):
    base = make()
    x = torch.randn(2, 3, 16, 16) if make is vit else IDS
    expected = output(base, x)
    model = get_peft_model(base, QuICConfig(**({"block_share": False, "target_modules": None} | values)))
    names = {name.removeprefix("base_model.model.") for name in layers(model)}
    assert names == set(model.targeted_module_names)
    assert targets is None or targets <= names
    assert "lm_head" not in names
    assert {
        name.rpartition(".quic_parameters")[0].removeprefix("base_model.model.")
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    } == names
    plans = [layer.quic_rotation["default"].plan.n_parameters for layer in layers(model).values()]
    assert model.get_nb_trainable_parameters()[0] == sum(plans)

    assert output(model, x).equal(expected)
    turn(model)
    turned = output(model, x)
    assert (turned - expected).abs().max() > 1e-3
    torch.testing.assert_close(output(model.merge_and_unload(), x), turned, rtol=0, atol=2e-5)


def test_unload_gives_the_base_model_back():
    base = bert()
    expected, names = output(base), [name for name, _ in base.named_parameters()]
    model = get_peft_model(base, QuICConfig(n_blocks=1, target_modules=None))
    turn(model)
    unloaded = model.unload()
    assert output(unloaded).equal(expected)
    assert [name for name, _ in unloaded.named_parameters()] == names
    assert not layers(unloaded)


@pytest.mark.parametrize(
    ("bias", "trained"),
    [("none", lambda name: False), ("all", lambda name: True), ("quic_only", lambda name: "base_layer" in name)],
)
def test_bias_is_trained_where_asked(bias, trained):
    model = get_peft_model(bert(), QuICConfig(bias=bias, n_blocks=1, target_modules=None))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert parameter.requires_grad == trained(name)


def test_modules_to_save_are_trained_and_kept_apart():
    model = get_peft_model(
        bert(BertForSequenceClassification), QuICConfig(task_type="SEQ_CLS", n_blocks=1, target_modules=None)
    )
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert [name for name in trained if "classifier.modules_to_save.default" in name]
    assert all("quic_parameters" in name or "classifier" in name for name in trained)


def refused(model, config, error, message):
    """Nothing about the model changes when a configuration is refused."""
    before = {name: (value, value.clone(), value.requires_grad) for name, value in model.named_parameters()}
    kinds = [(name, type(module)) for name, module in model.named_modules()]
    with pytest.raises(error, match=message):
        get_peft_model(model, config)
    assert [(name, type(module)) for name, module in model.named_modules()] == kinds
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    for name, (parameter, value, requires_grad) in before.items():
        assert after[name] is parameter
        assert parameter.equal(value)
        assert parameter.requires_grad == requires_grad


class Mixed(nn.Module):
    """Layers that can be adapted, before layers that cannot."""

    def __init__(self):
        super().__init__()
        self.fine = nn.Linear(12, 12)
        self.tiny = nn.Linear(12, 2)
        self.grouped = nn.Conv2d(12, 12, 3, groups=2)
        self.norm = nn.LayerNorm(12)
        self.attention = nn.MultiheadAttention(12, 2)
        self.encoder = nn.TransformerEncoderLayer(12, 2, 12)
        self.tokens = nn.Embedding(5, 12)
        self.fine.weight.requires_grad_(False)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            {"target_modules": ["fine", "tiny"]},
            ValueError,
            "^tiny: a block of 2 // 1 = 2 .* 3 \\+ 3 = 6 features with n = 3 .*exclude_modules.*task_type",
        ),
        ({"target_modules": ["fine"], "orders": (12,)}, ValueError, "^fine: .* 13 features"),
        ({"target_modules": ["fine"], "block_size": 24}, ValueError, "^fine: block_size=24 is larger than the 12"),
        ({"target_modules": ["fine", "grouped"]}, ValueError, "^grouped: .* groups=1, got groups=2: .*merged"),
        (
            {"target_modules": ["fine", "norm"]},
            TypeError,
            "^norm: .* Linear, transformers' Conv1D, Conv2d, Embedding, got LayerNorm",
        ),
        ({"target_modules": ["fine", "out_proj"]}, ValueError, "^attention.out_proj: .*exclude it"),
        ({"target_modules": ["fine", "linear1"]}, ValueError, r"^encoder.linear1: .*set_fastpath_enabled\(False\)"),
        ({"target_modules": ["fine", "tokens"], "side": "in"}, ValueError, "^tokens: .*side='out'"),
        ({"target_modules": ["coarse"]}, ValueError, r"entry of target_modules .* got \['coarse'\]"),
        ({"target_modules": "coarse"}, ValueError, "coarse.* not found in the base model"),
        ({"target_modules": ["fine", "oarse", "ine"]}, ValueError, r"of target_modules .* got \['ine', 'oarse'\]"),
        ({"target_modules": ["fine"], "modules_to_save": ["hed", "tokens"]}, ValueError, r"_save .* got \['hed'\]"),
        ({}, ValueError, "specify `target_modules`"),
    ],
)
def test_a_refused_injection_leaves_the_model_alone(values, error, message):
    refused(Mixed(), QuICConfig(**({"block_share": False, "target_modules": None} | values)), error, message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target_modules": ["query", "vlaue"]}, r"of target_modules must match a module .* got \['vlaue'\]"),
        ({"target_modules": ["query"], "modules_to_save": ["classifer"]}, r"modules_to_save .* got \['classifer'\]"),
        ({"target_modules": ["query"], "layers_to_transform": [1, 2, 5]}, r"layers_to_transform .* got \[2, 5\]"),
        ({"target_modules": ["query"], "layers_to_transform": 2}, r"layers_to_transform .* got \[2\]"),
        ({"layers_to_transform": [0], "layers_pattern": "block"}, r"layers_to_transform .* got \[0\]"),
    ],
)
def test_entries_that_match_nothing_are_refused(values, message):
    refused(
        bert(BertForSequenceClassification),
        QuICConfig(**({"block_share": False, "target_modules": None} | values)),
        ValueError,
        message,
    )


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"parameter_map": "foo"}, ValueError, "parameter_map must be one of .*got 'foo'"),
        ({"orders": [2, 2]}, ValueError, "orders must be distinct"),
        ({"modules_to_save": "classifier"}, TypeError, "modules_to_save must be a list"),
    ],
)
def test_values_set_after_construction_are_checked(values, error, message):
    config = QuICConfig(n_blocks=1, target_modules=None)
    for name, value in values.items():
        setattr(config, name, value)
    refused(bert(), config, error, message)


def test_defaults_that_match_nothing_are_not_refused(tmp_path):
    """PEFT's default targets of T5 are q and v; those of a task are heads by two names, of which a model has one."""
    base = nn.ModuleDict({"q": nn.Linear(12, 12), "classifier": nn.Linear(12, 2)})
    base.config = T5Config()
    model = get_peft_model(base, QuICConfig(modules_to_save=["classifier", "score"], n_blocks=1, target_modules=None))
    assert model.targeted_module_names == ["q"]
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(model.unload(), tmp_path)
    assert loaded.peft_config["default"].target_modules == {"q", "v"}


def test_torch_encoder_layers_are_adapted_without_their_fast_path():
    base = nn.TransformerEncoderLayer(24, 2, 24, batch_first=True).eval()
    x = torch.randn(2, 3, 24)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        expected = base(x)
        model = get_peft_model(base, QuICConfig(target_modules=["linear1"], n_blocks=1)).eval()
        assert model(x).equal(expected)
        turn(model)
        assert (model(x) - expected).abs().max() > 1e-3
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.filterwarnings("ignore:Adapter name '' should not be contained:UserWarning:peft")
@pytest.mark.parametrize("name", ["a.b", "keys", "forward", "training", ""])
def test_names_that_torch_cannot_keep_are_refused(name):
    base = bert()
    kinds = [(name, type(module)) for name, module in base.named_modules()]
    rule = f"name of an adapter must be a word without dots .*got {name!r}"
    with pytest.raises(ValueError, match=rule):
        get_peft_model(base, QuICConfig(n_blocks=1, target_modules=None), name)
    assert [(name, type(module)) for name, module in base.named_modules()] == kinds
    model = get_peft_model(base, QuICConfig(n_blocks=1, target_modules=None))
    with pytest.raises(ValueError, match=rule):
        model.add_adapter(name, QuICConfig(n_blocks=1, target_modules=None))
    assert list(model.peft_config) == ["default"]


def test_a_refused_second_adapter_leaves_the_first():
    base = nn.ModuleDict({"a": nn.Linear(24, 24), "b": nn.Linear(12, 12)})
    model = get_peft_model(base, QuICConfig(target_modules=["a"], n_blocks=1))
    turn(model)
    with pytest.raises(ValueError, match=r"^b: block_size=20 is larger"):
        model.add_adapter("second", QuICConfig(target_modules=["a", "b"], block_size=20))
    assert list(model.peft_config) == ["default"]
    ((name, layer),) = layers(model).items()
    assert name.endswith("model.a")
    assert list(layer.quic_parameters) == layer.active_adapters == ["default"]
    assert layer.quic_parameters["default"].requires_grad
    model.add_adapter("second", QuICConfig(target_modules=["a", "b"], n_blocks=1))
    assert len(layers(model)) == 2


def test_a_second_adapter_with_a_trained_bias_is_refused():
    model = get_peft_model(bert(), QuICConfig(bias="all", n_blocks=1, target_modules=None))
    with pytest.raises(ValueError, match="only 1 adapter with bias"):
        model.add_adapter("second", QuICConfig(bias="all", n_blocks=1, target_modules=None))
