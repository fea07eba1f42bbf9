"""The folder a run leaves behind: complete or not there, and never in place of somebody's files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["check_replaceable", "run_folder"]


def check_replaceable(output: Path, own: Collection[str], mark: str) -> None:
    """Refuse an output path that holds anything but an earlier run.

    Args:
        output: the path asked for.
        own: names of the files and folders that a run leaves there.
        mark: the one among them that every complete run has.

    Raises:
        ValueError: the path is a file, or a folder that holds anything else.
    """
    if not output.exists():
        return
    rule = "the output must be a new folder, an empty one, or that of an earlier run"
    if not output.is_dir():
        raise ValueError(f"{rule}, got the file {output}")
    found = {entry.name for entry in output.iterdir()}
    foreign = sorted(found - set(own)) if mark in found else sorted(found)
    if foreign:
        raise ValueError(f"{rule}, got {output}, which holds {', '.join(foreign[:3])}")


@contextmanager
def run_folder(output: Path) -> Iterator[Path]:
    """A scratch folder beside `output` that takes its place when the body of the `with` succeeds.

    If the body fails, the scratch folder goes and `output` stays as it was.
    """
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        yield new
        if output.exists():
            os.replace(output, old)
        try:
            os.replace(new, output)
        except OSError:
            if old.exists():
                os.replace(old, output)
            raise
