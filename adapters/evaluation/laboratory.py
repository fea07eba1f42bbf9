"""The laboratory's report: a page for each question, an index, and all numbers in one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from .cells import Cell
from .compact import read_compact, write_compact
from .contenders import Contender, merge_contenders
from .outlook import remaining_cells
from .pages import Page
from .profiles import Profile
from .questions import QUESTIONS, Question
from .questions.picture import save_figure
from .questions.tables import markdown_table
from .results import Results
from .run_cell import HEAD_RATE
from .run_folder import check_replaceable, run_folder
from .tasks import TASKS

__all__ = ["RESULTS_FILE", "contenders_of_profile", "write_report"]

RESULTS_FILE = "results.json"
_INDEX = "index.md"
_MADE = "<!-- Made by `quic bench report` from results.json: changes here are lost. -->\n\n"


def contenders_of_profile(profile: Profile, letters: Iterable[str] | None = None) -> list[Contender]:
    """Everything that the questions ask for under a profile, each setup once, the first of each question first.

    So a sweep that is cut short has something to say to every question.

    Args:
        profile: how much of everything.
        letters: of the questions; all by default.

    Raises:
        ValueError: there is no such question.
    """
    chosen = list(QUESTIONS if letters is None else letters)
    if unknown := sorted(set(chosen) - set(QUESTIONS)):
        raise ValueError(f"questions are {', '.join(QUESTIONS)}, got {', '.join(unknown)}")
    columns = [QUESTIONS[letter].contenders(profile) for letter in chosen]
    return merge_contenders(one for row in zip_longest(*columns) for one in row if one is not None)


def write_report(profile: Profile, results: Results, output: Path) -> None:
    """Write index, pages, figures and numbers into a folder; it is complete when it appears.

    Args:
        profile: that the results are of.
        results: whatever there is; what is missing is named.
        output: the folder; an earlier report in it is replaced.

    Raises:
        ValueError: the folder holds something else.
    """
    own = [path.name for path in output.iterdir()] if (output / RESULTS_FILE).is_file() else []
    check_replaceable(output, own, mark=RESULTS_FILE)
    contenders = contenders_of_profile(profile)
    with run_folder(output) as folder:
        write_compact(folder / RESULTS_FILE, profile.name, _of(contenders, results))
        _, wanted = read_compact(folder / RESULTS_FILE)  # rounded: a report made from the file is the same
        pages = {question: _page_of(question, profile, wanted) for question in QUESTIONS.values()}
        for question, page in pages.items():
            for name, figure in page.figures.items():
                save_figure(figure, folder / f"{name}.svg")
            (folder / f"{question.name}.md").write_text(_question_page(question, page), "utf-8")
        (folder / _INDEX).write_text(_index(profile, contenders, wanted, pages), "utf-8")


def _of(contenders: Iterable[Contender], results: Results) -> Results:
    """The results that belong to the contenders; a folder may hold those of others."""
    setups: set[Cell] = set()
    for contender in contenders:
        setups |= {contender.cell, replace(contender.cell, measures=())}  # tuning has no measures
    failures = {cell: error for cell, error in results.failures.items() if cell.setup() in setups}
    return Results([result for result in results if result.cell.setup() in setups], failures)


def _page_of(question: Question, profile: Profile, results: Results) -> Page:
    """A question's page, whose verdict says so as long as cells of it are missing."""
    page = question.page(profile, results)
    contenders = merge_contenders(question.contenders(profile))
    left, total = (len(remaining_cells(contenders, known)) for known in (results, Results()))
    if not left:
        return page
    return replace(page, verdict=f"Not final, {left} of {total} cells are missing: {page.verdict}")


def _question_page(question: Question, page: Page) -> str:
    return (
        f"{_MADE}# {question.title}\n\n**{page.verdict}**\n\n{question.asks}\n\n{page.body.strip()}\n\n"
        f"How it was run is in the [index]({_INDEX}).\n"
    )


def _index(profile: Profile, contenders: list[Contender], results: Results, pages: Mapping[Question, Page]) -> str:
    answers = [[f"[{question.title}]({question.name}.md)", page.verdict] for question, page in pages.items()]
    parts = [
        f"{_MADE}# The laboratory: what these adapters are good for\n",
        "Each line is a question, and its answer in numbers of this report. Differences are paired by task and seed, "
        "with 95 % intervals by Student's t, for these tasks and test examples: where an interval includes zero, the "
        "two are not told apart. Intervals are not widened for their number; of twenty differences that are zero one "
        "is expected to look like more.\n",
        markdown_table(["question", "verdict"], answers).replace("---:", "---") + "\n",
        "## How it was run\n",
        _settings(profile, results),
        "## The examples\n",
        _tasks(results),
        "## The machine\n",
        _machines(results),
        "## What was not run\n",
        _missing(profile, contenders, results),
    ]
    return "\n".join(parts)


def _settings(profile: Profile, results: Results) -> str:
    seconds = sum(result.seconds for result in results)
    columns = sorted({name for values in profile.settings.values() for name in values})
    used = [suite for suite, tasks in profile.tasks.items() if tasks]
    rows = [[suite, *(str(profile.settings[suite].get(name, "all")) for name in columns)] for suite in used]
    return (
        f"Profile `{profile.name}`: {len(results):,} cells (a method trained once on a task) that took "
        f"{seconds / 60:.0f} minutes in all, one after the other; seeds {', '.join(map(str, profile.seeds))}.\n\n"
        f"{markdown_table(['suite', *(name.replace('_', ' ') for name in columns)], rows)}\n\n"
        "All methods on a task have the same steps, batches, first head and data. The peak learning rate of each "
        f"method, at each size {_tuned_on(profile)}, is the best of its own few, and of up to two beyond where it is "
        "the smallest or the largest, tried with another seed on a fifth of the training examples set apart; the "
        "test examples have no part in it. AdamW without weight decay, a rate that rises over the first 6 % of "
        "the steps and falls to zero, no dropout. The head beside an adapter "
        f"learns at a rate of {HEAD_RATE:g}. "
        "Numbers trained in the head are not counted as the adapter's. bfloat16 is that of the matrix products; "
        "parameters and optimizer are float32.\n\n"
        "To run it again, and to make these pages from the numbers alone:\n\n"
        f"```bash\nquic bench run --profile {profile.name} --jobs 2 --folder runs/laboratory\n"
        f"quic bench report docs/results/laboratory/{RESULTS_FILE} --output docs/results/laboratory\n```\n"
    )


def _tuned_on(profile: Profile) -> str:
    if profile.thorough:
        return "and on each task"
    first = [f"{tasks[0]} for {suite}" for suite, tasks in profile.tasks.items() if tasks]
    return f"and on one task of each suite ({', '.join(first)})"


def _tasks(results: Results) -> str:
    counts: dict[str, dict[str, set[int]]] = {}
    for result in results:
        sizes = counts.setdefault(result.cell.task, {"train": set(), "apart": set(), "test": set(), "metric": set()})
        if result.cell.split == "test":
            sizes["train"].add(result.train_examples)
            sizes["test"].add(result.test_examples)
        else:
            sizes["apart"].add(result.test_examples)
    metrics = {result.cell.task: result.metric for result in results}
    rows = [
        [name, TASKS[name].suite, metrics[name], *(_numbers(sizes[part]) for part in ("train", "apart", "test"))]
        for name, sizes in sorted(counts.items())
    ]
    headings = ["task", "suite", "metric", "to train on", "of these apart for tuning", "tested on"]
    return markdown_table(headings, rows) + "\n"


def _numbers(found: set[int]) -> str:
    return " or ".join(f"{number:,}" for number in sorted(found)) or "0"


def _machines(results: Results) -> str:
    lines = []
    for environment in {str(result.environment): result.environment for result in results}.values():
        versions = ", ".join(f"{name} {version}" for name, version in environment.get("versions", {}).items())
        lines.append(
            f"{environment.get('cpu')}, {environment.get('cores')} cores, {environment.get('threads')} thread a "
            f"cell; Python {environment.get('python')}, {versions}."
        )
    return "\n".join(lines) + "\n"


def _missing(profile: Profile, contenders: list[Contender], results: Results) -> str:
    run = {name for names in profile.tasks.values() for name in names}
    offline = sorted(name for name, spec in TASKS.items() if not spec.online and name not in run)
    online = sorted(name for name, spec in TASKS.items() if spec.online)
    left = remaining_cells(contenders, results)
    lines = [
        f"- Tasks of the offline suites that this profile leaves out: {', '.join(offline) or 'none'}.",
        f"- Tasks that need the model hub: {', '.join(online) or 'none'}.",
        f"- Cells of this profile that have not been run: {len(left)}.",
        f"- Cells that failed: {len(results.failures)}.",
    ]
    lines += [
        f"  - {cell.label()}, rate {cell.rate:g}, seed {cell.seed}: {error}"
        for cell, error in results.failures.items()
    ]
    if profile.name != "full":
        lines.append("- The full profile: all sizes of all methods, all offline tasks, longer training, more seeds.")
    return "\n".join(lines) + "\n"
