"""The configuration of a run: presets, files and flags in their order, and one sentence for each mistake."""

from pathlib import Path

import pytest
import torch
import yaml
from transformers import (
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    Dinov2Config,
    Dinov2ForImageClassification,
    LlamaConfig,
    LlamaForCausalLM,
)

from adapters.finetune.base import adapt
from adapters.finetune.config import FinetuneConfig
from adapters.finetune.config_file import dump, load_config, parse_setting, preset_names

MINIMAL = {"model": "m", "output": "o", "data": {"train": "t.csv"}}


def load(tmp_path, values, *settings, preset=None):
    file = tmp_path / "config.yaml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return load_config(file, preset, [parse_setting(setting) for setting in settings])


def test_flags_lie_over_the_file_and_the_file_over_the_preset(tmp_path):
    values = {**MINIMAL, "adapter": {"n_blocks": 5}, "training": {"batch_size": 4}}
    config = load(tmp_path, values, "training.batch_size=6", "training.lr_scheduler_type=cosine", preset="deberta-v3")
    assert config.adapter["n_blocks"] == 5  # the file's
    assert config.adapter["orders"] == [1, 2]  # the preset's
    assert config.model == "m"
    assert config.training.batch_size == 6
    assert config.training.trainer_arguments == {"lr_scheduler_type": "cosine"}


def test_a_configuration_survives_its_own_text(tmp_path):
    config = load(tmp_path, MINIMAL, "training.weight_decay=1e-2", "data.text_pair=other")
    assert load(tmp_path, dump(config)) == config


@pytest.mark.parametrize("written", ["5e-3", "5E-03", "0.005", ".5e-2"])
def test_numbers_without_a_dot_are_numbers(tmp_path, written):
    assert load(tmp_path, MINIMAL, f"training.weight_decay={written}").training.trainer_arguments == {
        "weight_decay": 0.005
    }


def test_every_preset_needs_only_the_examples():
    assert preset_names() == ["deberta-v3", "dinov2", "llama"]
    for preset in preset_names():
        config = load_config(preset=preset, settings=[("data.train", "t"), ("output", "o")])
        assert isinstance(config, FinetuneConfig)
        assert config.adapter["n_blocks"] == (4 if preset == "llama" else 3)


@pytest.mark.parametrize(("preset", "numbers"), [("deberta-v3", 75_636), ("dinov2", 199_800), ("llama", 1_278_208)])
def test_presets_give_the_numbers_of_the_paper_s_adapters(preset, numbers):
    """As docs/results/resources.md counts them from the layers alone; models without memory for their weights."""
    config = load_config(preset=preset, settings=[("data.train", "t"), ("output", "o")])
    makers = {"deberta-v3": deberta_v3_base, "dinov2": dinov2_large, "llama": llama_7b}
    with torch.device("meta"):
        model = adapt(makers[preset](), config, ["pooler.dense"] if preset == "deberta-v3" else [])
    assert sum(p.numel() for name, p in model.named_parameters() if "quic_" in name) == numbers


def deberta_v3_base():
    size = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "share_att_key": True}
    return DebertaV2ForSequenceClassification(DebertaV2Config(**size, **relative, position_buckets=256))


def dinov2_large():
    return Dinov2ForImageClassification(
        Dinov2Config(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, num_labels=2)
    )


def llama_7b():
    return LlamaForCausalLM(LlamaConfig())  # its defaults


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"outptu": "o"}, "every key must be known, got outptu: the nearest is output"),
        ({"data": {"trian": "t"}}, "every key must be known, got data.trian: the nearest is data.train"),
        ({"learning_rate": 1}, "every key must be known, got learning_rate: the nearest is training.learning_rate"),
        ({"adapter": {"ordrs": [1]}}, "every key must be known, got adapter.ordrs: the nearest is adapter.orders"),
        ({"training": {"weigth_decay": 0}}, "got training.weigth_decay: the nearest is training.weight_decay"),
        ({"training": {"save_steps": 5}}, "set by training.checkpoint_every, got training.save_steps"),
        ({"training": {"per_device_train_batch_size": 5}}, "training.batch_size, got training.per_device_train_b"),
        (
            {"training": {"output_dir": "x"}},
            "every key must be known, got training.output_dir: the nearest is output",
        ),
        (
            {"training": {"lr": 1}},
            "max_steps, metric, num_train_epochs, optimizer, round_to_bits, and arguments of Trainer$",
        ),
        ({"zzzzzzzz": 1}, "every key must be known, got zzzzzzzz: known are adapter, data"),
        ({"data": {}}, "a configuration must give data.train, got none"),
        ({"data": 3}, "data must be a mapping of keys to values, got 3"),
        ({"task": "poetry"}, "task should be 'text-classification', 'regression', .*, got 'poetry'"),
        ({"seed": -1}, "seed should be greater than or equal to 0, got -1"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate should be a valid number.*, got 'fast'"),
        ({"training": {"batch_size": 9, "gradient_accumulation_steps": 2}}, "multiple .*, got 9 and 2"),
        ({"training": {"optimizer": "sgd"}}, "training.optimizer should be 'adamw' or 'riemannian', got 'sgd'"),
        (
            {"training": {"optimizer": "riemannian", "optim": "adafactor"}},
            "training.optimizer: riemannian leaves no other choice of an optimiser, got training.optim",
        ),
        ({"training": {"checkpoint_every": 0}}, "training.checkpoint_every must be positive or epoch, got 0"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, values, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        load(tmp_path, {**MINIMAL, **values})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "a configuration must be YAML, got .*config.yaml"),
        ("- a", r"a configuration must be a mapping of keys to values, got \['a'\]"),
        ("", "a configuration must be a mapping of keys to values, got None"),
        ("a: !!python/object:os.system {}", "a configuration must be YAML"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        load(tmp_path, text)


def test_settings_and_presets_that_are_none_are_refused():
    with pytest.raises(ValueError, match="a setting must be KEY=VALUE, got 'seed'"):
        parse_setting("seed")
    with pytest.raises(ValueError, match="the value of a setting must be YAML"):
        parse_setting("seed=[")
    with pytest.raises(ValueError, match="a preset must be one of deberta-v3, dinov2, llama, got 'lama'"):
        load_config(preset="lama")
    with pytest.raises(ValueError, match=r"a configuration must be an existing YAML file, got nowhere\.yaml"):
        load_config(Path("nowhere.yaml"))
