"""Names of base models: folders, the hub's, and those of packages, in every command that takes one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.base_name import checkpoint_of
from adapters.cli import app
from adapters.evaluation import backbones
from adapters.evaluation.assets import AssetError


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A packaged model of which there is the configuration alone."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    monkeypatch.setattr(backbones, "PACKAGED", {"tiny": lambda cache: folder, "gone": _gone})
    return folder


def _gone(cache: Path | None) -> Path:
    raise AssetError("the package index cannot be reached")


def quic(*arguments):
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, arguments)


def test_every_kind_of_name(packaged):
    assert checkpoint_of("package:tiny") == checkpoint_of(str(packaged)) == str(packaged)
    assert checkpoint_of("someone/bert") == "someone/bert"
    with pytest.raises(
        ValueError, match="one of package:tiny, package:gone, got package:tinny: the nearest is package:"
    ):
        checkpoint_of("package:tinny")
    with pytest.raises(ValueError, match="got tiny: the nearest is package:tiny"):
        checkpoint_of("tiny")
    with pytest.raises(ValueError, match=r"must be a folder with config\.json, got \./nowhere"):
        checkpoint_of("./nowhere")


def test_plan_and_resources_take_a_packaged_model(packaged):
    by_name, by_folder = (quic("plan", name, "--budget", "500", "--json") for name in ("package:tiny", str(packaged)))
    assert by_name.exit_code == 0, by_name.stderr
    assert json.loads(by_name.stdout) == json.loads(by_folder.stdout)
    result = quic("resources", "--model-config", "package:tiny", "--json")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("command", [("plan", "package:gone", "--budget", "9"), ("resources", "--model-config")])
def test_a_package_that_cannot_be_fetched_is_one_sentence(packaged, command):
    result = quic(*command) if "package:gone" in command else quic(*command, "package:gone")
    assert result.exit_code == 1
    assert result.stderr == "Error: the package index cannot be reached\n"
