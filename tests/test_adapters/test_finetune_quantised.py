"""`quic finetune` on a base in 8 or 4 bits: cut short and gone on with, and merged into the plain weights."""

import json
import shutil

import pytest
from quantised_bases import KINDS
from safetensors.torch import load_file
from tiny_runs import write_config, write_inputs
from typer.testing import CliRunner

from adapters.cli import app


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a checkpoint whose dropout is on, and examples."""
    return write_inputs(tmp_path_factory.mktemp("quantised"))


@pytest.fixture(autouse=True)
def cache(inputs, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", inputs / "datasets")


def quic(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.stderr or result.exception
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_a_quantised_base_is_resumed_to_the_same_result(inputs, tmp_path, kind):
    output = tmp_path / "run"
    files = inputs / "bert", inputs / "train.csv", inputs / "validation.csv"
    config = write_config(tmp_path / "run.yaml", *files, output, quantisation=kind, training={"keep_checkpoints": 9})
    quic("finetune", config)
    whole = load_file(output / "adapter" / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in whole.values())
    metrics = json.loads((output / "metrics.json").read_text())
    for part in ("adapter", "checkpoints/checkpoint-12", "checkpoints/checkpoint-16"):
        shutil.rmtree(output / part)
    (output / "metrics.json").unlink()
    quic("finetune", config, "--resume")
    resumed = load_file(output / "adapter" / "adapter_model.safetensors")
    assert {name for name, tensor in whole.items() if not tensor.equal(resumed[name])} == set()
    assert json.loads((output / "metrics.json").read_text()) == metrics
    report = json.loads(quic("merge", output / "adapter", tmp_path / "merged", "--json").stdout)
    assert report["dtype"] == "float32"
    assert report["deviation"] < 1e-5
