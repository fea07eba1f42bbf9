"""QuICConfig: checked values, the round trip through a folder, and damaged or foreign files."""

import json
from typing import get_args

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, PeftConfig
from peft.tuners.tuners_utils import BaseTuner

from adapters import QuICConfig
from adapters.choices import ParameterMap

WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("error", "message", "values"),
    [
        (ValueError, "at least one compound order", {"orders": ()}),
        (ValueError, "distinct", {"orders": [2, 2]}),
        (ValueError, "at least 1", {"orders": (0,)}),
        (ValueError, "at least 1", {"orders": (-1, 1)}),
        (TypeError, "sequence of integers", {"orders": "1"}),
        (TypeError, "sequence of integers", {"orders": (1, 2.5)}),
        (ValueError, "not both", {"n_blocks": 2, "block_size": 8}),
        (ValueError, "n_blocks=0", {"n_blocks": 0}),
        (TypeError, "block_size must be an integer", {"block_size": 8.0}),
        (ValueError, "parameter_map must be one of .*got 'givens'", {"parameter_map": "givens"}),
        (ValueError, "side must be one of .*got 'left'", {"side": "left"}),
        (TypeError, "scaling must be True or False, got 1", {"scaling": 1}),
        (ValueError, "composition must be one of .*got 'sum'", {"composition": "sum"}),
        (ValueError, "needs side='out' or 'in', got side='both'", {"composition": "additive", "side": "both"}),
        (ValueError, "bias must be one of .*got 'lora_only'", {"bias": "lora_only"}),
        (TypeError, "block_share must be True or False, got 1", {"block_share": 1}),
        (TypeError, "init_weights must be True or False", {"init_weights": "yes"}),
        (ValueError, "module_dropout .*got 1.0", {"module_dropout": 1.0}),
        (ValueError, "module_dropout .*got -0.1", {"module_dropout": -0.1}),
        (ValueError, "module_dropout .*got '0'", {"module_dropout": "0"}),
        (ValueError, "module_dropout .*got nan", {"module_dropout": float("nan")}),
        (ValueError, "target_modules must name", {"target_modules": []}),
        (ValueError, "target_modules must name", {"target_modules": set()}),
        (ValueError, "target_modules must be .*none of them empty, got ''", {"target_modules": ""}),
        (ValueError, "target_modules must be .*none of them empty", {"target_modules": ["q", ""]}),
        (TypeError, "target_modules must be a list of names or .*got 5", {"target_modules": 5}),
        (TypeError, r"target_modules must be .*got \['query', 3\]", {"target_modules": ["query", 3]}),
        (ValueError, r"target_modules must be a regular expression .*got '\['", {"target_modules": "["}),
        (ValueError, "exclude_modules must be a regular expression", {"exclude_modules": "(q"}),
        (TypeError, "exclude_modules must be a list of names or .*got 3", {"exclude_modules": 3}),
        (TypeError, "modules_to_save must be a list of names, got 'head'", {"modules_to_save": "head"}),
        (TypeError, "modules_to_save must be a list of names, got .'head',", {"modules_to_save": ("head",)}),
        (TypeError, "layers_to_transform must be an index .*got '0'", {"layers_to_transform": "0"}),
        (TypeError, r"layers_to_transform must be an index .*got \[0.5\]", {"layers_to_transform": [0.5]}),
        (TypeError, "layers_to_transform must be an index .*got True", {"layers_to_transform": True}),
        (ValueError, r"at least one index.*got \[\]", {"layers_to_transform": []}),
        (ValueError, r"counted from 0 .*got \[-1\]", {"layers_to_transform": [-1]}),
        (TypeError, "layers_pattern must be a name or a list of names, got 3", {"layers_pattern": 3}),
        (ValueError, "layers_to_transform needs", {"target_modules": "q|v", "layers_to_transform": [0]}),
        (ValueError, "layers_pattern needs", {"target_modules": ["q"], "layers_pattern": "h"}),
        (ValueError, "reads config_version=1 or 2 or 3 or 4, got 5", {"config_version": 5}),
        (ValueError, "reads config_version=1 or 2 or 3 or 4, got True", {"config_version": True}),
        (ValueError, r"reads config_version=1 or 2 or 3 or 4, got 1\.0", {"config_version": 1.0}),
        (TypeError, r"n_blocks_pattern must be a dictionary .*got \['q'\]", {"n_blocks_pattern": ["q"]}),
        (TypeError, "orders_pattern must be a dictionary .*got {1: ", {"orders_pattern": {1: (1,)}}),
        (ValueError, "orders_pattern must have .*got an empty one", {"orders_pattern": {"": (1,)}}),
        (ValueError, "a key of n_blocks_pattern must be a regular .*got '\\['", {"n_blocks_pattern": {"[": 1}}),
        (ValueError, "n_blocks_pattern..q.. must be at least 1, got", {"n_blocks_pattern": {"q": 0}}),
        (TypeError, "n_blocks_pattern..q.. must be an integer, got '2'", {"n_blocks_pattern": {"q": "2"}}),
        (ValueError, "orders_pattern..q..: orders must be distinct", {"orders_pattern": {"q": [2, 2]}}),
        (TypeError, "orders_pattern..q..: orders must be a sequence", {"orders_pattern": {"q": 2}}),
        (ValueError, "Invalid task type", {"task_type": "SEQ"}),
    ],
)
def test_config_refuses(error, message, values):
    with pytest.raises(error, match=message):
        QuICConfig(**values)


def test_trained_biases_need_a_peft_that_saves_them(monkeypatch):
    monkeypatch.delattr(BaseTuner, "_get_learnable_bias_state_dict")
    assert QuICConfig().bias == "none"
    with pytest.raises(ValueError, match=r"bias='all' needs PEFT 0\.21, which saves trained biases"):
        QuICConfig(bias="all")


@given(
    orders=st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True),
    blocks=st.sampled_from([{}, {"n_blocks": 3}, {"block_size": 17}]),
    block_share=st.booleans(),
    parameter_map=st.sampled_from(get_args(ParameterMap)),
    side=st.sampled_from(["out", "in", "both"]),
    scaling=st.booleans(),
    n_factors=st.integers(1, 3),
    module_dropout=st.floats(0, 0.99),
    bias=st.sampled_from(["none", "all", "quic_only"]),
    orders_pattern=st.dictionaries(st.text("qkv", min_size=1), st.just((2, 1))),
    n_blocks_pattern=st.dictionaries(st.text("qkv", min_size=1), st.integers(1, 9)),
    target_modules=st.none() | st.just("all-linear") | st.lists(st.text("qkv.", min_size=1), min_size=1),
)
def test_config_survives_its_folder(tmp_path_factory, blocks, **values):
    config = QuICConfig(**blocks, **values)
    folder = tmp_path_factory.mktemp("adapter")
    config.save_pretrained(str(folder))
    assert QuICConfig.from_pretrained(str(folder)) == config
    assert PeftConfig.from_pretrained(str(folder)) == config
    assert json.loads((folder / "adapter_config.json").read_text())["peft_type"] == "QUIC"


@pytest.mark.parametrize(
    ("values", "blocks"),
    [
        ({}, (8, None, True)),
        ({"orders": (1, 2, 3), "side": "in"}, (8, None, True)),
        ({"n_blocks": 4}, (4, None, False)),
        ({"block_size": 64}, (None, 64, False)),
        ({"block_share": True}, (None, None, True)),
        ({"block_share": False}, (None, None, False)),  # as files of an older release say: one block
        ({"n_blocks_pattern": {"q": 2}}, (None, None, False)),
    ],
)
def test_eight_blocks_share_a_rotation_where_nothing_is_said_about_blocks(values, blocks):
    config = QuICConfig(**values)
    assert (config.n_blocks, config.block_size, config.block_share) == blocks
    assert QuICConfig(**config.to_dict()) == config


def test_every_linear_layer_is_adapted_where_nothing_is_said_about_modules():
    assert QuICConfig().target_modules == "all-linear"
    assert QuICConfig(target_modules=None).target_modules is None  # PEFT's default for the architecture


def saved_adapter(folder, tensors, **values):
    """A folder as `save_pretrained` of a model leaves it, with the given tensors."""
    QuICConfig(target_modules=["q"], **values).save_pretrained(str(folder))
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    return folder / WEIGHTS


def quic(*shape):
    return {"base_model.model.q.quic_parameters": torch.zeros(shape)}


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ({}, (1, 6)),
        ({"orders": (3,)}, (1, 6)),
        ({"n_blocks": 4}, (4, 3)),
        ({"n_blocks": 4, "block_share": True}, (1, 3)),
        ({"block_size": 10}, (7, 6)),
        ({"block_size": 10, "block_share": True}, (1, 6)),
    ],
)
def test_a_right_file_is_accepted(tmp_path, values, shape):
    saved_adapter(tmp_path, quic(*shape), **values)
    assert QuICConfig.from_pretrained(str(tmp_path)).target_modules == {"q"}


@pytest.mark.parametrize(
    ("values", "shape", "rule"),
    [
        ({}, (1, 5), r"\(1, n\(n-1\)/2 with n > 2\)"),
        ({}, (1, 1), r"\(1, n\(n-1\)/2 with n > 2\)"),
        ({}, (2, 6), r"\(1, n\(n-1\)/2"),
        ({}, (6,), r"\(1, n\(n-1\)/2"),
        ({"n_blocks": 4}, (3, 3), r"\(4, n\(n-1\)/2"),
        ({"n_blocks": 4, "block_share": True}, (4, 3), r"\(1, n\(n-1\)/2"),
        ({"block_size": 10}, (7, 10), r"\(blocks, 6\)"),
        ({"block_size": 10, "block_share": True}, (7, 6), r"\(1, 6\)"),
    ],
)
def test_a_file_of_other_shapes_is_refused(tmp_path, values, shape, rule):
    file = saved_adapter(tmp_path, quic(*shape), **values)
    with pytest.raises(ValueError, match=rf"must have shape {rule}.*quic_parameters in {file}"):
        QuICConfig.from_pretrained(str(tmp_path))


def test_a_file_without_parameters_is_refused(tmp_path):
    file = saved_adapter(tmp_path, {"base_model.model.q.lora_A.weight": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match=f"must hold tensors named quic_parameters, got none in {file}"):
        QuICConfig.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("length", [0, 7, 40, -1])
def test_a_truncated_file_is_refused_and_left_alone(tmp_path, length):
    file = saved_adapter(tmp_path, quic(1, 6))
    rest = file.read_bytes()[:length]
    file.write_bytes(rest)
    with pytest.raises(ValueError, match=f"must be a complete safetensors file, got {file}"):
        QuICConfig.from_pretrained(str(tmp_path))
    assert file.read_bytes() == rest


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(1, 6, dtype=torch.int64), r"must be floating-point numbers, got torch\.int64"),
        (torch.tensor([[0.0, 1, 2, float("nan"), 4, 5]]), "must be finite, got NaN"),
        (torch.tensor([[0.0, 1, 2, -float("inf"), 4, 5]]), "must be finite, got NaN or infinity"),
    ],
)
def test_a_file_of_other_numbers_is_refused(tmp_path, values, message):
    file = saved_adapter(tmp_path, {"base_model.model.q.quic_parameters": values})
    with pytest.raises(ValueError, match=f"{message}.* for base_model.model.q.quic_parameters in {file}"):
        QuICConfig.from_pretrained(str(tmp_path))


def test_what_lies_beside_it_is_not_part_of_a_configuration(tmp_path):
    saved_adapter(tmp_path, quic(1, 6))
    config = QuICConfig.from_pretrained(str(tmp_path))
    assert config == QuICConfig(target_modules=["q"])
    assert config.to_dict() == QuICConfig(target_modules=["q"]).to_dict()


def test_another_version_is_refused_before_its_unknown_fields(tmp_path):
    QuICConfig().save_pretrained(str(tmp_path))
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config_version": 5, "twist": 3}))
    with pytest.raises(ValueError, match="reads config_version=1 or 2 or 3 or 4, got 5: load the adapter with the"):
        QuICConfig.from_pretrained(str(tmp_path))


def test_a_saved_configuration_without_version_is_refused(tmp_path):
    QuICConfig().save_pretrained(str(tmp_path))
    path = tmp_path / "adapter_config.json"
    values = json.loads(path.read_text())
    del values["config_version"]
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="reads config_version=1 or 2 or 3 or 4, got no version"):
        QuICConfig.from_pretrained(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "rule"), [('{"orders": [1', "JSON file"), ("", "JSON file"), ("[1]", "JSON object")]
)
def test_a_broken_configuration_is_refused_by_its_name(tmp_path, text, rule):
    path = tmp_path / "adapter_config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"a configuration must be a {rule}, got .*{path}"):
        QuICConfig.from_pretrained(str(tmp_path))
    assert path.read_text() == text


def test_another_method_is_read_as_it_is(tmp_path):
    LoraConfig(r=2).save_pretrained(str(tmp_path))
    assert type(QuICConfig.from_pretrained(str(tmp_path))) is LoraConfig


def test_a_subfolder_is_read_and_checked(tmp_path):
    (tmp_path / "first").mkdir()
    file = saved_adapter(tmp_path / "first", quic(1, 6))
    assert QuICConfig.from_pretrained(str(tmp_path), subfolder="first").orders == (1, 2)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="complete safetensors"):
        QuICConfig.from_pretrained(str(tmp_path), subfolder="first")
