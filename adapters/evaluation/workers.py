"""What runs the cells of a sweep: processes on this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numba
import torch
from transformers.utils import logging

from .cells import Cell, Result
from .run_cell import run_cell
from .sweep import WorkerDiedError

__all__ = ["DaskWorkers", "LocalWorkers", "dask_workers", "local_workers"]

Run = Callable[[Cell], Result]


class LocalWorkers:
    """Processes on this machine, of one thread each.

    Args:
        count: how many; 1 uses one process beside this one too, so that a crash does not end the sweep.
        run: what they do with a cell.
    """

    def __init__(self, count: int, run: Run = run_cell) -> None:
        if count < 1:
            raise ValueError(f"a sweep needs at least one process, got {count}")
        self.count = count
        self._run = run
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        # Spawned, not forked: a fork of a process with threads of torch or numba can hang.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.count, context, initializer=_leave_with_parent)

    def submit(self, cell: Cell) -> Future[Result]:
        """Run a cell in a process that is free, or as soon as one is."""
        try:
            inner = self._pool.submit(_run_on_one_thread, self._run, cell)
        except BrokenExecutor:  # a process has died, and took the pool along
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
            inner = self._pool.submit(_run_on_one_thread, self._run, cell)
        return _translated(inner, BrokenExecutor)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


class DaskWorkers:
    """The workers of a Dask cluster; they need this package, not this machine's disk.

    Args:
        client: a `distributed.Client`.
        run: what they do with a cell.
    """

    def __init__(self, client: Any, run: Run = run_cell) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._run = run

    @property
    def count(self) -> int:
        """Threads of the cluster; asked again each time, for a cluster may grow."""
        return max(1, sum(self._client.nthreads().values()))

    def submit(self, cell: Cell) -> Future[Result]:
        """Run a cell somewhere in the cluster."""
        from distributed.scheduler import KilledWorker

        return _translated(self._executor.submit(_run_on_one_thread, self._run, cell), KilledWorker)


@contextmanager
def local_workers(count: int, run: Run = run_cell) -> Iterator[LocalWorkers]:
    """Processes for the length of a context."""
    workers = LocalWorkers(count, run)
    try:
        yield workers
    finally:
        workers.close()


@contextmanager
def dask_workers(address: str, count: int, run: Run = run_cell) -> Iterator[DaskWorkers]:
    """A connection to a Dask cluster for the length of a context.

    Args:
        address: of the scheduler, such as "tcp://host:8786", or "local" for a cluster of this machine's processes.
        count: processes of a local cluster.
        run: what the workers do with a cell.

    Raises:
        ImportError: distributed is not installed.
        OSError: nobody answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError(f"a Dask cluster needs pip install 'qicircuits[cluster]', got {error}") from error
    if address != "local":
        with Client(address, timeout=10) as client:
            yield DaskWorkers(client, run)
        return
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield DaskWorkers(client, run)


def _translated(inner: Future[Result], died: type[BaseException]) -> Future[Result]:
    """The same future, but that it says in our words that a worker died."""
    outer: Future[Result] = Future()
    outer.set_running_or_notify_cancel()

    def pass_on(done: Future[Result]) -> None:
        if done.cancelled():
            outer.set_exception(WorkerDiedError("the worker was stopped"))
            return
        error = done.exception()
        if error is None:
            outer.set_result(done.result())
        elif isinstance(error, died):
            outer.set_exception(WorkerDiedError(f"the process that ran the cell has died: {error}"))
        else:
            outer.set_exception(error)

    inner.add_done_callback(pass_on)
    return outer


def _run_on_one_thread(run: Run, cell: Cell) -> Result:
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    logging.disable_progress_bar()  # transformers' bars for weights would break the sweep's
    return run(cell)


def _leave_with_parent() -> None:
    """End this process when its parent is gone: one that was killed cannot tell its children."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        # Asleep until then: a thread that wakes up while Python shuts down is ended where it stands, which can hang.
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
