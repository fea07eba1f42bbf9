"""`quic bench`: list, a run of the one real cell that is missing, and the report from a folder or from one file."""

import json

import lab_cells as lab
import pytest
from typer.testing import CliRunner

from adapters.cli import app
from adapters.evaluation.cells import Result
from adapters.evaluation.compact import read_compact, write_compact
from adapters.evaluation.laboratory import contenders_of_profile
from adapters.evaluation.profiles import PROFILES
from adapters.evaluation.questions import QUESTIONS
from adapters.evaluation.results import Results
from adapters.evaluation.store import CellStore

pytestmark = pytest.mark.integration

PROFILE = PROFILES["fast"]


def quic(*words):
    return CliRunner().invoke(app, ["bench", *map(str, words)])


def made_up(cell):
    """What a cell could have given: by a formula, so that the report has something to draw."""
    metric = "perplexity" if PROFILE.suite(cell.task) == "language" else "accuracy"
    score = 20.0 + cell.seed % 7 if metric == "perplexity" else 0.7 + (cell.seed % 7) / 50 + len(cell.size) / 500
    losses = tuple(1.0 / (1 + i) for i in range(20))
    numbers = 0 if cell.method == "head" else 100 + 37 * len(cell.label())
    return Result(
        cell, metric, score, losses, 2000, 300, numbers, 770, 4 * numbers, 0.05, 2.0, 10**9, environment={"cpu": "x"}
    )


def everything(contenders):
    return [
        made_up(cell)
        for one in contenders
        for cell in one.tuning_cells() + one.test_cells(one.rates[0])  # the smallest of equal scores is chosen
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every cell of the fast profile, made up."""
    store = CellStore(tmp_path_factory.mktemp("lab") / "sweep")
    for result in everything(contenders_of_profile(PROFILE)):
        store.write(result)
    return store.folder


def test_a_list_counts_what_is_left(folder, tmp_path):
    done = json.loads(quic("list", "--folder", folder, "--json").stdout)
    assert (done["left"], done["seconds_left"], done["failed"]) == (0, 0, 0)
    fresh = json.loads(quic("list", "--folder", tmp_path / "none", "--json").stdout)
    assert fresh["left"] == fresh["cells"] == done["cells"]
    assert fresh["seconds_left"] > 60
    assert not (tmp_path / "none").exists()  # to look is not to make
    some = json.loads(quic("list", "--folder", folder, "--questions", "h", "--json").stdout)
    assert some["contenders"] < done["contenders"]


def test_a_list_in_words():
    printed = quic("list", "--questions", "h", "--profile", "full").stdout
    assert "quic orders=1+2 on movie" in printed
    assert "cells," in printed
    assert "left with 2 at a time" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "--profile", "huge"), "profiles are fast, full, got 'huge'"),
        (("list", "--questions", "az"), "questions are a, b,"),
        (("run", "--profile", "huge"), "profiles are fast, full, got 'huge'"),
    ],
)
def test_wrong_options(words, message):
    outcome = quic(*words)
    assert outcome.exit_code == 2
    assert message in " ".join(outcome.stderr.replace("│", " ").split())


def test_a_run_of_the_one_cell_that_is_missing(folder):
    store = CellStore(folder)
    contender = next(c for c in contenders_of_profile(PROFILE) if c.cell.method == "head" and c.cell.task == "movie")
    cell = contender.test_cells(contender.rates[0])[1]
    store.forget([cell])
    outcome = quic("run", "--folder", folder, "--json")
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["failures"] == {}
    result = store.get(cell)
    assert result.environment["cpu"] != "x"  # not made up
    assert 0.5 < result.score < 1
    assert lab.plain(result).adapter_numbers == 0


def test_a_run_that_finds_a_failure_says_so(folder, tmp_path):
    store = CellStore(tmp_path / "sweep")
    for result in CellStore(folder).read()[0]:
        store.write(result)
    cell = contenders_of_profile(PROFILE)[0].test_cells(contenders_of_profile(PROFILE)[0].rates[0])[0]
    store.write_failure(cell, "DivergedError: the training loss must stay finite")
    outcome = quic("run", "--folder", store.folder)
    assert outcome.exit_code == 1
    assert f"Failed: {cell.label()}, rate {cell.rate:g}, seed {cell.seed}, test: DivergedError" in outcome.stdout
    report = quic("report", store.folder, "--output", tmp_path / "report")
    assert report.exit_code == 0, report.output
    assert "Cells that failed: 1." in (tmp_path / "report" / "index.md").read_text()
    assert f"{cell.label()}, rate {cell.rate:g}" in (tmp_path / "report" / "index.md").read_text()


# ---- the report


@pytest.fixture(scope="module")
def report(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("report") / "pages"
    outcome = quic("report", folder, "--output", output)
    assert outcome.exit_code == 0, outcome.output
    return output


def test_a_report_has_a_page_for_every_question_and_every_figure(report):
    index = (report / "index.md").read_text()
    for question in QUESTIONS.values():
        page = (report / f"{question.name}.md").read_text()
        assert f"]({question.name}.md)" in index
        assert question.title in page
        for line in page.splitlines():
            if line.startswith("!["):
                assert (report / line.rpartition("(")[2].rstrip(")")).read_text().startswith("<?xml")
    for words in (
        "seeds 0, 1, 2",
        "Cells of this profile that have not been run: 0.",
        "newsgroups",
        "glue/",
        "2,000",
    ):
        assert words in index


def test_the_file_of_numbers_gives_the_same_report(report, tmp_path):
    outcome = quic("report", report / "results.json", "--output", tmp_path / "again")
    assert outcome.exit_code == 0, outcome.output
    names = {path.name for path in report.iterdir()}
    assert {path.name for path in (tmp_path / "again").iterdir()} == names
    for name in names:
        is_same = (tmp_path / "again" / name).read_bytes() == (report / name).read_bytes()
        assert is_same, name  # not compared here: a difference of long lines is shown at length


def test_a_report_of_nothing_says_that_nothing_was_run(tmp_path):
    (tmp_path / "empty").mkdir()
    assert quic("report", tmp_path / "empty", "--output", tmp_path / "out").exit_code == 0
    assert "Not measured yet." in (tmp_path / "out" / "index.md").read_text()


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1, "results": [{}]}'])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    outcome = quic("report", path, "--output", tmp_path / "out")
    assert outcome.exit_code == 1
    assert "results must be a file that `quic bench report` wrote, got " in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_a_report_does_not_replace_what_is_not_one(folder, tmp_path):
    (tmp_path / "thesis.tex").touch()
    outcome = quic("report", folder, "--output", tmp_path)
    assert outcome.exit_code == 1
    assert "which holds thesis.tex" in outcome.stderr
    assert quic("report", tmp_path / "nowhere").exit_code == 1


def test_the_compact_file_keeps_six_digits_and_all_failures(tmp_path):
    contender = lab.contender("lora", rank=3)
    results = Results([lab.closed_form(cell) for cell in contender.test_cells(1e-2)])
    results.add((contender.tuning_cells()[0], "ValueError: no"))
    write_compact(tmp_path / "a.json", "fast", results)
    profile, found = read_compact(tmp_path / "a.json")
    assert profile == "fast"
    assert found.failures == results.failures
    assert [r.cell for r in found] == [r.cell for r in results]
    assert [r.score for r in found] == pytest.approx([r.score for r in results], rel=1e-6)
