"""Adapters on quantised layers: outputs and gradients against the same adapter on the dequantised weights."""

import copy

import bitsandbytes as bnb
import pytest
import torch
from peft import PeftModel, get_peft_model
from quantised_bases import KINDS, dequantised, quantised, small
from tiny_models import turn
from torch import nn
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, PerGroup, PerTensor, quantize_
from torchao.quantization import Int8WeightOnlyConfig as Int8
from transformers.pytorch_utils import Conv1D

from adapters import AdapterBank, QuICConfig
from adapters.quantised import quantised_weight

X = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1))
CONFIGS = [
    {},
    {"side": "in"},
    {"side": "both", "orders": (1,)},
    {"n_blocks": 2, "n_factors": 2, "scaling": True},
    {"composition": "additive", "parameter_map": "rbs"},
]


def adapted(kind, **values):
    """Two quantised layers with a bias each, all of whose adapters are somewhere."""
    model = get_peft_model(
        small(kind), QuICConfig(target_modules=["first", "second"], **({"block_share": False} | values))
    )
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "quic_" in name:
            nn.init.normal_(parameter, std=0.2)
    return model


def gradients(model, x):
    """Outputs, and the gradients of a fixed function of them in the inputs and in all that is trained."""
    x = x.clone().requires_grad_()
    out = model(x)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    weights = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    return out, torch.autograd.grad((out * weights).sum(), [x, *trained.values()]), list(trained)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_training", [True, False], ids=["train", "eval"])
def test_a_new_adapter_leaves_every_bit(kind, is_training):
    model = get_peft_model(small(kind), QuICConfig(target_modules=["first", "second"], n_blocks=1)).train(is_training)
    base = small(kind).train(is_training)
    base.first.support_avx512bf16_for_cpu = base.second.support_avx512bf16_for_cpu = False  # as in adapted ones
    with torch.no_grad():
        assert model(X).equal(base(X))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", CONFIGS, ids=lambda values: "-".join(values) or "default")
def test_gradients_are_those_on_the_dequantised_weights(kind, values):
    model = adapted(kind, bias="quic_only", **values).train()
    twin = dequantised(model)
    out, found, names = gradients(model, X)
    expected_out, expected, expected_names = gradients(twin, X)
    assert names == expected_names
    assert sum("bias" in name for name in names) == 2
    torch.testing.assert_close(out, expected_out, rtol=1e-4, atol=1e-5)
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluation_in_between_changes_nothing(kind):
    # bitsandbytes 0.50 packs 4-bit weights for inference on some CPUs, and then passes no gradients.
    model = adapted(kind).train()
    before, expected, _ = gradients(model, X)
    weight = quantised_weight(model.base_model.model.first.base_layer).loaded()
    with torch.no_grad():
        model.eval()(X)
    after, found, _ = gradients(model.train(), X)
    assert after.equal(before)
    assert all(a.equal(b) for a, b in zip(found, expected, strict=True))
    assert quantised_weight(model.base_model.model.first.base_layer).loaded().equal(weight)


def test_a_base_that_was_evaluated_before_can_be_trained():
    base = small("nf4")
    weight = quantised_weight(base.first).loaded()
    with torch.no_grad():
        base.eval()(X)
    model = get_peft_model(base, QuICConfig(target_modules=["second"], n_blocks=1)).train()
    _, (gradient, *_), _ = gradients(model, X)
    assert gradient.any()
    after = quantised_weight(base.first).loaded()  # of the layer that is not adapted
    assert (after - weight).norm() < 0.01 * weight.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_merging_rounds_the_rotated_weight_once(kind):
    model = adapted(kind).eval()
    layer = model.base_model.model.first
    rotated = layer.turn_weight(dequantised(model).base_model.model.first.base_layer.weight, "default", inverse=False)
    loaded = layer.quantised.loaded()
    with pytest.warns(UserWarning, match=r"quantised 2 weights again"):
        model.merge_adapter()
    expected = quantised_weight(quantised(kind, rotated, layer.base_layer.bias)).loaded()
    found = quantised_weight(layer.base_layer).loaded()
    assert found.equal(expected)
    loss = layer.quantised.loss
    assert loss.error == pytest.approx(float((found - rotated).norm() / rotated.norm()), rel=1e-4)
    assert loss.change == pytest.approx(float((rotated - loaded).norm() / loaded.norm()), rel=1e-4)
    assert 0 < loss.error < {"8bit": 0.02, "nf4": 0.15, "int8": 0.02}[kind] < loss.change
    assert layer.quantised.loaded().equal(loaded)
    merged = nn.functional.linear(X, found, layer.base_layer.bias)
    torch.testing.assert_close(layer.train()(X), merged, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_unmerging_gives_every_bit_back(kind):
    model = adapted(kind).train()
    before, expected, _ = gradients(model, X)
    for _ in range(2):
        with pytest.warns(UserWarning, match="again"):
            model.merge_adapter()
        with torch.no_grad():
            assert not model(X).equal(before)
        model.unmerge_adapter()
        after, found, _ = gradients(model, X)
        assert after.equal(before)
        assert all(a.equal(b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_disabling_a_merged_adapter_gives_the_base_back(kind):
    model = adapted(kind).eval()
    with torch.no_grad(), model.disable_adapter():
        base = model(X)
    with pytest.warns(UserWarning, match="again"):
        model.merge_adapter()
    with torch.no_grad(), model.disable_adapter():
        assert model(X).equal(base)


@pytest.mark.parametrize("kind", KINDS)
def test_an_untouched_adapter_merges_into_the_same_bits(kind, recwarn):
    model = get_peft_model(small(kind), QuICConfig(target_modules=["first", "second"], n_blocks=1))
    weight = model.base_model.model.first.base_layer.weight
    merged = model.merge_and_unload()
    assert merged.first.weight is weight
    assert not [warning for warning in recwarn if "again" in str(warning.message)]


@pytest.mark.filterwarnings("ignore:Already following adapters were merged")
@pytest.mark.parametrize("kind", KINDS)
def test_merging_one_by_one_rounds_once_too(kind):
    models = []
    for steps in [["default", "other"]], [["default"], ["other"]]:
        model = adapted(kind)
        model.add_adapter("other", QuICConfig(target_modules=["first", "second"], side="in", n_blocks=1))
        torch.manual_seed(3)
        turn(model, "other")
        for names in steps:
            with pytest.warns(UserWarning, match="again"):
                model.merge_adapter(names)
        models.append(model.base_model.model)
    one, two = (quantised_weight(model.second.base_layer).loaded() for model in models)
    assert one.equal(two)


@pytest.mark.parametrize("kind", KINDS)
def test_switching_rounds_once_however_often(kind):
    model = adapted(kind)
    model.add_adapter("other", QuICConfig(target_modules=["first"], n_blocks=1))
    torch.manual_seed(3)
    tuner, first = model.base_model, model.base_model.model.first
    nn.init.normal_(first.quic_parameters["other"], std=0.3)
    with pytest.warns(UserWarning, match="again"):
        tuner.merge_adapter(["other"])
    other = quantised_weight(first.base_layer).loaded()
    for name in ["default", "other"] * 3:
        tuner.switch_adapter(name)
    assert quantised_weight(first.base_layer).loaded().equal(other)
    assert not tuner.model.second.merged


@pytest.mark.parametrize("kind", KINDS)
def test_a_bank_serves_rows_and_switches(kind):
    model = adapted(kind).eval()
    bank = AdapterBank(model)
    generator = torch.Generator().manual_seed(4)
    for name in "ab":
        bank.add(name, {key: torch.randn(shape, generator=generator) * 0.2 for key, shape in bank.shapes().items()})
    with torch.no_grad():
        rows = model(X, adapter_names=["a", "b"])
        alone = [model(X, adapter_names=[name] * 2)[row] for row, name in enumerate("ab")]
        torch.testing.assert_close(rows, torch.stack(alone), rtol=1e-4, atol=1e-5)
        with pytest.warns(UserWarning, match="again"):
            bank.switch("a")
        merged = model(X)
        bank.switch("b")
        bank.switch("a")
        assert model(X).equal(merged)
        distance = (merged[0] - alone[0]).norm() / alone[0].norm()
        assert distance < 0.3
    bank.switch("default")
    model.unmerge_adapter()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_is_refused_before_the_weight_is_touched(kind):
    model = adapted(kind)
    layer = model.base_model.model.second
    with torch.no_grad():
        layer.quic_parameters["default"][0, 0] = float("nan")
    weight = layer.base_layer.weight
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity from adapter 'default'"):
        layer.merge(safe_merge=True)
    assert layer.base_layer.weight is weight
    assert not layer.merged


def test_merging_into_four_bits_says_what_to_do_instead():
    for kind, has_advice in [("8bit", False), ("nf4", True), ("int8", False)]:
        with pytest.warns(UserWarning, match=r"they are off by [\d.]+% on average") as caught:
            adapted(kind).merge_and_unload()
        (message,) = (str(warning.message) for warning in caught if "again" in str(warning.message))
        assert ("Do not merge into 4 bits" in message and "quic merge" in message) == has_advice


@pytest.mark.parametrize("granularity", [PerTensor(), PerGroup(32)], ids=str)
def test_other_granularities_of_torchao_are_kept(granularity):
    layer = nn.Linear(64, 64)
    quantize_(layer, Int8(granularity=granularity))
    model = get_peft_model(nn.Sequential(layer), QuICConfig(target_modules=["0"], n_blocks=1))
    turn(model)
    with pytest.warns(UserWarning, match="again"):
        merged = model.merge_and_unload()[0].weight
    assert merged.block_size == layer.weight.block_size == ([64, 64] if granularity == PerTensor() else [1, 32])


@pytest.mark.parametrize("kind", KINDS)
def test_short_types_come_back_as_they_came(kind):
    model = adapted(kind).eval()
    with torch.no_grad():
        exact = model(X)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            short = model(X)
        assert (short.float() - exact).norm() < 0.05 * exact.norm()
        shorter = adapted(kind, inference_mode=True)
        assert shorter(X.bfloat16()).dtype == torch.bfloat16


def test_peft_reports_the_kinds():
    kinds = [adapted(kind).get_model_status().quantization_backend for kind in KINDS]
    assert kinds == ["bnb 8bit", "bnb 4bit", "torchao"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_a_model_is_apart(kind):
    model = adapted(kind)
    other = copy.deepcopy(model)
    with pytest.warns(UserWarning, match="again"):
        other.merge_adapter()
    with torch.no_grad():
        before = model(X)
        other.unmerge_adapter()
        assert other(X).equal(before)


def unserved():
    dynamic = nn.Linear(64, 64)
    quantize_(dynamic, Int8DynamicActivationInt8WeightConfig())
    yield dynamic, "quantised activations: they pass no gradient"
    yield bnb.nn.Linear4bit(64, 64), "must have been moved to its device, got a Linear4bit that was not"
    embedding = bnb.nn.Embedding8bit(64, 64)
    yield (
        embedding.to("cpu"),
        r"must be bitsandbytes' Linear8bitLt or .* got Embedding8bit with a weight of torch.int8",
    )
    eighth = nn.Linear(64, 64)
    eighth.weight = nn.Parameter(eighth.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    yield eighth, "got Linear with a weight of torch.float8_e4m3fn"
    yield nn.Bilinear(64, 64, 64), r"got Bilinear \(of quantised layers, bitsandbytes' Linear8bitLt or Linear4bit, "


@pytest.mark.parametrize(("layer", "message"), list(unserved()), ids=lambda case: type(case).__name__)
def test_other_kinds_are_refused(layer, message):
    model = nn.Sequential(layer)
    with pytest.raises(TypeError, match=f"^0: a .*{message}"):
        get_peft_model(model, QuICConfig(target_modules=["0"], n_blocks=1))
    assert model[0] is layer


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_trained_on_a_quantised_layer_goes_onto_others(kind, tmp_path):
    """A Conv1D of GPT-2 becomes a Linear when it is quantised; its adapter fits either."""
    model = adapted(kind)
    model.save_pretrained(tmp_path)
    plain = small(None)
    plain.first = Conv1D(128, 64)
    loaded = PeftModel.from_pretrained(plain, str(tmp_path))
    own, others = (m.base_model.model.first.quic_parameters["default"] for m in (model, loaded))
    assert others.equal(own)
    loaded.merge_and_unload(safe_merge=True)
