"""Sweeps: killed and gone on with, shared, failing, and on a cluster; by cells that take an instant."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import lab_cells as lab
import pytest
from rich.console import Console

from adapters.evaluation.contenders import TUNING_SEED, Contender
from adapters.evaluation.outlook import expected_seconds, remaining_cells
from adapters.evaluation.results import Results
from adapters.evaluation.store import CellStore
from adapters.evaluation.sweep import run_sweep
from adapters.evaluation.sweep_progress import SweepProgress
from adapters.evaluation.workers import dask_workers, local_workers

IMPORTS = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parent)))}
A, B, BAD = lab.contender("a"), lab.contender("bb"), lab.contender("bad")


class Here:
    """Runs a cell at once, in this process."""

    def __init__(self, run, count=1):
        self.run, self.count, self.ran = run, count, []

    def submit(self, cell):
        future = Future()
        self.ran.append(cell)
        try:
            future.set_result(self.run(cell))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def started(*arguments, **options):
    """A Python process for the length of a context: also where a test fails, nobody waits for its end."""
    with subprocess.Popen([sys.executable, *map(str, arguments)], **options) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def store(tmp_path):
    return CellStore(tmp_path / "sweep")


def scores(results):
    return {result.cell: lab.plain(result) for result in results}


# ---- one sweep


def test_every_rate_and_then_every_seed_at_the_best(store):
    workers = Here(lab.closed_form)
    results = run_sweep([A, B], store, workers)
    assert len(workers.ran) == len(set(workers.ran)) == 2 * (2 + 3)
    for contender in (A, B):
        measured = results.of(contender)
        assert measured.rate == 1e-2
        assert sorted(measured.runs) == [0, 1, 2]
    assert {cell.seed for cell in workers.ran if cell.split == "tuning"} == {TUNING_SEED}


def test_a_second_sweep_runs_nothing_and_finds_the_same(store):
    first = run_sweep([A], store, Here(lab.closed_form))
    again = Here(lab.closed_form)
    assert scores(run_sweep([A], store, again)) == scores(first)
    assert again.ran == []


@pytest.mark.parametrize("done", range(5))
def test_a_sweep_that_stops_anywhere_goes_on(store, done):
    whole = run_sweep([A], CellStore(store.folder / "whole"), Here(lab.closed_form))

    def stops(cell):
        if len(first.ran) > done:
            raise KeyboardInterrupt
        return lab.closed_form(cell)

    first = Here(stops)
    with pytest.raises(KeyboardInterrupt):
        run_sweep([A], store, first)
    second = Here(lab.closed_form)
    assert scores(run_sweep([A], store, second)) == scores(whole)
    assert len(second.ran) == len(whole) - done


# ---- cells that fail


def test_a_cell_that_raises_does_not_stop_the_others(store):
    results = run_sweep([BAD, A], store, Here(lab.fails_when_told))
    assert results.of(A) is not None
    assert results.of(BAD) is None
    assert {cell.rate for cell in results.failures} == {1e-3, 1e-2}
    assert set(results.failures.values()) == {
        "RuntimeError: no such thing at a rate of 0.001",
        "RuntimeError: no such thing at a rate of 0.01",
    }


def test_failures_are_retried_only_when_asked_for(store):
    run_sweep([BAD], store, Here(lab.fails_when_told))
    unasked, asked = Here(lab.closed_form), Here(lab.closed_form)
    run_sweep([BAD], store, unasked)
    assert unasked.ran == []
    results = run_sweep([BAD], store, asked, retry_failed=True)
    assert len(asked.ran) == 5
    assert not results.failures
    assert not CellStore(store.folder).read()[0].failures


def test_a_rate_at_which_training_fails_is_not_chosen(store):
    results = run_sweep([A], store, Here(lab.diverges_above))
    assert results.of(A).rate == 1e-3
    assert [cell.rate for cell in results.failures] == [1e-2]


# ---- damaged files


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"result": {}}', '{"failure": {"cell": {"task": 1}}}', "\xff"]
)
def test_damaged_files_are_named_and_run_again(store, damage):
    whole = run_sweep([A], store, Here(lab.closed_form))
    path = next((store.folder / "cells").glob("*.json"))
    path.write_text(damage, "latin-1")
    found, damaged = store.read()
    assert len(found) == len(whole) - 1
    assert [note.split(": ")[0] for note in damaged] == [str(path)]
    again = Here(lab.closed_form)
    assert scores(run_sweep([A], store, again)) == scores(whole)
    assert [f"{cell.key()}.json" for cell in again.ran] == [path.name]


def test_a_file_under_the_name_of_another_cell_is_damaged(store):
    run_sweep([A], store, Here(lab.closed_form))
    first, second, *_ = sorted((store.folder / "cells").glob("*.json"))
    second.write_text(first.read_text())
    assert "must be named by its key" in store.read()[1][0]


def test_no_half_files_are_left_by_a_failing_write(store):
    bad = lab.closed_form(A.test_cells(1e-2)[0])
    bad.extra["score"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        store.write(bad)
    assert list((store.folder / "cells").iterdir()) == []


# ---- claims


def test_a_claimed_cell_is_left_to_the_one_who_has_it(store):
    cell = A.tuning_cells()[0]
    claim = store.claim(cell)
    other = CellStore(store.folder)
    assert other.claim(cell) is None
    assert other.claim(A.tuning_cells()[1]) is not None
    claim.release()
    assert other.claim(cell) is not None


@pytest.mark.integration
def test_the_claim_of_a_killed_process_is_free(store):
    cell = A.tuning_cells()[0]
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom adapters.evaluation.store import CellStore\n"
        "import lab_cells as lab\n"
        f"claim = CellStore(Path({str(store.folder)!r})).claim(lab.contender('a').tuning_cells()[0])\n"
        "print(claim is not None, flush=True)\ntime.sleep(600)\n"
    )
    with started("-c", code, stdout=subprocess.PIPE, env=IMPORTS, text=True) as process:
        assert process.stdout.readline() == "True\n"
        assert store.claim(cell) is None
        process.kill()
        process.wait()
    assert store.claim(cell) is not None


# ---- processes

SWEEP = """
import sys
from pathlib import Path
from adapters.evaluation.store import CellStore
from adapters.evaluation.sweep import run_sweep
from adapters.evaluation.workers import local_workers
import lab_cells as lab

if __name__ == "__main__":
    with local_workers(1, lab.notes_and_waits) as workers:
        run_sweep([lab.contender(name) for name in ("a", "bb", "ccc")], CellStore(Path(sys.argv[1])), workers)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "sweep_script.py"
    path.write_text(SWEEP)
    return path


def sweep(script, folder, log, seconds):
    return started(script, folder, env={**IMPORTS, "LAB_LOG": str(log), "LAB_SECONDS": str(seconds)})


def waits(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.integration
def test_a_killed_sweep_goes_on_and_two_share_no_cell(tmp_path, script):
    log, folder = tmp_path / "log", tmp_path / "sweep"
    files = folder / "cells"
    with sweep(script, folder, log, 0.3) as first:
        waits(lambda: files.is_dir() and len(list(files.glob("*.json"))) >= 3)
        first.kill()
        first.wait()
    kept = {path.stem for path in files.glob("*.json")}
    pids = {int(line.split()[1]) for line in log.read_text().splitlines()}
    waits(lambda: not any(is_alive(pid) for pid in pids))  # its processes leave with it
    log.unlink()
    with sweep(script, folder, log, 0.05) as one, sweep(script, folder, log, 0.05) as two:
        assert (one.wait(), two.wait()) == (0, 0)
    ran = [line.split()[0] for line in log.read_text().splitlines()]
    assert len(ran) == len(set(ran))
    assert not kept & set(ran)
    whole = run_sweep(
        [lab.contender(name) for name in ("a", "bb", "ccc")], CellStore(tmp_path / "w"), Here(lab.closed_form)
    )
    assert scores(CellStore(folder).read()[0]) == scores(whole)
    assert len(kept) + len(ran) == len(whole) == 15


@pytest.mark.integration
def test_a_worker_that_is_killed_is_replaced(store, tmp_path):
    contender = lab.contender("a", mark=str(tmp_path / "mark"))
    with local_workers(1, lab.dies_once) as workers:
        results = run_sweep([contender], store, workers)
    assert len(results) == 5
    assert not results.failures


@pytest.mark.integration
def test_a_cell_that_kills_its_worker_again_has_failed(store):
    with local_workers(1, lab.always_dies) as workers:
        results = run_sweep([Contender(A.cell, (1e-3,), (0,))], store, workers)
    assert len(results) == 0
    assert len(results.failures) == 1
    assert all("has died" in error and error.endswith("(2 times)") for error in results.failures.values())


def test_no_processes_are_refused():
    with pytest.raises(ValueError, match="a sweep needs at least one process, got 0"), local_workers(0):
        pass


@pytest.mark.integration
def test_a_local_dask_cluster_gives_the_same(store):
    pytest.importorskip("distributed")
    whole = run_sweep([A, BAD], CellStore(store.folder / "here"), Here(lab.fails_when_told))
    with dask_workers("local", 2, lab.fails_when_told) as workers:
        assert workers.count == 2
        results = run_sweep([A, BAD], store, workers)
    assert scores(results) == scores(whole)
    assert results.failures == whole.failures


# ---- what is left


def test_remaining_cells_shrink_to_none(store):
    left = []
    run_sweep(
        [A, BAD],
        store,
        Here(lab.fails_when_told),
        outlook=lambda state: left.append(len(remaining_cells(state.contenders, state.results))),
    )
    assert len(remaining_cells([A, BAD], Results())) == 10
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


def test_like_cells_are_expected_to_take_like_times():
    results = Results([lab.closed_form(cell) for cell in A.tuning_cells()])
    suites = {"movie": "text"}
    assert expected_seconds(A.test_cells(1e-2), results, suites) == pytest.approx(3 * 0.02)
    assert expected_seconds(B.test_cells(1e-2), results, suites) == pytest.approx(3 * 0.02)  # of the task
    assert expected_seconds(B.test_cells(1e-2), Results(), suites) > 0
    assert expected_seconds([], Results(), suites) == 0


def test_a_log_says_how_far_a_sweep_is(store, capsys):
    workers = Here(lab.closed_form)
    with SweepProgress(Console(width=200, force_terminal=False), {"movie": "text"}, workers) as progress:
        run_sweep([A], store, workers, outlook=progress)
    assert "5 of 5 cells, about 0 min left; now: nothing" in capsys.readouterr().out


def test_a_result_on_disk_is_json_of_one_cell(store):
    run_sweep([A], store, Here(lab.closed_form))
    for path in (store.folder / "cells").glob("*.json"):
        assert json.loads(path.read_text())["result"]["cell"]["task"] == "movie"
