"""Costs of adapters: plans, compiled blocks, layers, models, folders and configurations give the same blocks."""

import json

import pytest
import torch
from peft import get_peft_model
from tiny_models import bert
from torch import nn
from transformers import BertModel
from typer.testing import CliRunner

from adapters import QuICConfig, compile_adapter
from adapters.cli import app
from adapters.plan import plan_blocks
from adapters.resources import configured_blocks, saved_blocks
from adapters.rotation import Rotation
from qicircuits import brickwork, pyramid
from qicircuits.resources import BlockGroup, closed_form, count_circuit, describe_blocks, estimate

TARGETS = ["query", "value", "intermediate.dense"]


@pytest.fixture
def runner():
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})


def adapted(**values):
    torch.manual_seed(0)
    return get_peft_model(
        bert(), QuICConfig(target_modules=TARGETS, **({"block_share": False, "n_blocks": 2, **values}))
    )


def sizes(groups):
    return sorted((group.layout.n, group.orders, group.copies) for group in groups)


@pytest.fixture
def saved(tmp_path):
    model = adapted()
    model.save_pretrained(tmp_path / "adapter")
    model.base_model.model.config.save_pretrained(tmp_path / "model")
    return tmp_path


def test_a_plan_is_its_blocks():
    plan = plan_blocks(768, (1, 2), n_blocks=3)
    for x in (plan, Rotation(plan, "rbs")):
        (group,) = describe_blocks(x)
        assert (group.layout, group.orders, group.copies) == (brickwork(21 + 1), (1, 2), 3)
    report = estimate(plan)
    assert report.circuits[0].shots == (22 + 231 - 1) * 10_000
    assert report.n_circuits == 3


def test_a_model_has_the_blocks_of_its_layers():
    model = adapted()
    # Two layers of a query and a value with 32 features, and two with 48, each of two blocks.
    assert sizes(describe_blocks(model)) == [(5, (1, 2), 8), (6, (1, 2), 4)]
    report = estimate(model)
    assert report.n_circuits == 12
    assert report.two_qubit_gates == 8 * 2 * 10 + 4 * 2 * 15
    assert [cost.label for cost in report.circuits] == [
        "4 layers of 32 features: query, value",
        "2 layers of 48 features: dense",
    ]
    layer = model.base_model.model.encoder.layer[0].attention.self.query
    assert sizes(describe_blocks(layer)) == [(5, (1, 2), 2)]


@pytest.mark.parametrize("layout", ["brickwork", "pyramid"])
def test_the_circuit_of_a_compiled_block_has_the_gates_of_the_estimate(layout):
    model = adapted(init_weights=False)
    block = compile_adapter(model, "encoder.layer.1.attention.self.value", block=1, layout=layout)
    cost = estimate(block).circuits[0]
    assert (
        cost.counts
        == count_circuit(block.template())
        == closed_form({"brickwork": brickwork, "pyramid": pyramid}[layout](5))
    )
    assert cost.label.endswith("layer.1.attention.self.value, block 1")
    assert (cost.copies, [sector.order for sector in cost.sectors]) == (1, [1, 2])


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"orders": (1,)},
        {"bias": "all", "modules_to_save": ["pooler"]},
        {"block_share": True},
        {"n_blocks": None, "block_size": 12},
        {"n_blocks": None},
    ],
    ids=str,
)
def test_a_saved_adapter_and_a_configuration_have_the_blocks_of_the_model(values, tmp_path):
    model = adapted(**values)
    model.save_pretrained(tmp_path / "adapter")
    model.base_model.model.config.save_pretrained(tmp_path / "model")
    assert sizes(saved_blocks(tmp_path / "adapter")) == sizes(describe_blocks(model))
    config = QuICConfig(target_modules=TARGETS, **({"block_share": False, "n_blocks": 2, **values}))
    assert sizes(configured_blocks(tmp_path / "model" / "config.json", config)) == sizes(describe_blocks(model))


def test_a_folder_does_not_tell_how_many_blocks_share_a_rotation(tmp_path):
    adapted(n_blocks=None, block_size=12, block_share=True).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"depends on the layers: .* got block_size=12"):
        saved_blocks(tmp_path)


def test_models_without_adapters_and_folders_without_them_are_refused(tmp_path):
    for x in (bert(BertModel), nn.Linear(3, 3)):
        with pytest.raises(ValueError, match="a model with QuIC adapters is needed"):
            estimate(x)
    with pytest.raises(ValueError, match="a saved adapter is a folder with"):
        saved_blocks(tmp_path)
    adapted().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"PeftModel.* has orders and gates of its own, got orders=\(1,\)"):
        estimate(adapted(), orders=(1,))
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ValueError, match="a saved adapter has a file of parameters, got none"):
        saved_blocks(tmp_path)
    for method in ("LORA", "NO SUCH METHOD"):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": method}))
        with pytest.raises(ValueError, match="a QuIC adapter is needed, got peft_type="):
            saved_blocks(tmp_path)


def test_help_shows_examples(runner):
    result = runner.invoke(app, ["resources", "--help"])
    assert result.exit_code == 0
    for words in ("--model-config", "--order", "--json", "quic resources runs/demo/adapter"):
        assert words in result.stdout


def test_the_command_costs_a_folder_and_a_configuration_alike(runner, saved):
    of_folder = runner.invoke(app, ["resources", str(saved / "adapter"), "--machine", "ions", "--json"])
    assert of_folder.exit_code == 0, of_folder.stderr
    report = json.loads(of_folder.stdout)
    assert report["totals"]["two_qubit_gates"] == 280
    assert report["assumptions"]["machine"]["name"] == "trapped ions"
    options = ["--n-blocks", "2", *(word for target in TARGETS for word in ("--target", target))]
    file = str(saved / "model" / "config.json")
    of_config = runner.invoke(app, ["resources", "--model-config", file, *options, "--machine", "ions", "--json"])
    assert of_config.exit_code == 0, of_config.stderr
    assert json.loads(of_config.stdout)["totals"] == report["totals"]


def test_the_command_prints_tables(runner, saved):
    options = ["--error", "0.1", "--precision", "1e-6", "--order", "2"]
    file = str(saved / "model" / "config.json")
    result = runner.invoke(app, ["resources", "--model-config", file, *options])
    assert result.exit_code == 0, result.stderr
    for words in ("two-qubit gates", "T count", "registers", "Assumptions", "y| is 0.1", "1e-06"):
        assert words in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-folder"], "Error: a saved adapter is a folder with adapter_config.json, got no-such-folder"),
        (["--model-config", "no-such-file"], "Error: a configuration of a transformers model is needed"),
        (["no-such-folder", "--error", "0"], "Error: error must be at least 1e-15 and below 1, got 0.0"),
        (["--model-config", "no-such-file", "--order", "0"], "Error: orders must be at least 1"),
    ],
)
def test_what_cannot_be_read_is_one_line_of_error(runner, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["resources", *arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith(words)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    "document",
    ["[]", "not json", "{}", '{"model_type": "no such model"}', '{"model_type": "bert", "hidden_size": 7}'],
)
def test_a_file_that_is_no_configuration_is_one_line_of_error(runner, document, tmp_path):
    (tmp_path / "config.json").write_text(document)
    result = runner.invoke(app, ["resources", "--model-config", str(tmp_path / "config.json")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a configuration of a transformers model is needed, got ")


@pytest.mark.parametrize(
    "arguments",
    [[], ["folder", "--model-config", "file"], ["folder", "--n-blocks", "2"], ["folder", "--machine", "abacus"]],
    ids=str,
)
def test_options_that_do_not_fit_together_are_refused(runner, arguments):
    result = runner.invoke(app, ["resources", *arguments])
    assert result.exit_code == 2


def test_a_group_of_a_users_own_is_costed_with_an_adapter():
    plan = plan_blocks(10, (1, 2))
    report = estimate([*describe_blocks(plan), BlockGroup(brickwork(8), (1,), 2, "mine")])
    assert report.n_circuits == 3
