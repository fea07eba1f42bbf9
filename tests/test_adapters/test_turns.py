"""Both sides, scales and the additive form: exact at the start, equal to their merged weights, saved and compiled."""

import copy
import json

import pytest
import torch
from peft import PeftModel, get_peft_model
from test_layers import FACES
from tiny_models import bert, gpt2, layers, output
from torch import nn

from adapters import QuICConfig, compile_adapter, verify_adapter
from adapters.resources import saved_blocks
from adapters.verify import verify_saved
from qicircuits import is_orthogonal
from qicircuits.resources import describe_blocks

FORMS = (
    {"side": "both"},
    {"side": "both", "scaling": True},
    {"scaling": True},
    {"scaling": True, "side": "in"},
    {"scaling": True, "n_factors": 2},
    {"composition": "additive"},
    {"composition": "additive", "side": "in"},
    {"composition": "additive", "scaling": True},
    {"composition": "additive", "side": "in", "scaling": True},
)
LINEAR = ("linear", "linear without bias", "conv1d")
CASES = [
    (face, form)
    for face in FACES
    for form in FORMS
    if face in LINEAR or ("composition" not in form and (face != "embedding" or form.get("side", "out") == "out"))
]


def adapted(face, *, dtype=torch.float64, **values):
    torch.manual_seed(0)
    make_layer, make_input, _ = FACES[face]
    base = nn.Sequential()
    base.add_module("layer", make_layer())
    base.to(dtype).eval()
    x = make_input()
    model = get_peft_model(
        copy.deepcopy(base), QuICConfig(target_modules=["layer"], **({"block_share": False} | values))
    )
    return model.eval(), base, x.to(dtype) if x.is_floating_point() else x


def turn_all(model, name="default", std=0.3):
    for layer in layers(model).values():
        for holder in layer.adapter_layer_names:
            if name in getattr(layer, holder):
                nn.init.normal_(getattr(layer, holder)[name], std=std)


def layer_of(model):
    return model.get_submodule("base_model.model.layer")


@pytest.mark.parametrize(("face", "form"), CASES)
def test_an_untouched_adapter_changes_no_bit_and_every_number_has_a_gradient(face, form):
    for dtype in (torch.float32, torch.bfloat16):
        model, base, x = adapted(face, dtype=dtype, **form)
        expected = base(x)
        assert model(x).equal(expected)
        assert model.train()(x).equal(expected)
    model, base, x = adapted(face, **form)
    target = torch.randn_like(base(x))
    for _ in range(2):  # scales of what is added move once R has
        (model(x) - target).square().sum().backward()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data -= 0.01 * parameter.grad
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kinds = {"quic_parameters"} | ({"quic_in_parameters"} if form.get("side") == "both" else set())
    kinds |= {"quic_scales"} if form.get("scaling") else set()
    assert {name.split(".")[-2] for name in trained} == kinds
    for name, parameter in trained.items():
        moved = parameter.grad != 0
        if "quic_scales" in name and "composition" in form:  # of what is added: where R is not I
            moved = moved[: layer_of(model).quic_rotation["default"].plan.sectors[-1][2]]
        assert moved.all(), name


@pytest.mark.parametrize(("face", "form"), CASES)
def test_forward_is_the_merged_forward(face, form):
    model, base, x = adapted(face, **form)
    turn_all(model)
    expected = model(x)
    assert (expected - base(x)).abs().max() > 1e-3
    weight = layer_of(model).weight.clone()
    model.merge_adapter(safe_merge=True)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)
    model.unmerge_adapter()
    torch.testing.assert_close(layer_of(model).weight, weight, rtol=0, atol=1e-13)
    torch.testing.assert_close(model.merge_and_unload()(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_the_merged_weight_is_the_formula(form):
    """Built from R as a matrix, scales as a diagonal, and E as an identity that is cut or padded."""
    model, base, _ = adapted("linear", **form)
    turn_all(model)
    layer, weight = layer_of(model), base.layer.weight
    matrices = {}
    for turn in layer.quic_turns["default"]:
        features = turn.rotation.plan.features
        parameters = getattr(layer, turn.parameters_in)["default"]
        matrices[turn.side] = turn.rotation.apply(parameters, torch.eye(features).double()).T
        assert is_orthogonal(matrices[turn.side])
    scales = layer.quic_scales["default"].exp() if form.get("scaling") else None
    diagonal = None if scales is None else torch.diag(scales)
    unit = torch.eye(*weight.shape).double()
    side = form.get("side", "out")
    if "composition" in form:
        change = matrices[side] - torch.eye(len(matrices[side]))
        change = change if diagonal is None else diagonal @ change
        expected = weight + (change @ unit if side == "out" else unit @ change)
    else:
        expected = weight
        if side != "in":
            expected = (matrices["out"] if diagonal is None else diagonal @ matrices["out"]) @ expected
        if side != "out":
            own = matrices["in"] if diagonal is None or side == "both" else diagonal @ matrices["in"]
            expected = expected @ own
    model.merge_adapter()
    torch.testing.assert_close(layer.weight, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("first", FORMS[::2])
@pytest.mark.parametrize("second", FORMS)
def test_adapters_of_all_forms_compose(first, second):
    model, base, x = adapted("linear", **first)
    model.add_adapter(
        "second", QuICConfig(target_modules=["layer"], **({"block_share": False, "n_blocks": 2, **second}))
    )
    turn_all(model)
    turn_all(model, "second")
    expected_first = model(x)
    model.base_model.set_adapter(["default", "second"])
    both = model(x)
    model.merge_adapter()
    torch.testing.assert_close(model(x), both, rtol=0, atol=1e-12)
    model.unmerge_adapter()
    mixed = model(x, adapter_names=["default", "second"])
    torch.testing.assert_close(mixed[0], expected_first[0], rtol=0, atol=1e-12)
    model.delete_adapter("default")
    torch.testing.assert_close(mixed[1], model(x)[1], rtol=0, atol=1e-12)
    with model.disable_adapter():
        torch.testing.assert_close(model(x), base(x), rtol=0, atol=1e-12)
    layer = layer_of(model)
    for attribute in (*layer.adapter_layer_names, *layer.other_param_names):
        assert "default" not in getattr(layer, attribute)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [bert, gpt2])
def test_saved_and_loaded_through_peft(tmp_path, make, form):
    model = get_peft_model(make(), QuICConfig(**({"block_share": False, "n_blocks": 2, **form}), target_modules=None))
    turn_all(model)
    expected = output(model)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["config_version"] == 2
    loaded = PeftModel.from_pretrained(make(), tmp_path)
    assert output(loaded).equal(expected)
    assert output(copy.deepcopy(loaded)).equal(expected)
    torch.testing.assert_close(output(loaded.merge_and_unload()), expected, rtol=2e-4, atol=2e-4)


def test_circuits_of_both_sides_are_their_blocks(tmp_path):
    config = QuICConfig(target_modules=["query"], side="both", scaling=True, n_blocks=1)
    model = get_peft_model(bert(), config)
    turn_all(model)
    report = verify_adapter(model, dtype=torch.float64)
    assert report.passed
    assert [check.module.endswith(":in") for check in report.blocks] == [False, True, False, True]
    out, within = (compile_adapter(model, f"0.attention.self.query{end}") for end in ("", ":in"))
    assert not out.angles.equal(within.angles)
    model.save_pretrained(tmp_path)
    saved = verify_saved(tmp_path)
    assert saved.passed
    assert {check.module for check in saved.blocks} == {
        check.module.removeprefix("base_model.model.") for check in report.blocks
    }
    assert sum(group.copies for group in saved_blocks(tmp_path)) == 4
    assert sum(group.copies for group in describe_blocks(model)) == 4
    other = get_peft_model(bert(), QuICConfig(target_modules=["query"], side="in", n_blocks=1))
    with pytest.raises(ValueError, match=r"module must be one of .*query'\], got '0.attention.self.query:in'"):
        compile_adapter(other, "0.attention.self.query:in")


@pytest.mark.parametrize(
    ("face", "values", "message"),
    [
        ("embedding", {"side": "both"}, "an embedding must have side='out'"),
        ("embedding", {"composition": "additive"}, "needs a linear layer, .* got Embedding"),
        ("conv2d", {"composition": "additive"}, "needs a linear layer, .* got Conv2d"),
    ],
)
def test_forms_that_a_layer_cannot_have_are_refused(face, values, message):
    with pytest.raises(ValueError, match=f"^layer: .*{message}"):
        adapted(face, **values)


@pytest.mark.parametrize("missing", ["quic_in_parameters", "quic_scales", "quic_parameters"])
def test_a_file_without_one_of_the_tensors_is_refused(tmp_path, missing):
    from safetensors.torch import load_file, save_file

    get_peft_model(bert(), QuICConfig(side="both", scaling=True, n_blocks=1, target_modules=None)).save_pretrained(
        tmp_path
    )
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    gone = next(name for name in tensors if name.endswith(missing))
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, path)
    with pytest.raises(ValueError, match=r"a layer must have tensors .*side='both', scaling=True, got "):
        QuICConfig.from_pretrained(tmp_path)


def test_scales_of_another_width_are_refused_before_the_model_changes(tmp_path):
    model = get_peft_model(bert(), QuICConfig(scaling=True, n_blocks=1, target_modules=None))
    model.save_pretrained(tmp_path)
    from safetensors.torch import load_file, save_file

    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("quic_scales"))
    save_file({**tensors, name: torch.zeros(31)}, path)
    base = bert()
    with pytest.raises(ValueError, match=r"must have scales of shape \(32,\), got \(31,\)"):
        PeftModel.from_pretrained(base, tmp_path)
    assert not layers(base)
    save_file({**tensors, name: torch.zeros(32, 1)}, path)
    with pytest.raises(ValueError, match=r"scales must have shape \(features,\), got \(32, 1\)"):
        QuICConfig.from_pretrained(tmp_path)
