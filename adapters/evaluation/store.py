"""The folder of a sweep: one JSON file for each cell, and a claim on each cell that is being run."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .cells import Cell, Result
from .results import Results

__all__ = ["CellStore", "Claim"]


class Claim:
    """The right to run a cell, as long as this process lives or until it is released.

    The operating system holds it as a lock on a file: it ends with the process that has it, killed or not, so there
    are no stale ones. Several machines can share a folder if its file system passes locks on, as NFS does.

    Args:
        lock: taken.
    """

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def release(self) -> None:
        """Let others run the cell."""
        self._lock.release()


class CellStore:
    """Results and failures by cell, on disk; a file is complete when it appears.

    Args:
        folder: made where it is missing; its files are `cells/KEY.json` and `claims/KEY`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cells, self._claims = folder / "cells", folder / "claims"
        for part in (self._cells, self._claims):
            part.mkdir(parents=True, exist_ok=True)

    def claim(self, cell: Cell) -> Claim | None:
        """The right to run a cell; None while somebody else has it."""
        lock = FileLock(self._claims / cell.key(), timeout=0, is_singleton=False)
        try:
            lock.acquire()
        except Timeout:
            return None
        return Claim(lock)

    def read(self) -> tuple[Results, list[str]]:
        """All that is there.

        Returns:
            results with failures, and for each damaged file why it does not count: its cell is as good as not run.
        """
        results: list[Result] = []
        failures: dict[Cell, str] = {}
        damaged: list[str] = []
        for path in sorted(self._cells.glob("*.json")):
            try:
                entry = _read(path)
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                damaged.append(f"{path}: {error}")
                continue
            if isinstance(entry, Result):
                results.append(entry)
            else:
                failures[entry[0]] = entry[1]
        return Results(results, failures), damaged

    def get(self, cell: Cell) -> Result | tuple[Cell, str] | None:
        """The result of a cell, or the cell and the error that stopped it; None where there is no sound file."""
        try:
            return _read(self._path(cell))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, result: Result) -> None:
        """Keep a result."""
        self._write(result.cell, {"result": result.to_json()})

    def write_failure(self, cell: Cell, error: str) -> None:
        """Keep what stopped a cell, so that it is not tried again unasked."""
        self._write(cell, {"failure": {"cell": cell.to_json(), "error": error}})

    def forget(self, cells: Iterable[Cell]) -> None:
        """Remove the files of these cells."""
        for cell in cells:
            self._path(cell).unlink(missing_ok=True)

    def _path(self, cell: Cell) -> Path:
        return self._cells / f"{cell.key()}.json"

    def _write(self, cell: Cell, document: dict[str, Any]) -> None:
        text = json.dumps(document, allow_nan=False)
        with tempfile.NamedTemporaryFile("w", dir=self._cells, prefix=".", suffix=".part", delete=False) as file:
            file.write(text)
        os.replace(file.name, self._path(cell))


def _read(path: Path) -> Result | tuple[Cell, str]:
    """What a file holds.

    Raises:
        ValueError: it is not JSON, or that of something else, or of another cell than its name says.
    """
    document = json.loads(path.read_text("utf-8"))
    if "failure" in document:
        cell, error = Cell.from_json(document["failure"]["cell"]), str(document["failure"]["error"])
        _check_name(path, cell)
        return cell, error
    result = Result.from_json(document["result"])
    _check_name(path, result.cell)
    return result


def _check_name(path: Path, cell: Cell) -> None:
    if path.stem != cell.key():
        raise ValueError(f"the file of a cell must be named by its key {cell.key()}, got {path.name}")
