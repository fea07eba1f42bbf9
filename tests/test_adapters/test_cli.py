"""The `quic` command: its help, its JSON, and its one-line errors."""

import json

import pytest
from typer.testing import CliRunner

from adapters.cli import app
from adapters.evaluation.assets import SENTENCES, cache_folder


@pytest.fixture
def runner():
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})


def test_help_lists_the_commands(runner):
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "demo" in result.stdout
    assert "assets" in result.stdout


def test_help_of_the_demo_shows_an_example(runner):
    result = runner.invoke(app, ["demo", "--help"])
    assert result.exit_code == 0
    for words in ("--output", "--seed", "--steps", "--map", "--json", "Example: quic demo --output"):
        assert words in result.stdout


def test_assets_says_where_they_are(runner):
    result = runner.invoke(app, ["assets"])
    assert result.exit_code == 0
    assert str(cache_folder()) in result.stdout


def test_damaged_assets_are_one_line_of_error(runner, tmp_path, monkeypatch):
    monkeypatch.setenv("QICIRCUITS_DATA", str(tmp_path))
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    (tmp_path / SENTENCES.archive).write_bytes(b"")
    result = runner.invoke(app, ["assets"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: vaderSentiment-0.5.zip must have SHA-256 ")
    assert result.stderr.count("\n") == 1


def test_a_foreign_output_folder_is_refused_before_any_work(runner, tmp_path, monkeypatch):
    monkeypatch.setenv("QICIRCUITS_DATA", str(tmp_path / "no-assets"))
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    result = runner.invoke(app, ["demo", "--output", str(folder)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the output must be a new folder, an empty one, or that of an earlier run")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]
    assert not (tmp_path / "no-assets").exists()


@pytest.mark.parametrize(
    "options", [["--steps", "0"], ["--seed", "-1"], ["--map", "givens"], ["--test-sentences", "2009"]]
)
def test_impossible_options_are_refused(runner, options):
    result = runner.invoke(app, ["demo", *options])
    assert result.exit_code == 2
    assert options[0] in result.stderr


@pytest.mark.integration
def test_json_is_all_that_standard_output_holds(runner, tmp_path):
    options = ["--steps", "1", "--test-sentences", "64", "--map", "rbs", "--seed", "3", "--json"]
    result = runner.invoke(app, ["demo", "--output", str(tmp_path / "run"), *options])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["steps"], report["seed"], report["parameter_map"]) == (1, 3, "rbs")
    assert [row["method"] for row in report["outcomes"]] == ["linear probe", "QuIC, orders (1, 2)", "LoRA, r = 8"]
    assert report == json.loads((tmp_path / "run" / "summary.json").read_text())
