"""The demo's parts on small inputs, and the whole of it on the real encoder for a few steps."""

import io
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.checks import CheckError, check_adapter
from adapters.evaluation.demo import DemoSettings, run_demo
from adapters.evaluation.methods import lora_config, quic_config
from adapters.evaluation.progress import StepProgress
from adapters.evaluation.report import print_report
from adapters.evaluation.run_folder import check_replaceable, run_folder
from adapters.evaluation.tasks import movie_polarity
from adapters.evaluation.training import accuracy, fit
from adapters.evaluation.trial import prepare_trial
from adapters.evaluation.tuning import tune

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n"


def nothing():
    pass


@pytest.fixture
def progress():
    with StepProgress(Console(quiet=True)) as bars:
        yield bars


@pytest.fixture(scope="module")
def trial():
    task = movie_polarity()
    return prepare_trial(encoder_folder(), task.train, task.test.first(100), steps=2, seed=0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A whole run of three steps, measured on 100 sentences."""
    settings = DemoSettings(tmp_path_factory.mktemp("runs") / "demo", steps=3, test_sentences=100)
    with StepProgress(Console(quiet=True)) as bars:
        return settings, run_demo(settings, bars)


# ---- the training loop


def linear_task(count=256):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 4, generator=generator)
    labels = (x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) > 0).long()
    return [SimpleNamespace(x=x[i : i + 16], labels=labels[i : i + 16]) for i in range(0, count, 16)]


def test_fit_learns_what_is_linearly_separable():
    torch.manual_seed(0)
    head, batches, calls = nn.Linear(4, 2), linear_task(), []
    fit(lambda batch: head(batch.x), [(head.parameters(), 0.1)], batches * 8, lambda: calls.append(1))
    assert len(calls) == 8 * len(batches)
    assert accuracy(lambda batch: head(batch.x), batches, nothing) > 0.97


def test_accuracy_counts_sentences_not_batches():
    batches = [SimpleNamespace(labels=torch.tensor([0, 0, 0])), SimpleNamespace(labels=torch.tensor([1]))]
    always_zero = lambda batch: torch.tensor([[1.0, 0.0]]).expand(len(batch.labels), 2)  # noqa: E731
    assert accuracy(always_zero, batches, nothing) == 0.75


def test_a_group_of_rate_zero_does_not_move():
    torch.manual_seed(0)
    body, head = nn.Linear(4, 4), nn.Linear(4, 2)
    before = body.weight.clone(), head.weight.clone()
    groups = [(body.parameters(), 0.0), (head.parameters(), 0.1)]
    fit(lambda batch: head(body(batch.x)), groups, linear_task()[:1], nothing)
    assert torch.equal(body.weight, before[0])
    assert not torch.equal(head.weight, before[1])


# ---- the output folder

OWN = {"a.txt", "b.txt"}


def test_a_run_folder_replaces_the_earlier_one_as_a_whole(tmp_path):
    for content in (["a.txt", "b.txt"], ["a.txt"]):
        with run_folder(tmp_path / "new" / "run") as folder:
            for name in content:
                (folder / name).write_text("x")
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["a.txt"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run"]


def test_a_failed_run_leaves_the_earlier_one_as_it_was(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.txt").write_text("earlier")
    with pytest.raises(FileNotFoundError), run_folder(tmp_path / "run") as folder:
        (folder / "nowhere" / "a.txt").write_text("later")
    assert (tmp_path / "run" / "a.txt").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("content", [None, [], ["a.txt"], ["a.txt", "b.txt"]])
def test_new_empty_and_own_folders_are_replaceable(tmp_path, content):
    if content is not None:
        (tmp_path / "run").mkdir()
        for name in content:
            (tmp_path / "run" / name).touch()
    check_replaceable(tmp_path / "run", OWN, mark="a.txt")


@pytest.mark.parametrize("content", [["thesis.tex"], ["b.txt"], ["a.txt", "notes.md"]])
def test_foreign_folders_are_not_replaceable(tmp_path, content):
    for name in content:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"a new folder, an empty one, .* which holds {content[-1]}"):
        check_replaceable(tmp_path, OWN, mark="a.txt")


def test_a_file_is_not_replaceable(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(ValueError, match="got the file "):
        check_replaceable(tmp_path / "run", OWN, mark="a.txt")


def test_settings_are_checked_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="steps must be positive, got 0"):
        DemoSettings(tmp_path, steps=0)
    with pytest.raises(ValueError, match="test_sentences must be between 1 and 2008, got 2009"):
        DemoSettings(tmp_path, test_sentences=2009)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"which holds thesis\.tex"):
        DemoSettings(tmp_path)


# ---- the whole run


def test_the_run_leaves_what_it_lists(demo):
    settings, report = demo
    assert {path.parent for path in report.files.values()} == {settings.output}
    assert {path.name for path in settings.output.iterdir()} == {path.name for path in report.files.values()}
    assert all(report.files[name].read_bytes().startswith(PNG) for name in ("circuit", "block"))
    assert json.loads(report.files["summary"].read_text()) == report.to_json()


def test_trainable_numbers_are_those_of_the_formulas(demo):
    probe, quic, lora = demo[1].outcomes
    n, layers = 27, 2 * 6  # 27 + 27 * 26 / 2 = 378 of 384 features; query and value in six layers
    assert [o.adapter_numbers for o in (probe, quic, lora)] == [0, layers * n * (n - 1) // 2, layers * 8 * 2 * 384]
    assert {o.head_numbers for o in (probe, quic, lora)} == {2 * 384 + 2}


def test_the_saved_file_holds_the_trained_numbers_and_no_more(demo):
    _, report = demo
    saved = load_file(report.files["adapter"] / "adapter_model.safetensors")
    quic = report.outcomes[1]
    assert sum(tensor.numel() for tensor in saved.values()) == quic.adapter_numbers + quic.head_numbers
    assert quic.n_bytes == (report.files["adapter"] / "adapter_model.safetensors").stat().st_size
    assert any(tensor.abs().max() > 0 for name, tensor in saved.items() if "head" not in name)


def test_the_adapter_is_its_file_its_merged_weights_and_its_circuits(demo):
    checks = demo[1].checks
    assert checks.reload_deviation == 0
    assert checks.merge_deviation <= 1e-4
    assert checks.blocks == 12
    assert checks.circuit_deviation <= 1e-6
    assert checks.circuit_deviation_float64 <= 1e-12


def test_the_same_settings_give_the_same_numbers(demo, progress):
    settings, report = demo
    again = run_demo(settings, progress)  # in the place of the earlier run
    assert replace(again, seconds=0.0, peak_memory=0) == replace(report, seconds=0.0, peak_memory=0)


def test_the_report_prints_every_number_a_reader_needs(demo):
    written = io.StringIO()
    print_report(demo[1], Console(file=written, width=80))
    printed = written.getvalue()
    for words in ("4,212", "73,728", "770", "linear probe", "LoRA", "12 circuits"):
        assert words in printed
    assert all(f" {path}\n" in printed for path in demo[1].files.values())  # whole, however long


# ---- the checks, on an adapter that fails them


def test_an_adapter_that_differs_from_its_file_is_reported(trial, demo, progress):
    saved = demo[1].files["adapter"]
    model = PeftModel.from_pretrained(trial.classifier(), str(saved)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "quic_" in name:
                parameter.add_(0.01)
    with pytest.raises(CheckError, match="reloaded adapter's logits must be within 0 of the trained adapter's, got "):
        check_adapter(trial, model, saved, progress)


# ---- tuning


@pytest.mark.parametrize("config", [None, quic_config(), lora_config()], ids=["head", "QuIC", "LoRA"])
def test_tuning_measures_each_rate(trial, progress, config):
    small = replace(trial, train=trial.train[:1], test=trial.test[:1])
    reached = tune(small, (1e-3, 1e-2), config, progress)
    assert len(reached) == 2
    assert all(0 <= accuracy <= 1 for accuracy in reached)
