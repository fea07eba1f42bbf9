"""QuICModel in real architectures: targets, several adapters, mixed batches, and injections that fail."""

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTModel,
)

from adapters import QuICConfig
from adapters.layer import QuICLayer

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
IDS = torch.arange(21).reshape(3, 7)


def with_lively_weights(model):
    """A trained model has larger weights than a new one, and biases that are not zero."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def bert(cls=BertModel, **values):
    return with_lively_weights(cls(BertConfig(vocab_size=30, max_position_embeddings=16, **SIZES, **values)))


def gpt2():
    config = GPT2Config(
        vocab_size=30, n_positions=32, n_embd=32, n_layer=2, n_head=4, pad_token_id=0, eos_token_id=29
    )
    return with_lively_weights(GPT2LMHeadModel(config))


def t5():
    config = T5Config(vocab_size=30, d_model=32, d_ff=48, d_kv=8, num_layers=1, num_heads=4, decoder_start_token_id=0)
    return with_lively_weights(T5ForConditionalGeneration(config))


def vit():
    return with_lively_weights(ViTModel(ViTConfig(image_size=16, patch_size=8, **SIZES)))


def layers(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, QuICLayer)}


def turn(model, adapter_name="default", std=0.3):
    for layer in layers(model).values():
        nn.init.normal_(layer.quic_parameters[adapter_name], std=std)


def output(model, ids=IDS, **kwargs):
    result = model(ids, **kwargs)
    return result.logits if "logits" in result else result.pooler_output


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
    model = get_peft_model(base, QuICConfig(**values))
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
    model = get_peft_model(base, QuICConfig())
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
    model = get_peft_model(bert(), QuICConfig(bias=bias))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert parameter.requires_grad == trained(name)


def test_modules_to_save_are_trained_and_kept_apart():
    model = get_peft_model(bert(BertForSequenceClassification), QuICConfig(task_type="SEQ_CLS"))
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
    refused(Mixed(), QuICConfig(**values), error, message)


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
    refused(bert(BertForSequenceClassification), QuICConfig(**values), ValueError, message)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"parameter_map": "foo"}, ValueError, "parameter_map must be one of .*got 'foo'"),
        ({"orders": [2, 2]}, ValueError, "orders must be distinct"),
        ({"modules_to_save": "classifier"}, TypeError, "modules_to_save must be a list"),
    ],
)
def test_values_set_after_construction_are_checked(values, error, message):
    config = QuICConfig()
    for name, value in values.items():
        setattr(config, name, value)
    refused(bert(), config, error, message)


def test_defaults_that_match_nothing_are_not_refused(tmp_path):
    """PEFT's default targets of T5 are q and v; those of a task are heads by two names, of which a model has one."""
    base = nn.ModuleDict({"q": nn.Linear(12, 12), "classifier": nn.Linear(12, 2)})
    base.config = T5Config()
    model = get_peft_model(base, QuICConfig(modules_to_save=["classifier", "score"]))
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
        model = get_peft_model(base, QuICConfig(target_modules=["linear1"])).eval()
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
        get_peft_model(base, QuICConfig(), name)
    assert [(name, type(module)) for name, module in base.named_modules()] == kinds
    model = get_peft_model(base, QuICConfig())
    with pytest.raises(ValueError, match=rule):
        model.add_adapter(name, QuICConfig())
    assert list(model.peft_config) == ["default"]


def test_a_refused_second_adapter_leaves_the_first():
    base = nn.ModuleDict({"a": nn.Linear(24, 24), "b": nn.Linear(12, 12)})
    model = get_peft_model(base, QuICConfig(target_modules=["a"]))
    turn(model)
    with pytest.raises(ValueError, match=r"^b: block_size=20 is larger"):
        model.add_adapter("second", QuICConfig(target_modules=["a", "b"], block_size=20))
    assert list(model.peft_config) == ["default"]
    ((name, layer),) = layers(model).items()
    assert name.endswith("model.a")
    assert list(layer.quic_parameters) == layer.active_adapters == ["default"]
    assert layer.quic_parameters["default"].requires_grad
    model.add_adapter("second", QuICConfig(target_modules=["a", "b"]))
    assert len(layers(model)) == 2


def test_a_second_adapter_with_a_trained_bias_is_refused():
    model = get_peft_model(bert(), QuICConfig(bias="all"))
    with pytest.raises(ValueError, match="only 1 adapter with bias"):
        model.add_adapter("second", QuICConfig(bias="all"))


def three_adapters(make):
    """Adapters of both sides, and one that only some layers have."""
    model = get_peft_model(make(), QuICConfig(target_modules="all-linear"))
    model.add_adapter("in", QuICConfig(target_modules="all-linear", side="in", n_blocks=2))
    model.add_adapter("some", QuICConfig(orders=(2,), parameter_map="rbs"))
    for layer in layers(model).values():
        for parameters in layer.quic_parameters.values():
            nn.init.normal_(parameters, std=0.3)
    return model.eval()


def one_by_one(model, names, run):
    rows = []
    for row, name in enumerate(names):
        if name == "__base__":
            with model.disable_adapter():
                rows.append(run(row))
        else:
            model.set_adapter(name)
            rows.append(run(row))
    model.set_adapter("default")
    return rows


@pytest.mark.parametrize("make", [bert, gpt2])
def test_mixed_batch_is_each_row_with_its_adapter(make):
    model = three_adapters(make)
    names = ["some", "__base__", "in", "default", "some"]
    ids = torch.arange(5 * 6).reshape(5, 6) % 30
    expected = torch.cat(one_by_one(model, names, lambda row: output(model, ids[row : row + 1])))
    torch.testing.assert_close(output(model, ids, adapter_names=names), expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(
        output(model, ids, adapter_names=["__base__"] * 5),
        torch.cat(one_by_one(model, ["__base__"] * 5, lambda row: output(model, ids[row : row + 1]))),
        rtol=0,
        atol=2e-6,
    )


NO_SAMPLING = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}


@pytest.mark.parametrize("make", [gpt2, t5])
@pytest.mark.parametrize("place", ["keyword", "configuration", "model"])
@pytest.mark.parametrize("copies", [{"num_beams": 2}, {"num_beams": 3, "num_return_sequences": 2}])
def test_mixed_batch_with_beam_search(make, place, copies):
    model = three_adapters(make)
    names = ["in", "__base__", "some"]
    settings = {**NO_SAMPLING, **copies}
    if place == "configuration":
        # Of the model's own configuration, for its special tokens.
        settings = {"generation_config": GenerationConfig(**{**model.generation_config.to_dict(), **settings})}
    elif place == "model":
        model.generation_config.update(**settings)
        settings = {}
    attention = torch.ones_like(IDS)

    def run(row):
        rows = slice(row, row + 1)
        return model.generate(input_ids=IDS[rows], attention_mask=attention[rows], **settings)

    expected = torch.cat(one_by_one(model, names, run))
    assert model.generate(input_ids=IDS, attention_mask=attention, adapter_names=names, **settings).equal(expected)


def test_mixed_batch_with_several_samples():
    """Without randomness (one token to choose from) the samples of a row are the row's greedy choice."""
    model = three_adapters(gpt2)
    names = ["in", "__base__", "some"]
    settings = {"attention_mask": torch.ones_like(IDS), "adapter_names": names}
    greedy = model.generate(input_ids=IDS, **NO_SAMPLING, **settings)
    sampled = {**NO_SAMPLING, "do_sample": True, "top_k": 1, "num_return_sequences": 2}
    samples = model.generate(input_ids=IDS, **sampled, **settings)
    assert samples.equal(greedy.repeat_interleave(2, dim=0))


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["default"], ValueError, "one name a row of the batch, got 1 names for 3 rows"),
        (["default", "other", "__base__"], ValueError, r"among \['default', '__base__'\], got \['other'\]"),
        ("default", TypeError, "must be a list of names.*got 'default'"),
        ([0, 0, 0], TypeError, "must be a list of names"),
    ],
)
def test_wrong_adapter_names_are_refused_and_forgotten(names, error, message):
    model = get_peft_model(bert(), QuICConfig()).eval()
    expected = output(model)
    with pytest.raises(error, match=message):
        model(IDS, adapter_names=names)
    assert output(model).equal(expected)


def test_adapter_names_need_evaluation_and_unmerged_adapters():
    model = get_peft_model(bert(), QuICConfig())
    with pytest.raises(ValueError, match=r"call eval\(\)"):
        model.train()(IDS, adapter_names=["default"] * 3)
    model.eval().merge_adapter()
    with pytest.raises(ValueError, match=r"got merged \['default'\]"):
        model(IDS, adapter_names=["default"] * 3)


@pytest.mark.filterwarnings("ignore:Model with `tie_word_embeddings=True` and:UserWarning:peft")
def test_a_weight_that_another_module_holds_is_adapted_but_not_merged():
    base = gpt2()
    expected = output(base)
    model = get_peft_model(base, QuICConfig(target_modules=["wte", "c_proj"]))
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
    model = get_peft_model(base, QuICConfig(target_modules=["wte"]))
    turn(model)
    turned = output(model)
    torch.testing.assert_close(output(model.merge_and_unload()), turned, rtol=0, atol=2e-5)


def test_a_module_of_two_names_is_not_merged():
    shared = nn.Linear(12, 12)
    model = get_peft_model(nn.ModuleDict({"a": shared, "b": shared}), QuICConfig(target_modules=["a"]))
    with pytest.raises(ValueError, match=r"^a: merging needs .* also b\.weight"):
        model.merge_adapter()


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["defualt"], ValueError, r"adapter_names must be among \['default'\], got \['defualt'\]"),
        (["default", "nope"], ValueError, r"got \['nope'\]"),
        ("default", TypeError, "adapter_names must be a list of names, got 'default'"),
    ],
)
def test_merging_unknown_adapters_is_refused(names, error, message):
    model = get_peft_model(bert(), QuICConfig())
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
        model = get_peft_model(bert(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0), QuICConfig())
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


@pytest.mark.parametrize("values", [{}, {"parameter_map": "rbs", "orders": (2,), "n_blocks": 2, "side": "in"}])
def test_compiles_to_one_graph(values):
    model = get_peft_model(bert(), QuICConfig(module_dropout=0.1, **values))
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
    model = get_peft_model(bert(), QuICConfig())
    turn(model)
    assert output(copy.deepcopy(model)).equal(output(model))


def test_small_random_start():
    torch.manual_seed(3)
    model = get_peft_model(bert(), QuICConfig(init_weights=False))
    assert not output(model).equal(output(bert()))
    torch.manual_seed(3)
    again = get_peft_model(bert(), QuICConfig(init_weights=False))
    assert output(model).equal(output(again))
