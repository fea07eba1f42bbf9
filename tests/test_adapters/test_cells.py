"""Cells, contenders, and their results: keys, JSON, and the choice of a rate."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from adapters.evaluation.cells import Cell, Result, freeze_options
from adapters.evaluation.contenders import TUNING_SEED, Contender, merge_contenders
from adapters.evaluation.results import Results

PLAIN = Cell("movie", "head")
RICH = Cell(
    "movie",
    "quic",
    "n_blocks=4",
    freeze_options({"orders": [1, 2], "scaling": True, "orders_pattern": [["value", [2]]]}),
    targets="all_linear",
    layers=(0, 5),
    measures=("bits",),
    seed=3,
    rate=1e-3,
    steps=7,
    split="tuning",
    train_limit=100,
    precision="bfloat16",
)


def result(cell, score=0.5, metric="accuracy"):
    return Result(cell, metric, score, (0.7, 0.6), 100, 50, 10, 20, 400, 0.01, 1.0)


@pytest.mark.parametrize("cell", [PLAIN, RICH])
def test_a_cell_survives_json(cell):
    assert Cell.from_json(json.loads(json.dumps(cell.to_json()))) == cell


def test_a_result_survives_json():
    before = replace(result(RICH), extra={"bits": {"4": 0.5}}, environment={"torch": "2"}, peak_memory=10**9)
    assert Result.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_the_key_tells_cells_apart_and_is_the_same_in_another_process():
    changed = [replace(RICH, seed=4), replace(RICH, rate=2e-3), replace(RICH, options=()), replace(RICH, layers=None)]
    keys = {cell.key() for cell in (PLAIN, RICH, *changed)}
    assert len(keys) == 6
    code = f"from adapters.evaluation.cells import Cell; print(Cell.from_json({RICH.to_json()!r}).key())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == RICH.key()


def test_defaults_are_no_part_of_the_key():
    assert PLAIN.to_json() == {"task": "movie", "method": "head"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"test_limit": 0}, "test_limit must be at least 1, got 0"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"rate": float("nan")}, "rate must be a positive number, got nan"),
        ({"split": "train"}, r"split must be one of .*, got 'train'"),
        ({"precision": "int8"}, r"precision must be one of .*, got 'int8'"),
        ({"options": (("b", 1), ("a", 2))}, "options must be sorted pairs"),
    ],
)
def test_values_that_are_not_allowed(values, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **values)


def test_options_hold_plain_values_only():
    with pytest.raises(TypeError, match="an option must be a number, a string"):
        freeze_options({"orders": {1, 2}})


@pytest.mark.parametrize("document", [{"task": "movie"}, {"task": "movie", "method": "head", "rank": 3}])
def test_json_of_something_else_is_no_cell(document):
    with pytest.raises(ValueError, match="a cell needs a task and a method and no unknown fields, got "):
        Cell.from_json(document)


def test_json_of_something_else_is_no_result():
    with pytest.raises(ValueError, match="a result has the fields "):
        Result.from_json({"cell": PLAIN.to_json()})
    with pytest.raises(ValueError, match="a score must be a finite number, got None"):
        Result.from_json(result(PLAIN).to_json() | {"score": None})


# ---- contenders


def test_tuning_touches_neither_the_test_examples_nor_the_test_seeds():
    contender = Contender(PLAIN, (1e-3, 1e-2), (0, 1, 2))
    tuning, test = contender.tuning_cells(), contender.test_cells(1e-2)
    assert [cell.rate for cell in tuning] == [1e-3, 1e-2]
    assert {cell.split for cell in tuning} == {"tuning"}
    assert {cell.seed for cell in tuning} == {TUNING_SEED}
    assert [(cell.seed, cell.split, cell.rate) for cell in test] == [(s, "test", 1e-2) for s in (0, 1, 2)]
    assert {cell.setup() for cell in tuning + test} == {PLAIN}


def test_a_single_rate_is_not_tuned():
    contender = Contender(PLAIN, (1e-3,), (0,))
    assert contender.tuning_cells() == []
    assert contender.best_rate({}, lower_is_better=False) == 1e-3


def test_the_best_rate_is_by_score_and_then_the_smallest():
    contender = Contender(PLAIN, (1e-3, 3e-3, 1e-2), (0,))
    assert contender.best_rate({1e-3: 0.5, 3e-3: 0.7, 1e-2: 0.7}, lower_is_better=False) == 3e-3
    assert contender.best_rate({1e-3: 12.0, 3e-3: 11.0, 1e-2: 30.0}, lower_is_better=True) == 3e-3
    assert contender.best_rate({1e-2: 0.1}, lower_is_better=False) == 1e-2  # the others failed
    with pytest.raises(ValueError, match="training must succeed at one of the rates"):
        contender.best_rate({}, lower_is_better=False)


@pytest.mark.parametrize(
    ("scores", "further"),
    [
        ((0.7, 0.8, 0.6), None),
        ((0.8, 0.7, 0.6), 3e-4),
        ((0.6, 0.7, 0.8), 3e-2),
        ((0.8, 0.8, 0.6), None),  # no better than its neighbour
        ((None, None, 0.8), 3e-2),  # at the others training failed
        ((None, None, None), None),
    ],
)
def test_a_best_rate_at_the_edge_leads_to_one_beyond(scores, further):
    contender = Contender(PLAIN, (1e-3, 3e-3, 1e-2), (0,))
    results = Results(
        [result(c, score) for c, score in zip(contender.tuning_cells(), scores, strict=True) if score],
        {c: "diverged" for c, score in zip(contender.tuning_cells(), scores, strict=True) if not score},
    )
    cells = results.tuning_cells(contender)
    assert [cell.rate for cell in cells[3:]] == ([] if further is None else [further])
    assert (results.rate(contender) is None) == (further is not None or not any(scores))


def test_at_most_two_rates_beyond_a_grid_are_tried():
    contender = Contender(PLAIN, (1e-3, 3e-3, 1e-2), (0,))
    results = Results()
    for _ in range(9):
        for cell in results.tuning_cells(contender):
            results.add(result(cell, 1 - cell.rate))  # the smaller the better, for ever
    assert sorted(cell.rate for cell in results.tuning_cells(contender)) == [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    assert results.rate(contender) == 1e-4


def test_rates_must_ascend():
    with pytest.raises(ValueError, match="rates must ascend"):
        Contender(PLAIN, (1e-2, 1e-3), (0,))


def test_contenders_of_one_setup_are_one():
    a, b = Contender(PLAIN, (1e-3,), (0, 1)), Contender(PLAIN, (1e-3, 1e-2), (1, 2))
    other = Contender(replace(PLAIN, size="r=8", method="lora"), (1e-3,), (0,))
    assert merge_contenders([a, other, b]) == [Contender(PLAIN, (1e-3, 1e-2), (0, 1, 2)), other]


@pytest.mark.parametrize("values", [{"rate": 1e-3}, {"seed": 1}, {"split": "tuning"}])
def test_a_contender_leaves_rate_seed_and_split_open(values):
    with pytest.raises(ValueError, match="a contender's cell has no rate, seed 0 and split 'test'"):
        Contender(replace(PLAIN, **values), (1e-3,), (0,))


# ---- results by contender


def test_a_contender_is_measured_at_the_rate_its_tuning_chose():
    contender = Contender(PLAIN, (1e-3, 1e-2), (0, 1))
    tuning = [result(cell, score) for cell, score in zip(contender.tuning_cells(), (0.6, 0.8), strict=True)]
    wrong = [result(cell, 0.1) for cell in contender.test_cells(1e-3)]
    right = [result(cell, 0.7 + 0.1 * cell.seed) for cell in contender.test_cells(1e-2)]
    measured = Results(tuning + wrong + right).of(contender)
    assert measured.rate == 1e-2
    assert measured.tuning == {1e-3: 0.6, 1e-2: 0.8}
    assert measured.scores() == pytest.approx({("movie", 0): 0.7, ("movie", 1): 0.8})
    assert measured.mean() == pytest.approx(0.75)
    assert measured.first() == right[0]


def test_the_rate_is_open_until_every_rate_was_tried_or_failed():
    contender = Contender(PLAIN, (1e-3, 1e-2), (0,))
    low, high = contender.tuning_cells()
    assert Results([result(low)]).rate(contender) is None
    assert Results([result(low)], {high: "diverged"}).rate(contender) == 1e-3
    assert Results([], {low: "diverged", high: "diverged"}).rate(contender) is None
    assert Results([result(low), result(high)]).of(contender) is None  # chosen, but not yet measured


def test_the_best_perplexity_is_the_lowest():
    contender = Contender(PLAIN, (1e-3, 1e-2), (0,))
    low, high = contender.tuning_cells()
    results = Results([result(low, 20.0, "perplexity"), result(high, 30.0, "perplexity")])
    assert results.rate(contender) == 1e-3
