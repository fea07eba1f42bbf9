"""All results of a sweep in one file, a line each, from which its report is made again without running anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .cells import Cell, Result
from .results import Results

__all__ = ["read_compact", "write_compact"]

_FORMAT = 1
_DIGITS = 6  # more than seeds leave of any number


def write_compact(path: Path, profile: str, results: Results) -> None:
    """Write results and failures, numbers rounded to six digits; the same results give the same bytes.

    Args:
        path: of the file.
        profile: that they are of.
        results: what to write.
    """
    environments: list[Mapping[str, Any]] = []
    lines = []
    for result in sorted(results, key=lambda result: _order(result.cell)):
        document = result.to_json()
        if result.environment not in environments:
            environments.append(result.environment)
        document["environment"] = environments.index(result.environment)
        lines.append(_line(document))
    failed = sorted(results.failures.items(), key=lambda pair: _order(pair[0]))
    failures = [_line({"cell": cell.to_json(), "error": error}) for cell, error in failed]
    parts = [f'"format": {_FORMAT}', f'"profile": {json.dumps(profile)}']
    parts += [f'"environments": {_list([_line(environment) for environment in environments])}']
    parts += [f'"failures": {_list(failures)}', f'"results": {_list(lines)}']
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")


def _order(cell: Cell) -> tuple[str, str, str, str, float, int, str]:
    """By what a reader looks for; the key tells the rest apart."""
    return cell.task, cell.method, cell.size, cell.split, cell.rate or 0.0, cell.seed, cell.key()


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(_rounded(document), separators=(",", ":"), allow_nan=False)


def _list(rows: Sequence[str]) -> str:
    return "[\n" + ",\n".join(rows) + "\n]" if rows else "[]"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: _rounded(entry) for name, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list | tuple) else value


def read_compact(path: Path) -> tuple[str, Results]:
    """The profile and the results that `write_compact` wrote.

    Raises:
        ValueError: the file is not one of these, or damaged.
        OSError: it cannot be read.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["format"] != _FORMAT:
            raise ValueError(f"this release reads format {_FORMAT}, got {document['format']!r}")
        environments = document["environments"]
        results = [
            Result.from_json(dict(entry, environment=environments[entry["environment"]]))
            for entry in document["results"]
        ]
        failures = {Cell.from_json(entry["cell"]): str(entry["error"]) for entry in document["failures"]}
        return str(document["profile"]), Results(results, failures)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"results must be a file that `quic bench report` wrote, got {path}: {error}") from error
