"""The method inside PEFT and transformers: registration, files, loading, and the Trainer."""

import os
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import safetensors.torch
import torch
from peft import PeftModel, PeftType, get_peft_model, get_peft_model_state_dict
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertModel, Trainer, TrainingArguments

import adapters
from adapters import QuICConfig
from adapters.layer import QuICLayer
from adapters.peft_plugin import register

ROOT = Path(__file__).parents[2]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
IDS = torch.arange(21).reshape(3, 7)
WEIGHTS = "adapter_model.safetensors"


def bert(cls=BertModel, dtype=torch.float32):
    torch.manual_seed(0)
    config = BertConfig(vocab_size=30, max_position_embeddings=16, initializer_range=0.3, **SIZES)
    return cls(config).to(dtype).eval()


def layers(model):
    return [module for module in model.modules() if isinstance(module, QuICLayer)]


def turned(**values):
    model = get_peft_model(bert(), QuICConfig(**({"block_share": False, "target_modules": None} | values)))
    for layer in layers(model):
        nn.init.normal_(layer.quic_parameters["default"], std=0.3)
    return model


def output(model):
    return model(IDS).last_hidden_state


IN_A_NEW_PROCESS = """
import peft, sys
try:
    peft.PeftConfig.from_pretrained(sys.argv[1])
except KeyError as error:
    print(error)
import adapters
print(adapters.__file__)
print(type(peft.PeftConfig.from_pretrained(sys.argv[1])).__name__)
"""


def test_adapters_is_this_project_and_import_alone_registers(tmp_path):
    turned().save_pretrained(tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.splitlines() == ["'QUIC'", str(ROOT / "adapters" / "__init__.py"), "QuICConfig"], (
        result.stderr
    )
    assert Path(adapters.__file__) == ROOT / "adapters" / "__init__.py"


def test_registering_again_does_nothing():
    member = PeftType["QUIC"]
    register()
    assert PeftType["QUIC"] is PeftType("QUIC") is member
    assert list(PeftType).count("QUIC") == 1
    assert (member.name, member.value, f"{member.value}") == ("QUIC", "QUIC", "QUIC")


def test_registering_over_another_method_is_refused(monkeypatch):
    monkeypatch.setitem(peft.PEFT_TYPE_TO_CONFIG_MAPPING, PeftType["QUIC"], peft.LoraConfig)
    with pytest.raises(RuntimeError, match=r"must be registered once, got .*LoraConfig"):
        register()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"orders": (2,), "side": "in", "parameter_map": "rbs", "n_blocks": 2, "block_share": True},
        {"orders": (1, 3), "parameter_map": "exponential", "block_size": 10, "target_modules": "all-linear"},
    ],
)
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_saved_and_loaded(tmp_path, values, low_cpu_mem_usage):
    model = turned(**values)
    model.save_pretrained(tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / WEIGHTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "adapter_config.json", WEIGHTS]
    shapes = {
        f"{name}.quic_parameters": layer.quic_rotation["default"].plan.parameter_shape
        for name, layer in model.named_modules()
        if isinstance(layer, QuICLayer)
    }
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == shapes

    loaded = PeftModel.from_pretrained(bert(), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage)
    assert output(loaded).equal(output(model))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    trainable = PeftModel.from_pretrained(bert(), tmp_path, is_trainable=True)
    assert trainable.get_nb_trainable_parameters()[0] == sum(tensor.numel() for tensor in tensors.values())


def test_loaded_under_another_name_beside_the_first(tmp_path):
    model = turned()
    model.save_pretrained(tmp_path)
    other = get_peft_model(bert(), QuICConfig(orders=(2,), n_blocks=1, target_modules=None))
    other.load_adapter(tmp_path, "loaded")
    other.set_adapter("loaded")
    assert output(other).equal(output(model))


def test_loading_into_half_precision_keeps_the_numbers(tmp_path):
    model = turned()
    model.save_pretrained(tmp_path)
    saved = get_peft_model_state_dict(model)
    for low_cpu_mem_usage in (False, True):
        loaded = PeftModel.from_pretrained(bert(dtype=torch.bfloat16), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage)
        for name, value in get_peft_model_state_dict(loaded).items():
            assert value.dtype == torch.float32
            assert value.equal(saved[name])


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
@pytest.mark.parametrize("is_trainable", [False, True])
def test_loading_into_double_precision_trains_where_asked(tmp_path, low_cpu_mem_usage, is_trainable):
    turned().save_pretrained(tmp_path)
    base = bert(dtype=torch.float64)
    loaded = PeftModel.from_pretrained(base, tmp_path, low_cpu_mem_usage=low_cpu_mem_usage, is_trainable=is_trainable)
    for layer in layers(loaded):
        assert layer.quic_parameters["default"].dtype == torch.float64
        assert layer.quic_parameters["default"].requires_grad == is_trainable


def test_trained_biases_and_saved_modules_travel(tmp_path):
    values = {"task_type": "SEQ_CLS", "bias": "quic_only"}
    model = get_peft_model(
        bert(BertForSequenceClassification), QuICConfig(**({"block_share": False, "target_modules": None} | values))
    )
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(bert(BertForSequenceClassification), tmp_path)
    assert loaded(IDS).logits.equal(model(IDS).logits)


def other_width(tensors, folder):
    last = "base_model.model.bert.encoder.layer.1.attention.self.query.quic_parameters"
    assert tensors[last].shape == (1, 21)
    safetensors.torch.save_file({**tensors, last: torch.zeros(1, 28)}, folder / WEIGHTS)


def other_head(tensors, folder):
    safetensors.torch.save_file(
        {**tensors, "base_model.model.classifier.weight": torch.zeros(3, 32)}, folder / WEIGHTS
    )


def no_file(tensors, folder):
    (folder / WEIGHTS).unlink()


def only_a_pickle(tensors, folder):
    no_file(tensors, folder)
    torch.save(tensors, folder / "adapter_model.bin")


MISFITS = [
    (other_width, r"^bert\.encoder\.layer\.1\.attention\.self\.query: .*\(1, 21\).*got \(1, 28\)"),
    (other_head, r"^classifier\.weight: a saved tensor must have .* \(2, 32\), got \(3, 32\) in "),
    (no_file, "^the folder of an adapter must hold adapter_model.safetensors, got none in"),
    (only_a_pickle, "must be saved in adapter_model.safetensors, got only adapter_model.bin in .* a pickle"),
]


def saved_classifier(folder, **values):
    config = QuICConfig(
        task_type="SEQ_CLS", target_modules=["query"], bias="quic_only", **({"block_share": False} | values)
    )
    get_peft_model(bert(BertForSequenceClassification), config).save_pretrained(folder)
    return safetensors.torch.load_file(folder / WEIGHTS)


def state(model):
    return [(name, type(module)) for name, module in model.named_modules()], [
        (name, parameter.tolist(), parameter.requires_grad) for name, parameter in model.named_parameters()
    ]


@pytest.mark.parametrize(("spoil", "message"), MISFITS)
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_an_adapter_that_does_not_fit_leaves_the_model_alone(tmp_path, spoil, message, low_cpu_mem_usage):
    spoil(saved_classifier(tmp_path), tmp_path)
    base = bert(BertForSequenceClassification)
    before = state(base)
    with pytest.raises(ValueError, match=message):
        PeftModel.from_pretrained(base, tmp_path, low_cpu_mem_usage=low_cpu_mem_usage)
    assert not hasattr(base, "peft_config")
    assert state(base) == before


@pytest.mark.parametrize(("spoil", "message"), MISFITS)
def test_a_second_adapter_that_does_not_fit_leaves_the_first(tmp_path, spoil, message):
    spoil(saved_classifier(tmp_path), tmp_path)
    model = get_peft_model(
        bert(BertForSequenceClassification),
        QuICConfig(task_type="SEQ_CLS", target_modules=["query", "key"], n_blocks=1),
    )
    before = state(model)
    with pytest.raises(ValueError, match=message):
        model.load_adapter(tmp_path, "second")
    assert list(model.peft_config) == ["default"]
    assert state(model) == before


@pytest.mark.filterwarnings("ignore:Some weights of :UserWarning:peft")
@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning:peft")
def test_tensors_of_other_shapes_are_left_out_on_request(tmp_path):
    tensors = saved_classifier(tmp_path, init_weights=False)
    other_head(tensors, tmp_path)
    base = bert(BertForSequenceClassification)
    loaded = PeftModel.from_pretrained(base, tmp_path, ignore_mismatched_sizes=True)
    numbers = get_peft_model_state_dict(loaded)
    assert all(numbers[name].equal(tensor) for name, tensor in tensors.items() if "quic_parameters" in name)


def test_a_second_adapter_that_fits_is_loaded(tmp_path):
    tensors = saved_classifier(tmp_path, init_weights=False)
    model = get_peft_model(
        bert(BertForSequenceClassification), QuICConfig(task_type="SEQ_CLS", n_blocks=1, target_modules=None)
    )
    model.load_adapter(tmp_path, "second")
    loaded = get_peft_model_state_dict(model, adapter_name="second")
    assert all(loaded[name].equal(tensor) for name, tensor in tensors.items() if "quic_parameters" in name)


def test_a_saved_configuration_trains_a_new_adapter(tmp_path):
    """The file beside it does not matter then, if the model is the same or the file is gone."""
    model = turned()
    model.save_pretrained(tmp_path)
    for _ in range(2):
        config = QuICConfig.from_pretrained(str(tmp_path))
        config.inference_mode = False
        again = get_peft_model(bert(), config)
        assert again.get_nb_trainable_parameters()[0] == model.get_nb_trainable_parameters()[0]
        (tmp_path / WEIGHTS).unlink(missing_ok=True)


def test_a_state_of_other_shapes_is_refused_before_anything_is_loaded():
    model = turned(target_modules=["query"])
    name = "base_model.model.encoder.layer.1.attention.self.query.quic_parameters.default"
    before = state(model)
    with pytest.raises(ValueError, match=r"^encoder\.layer\.1\.attention\.self\.query: .*\(1, 21\).*got \(1, 28\)"):
        model.load_state_dict({**model.state_dict(), name: torch.zeros(1, 28)})
    assert state(model) == before


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\0" * 64])
def test_a_damaged_file_is_refused_before_the_model_changes(tmp_path, damage):
    turned().save_pretrained(tmp_path)
    file = tmp_path / WEIGHTS
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    base = bert()
    with pytest.raises(ValueError, match=f"must be a complete safetensors file, got {file}"):
        PeftModel.from_pretrained(base, tmp_path)
    assert not layers(base)
    assert file.read_bytes() == damaged


def test_transformers_adds_switches_and_loads(tmp_path):
    model = bert()
    expected = output(model)
    model.add_adapter(QuICConfig(target_modules=["query", "value"], n_blocks=1), "first")
    assert output(model).equal(expected)
    for layer in layers(model):
        nn.init.normal_(layer.quic_parameters["first"], std=0.3)
    rotated = output(model)
    model.disable_adapters()
    assert output(model).equal(expected)
    model.enable_adapters()
    assert output(model).equal(rotated)
    model.save_pretrained(tmp_path)
    again = bert()
    again.load_adapter(str(tmp_path), "second")
    assert output(again).equal(rotated)
    again.delete_adapter("second")
    assert output(again).equal(expected)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute:UserWarning:peft")
@pytest.mark.parametrize(("name", "values"), [("second", {"block_size": 64}), ("a.b", {})])
def test_transformers_is_refused_and_can_go_on(name, values):
    model = bert()
    before = state(model)
    refused = QuICConfig(target_modules=["query"], **({"block_share": False} | values))
    with pytest.raises(ValueError, match=r"block_size=64 is larger than the 32 features|name of an adapter .*'a\.b'"):
        model.add_adapter(refused, name)
    assert state(model) == before
    model.add_adapter(QuICConfig(target_modules=["query"], n_blocks=1), "first")
    before = state(model)
    with pytest.raises(ValueError, match=r"must be|is larger"):
        model.add_adapter(refused, name)
    assert list(model.peft_config) == ["first"]
    assert state(model) == before


@pytest.mark.parametrize(("spoil", "message"), [case for case in MISFITS if case[0] is not other_head])
def test_transformers_checks_the_file_of_a_configuration_that_is_passed(tmp_path, spoil, message):
    config = QuICConfig(target_modules=["query"], modules_to_save=["classifier"], init_weights=False, n_blocks=1)
    get_peft_model(bert(BertForSequenceClassification), config).save_pretrained(tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / WEIGHTS)
    model = bert(BertForSequenceClassification)
    model.load_adapter(str(tmp_path), peft_config=QuICConfig.from_pretrained(str(tmp_path)))
    spoil(tensors, tmp_path)
    model = bert(BertForSequenceClassification)
    before = state(model)
    with pytest.raises(ValueError, match=message):
        model.load_adapter(str(tmp_path), peft_config=QuICConfig.from_pretrained(str(tmp_path)))
    assert state(model) == before


def test_trainer_trains_only_the_adapter(tmp_path):
    model = get_peft_model(
        bert(BertForSequenceClassification), QuICConfig(task_type="SEQ_CLS", n_blocks=1, target_modules=None)
    )
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    rows = [{"input_ids": IDS[i % 3], "labels": torch.tensor(i % 2)} for i in range(8)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, learning_rate=1e-2,
        report_to=[], use_cpu=True, disable_tqdm=True, save_steps=2, dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=rows).train()
    changed = {name for name, parameter in model.named_parameters() if not parameter.equal(before[name])}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert changed == trained
    assert any("quic_parameters" in name for name in trained)
    checkpoint = PeftModel.from_pretrained(bert(BertForSequenceClassification), tmp_path / "checkpoint-2")
    model.eval()
    torch.testing.assert_close(checkpoint(IDS).logits, model(IDS).logits)
