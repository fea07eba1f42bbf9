"""Tasks of the hub, end to end on local stand-ins: what differs online is the download alone."""

import json

import pytest
import torch
from datasets.utils.logging import disable_progress_bar
from peft import get_peft_model
from tiny_hub import save_images, save_rows, tiny_deberta, tiny_dinov2, tiny_llama

from adapters import QuICConfig
from adapters.evaluation.backbones import encode, load_model, load_processor, target_sets
from adapters.evaluation.batches import training_batches
from adapters.evaluation.method_comparison import TrainingParams, read_experiment, run_experiment
from adapters.evaluation.tasks import TASKS, load_task, task_names
from adapters.evaluation.tasks.registry import _load
from adapters.evaluation.tasks.word_problems import answer_of, same_answer

GLUE_ROWS = {
    "cola": {"sentence": "the answer is good", "label": 1},
    "sst2": {"sentence": "a good answer", "label": 1},
    "mrpc": {"sentence1": "one plus one", "sentence2": "two", "label": 1},
    "stsb": {"sentence1": "one plus one", "sentence2": "two", "label": 4.5},
    "qqp": {"question1": "what is one ?", "question2": "what is two ?", "label": 0},
    "mnli": {"premise": "one is good", "hypothesis": "one is bad", "label": 2},
    "qnli": {"question": "what is good ?", "sentence": "one is good", "label": 0},
    "rte": {"sentence1": "one is good", "sentence2": "one is bad", "label": 1},
}
CLASSES = ("blue", "green", "red")


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """The folder that stands in for the data sets of the hub."""
    disable_progress_bar()
    monkeypatch.setenv("QICIRCUITS_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    _load.cache_clear()  # tasks of an earlier stand-in
    yield tmp_path / "datasets"
    _load.cache_clear()


def learns(task, backbone, steps=8):
    """Train a QuIC adapter and the head on the backbone for some steps; the losses."""
    model = load_model(task, seed=0, backbone=backbone)
    torch.manual_seed(0)
    targets = target_sets(model)["attention_qv"]
    model = get_peft_model(model, QuICConfig(target_modules=targets, modules_to_save=["head"], n_blocks=1)).train()
    batches = (
        training_batches(encode(task.train, load_processor(task, backbone, max_length=12)), 4, 1, seed=0) * steps
    )
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for batch in batches:
        logits = model(**batch.inputs)
        assert logits.shape == (4, task.n_outputs)
        if task.classes:
            loss = torch.nn.functional.cross_entropy(logits, batch.labels)
        else:
            loss = torch.nn.functional.mse_loss(logits[:, 0], batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("key", GLUE_ROWS)
def test_a_glue_task_is_read_and_learnt_on_deberta(hub, tmp_path, key):
    row = GLUE_ROWS[key]
    other = {name: 0 if name == "label" else "bad" for name in row}
    validation = "validation_matched" if key == "mnli" else "validation"
    save_rows(hub, f"nyu-mll/glue/{key}", {"train": [row, other] * 4, validation: [row]})
    task = load_task(f"glue/{key}")
    assert (len(task.train), len(task.test)) == (8, 1)
    assert (task.metric, task.backbone) == (
        {"cola": "matthews", "stsb": "pearson"}.get(key, "accuracy"),
        "microsoft/deberta-v3-base",
    )
    texts = tuple(value for name, value in row.items() if name != "label")
    assert task.test.inputs[0] == (texts[0] if len(texts) == 1 else texts)
    assert task.test.labels == (row["label"],)
    losses = learns(task, tiny_deberta(tmp_path / "deberta"))
    assert losses[-1] < losses[0]


def test_a_vtab_task_is_read_and_learnt_on_dinov2(hub, tmp_path):
    save_images(hub, "clip-benchmark/wds_vtab-pets", {"train": 4, "test": 2}, CLASSES)
    task = load_task("vtab/pets")
    assert (task.classes, len(task.train), len(task.test), task.pixels) == (CLASSES, 12, 6, 224)
    assert task.train.inputs[0].shape == (224, 224, 3)
    for split in (task.train, task.test, task.train.first(5).rest(2)):
        colours = [image.mean((0, 1)).argmax() for image in split.inputs]
        assert colours == list(split.labels)
    losses = learns(task, tiny_dinov2(tmp_path / "dinov2"))
    assert losses[-1] < losses[0]


def test_vtab_draws_a_thousand_training_images(hub):
    save_images(hub, "clip-benchmark/wds_vtab-dtd", {"train": 401, "test": 1}, CLASSES)
    task = load_task("vtab/dtd")
    assert len(task.train) == 1000
    assert set(task.train.first(30).labels) == {0, 1, 2}


def test_all_tasks_of_the_hub_are_named():
    names = task_names(online=True)
    assert sum(name.startswith("glue/") for name in names) == 8
    assert sum(name.startswith("vtab/") for name in names) == 19
    assert len(names) == 28
    assert not set(names) & set(task_names())
    assert all(TASKS[name].online for name in names)


# ---- what is not there


def test_without_the_hub_there_is_one_clear_error(monkeypatch):
    monkeypatch.delenv("QICIRCUITS_DATASETS")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ValueError, match=r"nyu-mll/glue must be on a hub that can be reached, or below .*, got neither"
    ):
        load_task("glue/rte")


def test_a_backbone_that_is_nowhere_is_one_clear_error(hub, tmp_path):
    save_rows(hub, "nyu-mll/glue/rte", {"train": [GLUE_ROWS["rte"]], "validation": [GLUE_ROWS["rte"]]})
    task = load_task("glue/rte")
    with pytest.raises(ValueError, match=r"a backbone must be one of all-MiniLM-L6-v2, .* got .*nothing-here"):
        load_model(task, 0, backbone=str(tmp_path / "nothing-here"))


def test_images_without_labels_are_refused(hub):
    save_rows(hub, "clip-benchmark/wds_vtab-svhn", {"train": [{"text": "a"}], "test": [{"text": "a"}]})
    with pytest.raises(ValueError, match=r"wds_vtab-svhn must have a column of images and one of .*got \['text'\]"):
        load_task("vtab/svhn")


# ---- MetaMathQA to GSM8K


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("One and one.\nThe answer is: 2", "2"),
        ("#### 1,234", "1,234"),
        ("The answer is: 3. No.\nThe answer is: 50%.", "50"),
        ("The final answer is $7.50.", "7.50"),
        ("The answer is: 4\nThank you", "4"),
        ("no answer at all", None),
        ("", None),
    ],
)
def test_the_last_answer_is_found(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    ("predicted", "right", "same"),
    [
        ("2", "2.0", True),
        ("20/14", "10/7", True),
        ("1,234", "1234", True),
        ("1/0", "1", False),
        ("x + 1", "x + 1", True),
        ("two", "2", False),
        (None, None, False),
        ("2", None, False),
    ],
)
def test_answers_are_compared_as_numbers(predicted, right, same):
    assert same_answer(predicted, right) is same


@pytest.fixture
def experiment(hub, tmp_path):
    problem = {"question": "what is one plus one ?", "answer": "one plus one is two . #### 2"}
    save_rows(hub, "openai/gsm8k/main", {"train": [problem] * 3, "test": [problem] * 2})
    worked = {"query": "what is one plus one ?", "response": "two . The answer is: 2"}
    save_rows(hub, "meta-math/MetaMathQA", {"train": [worked] * 6 + [{"query": "a" * 1300, "response": "b"}]})
    folder = tmp_path / "experiments" / "quic" / "tiny"
    QuICConfig(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", n_blocks=1).save_pretrained(folder)
    params = {
        "model_id": tiny_llama(tmp_path / "llama"),
        "dtype": "float32",
        "batch_size": 2,
        "max_steps": 4,
        "eval_steps": 2,
        "generation_kwargs": {"max_length": 64, "max_new_tokens": 4},
        "optimizer_kwargs": {"lr": 0.01},
    }
    (folder / "training_params.json").write_text(json.dumps(params))
    return folder


def test_word_problems_leave_out_what_is_too_long(experiment):
    task = load_task("metamath")
    assert len(task.train) == 6
    assert task.train.inputs[0].startswith("Question: what is one plus one ? Think step by step.\nAnswer: two .")
    assert task.test.inputs[0].endswith("\nAnswer:")
    assert (task.metric, len(task.test)) == ("exact_match", 2)


def test_an_experiment_leaves_the_result_that_peft_tabulates(experiment):
    path = run_experiment(read_experiment(experiment))
    assert path == experiment.parents[2] / "results" / "quic--tiny.json"
    result = json.loads(path.read_text())
    assert set(result) == {"run_info", "train_info", "meta_info"}
    assert result["run_info"]["experiment_name"] == "quic/tiny"
    assert result["run_info"]["peft_config"]["peft_type"] == "QUIC"
    assert result["run_info"]["train_config"]["max_steps"] == 4
    train = result["train_info"]
    n = 7  # 7 + 21 = 28 of 32 features; four layers
    assert train["num_trainable_params"] == 4 * n * (n - 1) // 2
    assert train["status"] == "success"
    assert [entry["step"] for entry in train["metrics"]] == [2, 4, 4]
    assert [set(entry) & {"valid accuracy", "test accuracy"} for entry in train["metrics"]] == [
        {"valid accuracy"},
        {"valid accuracy"},
        {"test accuracy"},
    ]
    assert all(0 <= v <= 1 for entry in train["metrics"] for k, v in entry.items() if k.endswith("accuracy"))
    assert train["metrics"][-1]["train loss"] < train["metrics"][0]["train loss"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_step": 3}, "got max_step: the nearest is max_steps"),
        ({"max_steps": 0}, "max_steps must be positive, got 0"),
        ({"eval_steps": 9000}, "eval_steps must be at most max_steps, 5000, got 9000"),
        ({"dtype": "int4"}, "dtype must be one of float32, float16, bfloat16, got 'int4'"),
        ({"lr_scheduler": "linear"}, "lr_scheduler must be cosine or null, got 'linear'"),
        ({"query_template": "?"}, "must have {query} in it"),
    ],
)
def test_bad_training_params_are_refused(experiment, given, message):
    (experiment / "training_params.json").write_text(json.dumps(given))
    with pytest.raises(ValueError, match=message):
        read_experiment(experiment)


def test_an_experiment_needs_its_layout(tmp_path):
    (tmp_path / "quic").mkdir()
    with pytest.raises(ValueError, match=r"must be a folder experiments/METHOD/NAME with adapter_config\.json, got "):
        read_experiment(tmp_path / "quic")


def test_defaults_are_those_of_the_comparison(tmp_path):
    params = TrainingParams()
    assert (params.model_id, params.max_steps, params.batch_size) == ("meta-llama/Llama-3.2-3B", 5000, 4)
