"""Checkpoints of a run: which are complete, whether they are as they were written, and which go."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

__all__ = ["CheckpointError", "last_complete", "remove_old", "seal"]

_SEAL = "complete.json"
_NAME = re.compile(r"checkpoint-(\d+)")


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or is not what was written."""


def seal(checkpoint: Path) -> None:
    """Declare a checkpoint complete, by the SHA-256 of each of its files; the last thing that is written to it."""
    digests = {str(file.relative_to(checkpoint)): _digest(file) for file in _files(checkpoint)}
    scratch = checkpoint / f".{_SEAL}"
    scratch.write_text(json.dumps(digests, indent=2), "utf-8")
    os.replace(scratch, checkpoint / _SEAL)


def last_complete(folder: Path) -> Path | None:
    """The checkpoint with the most steps among the complete ones; None if there is none.

    Args:
        folder: of the checkpoints.

    Raises:
        CheckpointError: that checkpoint was changed after it was written.
    """
    complete = [path for path in _checkpoints(folder) if (path / _SEAL).is_file()]
    if not complete:
        return None
    *earlier, last = complete
    remedy = f"remove it to go on from {earlier[-1].name}" if earlier else "remove it to begin anew"
    digests = json.loads((last / _SEAL).read_text("utf-8"))
    for name, digest in digests.items():
        file = last / name
        if not file.is_file() or _digest(file) != digest:
            got = f"{file.stat().st_size:,} other bytes" if file.is_file() else "no file"
            raise CheckpointError(f"a checkpoint must be as it was written, got {got} for {file}: {remedy}")
    return last


def remove_old(folder: Path, keep: int, best_step: int | None) -> None:
    """Remove all but the last complete checkpoints and the best one; incomplete ones go too.

    Args:
        folder: of the checkpoints.
        keep: how many to keep.
        best_step: the steps of the best one, if one is known.
    """
    complete = [path for path in _checkpoints(folder) if (path / _SEAL).is_file()]
    kept = {*complete[-keep:], folder / f"checkpoint-{best_step}"}
    for path in _checkpoints(folder):
        if path not in kept:
            # First the seal, so that a checkpoint that is half removed is not taken for one.
            (path / _SEAL).unlink(missing_ok=True)
            shutil.rmtree(path)


def _checkpoints(folder: Path) -> list[Path]:
    """All of them, by their steps."""
    found = [(int(match[1]), path) for path in folder.glob("*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != _SEAL)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
