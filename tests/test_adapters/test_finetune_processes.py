"""`quic finetune` in two processes on CPUs, data parallel and sharded: the result of one process, to rounding."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_runs import bert_checkpoint, sentences, write_config, write_csv
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from adapters.cli import app
from adapters.evaluation.assets import encoder_folder
from adapters.finetune.checkpoints import last_complete

ROOT = Path(__file__).parents[2]
TWO = ["--standalone", "--nproc-per-node", "2"]  # which finds a free port
QUIC = ["-m", "adapters.cli"]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Examples, and two checkpoints without dropout, which would be drawn in each process anew."""
    folder = tmp_path_factory.mktemp("processes")
    bert_checkpoint(folder / "bert")
    shutil.copytree(encoder_folder(), folder / "minilm")
    for name in ("bert", "minilm"):
        file = folder / name / "config.json"
        values = {**json.loads(file.read_text()), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        file.write_text(json.dumps(values))
    write_csv(folder / "train.csv", sentences(64))
    write_csv(folder / "validation.csv", sentences(32, seed=1))
    return folder


@pytest.fixture
def configure(inputs, tmp_path):
    def write(name, model, **training):
        files = inputs / model, inputs / "train.csv", inputs / "validation.csv", tmp_path / name
        return write_config(tmp_path / f"{name}.yaml", *files, training={"eval_batch_size": 16, **training})

    return write


@pytest.fixture
def environment(inputs):
    hub = {"HF_HOME": str(inputs / "hub"), "PYTHONPATH": str(ROOT)}
    return {**os.environ, **hub, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def in_one_process(config, inputs, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", inputs / "hub" / "datasets")
    result = CliRunner().invoke(app, ["finetune", str(config)])
    assert result.exit_code == 0, result.stderr


def in_two_processes(launcher, config, environment, *options):
    command = [sys.executable, "-m", *launcher, *QUIC, "finetune", str(config), *options]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return run


def same_result(one, two):
    """The trained numbers to rounding, which Adam makes larger where gradients vanish; all metrics."""
    expected, found = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (one, two))
    assert set(expected) == set(found)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=0)  # they move by 1e-2 a step
    before, after = (json.loads((folder / "metrics.json").read_text()) for folder in (one, two))
    assert after.pop("validation") == pytest.approx(before.pop("validation"), abs=1e-5)
    assert after == before


def test_a_real_encoder_data_parallel_under_accelerate(inputs, configure, environment, monkeypatch, tmp_path):
    training = {"max_steps": 6, "learning_rate": 1e-3}
    in_one_process(configure("one", "minilm", **training), inputs, monkeypatch)
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]  # a free one
    run = in_two_processes(launcher, configure("two", "minilm", **training), environment, "--json")
    assert json.loads(run.stdout) == json.loads((tmp_path / "two" / "metrics.json").read_text())  # from one of them
    assert (last_complete(tmp_path / "two" / "checkpoints") / "rng_state_1.pth").is_file()  # there were two
    same_result(tmp_path / "one", tmp_path / "two")


def test_a_sharded_run_that_is_killed_goes_on_and_its_shards_load_unsharded(
    inputs, configure, environment, monkeypatch, tmp_path
):
    in_one_process(configure("one", "bert", num_train_epochs=4), inputs, monkeypatch)
    config = configure("two", "bert", num_train_epochs=4, fsdp=True)
    checkpoints = tmp_path / "two" / "checkpoints"
    command = [sys.executable, "-m", "torch.distributed.run", *TWO, *QUIC, "finetune", str(config)]
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (checkpoints / "checkpoint-8" / "complete.json").exists():
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    workers = psutil.Process(run.pid).children(recursive=True)
    for process in (run, *workers):  # the workers have sessions of their own: they would train on
        process.kill()
    run.wait()
    psutil.wait_procs(workers)
    assert not (tmp_path / "two" / "metrics.json").exists()
    in_two_processes(["torch.distributed.run", *TWO], config, environment, "--resume")
    same_result(tmp_path / "one", tmp_path / "two")

    metrics = json.loads((tmp_path / "two" / "metrics.json").read_text())
    shards = checkpoints / f"checkpoint-{metrics['best_step']}" / "pytorch_model_fsdp_0"
    assert {file.name for file in shards.glob("*.distcp")} == {"__0_0.distcp", "__1_0.distcp"}
    dcp_to_torch_save(shards, tmp_path / "whole.pt")
    loaded = torch.load(tmp_path / "whole.pt", weights_only=True)["model"]
    adapter = load_file(tmp_path / "two" / "adapter" / "adapter_model.safetensors")
    assert set(loaded) == set(adapter)  # nothing of the frozen model
    assert all(tensor.equal(adapter[name]) for name, tensor in loaded.items())
    model = AutoModelForSequenceClassification.from_pretrained(inputs / "bert", num_labels=2)
    PeftModel.from_pretrained(model, str(tmp_path / "two" / "adapter"))


def test_whole_rotations_are_stepped_where_their_rows_are_sharded(
    inputs, configure, environment, monkeypatch, tmp_path
):
    training = {"max_steps": 6, "optimizer": "riemannian", "checkpoint_every": 3}
    in_one_process(configure("one", "bert", **training), inputs, monkeypatch)
    config = configure("two", "bert", **training, fsdp=True)
    in_two_processes(["torch.distributed.run", *TWO], config, environment)
    same_result(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "metrics.json").unlink()
    shutil.rmtree(tmp_path / "two" / "adapter")
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "checkpoint-6")
    in_two_processes(["torch.distributed.run", *TWO], config, environment, "--resume")
    same_result(tmp_path / "one", tmp_path / "two")
