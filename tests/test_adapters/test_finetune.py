"""`quic finetune` on tiny checkpoints: what a run leaves behind, task by task, and what it refuses."""

import json
import math
import re
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_runs import (
    bert_checkpoint,
    gpt2_checkpoint,
    sentences,
    vit_checkpoint,
    write_config,
    write_csv,
    write_images,
    write_inputs,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from adapters.cli import app
from adapters.quantise import quantise

SHORT = {"num_train_epochs": 1, "checkpoint_every": "epoch"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with checkpoints, and examples to train and to evaluate on."""
    return write_inputs(tmp_path_factory.mktemp("finetune"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")


@pytest.fixture
def run(inputs, tmp_path):
    """Run the command on the inputs, with further options and other values."""

    def invoke(*options, **values):
        config = write_config(
            tmp_path / "config.yaml",
            inputs / "bert",
            inputs / "train.csv",
            inputs / "validation.csv",
            tmp_path / "run",
            **values,
        )
        runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
        return runner.invoke(app, ["finetune", str(config), *options])

    return invoke


@pytest.fixture
def metrics_of(run):
    """The final metrics of a run that succeeds."""

    def invoke(*options, **values):
        result = run("--json", *options, **values)
        assert result.exit_code == 0, result.stderr or result.exception
        return json.loads(result.stdout)

    return invoke


def refused(result):
    assert result.exit_code == 1, result.exception
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


# ---- what a run leaves behind


def test_a_run_leaves_configuration_metrics_pictures_adapter_and_card(metrics_of, inputs, tmp_path):
    metrics, folder = metrics_of(), tmp_path / "run"
    assert metrics == json.loads((folder / "metrics.json").read_text())
    assert (metrics["steps"], metrics["train_examples"], metrics["validation_examples"]) == (16, 64, 32)
    assert set(metrics["validation"]) == {"accuracy", "f1", "matthews", "loss"}
    assert {path.name for path in folder.iterdir()} == {
        *("adapter", "checkpoints", "config.yaml", "metrics.json", "metrics.jsonl"),
        *("README.md", "loss.png", "metric.png"),
    }
    assert json.loads((folder / "adapter" / "classes.json").read_text()) == ["0", "1"]
    card = (folder / "adapter" / "README.md").read_text()
    assert f"base_model: {inputs / 'bert'}" in card
    assert f"{metrics['adapter_numbers']:,} trained numbers" in card
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    best = max((line for line in lines if "eval_accuracy" in line), key=lambda line: line["eval_accuracy"])
    assert metrics["best_step"] == best["step"]
    assert metrics["validation"]["accuracy"] == best["eval_accuracy"]


@pytest.mark.parametrize("labels", [["bad", "good"], [-1.5, 0.5]])
def test_the_lines_of_the_card_load_the_adapter(metrics_of, tmp_path, monkeypatch, labels):
    rows = [(text, labels[label]) for text, label in sentences(32)]
    write_csv(tmp_path / "rows.csv", rows)
    task = "text-classification" if "bad" in labels else "regression"
    data = {"train": str(tmp_path / "rows.csv"), "validation": str(tmp_path / "rows.csv")}
    metrics = metrics_of(task=task, data=data, training={"learning_rate": 0.1, "max_steps": 8})
    monkeypatch.chdir(tmp_path / "run")
    names = {}
    exec(re.search(r"^```python\n(.*?)^```$", (tmp_path / "run" / "README.md").read_text(), re.M | re.S)[1], names)
    tokenizer = AutoTokenizer.from_pretrained("adapter")
    with torch.no_grad():
        logits = names["model"](**tokenizer([text for text, _ in rows], padding=True, return_tensors="pt")).logits
    if task == "regression":
        loss = (logits[:, 0] - torch.tensor([label for _, label in rows])).square().mean()
        assert math.isclose(loss, metrics["validation"]["mse"], rel_tol=1e-5)
    else:
        found = [names["base"].config.id2label[int(row.argmax())] for row in logits]
        right = sum(name == label for name, (_, label) in zip(found, rows, strict=True))
        assert right == round(32 * metrics["validation"]["accuracy"])


def test_a_riemannian_run_is_resumed_to_the_same_result(metrics_of, tmp_path):
    values = {"training": {"optimizer": "riemannian", "keep_checkpoints": 9, "weight_decay": 0.1}}
    metrics, folder = metrics_of(**values), tmp_path / "run"
    saved = torch.load(folder / "checkpoints" / "checkpoint-16" / "optimizer.pt", weights_only=True)
    groups = [(group["parameter_map"], group["weight_decay"]) for group in saved["param_groups"]]
    assert groups == [(None, 0.1), ("cayley", 0.0), (None, 0.0)]  # matrix of the head, rotations, its bias
    whole = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in whole.values())
    for part in ("adapter", "checkpoints/checkpoint-12", "checkpoints/checkpoint-16"):
        shutil.rmtree(folder / part)
    (folder / "metrics.json").unlink()
    assert metrics_of("--resume", **values) == metrics
    resumed = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert all(tensor.equal(resumed[name]) for name, tensor in whole.items())


def test_the_saved_adapter_gives_the_metrics_again(metrics_of, inputs, tmp_path):
    metrics = metrics_of()
    model = AutoModelForSequenceClassification.from_pretrained(inputs / "bert", num_labels=2)
    model = PeftModel.from_pretrained(model, str(tmp_path / "run" / "adapter")).eval()
    saved = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    trained = {name: tensor for name, tensor in saved.items() if "quic_" in name}
    assert sum(tensor.numel() for tensor in trained.values()) == metrics["adapter_numbers"]
    assert all(tensor.any() for tensor in trained.values())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "adapter")
    texts, labels = zip(*sentences(32, seed=1), strict=True)
    with torch.no_grad():
        logits = model(**tokenizer(list(texts), padding=True, return_tensors="pt")).logits
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    assert math.isclose(loss, metrics["validation"]["loss"], rel_tol=1e-5)
    assert (logits.argmax(-1) == torch.tensor(labels)).float().mean() == metrics["validation"]["accuracy"]


def test_checkpoints_hold_the_adapter_and_the_optimiser_alone(metrics_of, inputs, tmp_path):
    metrics_of()
    weights = (inputs / "bert" / "model.safetensors").stat().st_size
    checkpoints = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert len(checkpoints) in (2, 3)  # the last two, and the best
    for checkpoint in checkpoints:
        adapter, optimiser = checkpoint / "adapter_model.safetensors", checkpoint / "optimizer.pt"
        assert adapter.stat().st_size < weights / 10
        assert optimiser.stat().st_size < weights / 2
        assert not (checkpoint / "tokenizer.json").exists()


def test_accumulated_gradients_are_those_of_the_whole_batch(metrics_of, inputs, tmp_path):
    config = json.loads((inputs / "bert" / "config.json").read_text())
    quiet = tmp_path / "quiet"
    bert_checkpoint(quiet)
    without_dropout = {**config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (quiet / "config.json").write_text(json.dumps(without_dropout))
    adapters = []
    for parts in (1, 4):
        output = str(tmp_path / str(parts))
        settings = ["--output", output, "--set", f"training.gradient_accumulation_steps={parts}"]
        metrics_of("--model", str(quiet), *settings)
        adapters.append(load_file(f"{output}/adapter/adapter_model.safetensors"))
    for name, tensor in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], tensor, atol=1e-4, rtol=0)  # learning rate 1e-2, 16 steps


# ---- tasks and sources


def test_regression_of_pairs_from_jsonl(metrics_of, tmp_path):
    file = tmp_path / "pairs.jsonl"
    rows = zip(sentences(40), sentences(40, seed=1), strict=True)
    file.write_text("".join(json.dumps({"a": a, "b": b, "y": x / 2}) + "\n" for (a, x), (b, _) in rows))
    data = {"train": str(file), "validation": None, "text": "a", "text_pair": "b", "label": "y", "max_length": 16}
    metrics = metrics_of(task="regression", data=data, training=SHORT)
    assert set(metrics["validation"]) == {"pearson", "spearman", "mse", "loss"}
    assert math.isclose(metrics["validation"]["mse"], metrics["validation"]["loss"], rel_tol=1e-5)
    assert (metrics["train_examples"], metrics["validation_examples"]) == (36, 4)


def test_language_from_a_text_file(metrics_of, inputs, tmp_path):
    gpt2_checkpoint(tmp_path / "gpt2", inputs / "bert")
    file = tmp_path / "lines.txt"
    file.write_text("".join(text + "\n" for text, _ in sentences(32)))
    adapter = {"target_modules": ["c_attn"], "n_blocks": 2}
    data = {"train": str(file), "validation": None, "validation_share": 0.25, "max_length": 16}
    metrics = metrics_of(
        "--model", str(tmp_path / "gpt2"), task="causal-lm", data=data, adapter=adapter, training=SHORT
    )
    assert set(metrics["validation"]) == {"loss"}
    assert metrics["other_trained_numbers"] == 0


def test_an_encoder_that_sees_what_it_is_to_predict_is_refused(run, inputs, tmp_path):
    (tmp_path / "lines.txt").write_text("\n".join(text for text, _ in sentences(32)))
    data = {"train": str(tmp_path / "lines.txt"), "validation": str(tmp_path / "lines.txt")}
    sentence = refused(run(task="causal-lm", data=data))
    assert f"no token sees those behind it, got an encoder of type bert in {inputs / 'bert'}" in sentence
    assert not (tmp_path / "run").exists()


def test_images_from_folders(metrics_of, tmp_path):
    vit_checkpoint(tmp_path / "vit")
    write_images(tmp_path / "photos" / "train", 24)
    write_images(tmp_path / "photos" / "validation", 8)
    data = {"train": str(tmp_path / "photos"), "validation": None, "validation_split": "validation"}
    options = ["--model", str(tmp_path / "vit"), "--set", "adapter.target_modules=all-linear"]
    metrics = metrics_of(*options, task="image-classification", data=data, training=SHORT)
    assert (metrics["train_examples"], metrics["validation_examples"]) == (24, 8)
    config = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
    assert config["modules_to_save"] == ["classifier"]  # new, so trained in full and not rotated
    assert metrics["other_trained_numbers"] == 32 * 2 + 2


def test_offline_packages(metrics_of):
    data = {"train": "package:movie-polarity", "train_split": "train[:32]", "validation": None}
    data |= {"validation_split": "test[:16]", "max_length": 32}
    metrics = metrics_of("--model", "package:all-MiniLM-L6-v2", data=data, training=SHORT)
    assert (metrics["train_examples"], metrics["validation_examples"]) == (32, 16)
    assert metrics["adapter_numbers"] == 12 * 351  # query and value of six layers, n = 27


def test_early_stopping_and_a_metric_that_falls(metrics_of):
    training = {"num_train_epochs": 50, "learning_rate": 0.3, "metric": "loss", "early_stopping_patience": 2}
    metrics = metrics_of(training={**training, "checkpoint_every": 1, "batch_size": 32})
    assert metrics["steps"] == metrics["best_step"] + 2
    assert metrics["steps"] < 100


def test_arguments_of_the_trainer_are_passed_on(metrics_of, tmp_path):
    metrics_of("--set", "training.lr_scheduler_type=constant", "--set", "training.bf16=true", training=SHORT)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rates = {line["learning_rate"] for line in lines if "learning_rate" in line}
    assert rates == {1e-2}


def test_words_for_missing_values_are_words(metrics_of, tmp_path):
    file = write_csv(tmp_path / "words.csv", [*sentences(8), ("null", 0), ("NA", 1)])
    metrics = metrics_of(data={"train": str(file)}, training=SHORT)
    assert metrics["train_examples"] == 10


def test_checkpointed_activations_give_the_same_adapter(metrics_of, tmp_path):
    files = []
    for name, options in (("plain", []), ("checkpointed", ["--set", "training.activation_checkpointing=true"])):
        metrics_of("--output", str(tmp_path / name), *options, training=SHORT)
        files.append(load_file(tmp_path / name / "adapter" / "adapter_model.safetensors"))
    assert all(tensor.equal(files[1][name]) for name, tensor in files[0].items())


def test_numbers_trained_rounded_are_those_of_a_packed_file(metrics_of, tmp_path):
    adapters = []
    for bits in (None, 4):
        options = [] if bits is None else ["--set", f"training.round_to_bits={bits}"]
        metrics_of("--output", str(tmp_path / f"{bits}"), *options, training=SHORT)
        adapters.append(load_file(tmp_path / f"{bits}" / "adapter" / "adapter_model.safetensors"))
    for name in (name for name in adapters[1] if "quic_" in name):
        assert quantise(adapters[1][name], 4).equal(adapters[1][name]), name
        assert not quantise(adapters[0][name], 4).equal(adapters[0][name]), name


# ---- refusals, before any work


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"data": {"train": "nowhere.csv"}}, "data.train must be an existing file, got nowhere.csv"),
        ({"data": {"text": "txt"}}, "data.train must have a column 'txt', got text, label: the nearest is 'text'"),
        ({"data": {"text_pair": "other"}}, "data.train must have a column 'other', got text, label"),
        ({"data": {"train": "package:poems"}}, "an offline task must be one of movie-polarity, got 'poems'"),
        ({"task": "regression", "data": {"label": "text"}}, "labels of a regression must be finite numbers, got '"),
        ({"task": "image-classification"}, "data.train must have a column 'image', got text, label"),
        ({"training": {"metric": "pearson"}}, "training.metric must be one of accuracy, f1, matthews, loss for"),
        (
            {"training": {"batch_size": 128}},
            "training.batch_size must be at most the number of training examples, 64",
        ),
        (
            {"training": {"report_to": "nothing"}},
            "training must be what transformers' Trainer takes, got: nothing is not",
        ),
        ({"training": {"optim": "sgdd"}}, "training must be what transformers' Trainer takes, got: sgdd is not"),
        ({"training": {"round_to_bits": 2}}, "training.round_to_bits should be 8, 4 or 1, got 2"),
        ({"training": {"round_to_bits": 4, "fsdp": True}}, "needs numbers that are not sharded, got training.fsdp"),
        ({"adapter": {"orders": [33]}}, "too small for orders"),
        ({"adapter": {"target_modules": ["nothing"]}}, "nothing"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, tmp_path, values, sentence):
    assert sentence in refused(run(**values))
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there_is_one_sentence(run):
    assert "a local model must be a folder with config.json, got ./nowhere" in refused(run("--model", "./nowhere"))
    assert "a packaged model must be one of package:all-Min" in refused(run("--model", "package:nothing"))


@pytest.mark.parametrize(
    ("train", "validation", "sentence"),
    [
        (
            [("a", 0), ("b", 1)],
            [("a", 2)],
            "labels of data.validation must be among those of data.train, 0, 1, got 2",
        ),
        ([("a", "x"), ("b", "y")], [("a", "z")], "those of data.train, x, y, got z"),
        ([("a", 0.5), ("b", 1)], [("a", 0.5)], "must be integers or names, got 0.5"),
        ([("a", 0), ("b", 0)], [("a", 0)], "needs at least two classes in 'label', got ['0']"),
        ([("a", 0), ("b", None)], [("a", 0)], "data.train must have a label in every row, got none in row 1, from 0"),
        ([("a", 0), (None, 1)], [("a", 0)], "data.train must have a text in every row, got none in row 1, from 0"),
        ([(1, 0), (2, 1)], [("a", 0)], "every text must be a text, got 1"),
        ([], [("a", 0)], "data.train must have rows, got none"),
    ],
)
def test_labels_and_rows_that_cannot_be_used_are_one_sentence(run, tmp_path, train, validation, sentence):
    data = {
        "train": str(write_csv(tmp_path / "t.csv", train)),
        "validation": str(write_csv(tmp_path / "v.csv", validation)),
    }
    assert sentence in refused(run(data=data, training={"batch_size": 1}))


def test_a_file_that_cannot_be_read_is_one_sentence(run, tmp_path):
    file = tmp_path / "broken.parquet"
    file.write_bytes(b"PAR1 and nothing else")
    assert "data.train must be readable as parquet, got" in refused(run(data={"train": str(file)}))


def test_an_image_that_cannot_be_read_is_named(run, tmp_path):
    vit_checkpoint(tmp_path / "vit")
    broken = write_images(tmp_path / "photos", 8) / "dark" / "2.png"
    broken.write_bytes(broken.read_bytes()[:20])
    options = ["--model", str(tmp_path / "vit"), "--set", "adapter.target_modules=all-linear"]
    data = {"train": str(tmp_path / "photos"), "validation": str(tmp_path / "photos")}
    result = run(*options, task="image-classification", data=data, training=SHORT)
    assert result.exit_code == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"Error: every image must be one that Pillow reads, got {broken}: ")


def test_images_by_their_paths(metrics_of, run, tmp_path):
    vit_checkpoint(tmp_path / "vit")
    files = sorted(write_images(tmp_path / "photos", 8).rglob("*.png"))
    table = write_csv(tmp_path / "t.csv", [(file, file.parent.name) for file in files], header=("image", "label"))
    options = ["--model", str(tmp_path / "vit"), "--set", "adapter.target_modules=all-linear"]
    data = {"train": str(table), "validation": str(table)}
    metrics = metrics_of(*options, task="image-classification", data=data, training=SHORT)
    assert metrics["train_examples"] == 8
    numbers = write_csv(tmp_path / "n.csv", [(1, "a"), (2, "b")], header=("image", "label"))
    data = {"train": str(numbers), "validation": str(numbers)}
    result = run(*options, "--output", str(tmp_path / "other"), task="image-classification", data=data)
    assert "the column 'image' must hold images or paths of them, got " in refused(result)


def test_foreign_folders_are_left_alone(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    assert "output must be a new folder or an empty one, got" in refused(run())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_help_shows_an_example():
    result = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, ["finetune", "--help"])
    for words in (
        "--preset",
        "--set",
        "--resume",
        "--json",
        "quic finetune --model package:all-MiniLM-L6-v2 --train mine.csv --output mine",
        "Exit code 1",
    ):
        assert words in result.stdout
