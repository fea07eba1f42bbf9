"""The questions' pages: what they ask for exists, verdicts follow from numbers, figures are drawn and named."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from adapters.evaluation.cells import Result
from adapters.evaluation.profiles import PROFILES
from adapters.evaluation.questions import QUESTIONS
from adapters.evaluation.questions.c_artefact import gradients_at_start
from adapters.evaluation.questions.entries import contenders_of, difference, reached, spread_within
from adapters.evaluation.questions.line_up import HEAD, LORA, QUIC, peers
from adapters.evaluation.questions.picture import Bar, save_figure
from adapters.evaluation.results import Results
from adapters.evaluation.rivals import METHODS, parse_size

FAST = PROFILES["fast"]


def made_up(cell, gain, generator):
    """A result as a sweep could have left it; every number is invented."""
    metric = "perplexity" if FAST.suite(cell.task) == "language" else "accuracy"
    score = 20 * math.exp(-gain / 100) if metric == "perplexity" else (70 + gain) / 100
    extra = {}
    if "jacobian" in cell.measures:
        zero = dict(cell.options).get("start") == "zero"
        values = np.linspace(2, 0 if zero else 1.5, 20).tolist()
        extra["jacobian"] = {"layers": [{"name": "query", "start": values, "end": values}]}
    if "old_task" in cell.measures:
        extra["old_task"] = {"task": "valence", "metric": metric, "before": score, "after": score * 0.9}
    if "packing" in cell.measures:
        lost = {"32": 0, "16": 0, "8": 0, "4": 0.001, "1": 0.05}
        extra["packing"] = {
            bits: {"score": score - loss * (1 + 0.1 * generator.random()), "bytes": int(bits) * 10}
            for bits, loss in lost.items()
        }
    return Result(
        cell=cell,
        metric=metric,
        score=score + 0.002 * generator.standard_normal(),
        losses=tuple(np.linspace(1, 0.3, 10)),
        train_examples=1000,
        test_examples=500,
        adapter_numbers=100 * (1 + len(cell.size)) if cell.method != "head" else 0,
        head_numbers=770,
        n_bytes=400 * (1 + len(cell.size)),
        seconds_per_step=0.05 + 0.001 * len(cell.size),
        seconds=5.0,
        peak_memory=2**29,
        extra=extra,
    )


def invented(question, gain):
    """Results for all of a question's contenders on the fast profile; `gain(cell)` in points."""
    generator = np.random.default_rng(0)
    results = []
    for contender in question.contenders(FAST):
        best = contender.rates[len(contender.rates) // 2]  # inside, so that none beyond is asked for
        for cell in [*contender.tuning_cells(), *contender.test_cells(best)]:
            gained = gain(cell) if cell.rate in (None, best) else gain(cell) - 1
            results.append(made_up(cell, gained, generator))
    return Results({result.cell: result for result in results}.values())


def some_gain(cell):
    return 0 if cell.method == "head" else 3 + len(cell.size) % 5


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.name)
class TestEveryQuestion:
    def test_asks_for_methods_and_sizes_that_exist(self, question):
        for profile in PROFILES.values():
            for contender in question.contenders(profile):
                assert contender.cell.method in METHODS
                values = parse_size(contender.cell.size) | dict(contender.cell.options)
                count = METHODS[contender.cell.method].count
                assert count is None or count(384, 384, values) > 0  # and fits the width of every offline encoder

    def test_has_a_page_whose_figures_are_drawn_and_shown(self, question, tmp_path):
        page = question.page(FAST, invented(question, some_gain))
        assert "Not measured" not in page.verdict
        assert re.search(r"\d", page.verdict)
        shown = set(re.findall(r"\]\((\w+)\.svg\)", page.body))
        assert shown == set(page.figures)
        for name, figure in page.figures.items():
            assert name.startswith(question.name[:2])
            save_figure(figure, tmp_path / f"{name}.svg")
            assert "<svg" in (tmp_path / f"{name}.svg").read_text()

    def test_says_so_where_nothing_was_measured(self, question):
        assert question.page(FAST, Results()).verdict.startswith("Not measured yet")

    def test_names_what_is_missing(self, question):
        complete = invented(question, some_gain)
        gone = question.contenders(FAST)[-1].cell
        partial = Results(
            result for result in complete if result.cell.setup() != replace(gone, measures=result.cell.measures)
        )
        page = question.page(FAST, partial)
        assert page.verdict


class TestVerdicts:
    @pytest.mark.parametrize(("higher", "said"), [(9, "are worth it"), (2, "not what helps")])
    def test_higher_orders_must_beat_the_controls(self, higher, said):
        def gain(cell):
            if cell.method == "quic" and not cell.size.startswith("orders=1,"):
                return higher
            return 0 if cell.method == "head" else 5

        assert said in QUESTIONS["b"].page(FAST, invented(QUESTIONS["b"], gain)).verdict

    @pytest.mark.parametrize(("of_paper", "said"), [(-0.5, "is the artefact"), (6, "look closer")])
    def test_the_artefact_is_that_determinants_do_not_beat_the_head(self, of_paper, said):
        def gain(cell):
            return {"head": 0, "paper": of_paper}.get(cell.method, 6)

        assert said in QUESTIONS["c"].page(FAST, invented(QUESTIONS["c"], gain)).verdict

    @pytest.mark.parametrize(("small", "said"), [(6.5, "reached"), (3, "missed")])
    def test_the_bar_for_the_defaults(self, small, said):
        def gain(cell):
            return 7 if cell.method == "lora" else small if cell.method == "quic" else 0

        results = invented(QUESTIONS["j"], gain)
        many = [replace(r, adapter_numbers=10**6) if r.cell.method == "lora" else r for r in results]
        assert f"is {said}" in QUESTIONS["j"].page(FAST, Results(many)).verdict

    def test_one_bit_costs_and_eight_do_not(self):
        verdict = QUESTIONS["h"].page(FAST, invented(QUESTIONS["h"], some_gain)).verdict
        assert "16, 8" in verdict
        assert "1 bit costs" in verdict

    def test_lost_directions_are_told(self):
        assert "directions" in QUESTIONS["e"].page(FAST, invented(QUESTIONS["e"], some_gain)).verdict


class TestEntries:
    def test_a_difference_is_paired_over_tasks_and_seeds(self):
        question = QUESTIONS["h"]
        results = invented(question, lambda cell: {"head": 0, "lora": 5}.get(cell.method, 3))
        quic, lora = reached(results, FAST, [QUIC, LORA], FAST.tasks["text"][:2])
        apart = difference(quic, lora)
        assert apart.n == 6
        assert apart.low < -2 < apart.high
        assert apart.excludes_zero()

    def test_the_spread_of_a_score_leaves_out_how_hard_the_tasks_are(self):
        scores = {("easy", 0): 90.0, ("easy", 1): 92.0, ("hard", 0): 40.0, ("hard", 1): 42.0}
        bar = spread_within(scores)
        assert bar.mean == 66
        assert bar.half == pytest.approx(4.303 * 2**0.5 / 2, rel=1e-3)
        assert spread_within({("easy", 0): 90.0}) == Bar(90.0)

    def test_sizes_of_the_fast_profile_are_sizes_of_the_methods(self):
        for entry in peers(FAST):
            assert entry.size in METHODS[entry.method].sizes

    def test_an_image_task_measures_no_text(self):
        assert contenders_of(FAST, [QUIC], FAST.tasks["image"])[0].cell.measures == ()
        assert contenders_of(FAST, [QUIC], FAST.tasks["text"])[0].cell.measures == QUIC.measures
        assert HEAD.measures == ()


class TestGradientAtTheStart:
    @pytest.mark.parametrize("orders", [(2,), (3,), (2, 3), (1, 2)])
    def test_ours_is_that_of_differences_and_the_determinants_lacks_the_higher_orders(self, orders):
        found = gradients_at_start(orders, features=20)
        assert found["ours"] == pytest.approx(found["differences"], rel=1e-6)
        assert found["differences"] > 0.1
        if 1 in orders:
            assert 0 < found["determinants"] < found["differences"]
        else:
            assert found["determinants"] == 0
