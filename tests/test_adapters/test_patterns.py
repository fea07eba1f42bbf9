"""Patterns: other orders and numbers of blocks for some modules, through injection, files and circuits."""

import json

import pytest
import torch
from peft import PeftModel, get_peft_model
from tiny_models import bert, layers, output, turn

from adapters import QuICConfig, verify_adapter
from adapters.resources import saved_blocks
from adapters.verify import verify_saved

PATTERNS = {
    "orders": (1, 2),
    "block_size": 10,
    "orders_pattern": {"value": (3,), r"layer\.1\.attention\.self\.query": (1,)},
    "n_blocks_pattern": {"layer.0.attention.self.value": 2},
}
EXPECTED = {  # orders, blocks, wires
    "encoder.layer.0.attention.self.query": ((1, 2), 3, 4),
    "encoder.layer.1.attention.self.query": ((1,), 3, 10),
    "encoder.layer.0.attention.self.value": ((3,), 2, 5),
    "encoder.layer.1.attention.self.value": ((3,), 3, 5),
}


def adapted(**values):
    return get_peft_model(
        bert(), QuICConfig(target_modules=["query", "value"], **PATTERNS, **({"block_share": False} | values))
    )


def test_each_module_gets_what_its_first_pattern_says():
    plans = {
        name.removeprefix("base_model.model."): layer.quic_rotation["default"].plan
        for name, layer in layers(adapted()).items()
    }
    assert {name: (plan.orders, plan.n_blocks, plan.n) for name, plan in plans.items()} == EXPECTED
    config = QuICConfig(orders_pattern={"q": (1,), "b.q": (2,)}, n_blocks=1, target_modules=None)
    assert config.for_module("b.q").orders == (1,)
    assert config.for_module("bq").orders == config.for_module("q.b").orders == (1, 2)


def test_patterns_survive_their_folder_and_the_merge(tmp_path):
    model = adapted()
    turn(model)
    expected = output(model)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["config_version"] == 2
    loaded = PeftModel.from_pretrained(bert(), tmp_path)
    assert loaded.peft_config["default"].orders_pattern == PATTERNS["orders_pattern"]
    assert output(loaded).equal(expected)
    torch.testing.assert_close(output(loaded.merge_and_unload()), expected, rtol=0, atol=2e-5)


def test_every_circuit_of_a_model_with_patterns_is_its_block(tmp_path):
    model = adapted()
    turn(model)
    assert verify_adapter(model, dtype=torch.float64).passed
    model.save_pretrained(tmp_path)
    report = verify_saved(tmp_path)
    assert report.passed
    assert len(report.blocks) == sum(blocks for _, blocks, _ in EXPECTED.values())
    groups = {(group.orders, group.layout.n, group.copies) for group in saved_blocks(tmp_path)}
    assert groups == {(orders, n, blocks) for orders, blocks, n in EXPECTED.values()}


def test_a_configuration_without_patterns_is_one_of_version_1(tmp_path):
    """A release that knows no patterns can load it; this one could as well."""
    QuICConfig(n_blocks=1, target_modules=None).save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    values = json.loads(path.read_text())
    assert values["config_version"] == 1
    older = {key: value for key, value in values.items() if not key.endswith("_pattern")}
    path.write_text(json.dumps(older))
    assert QuICConfig.from_pretrained(tmp_path) == QuICConfig(n_blocks=1, target_modules=None)


@pytest.mark.parametrize("pattern", ["orders_pattern", "n_blocks_pattern"])
@pytest.mark.parametrize("key", ["vlaue", "key", "encoder.layer.0"])
def test_a_pattern_that_matches_no_target_is_refused(pattern, key):
    values = {"orders_pattern": (1,), "n_blocks_pattern": 2}
    with pytest.raises(ValueError, match=f"every entry of {pattern} must match .* got .'{key}'"):
        get_peft_model(
            bert(),
            QuICConfig(
                target_modules=["query", "value"], **({"block_share": False, pattern: {key: values[pattern]}})
            ),
        )


def test_patterns_of_all_linear_layers():
    config = QuICConfig(target_modules="all-linear", n_blocks_pattern={"intermediate.dense": 3})
    found = {
        name: layer.quic_rotation["default"].plan.n_blocks
        for name, layer in layers(get_peft_model(bert(), config)).items()
    }
    assert {name.split(".")[-2] for name, count in found.items() if count == 3} == {"intermediate"}
    with pytest.raises(ValueError, match=r"every entry of n_blocks_pattern must match .* got .'LayerNorm'"):
        get_peft_model(bert(), QuICConfig(target_modules="all-linear", n_blocks_pattern={"LayerNorm": 3}))


def test_a_pattern_that_does_not_fit_its_layer_names_it():
    config = QuICConfig(target_modules=["query", "value"], n_blocks_pattern={"value": 16})
    with pytest.raises(ValueError, match=r"^encoder.layer.0.attention.self.value: a block of 32 // 16 = 2 features"):
        get_peft_model(bert(), config)


def test_a_file_of_another_pattern_is_refused(tmp_path):
    adapted().save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    values = json.loads(path.read_text())
    values["n_blocks_pattern"] = {"layer.0.attention.self.value": 4}
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"must have shape \(4, n.* got \(2, 10\) for .*0.attention.self.value"):
        QuICConfig.from_pretrained(tmp_path)
