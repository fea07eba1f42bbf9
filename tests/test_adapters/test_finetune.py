"""`quic finetune` on tiny checkpoints: what a run leaves behind, task by task, and what it refuses."""

import json

import pytest
from peft import PeftModel
from tiny_runs import bert_checkpoint, sentences, write_config, write_csv
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from adapters.cli import app


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a checkpoint, and examples to train and to evaluate on."""
    folder = tmp_path_factory.mktemp("finetune")
    bert_checkpoint(folder / "bert")
    write_csv(folder / "train.csv", sentences(64))
    write_csv(folder / "validation.csv", sentences(32, seed=1))
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")


@pytest.fixture
def run(inputs, tmp_path):
    """Run the command on the inputs, with other values and further options."""

    def invoke(*options, **values):
        config = write_config(
            tmp_path / "config.yaml",
            inputs / "bert",
            inputs / "train.csv",
            inputs / "validation.csv",
            tmp_path / "run",
            **values,
        )
        return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}).invoke(
            app, ["finetune", str(config), *options]
        )

    return invoke


def test_a_run_leaves_configuration_metrics_pictures_adapter_and_card(run, inputs, tmp_path):
    result = run("--json")
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "run"
    metrics = json.loads(result.stdout)
    assert metrics == json.loads((folder / "metrics.json").read_text())
    assert (metrics["steps"], metrics["train_examples"], metrics["validation_examples"]) == (16, 64, 32)
    assert {"accuracy", "f1", "matthews", "loss"} == set(metrics["validation"])
    assert {path.name for path in folder.iterdir()} == {
        *("adapter", "checkpoints", "config.yaml", "metrics.json", "metrics.jsonl"),
        *("README.md", "loss.png", "metric.png"),
    }
    card = (folder / "adapter" / "README.md").read_text()
    assert f"base_model: {inputs / 'bert'}" in card
    assert f"{metrics['adapter_numbers']:,} trained numbers" in card
    model = AutoModelForSequenceClassification.from_pretrained(inputs / "bert", num_labels=2)
    PeftModel.from_pretrained(model, str(folder / "adapter"))
