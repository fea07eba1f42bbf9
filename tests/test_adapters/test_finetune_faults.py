"""A run that is killed, fills the disk, meets NaN or finds a damaged checkpoint: nothing good is lost."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_models import bert
from tiny_runs import bert_checkpoint, sentences, write_config, write_csv, write_inputs
from typer.testing import CliRunner

from adapters.cli import app
from adapters.finetune.checkpoints import last_complete

pytestmark = pytest.mark.integration
RUN_QUIC = "from adapters.cli import app; app()"
QUIC = [sys.executable, "-c", RUN_QUIC]
ROOT = Path(__file__).parents[2]
FILE_LIMIT = 40_000  # bytes: the adapter of a checkpoint and all other files are smaller, the optimiser's is larger


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a checkpoint whose dropout is on, examples, and the environment of runs in it."""
    return write_inputs(tmp_path_factory.mktemp("faults"))


def configure(inputs, output, **training):
    """96 steps with a checkpoint every 4, and two layers that are trained in full, for files of some size."""
    values = {
        "adapter": {"modules_to_save": ["intermediate.dense", "output.dense"]},
        "training": {"num_train_epochs": 12, **training},
    }
    files = inputs / "bert", inputs / "train.csv", inputs / "validation.csv"
    return write_config(output.parent / f"{output.name}.yaml", *files, output, **values)


def environment(inputs):
    return {**os.environ, "HF_HOME": str(inputs / "hub"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def quic(*options):
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}).invoke(
        app, ["finetune", *map(str, options)]
    )


@pytest.fixture(autouse=True)
def cache(inputs, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", inputs / "hub" / "datasets")


@pytest.fixture(scope="module")
def killed(inputs):
    """The folder of a run that was killed after its third checkpoint."""
    output = inputs / "killed"
    command = [*QUIC, "finetune", str(configure(inputs, output))]
    run = subprocess.Popen(command, env=environment(inputs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (output / "checkpoints" / "checkpoint-12" / "complete.json").exists():
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    return output


@pytest.fixture
def cut_short(killed, tmp_path):
    """A copy of that folder, and its configuration."""
    output = tmp_path / "run"
    shutil.copytree(killed, output)
    return output, configure(killed.parent, output)


def steps(folder):
    return sorted(int(path.name.partition("-")[2]) for path in (folder / "checkpoints").iterdir())


def without_times(file):
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    times = ("_runtime", "_per_second", "train_loss", "total_flos")  # the last two of this call alone
    return [{key: value for key, value in line.items() if not key.endswith(times)} for line in lines]


def test_a_killed_run_goes_on_to_the_same_result_bit_for_bit(inputs, cut_short, tmp_path):
    output, config = cut_short
    half_written = output / "checkpoints" / "checkpoint-92"  # killed while it was written: without a seal
    shutil.copytree(output / "checkpoints" / f"checkpoint-{steps(output)[-1]}", half_written)
    (half_written / "complete.json").unlink()
    (half_written / "optimizer.pt").write_bytes(b"half")
    assert quic(configure(inputs, tmp_path / "whole")).exit_code == 0
    result = quic(config, "--resume")
    assert result.exit_code == 0, result.stderr
    assert (output / "metrics.json").read_text() == (tmp_path / "whole" / "metrics.json").read_text()
    assert without_times(output / "metrics.jsonl") == without_times(tmp_path / "whole" / "metrics.jsonl")
    whole, resumed = (load_file(f / "adapter" / "adapter_model.safetensors") for f in (tmp_path / "whole", output))
    assert set(whole) == set(resumed)
    for name, tensor in whole.items():
        assert tensor.equal(resumed[name]), name
    again = quic(config, "--resume", "--json")  # complete: nothing is left to do
    assert json.loads(again.stdout) == json.loads((output / "metrics.json").read_text())


@pytest.mark.parametrize("file", ["optimizer.pt", "adapter_model.safetensors", "trainer_state.json"])
def test_a_truncated_checkpoint_is_refused_and_the_one_before_serves(cut_short, file):
    output, config = cut_short
    last = last_complete(output / "checkpoints")
    before = steps(output)
    os.truncate(last / file, 100)
    result = quic(config, "--resume")
    assert result.exit_code == 1
    assert f"a checkpoint must be as it was written, got 100 other bytes for {last / file}" in result.stderr
    assert f"remove it to go on from checkpoint-{before[-2]}" in result.stderr
    assert steps(output) == before
    shutil.rmtree(last)
    assert last_complete(output / "checkpoints").name == f"checkpoint-{before[-2]}"


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited by POSIX")
def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(cut_short):
    output, config = cut_short
    last = last_complete(output / "checkpoints")
    content = {path: path.read_bytes() for path in last.iterdir()}

    fill_disk = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({FILE_LIMIT}, {FILE_LIMIT}))"
    run = subprocess.run(
        [sys.executable, "-c", f"{fill_disk}; {RUN_QUIC}", "finetune", str(config), "--resume"],
        env=environment(output.parent),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    error = next(line for line in run.stderr.splitlines() if line.startswith("Error"))
    assert "a checkpoint must be written whole, got " in error
    assert f"the last complete checkpoint is {last}" in error
    assert last_complete(output / "checkpoints") == last
    assert {path: path.read_bytes() for path in last.iterdir()} == content
    assert not (output / "metrics.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited by POSIX")
def test_a_disk_that_is_full_at_the_end_leaves_a_run_to_be_finished(inputs, tmp_path):
    output = tmp_path / "run"
    config = configure(inputs, output, max_steps=4)
    assert quic(config).exit_code == 0
    saved, metrics = output / "adapter" / "adapter_model.safetensors", output / "metrics.json"
    whole, reached, limit = load_file(saved), metrics.read_text(), saved.stat().st_size - 1
    metrics.unlink()
    shutil.rmtree(output / "adapter")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        result = quic(config, "--resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 1, result.exception
    error = result.stderr.strip().splitlines()[-1]
    assert error.startswith("Error: a run must be able to write into its folder, got ")
    assert f"the last complete checkpoint is {output / 'checkpoints' / 'checkpoint-4'}" in error
    assert not (output / "adapter").exists()
    assert quic(config, "--resume").exit_code == 0
    assert metrics.read_text() == reached
    assert all(tensor.equal(whole[name]) for name, tensor in load_file(saved).items())


def test_an_interrupted_run_says_how_to_go_on(inputs, tmp_path):
    output = tmp_path / "run"
    # What is started in the background may have been told not to listen.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{listen}; {RUN_QUIC}", "finetune"]
    command.append(str(configure(inputs, output, num_train_epochs=500)))
    run = subprocess.Popen(command, env=environment(inputs), stderr=subprocess.PIPE, text=True)
    while not (output / "checkpoints" / "checkpoint-4" / "complete.json").exists():
        assert run.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.005)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate()
    assert run.returncode == 130
    assert stderr.strip().endswith("Error: stopped by hand; the same command with --resume goes on")
    assert last_complete(output / "checkpoints") is not None


def test_a_loss_that_is_no_number_stops_and_leaves_the_last_good_checkpoint(inputs, tmp_path):
    # The rate rises from zero: the first checkpoint is the model as it was.
    training = {"learning_rate": 1e38, "warmup_steps": 3, "max_grad_norm": 0, "checkpoint_every": 1}
    result = quic(configure(inputs, tmp_path / "run", **training))
    assert result.exit_code == 1
    error = next(line for line in result.stderr.splitlines() if line.startswith("Error"))
    assert "must be finite, got NaN or infinity after" in error
    last = last_complete(tmp_path / "run" / "checkpoints")
    assert str(last) in error
    assert all(tensor.isfinite().all() for tensor in load_file(last / "adapter_model.safetensors").values())


@pytest.mark.parametrize("back", [0, 1])
@pytest.mark.parametrize(
    "training",
    [
        {"max_steps": 11, "checkpoint_every": 3},  # ends within a pass
        {"max_steps": 8, "round_to_bits": 1},
        {"learning_rate": 0.3, "metric": "loss", "early_stopping_patience": 3, "checkpoint_every": 1},
    ],
)
def test_a_run_that_is_killed_near_its_end_does_no_step_more(inputs, tmp_path, training, back):
    output = tmp_path / "run"
    config = configure(inputs, output, keep_checkpoints=1000, **training)
    assert quic(config).exit_code == 0
    whole = load_file(output / "adapter" / "adapter_model.safetensors")
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["steps"] < 96
    (output / "metrics.json").unlink()
    shutil.rmtree(output / "adapter")
    for step in steps(output)[len(steps(output)) - back :]:
        shutil.rmtree(output / "checkpoints" / f"checkpoint-{step}")
    assert quic(config, "--resume").exit_code == 0
    assert json.loads((output / "metrics.json").read_text()) == metrics
    resumed = load_file(output / "adapter" / "adapter_model.safetensors")
    assert all(tensor.equal(resumed[name]) for name, tensor in whole.items())


def test_only_the_same_run_is_resumed(cut_short):
    config = cut_short[1]
    result = quic(config, "--resume", "--set", "training.learning_rate=2e-2")
    assert "--resume needs the configuration of the run, training.learning_rate: 0.01, got 0.02" in result.stderr
    result = quic(config)
    assert result.exit_code == 1
    assert "(to go on with it, add --resume)" in result.stderr


def test_a_run_that_was_killed_before_it_wrote_anything_begins_anew(inputs, tmp_path):
    config = configure(inputs, tmp_path / "run", num_train_epochs=1)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    assert quic(config, "--resume").exit_code == 0
    assert (tmp_path / "run" / "metrics.json").is_file()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("precious")
    result = quic(config, "--resume", "--output", tmp_path / "foreign")
    assert "which holds thesis.tex" in result.stderr


def test_a_checkpoint_of_another_base_is_refused(tmp_path):
    bert_checkpoint(tmp_path / "bert")
    for name in ("train", "validation"):
        write_csv(tmp_path / f"{name}.csv", sentences(16))
    files = tmp_path / "bert", tmp_path / "train.csv", tmp_path / "validation.csv", tmp_path / "run"
    config = write_config(tmp_path / "config.yaml", *files, training={"num_train_epochs": 4})
    assert quic(config).exit_code == 0
    (tmp_path / "run" / "metrics.json").unlink()  # as if killed before it was complete
    before = last_complete(tmp_path / "run" / "checkpoints")
    bert(hidden_size=64).save_pretrained(tmp_path / "bert")
    result = quic(config, "--resume")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert "shape" in result.stderr
    assert last_complete(tmp_path / "run" / "checkpoints") == before
