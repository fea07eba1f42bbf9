"""A bank of adapters: each row of a batch as with its adapter alone, from folders, by name, within bounds."""

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from tiny_models import IDS, bert, gpt2, layers, output, t5, turn, vit
from torch import nn
from transformers import BertForSequenceClassification

from adapters import AdapterBank, QuICConfig
from adapters.bank_cache import KeptRotations

NO_SAMPLING = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
CONFIGS = (
    {},
    {"side": "in", "n_blocks": 2},
    {"orders": (2,), "parameter_map": "rbs", "block_size": 11},
    {"orders": (1, 3), "n_blocks": 2, "block_share": True},
    {"orders": (1,), "parameter_map": "exponential"},
    {"n_blocks": 2, "n_factors": 2},
    {"side": "both", "n_blocks": 2},
    {"target_modules": ["query", "value"], "n_blocks_pattern": {"query": 2}, "orders_pattern": {"value": (2,)}},
)


def random_parameters(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{name}.{holder}": torch.randn(getattr(layer, holder)["default"].shape, generator=generator) * 0.3
        for name, layer in layers(model.base_model.model).items()
        for holder in ("quic_parameters", "quic_in_parameters")
        if "default" in getattr(layer, holder)
    }


def give(model, tensors):
    """Put the tensors of an adapter of a bank into the model's own."""
    with torch.no_grad():
        for name, numbers in tensors.items():
            module, _, holder = name.rpartition(".")
            getattr(model.base_model.model.get_submodule(module), holder)["default"].copy_(numbers)


def with_bank(make, count=4, **config):
    """A model, a bank of adapters a0, a1, ..., and a copy of the model whose host can be given their numbers."""
    model = get_peft_model(
        make(), QuICConfig(**({"block_share": False, "target_modules": "all-linear"} | config))
    ).eval()
    turn(model)
    alone = copy.deepcopy(model)
    bank = AdapterBank(model)
    for index in range(count):
        bank.add(f"a{index}", random_parameters(model, index))
    return model, bank, alone


def run_alone(alone, bank, name, run):
    """What the model does with its one adapter set to that of the bank."""
    if name == "__base__":
        with alone.disable_adapter():
            return run(alone)
    if name != "default":
        alone = copy.deepcopy(alone)
        give(alone, bank.parameters(name))
    return run(alone)


@pytest.mark.parametrize("make", [bert, gpt2, vit])
@pytest.mark.parametrize("config", CONFIGS)
def test_every_row_is_as_with_its_adapter_alone(make, config):
    if make is vit:
        x = torch.randn(6, 3, 16, 16)
        if "side" not in config:
            config = {**config, "target_modules": r".*(projection|fc1|fc2)"}  # a convolution among them
    else:
        x = torch.arange(6 * 5).reshape(6, 5) % 30
    if "n_blocks_pattern" in config and make is not bert:
        config = {"n_blocks": 2}
    model, bank, alone = with_bank(make, **config)
    names = ["a2", "__base__", "a0", "default", "a2", "a3"]
    expected = [
        run_alone(alone, bank, name, lambda one, row=row: output(one, x[row : row + 1]))
        for row, name in enumerate(names)
    ]
    found = output(model, x, adapter_names=names)
    torch.testing.assert_close(found, torch.cat(expected), rtol=0, atol=1e-5)
    assert (found[0] - found[4]).abs().max() > 1e-2  # other inputs
    assert (
        output(model, x, adapter_names=["a1"] * 6) - output(model, x, adapter_names=["a2"] * 6)
    ).abs().max() > 1e-2
    assert all(layer.lent == () for layer in layers(model).values())


@pytest.mark.parametrize("make", [gpt2, t5])
@pytest.mark.parametrize("copies", [{}, {"num_beams": 2}, {"num_beams": 3, "num_return_sequences": 2}])
def test_generation_with_beams_and_padding(make, copies):
    model, bank, alone = with_bank(make)
    names = ["a1", "__base__", "a0"]
    mask = torch.ones_like(IDS)
    mask[0, :3] = 0  # to the left, as decoders are padded
    settings = {**NO_SAMPLING, **copies}

    def run(one, row):
        rows = slice(row, row + 1)
        return one.generate(input_ids=IDS[rows], attention_mask=mask[rows], **settings)

    expected = [run_alone(alone, bank, name, lambda one, row=row: run(one, row)) for row, name in enumerate(names)]
    found = model.generate(input_ids=IDS, attention_mask=mask, adapter_names=names, **settings)
    assert found.equal(torch.cat(expected))


def test_adapters_beside_those_of_the_model():
    """Those that the model holds itself, of another configuration, are served in the same batch."""
    model, bank, alone = with_bank(bert)
    for one in (model, alone):
        one.add_adapter("other", QuICConfig(target_modules=["query"], side="in", n_blocks=1))
        turn(one, "default", 0.2)
    for layer, twin in zip(layers(model).values(), layers(alone).values(), strict=True):
        twin.load_state_dict(layer.state_dict())
        if "other" in layer.quic_parameters:
            with torch.no_grad():
                for holder in (layer, twin):
                    holder.quic_parameters["other"].fill_(0.2)
    found = output(model, adapter_names=["other", "a0", "default"])
    a0 = run_alone(alone, bank, "a0", output)
    alone.set_adapter("other")
    other = output(alone)
    alone.set_adapter("default")
    torch.testing.assert_close(found, torch.stack([other[0], a0[1], output(alone)[2]]), rtol=0, atol=1e-5)


def test_modules_trained_in_full_are_those_of_the_host():
    model, bank, alone = with_bank(
        lambda: bert(BertForSequenceClassification), target_modules=["query"], task_type="SEQ_CLS"
    )
    for one in (model, alone):
        with torch.no_grad():
            one.base_model.model.classifier.modules_to_save["default"].weight.fill_(0.3)
    names = ["a1", "__base__", "default"]
    expected = [run_alone(alone, bank, name, output)[row] for row, name in enumerate(names)]
    torch.testing.assert_close(output(model, adapter_names=names), torch.stack(expected), rtol=0, atol=1e-5)


def test_folders_are_read_and_parameters_given_back(tmp_path):
    model, bank, _ = with_bank(bert, n_blocks=2)
    turn(model)
    model.save_pretrained(tmp_path / "saved")
    bank.add("saved", tmp_path / "saved")
    bank.add("state", get_peft_model_state_dict(model))
    torch.testing.assert_close(
        output(model, adapter_names=["saved", "state", "default"]), output(model), rtol=0, atol=1e-6
    )
    saved, own = bank.parameters("saved"), get_peft_model_state_dict(model)
    assert {f"base_model.model.{name}" for name in saved} == own.keys()
    assert bank.shapes() == {name: tuple(numbers.shape) for name, numbers in saved.items()}
    for name, numbers in saved.items():
        assert numbers.equal(own[f"base_model.model.{name}"])
    numbers.zero_()  # a copy
    assert bank.parameters("saved")[name].any()


def test_bookkeeping():
    model, bank, _ = with_bank(bert, count=3)
    per_adapter = sum(layer.quic_rotation["default"].plan.n_parameters for layer in layers(model).values())
    assert (list(bank), len(bank)) == (["a0", "a1", "a2"], 3)
    assert ("a1" in bank, "a9" in bank) == (True, False)
    assert bank.nbytes == 3 * 4 * per_adapter
    output(model, adapter_names=["a0", "a1", "a2"])
    bank.remove("a1")
    assert list(bank) == ["a0", "a2"]
    with pytest.raises(ValueError, match=r"got \['a1'\]: the nearest to 'a1' is"):
        model(IDS, adapter_names=["a0", "a1", "a2"])
    bank.add("a1", random_parameters(model, 7))  # what was kept of the old one is forgotten
    found = output(model, adapter_names=["a1"] * 3)
    bank.add("same", random_parameters(model, 7))
    torch.testing.assert_close(output(model, adapter_names=["same"] * 3), found, rtol=0, atol=1e-6)
    bank.detach()
    with pytest.raises(ValueError, match=r"got \['a0'\]: known are \['__base__', 'default'\]"):
        model(IDS, adapter_names=["a0"] * 3)
    AdapterBank(model)


@pytest.mark.parametrize("cache_bytes", [0, 20_000, 2**28])
def test_what_is_kept_changes_nothing_and_is_bounded(cache_bytes):
    model = get_peft_model(bert(), QuICConfig(target_modules="all-linear", n_blocks=1)).eval()
    bank = AdapterBank(model, cache_bytes=cache_bytes)
    for index in range(8):
        bank.add(f"a{index}", random_parameters(model, index))
    first = output(model, IDS[:1].repeat(8, 1), adapter_names=[f"a{index}" for index in range(8)])
    for index in (3, 0, 7, 3):
        with torch.inference_mode():
            again = output(model, IDS[:1], adapter_names=[f"a{index}"])
        torch.testing.assert_close(again[0], first[index], rtol=0, atol=1e-5)
    assert bank._kept.nbytes <= cache_bytes
    # What inference mode has left serves a call with gradients.
    x = model.base_model.model.embeddings.word_embeddings(IDS[:1]).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs_embeds=x, adapter_names=["a3"]).pooler_output.sum(), x)
    assert gradient.any()


def test_the_least_recently_used_are_forgotten_first():
    kept = KeptRotations(2 * 8)
    for name in ("a", "b"):
        kept.put(name, [torch.zeros(2)])
    assert kept.get("a") is not None
    kept.put("c", [torch.zeros(2)])
    assert [kept.get(name) is None for name in "abc"] == [False, True, False]
    kept.put("a", [torch.zeros(4)])
    assert (kept.nbytes, kept.get("c")) == (16, None)
    kept.put("large", [torch.zeros(5)])
    assert (kept.nbytes, kept.get("large")) == (0, None)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        KeptRotations(-1)


@pytest.mark.parametrize(
    "bad",
    [
        ({"orders": (2,)}, r"orders=\(1, 2\), got orders=\(2,\) in 'new'"),
        ({"n_blocks": 2, "side": "in"}, r"n_blocks=None, side='out', got n_blocks=2, side='in'"),
        (
            {"target_modules": ["query"]},
            r"the 13 tensors of rotations that the others have and nothing else, got 11 missing, such as encoder",
        ),
        ({"bias": "all"}, "bias='none', got bias='all'"),
    ],
)
def test_folders_of_other_adapters_are_refused(tmp_path, bad):
    _, bank, _ = with_bank(bert)
    values, message = bad
    other = get_peft_model(bert(), QuICConfig(**({"block_share": False, "target_modules": "all-linear"} | values)))
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        bank.add("new", tmp_path)
    assert "new" not in bank


def test_a_head_that_is_saved_beside_the_rotations_is_refused(tmp_path):
    model, bank, _ = with_bank(
        lambda: bert(BertForSequenceClassification), target_modules=["query"], task_type="SEQ_CLS"
    )
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"got 2 more, such as classifier.*load_adapter"):
        bank.add("new", tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("a0", {}, ValueError, "must be new to the bank and its model, got 'a0'"),
        ("default", {}, ValueError, "must be new to the bank and its model, got 'default'"),
        ("__base__", {}, ValueError, "must be new"),
        (3, {}, TypeError, "must be a string, got 3"),
        ("new", {"shape": (1, 3)}, ValueError, r"the shape that the others have, \(1, 21\), got \(1, 3\) in 'new'"),
        ("new", {"value": float("nan")}, ValueError, "must be finite.*got others in 'new'"),
        ("new", {"extra": True}, ValueError, "got 1 more, such as wrong"),
    ],
)
def test_wrong_adapters_are_refused(name, change, error, message):
    model, bank, _ = with_bank(bert, target_modules=["query"])
    parameters = random_parameters(model, 0)
    module = next(iter(parameters))
    if "shape" in change:
        parameters[module] = torch.zeros(change["shape"])
    if "value" in change:
        parameters[module][0, 0] = change["value"]
    if "extra" in change:
        parameters["wrong"] = torch.zeros(1, 3)
    with pytest.raises(error, match=message):
        bank.add(name, parameters)
    assert len(bank) == 4


def test_files_that_are_no_adapters_are_refused(tmp_path):
    model, bank, _ = with_bank(bert)
    with pytest.raises(ValueError, match=r"a folder with adapter_config.json"):
        bank.add("new", tmp_path)
    model.save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ValueError, match="complete safetensors file"):
        bank.add("new", tmp_path)
    model.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    with pytest.raises(ValueError, match=r"must be saved in adapter_model\.safetensors"):
        bank.add("new", tmp_path / "pickled")


def test_wrong_uses_are_refused():
    with pytest.raises(TypeError, match="needs a model with QuIC adapters, got Linear"):
        AdapterBank(nn.Linear(2, 2))
    model, bank, _ = with_bank(bert)
    with pytest.raises(ValueError, match=r"one bank at a time, got one with 4 adapters: detach\(\) it"):
        AdapterBank(model)
    for call in (bank.remove, bank.parameters, bank.switch):
        with pytest.raises(ValueError, match="no adapter 'aO': the nearest to 'aO' is 'a"):
            call("aO")
    bank.detach()
    scaled = get_peft_model(bert(), QuICConfig(target_modules=["query"], scaling=True, n_blocks=1))
    with pytest.raises(ValueError, match=r"must be rotations alone, got one with scaling, .*'default' in encoder"):
        AdapterBank(scaled)
    with pytest.raises(ValueError, match="no adapter 'defautl': the nearest to 'defautl' is 'default'"):
        AdapterBank(model, "defautl")
    bank = AdapterBank(model)
    model.train()
    bank.add("a0", random_parameters(model, 0))
    with pytest.raises(ValueError, match=r"call eval\(\)"):
        model(IDS, adapter_names=["a0"] * 3)


def test_a_loaded_model_has_a_bank_too(tmp_path):
    model, bank, _ = with_bank(bert)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(bert(), tmp_path).eval()
    again = AdapterBank(loaded)
    again.add("a1", bank.parameters("a1"))
    names = ["a1", "default", "__base__"]
    assert output(loaded, adapter_names=names).equal(output(model, adapter_names=names))
