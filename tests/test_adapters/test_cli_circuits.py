"""`quic verify` and `quic circuit`: what they print and write, their exit codes and one-line errors."""

import json

import pytest
import torch
from peft import get_peft_model
from torch import nn
from typer.testing import CliRunner

from adapters import QuICConfig, verify_adapter
from adapters.cli import app
from adapters.rotation import Rotation


@pytest.fixture
def runner():
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})


def adapted(**config):
    torch.manual_seed(0)
    model = nn.ModuleDict({"first": nn.Linear(6, 20), "second": nn.Linear(6, 33)})
    return get_peft_model(
        model, QuICConfig(target_modules=["first", "second"], init_weights=False, n_blocks=2, **config)
    )


@pytest.fixture(params=["cayley", "exponential", "rbs"])
def saved(request, tmp_path):
    model = adapted(parameter_map=request.param)
    model.save_pretrained(tmp_path / "adapter")
    return model, tmp_path / "adapter"


def test_a_saved_adapter_is_verified_without_its_model(runner, saved):
    model, folder = saved
    result = runner.invoke(app, ["verify", str(folder), "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    expected = verify_adapter(model, dtype=torch.float64)
    assert report["passed"]
    assert report["tolerance"] == 1e-12
    assert report["largest_deviation"] <= 1e-12
    keys = ("block", "n", "n_gates", "n_columns")
    assert [{key: block[key] for key in keys} for block in report["blocks"]] == [
        {key: getattr(check, key) for key in keys} for check in expected.blocks
    ]
    assert [block["module"] for block in report["blocks"]] == ["first", "first", "second", "second"]
    table = runner.invoke(app, ["verify", str(folder), "--precision", "float32"])
    assert table.exit_code == 0
    assert "every circuit is its block" in table.stdout
    assert "second" in table.stdout


def test_blocks_that_share_a_rotation_are_verified_once(runner, tmp_path):
    adapted(block_share=True).save_pretrained(tmp_path)
    result = runner.invoke(app, ["verify", str(tmp_path), "--json"])
    assert [block["block"] for block in json.loads(result.stdout)["blocks"]] == [0, 0]


def test_an_adapter_that_is_not_its_circuits_fails(runner, tmp_path, monkeypatch):
    adapted().save_pretrained(tmp_path)
    apply = Rotation.apply
    monkeypatch.setattr(Rotation, "apply", lambda *args, **kwargs: apply(*args, **kwargs) * 1.001)
    result = runner.invoke(app, ["verify", str(tmp_path)])
    assert result.exit_code == 1
    assert "NOT every circuit" in result.stdout


@pytest.mark.parametrize("command", ["verify"])
def test_help_shows_an_example_and_foreign_folders_are_one_line_of_error(runner, command, tmp_path):
    shown = runner.invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"quic {command} " in shown.stdout
    assert "--json" in shown.stdout
    result = runner.invoke(app, [command, str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a saved adapter is a folder with adapter_config.json")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
