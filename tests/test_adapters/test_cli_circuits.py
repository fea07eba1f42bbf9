"""`quic verify` and `quic circuit`: what they print and write, their exit codes and one-line errors."""

import json
from typing import get_args

import pytest
import torch
from peft import get_peft_model
from torch import nn
from typer.testing import CliRunner

from adapters import QuICConfig, compile_adapter, verify_adapter
from adapters.choices import ParameterMap
from adapters.cli import app
from adapters.compile import compile_saved
from adapters.rotation import Rotation
from qicircuits.drawing import draw_circuit


@pytest.fixture
def runner():
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})


def adapted(**config):
    torch.manual_seed(0)
    model = nn.ModuleDict({"first": nn.Linear(6, 20), "second": nn.Linear(6, 33)})
    return get_peft_model(
        model, QuICConfig(target_modules=["first", "second"], init_weights=False, n_blocks=2, **config)
    )


@pytest.fixture(params=get_args(ParameterMap))
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


def test_help_names_what_is_taken_if_nothing_is_said(runner):
    shown = runner.invoke(app, ["circuit", "--help"]).stdout
    assert all(f"[default: ({name})]" in shown for name in ("first", "0", "brickwork"))


@pytest.mark.parametrize("command", ["verify", "circuit"])
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


@pytest.mark.parametrize("layout", ["brickwork", "pyramid"])
def test_a_block_is_drawn_exported_and_costed(runner, saved, tmp_path, layout):
    model, folder = saved
    picture, program = tmp_path / "block.svg", tmp_path / "block.qasm"
    files = ["--draw", str(picture), "--export", str(program), "--qasm-version", "2"]
    options = ["--module", "second", "--block", "1", "--layout", layout, *files]
    result = runner.invoke(app, ["circuit", str(folder), *options, "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    compiled = compile_adapter(model, "second", 1, layout=layout, dtype=torch.float64)
    assert report["angles"] == compiled.angles.tolist()
    assert report["output_wires"] == list(compiled.output_wires)
    assert report["two_qubit_gates"]["CNOT"] == report["cost"]["totals"]["two_qubit_gates"] == 2 * report["gates"]
    assert [routing["swaps"] for routing in report["connectivity"]] == [0, 0, 0]
    assert picture.read_text().startswith("<?xml")
    assert program.read_text() == compiled.to_openqasm(2)


def test_a_layout_is_costed_and_drawn(runner, tmp_path):
    result = runner.invoke(app, ["circuit", "butterfly", "--wires", "8", "--draw", str(tmp_path / "butterfly.png")])
    assert result.exit_code == 0, result.stderr
    assert "4 of 12" in result.stdout
    assert (tmp_path / "butterfly.png").read_bytes().startswith(b"\x89PNG")


def test_the_first_block_is_taken_where_none_is_named(runner, saved):
    model, folder = saved
    report = json.loads(runner.invoke(app, ["circuit", str(folder), "--json"]).stdout)
    assert report["circuit"] == "first, block 0"
    printed = runner.invoke(app, ["circuit", str(folder)])
    assert printed.exit_code == 0
    assert ("The wires are reversed" in printed.stdout) == compile_adapter(model, "first").is_swap_network


def test_small_circuits_are_drawn_as_text_in_the_width_of_the_terminal(saved):
    _, folder = saved
    compiled = compile_saved(folder)
    for columns in (60, 120):
        terminal = CliRunner(env={"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"})
        printed = terminal.invoke(app, ["circuit", str(folder)]).stdout
        assert draw_circuit(compiled, output="text", width=columns) in printed
        assert f"{compiled.angles[0]:.2f}".replace("-", "−") in printed
        large = terminal.invoke(app, ["circuit", "brickwork", "--wires", "11"]).stdout
        assert "55 gates are too many for a diagram here" in large
        assert "●" not in large


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["butterfly"], 2, "needs --wires"),
        (["butterfly", "--wires", "4", "--export", "x.qasm"], 2, "got --export"),
        (["butterfly", "--wires", "6"], 1, "Error: butterfly needs a power of two"),
        (["brickwrk", "--wires", "4"], 1, "or the folder of a saved adapter is needed, got brickwrk"),
        (["FOLDER", "--wires", "4"], 2, "got --wires"),
        (["FOLDER", "--module", "third"], 1, "Error: module must name one adapted module"),
        (["FOLDER", "--block", "2"], 1, "Error: block must be in 0..1 for first, got 2"),
        (["FOLDER", "--draw", "picture.gif"], 1, "Error: a picture is a file .svg, .pdf or .png"),
        (["FOLDER", "--export", "nowhere/block.qasm"], 1, "Error: "),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(runner, tmp_path, monkeypatch, options, code, words):
    monkeypatch.chdir(tmp_path)
    adapted().save_pretrained(tmp_path / "FOLDER")
    result = runner.invoke(app, ["circuit", *options])
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["FOLDER"]
