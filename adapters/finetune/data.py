"""The examples of a run, from local files, folders of images, the hub or the offline packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

from ..evaluation.tasks import Split, movie_polarity
from .config import DataConfig

__all__ = ["PACKAGES", "Examples", "load_examples"]

_WORDS = {"keep_default_na": False, "na_values": [""]}  # NA and null are texts, only an empty cell is missing
_FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", _WORDS),
    ".tsv": ("csv", {"sep": "\t", **_WORDS}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".parquet": ("parquet", {}),
    ".txt": ("text", {}),
}
_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
PACKAGES = ("movie-polarity",)
"""The tasks made of offline packages, as `package:NAME`."""


@dataclass(frozen=True)
class Examples:
    """The rows to train on and those to evaluate on, as they were read."""

    train: Dataset
    validation: Dataset


def load_examples(config: DataConfig, columns: Sequence[str], seed: int) -> Examples:
    """Read both sets of examples.

    Args:
        config: where they are.
        columns: what each row must have, and no value of which may be missing.
        seed: of the share that is split off where there is no validation set.

    Raises:
        ValueError: a source is not readable or empty, or a column is not there or has missing values.
    """
    train = _load(config.train, config, config.train_split, "data.train")
    if config.validation is None and config.validation_split is None:
        if len(train) < 2:
            raise ValueError(f"data.train must have at least 2 rows to be split, got {len(train)} in {config.train}")
        n_held = min(max(1, round(config.validation_share * len(train))), len(train) - 1)
        parts = train.train_test_split(test_size=n_held, seed=seed)
        examples = Examples(parts["train"], parts["test"])
    else:
        source = config.validation or config.train
        split = config.validation_split or "train"
        examples = Examples(train, _load(source, config, split, "data.validation"))
    for rows, origin in ((examples.train, "data.train"), (examples.validation, "data.validation")):
        _check(rows, columns, origin)
    return examples


def _load(source: str, config: DataConfig, split: str, origin: str) -> Dataset:
    if source.startswith("package:"):
        return _package(source.removeprefix("package:"), split)
    path = Path(source).expanduser()
    builder, arguments = _FORMATS.get(path.suffix.lower(), (None, {}))
    where: dict[str, Any] = {"path": source, "name": config.subset}
    if path.is_dir():
        if not any(file.suffix.lower() in _IMAGES for file in path.rglob("*")):
            raise ValueError(f"{origin} must be a file or a folder of images, got {path} without images")
        where = {"path": "imagefolder", "data_dir": str(path)}
    elif builder is not None:
        if not path.is_file():
            raise ValueError(f"{origin} must be an existing file, got {path}")
        where = {"path": builder, "data_files": str(path), **arguments}
    elif path.exists():
        raise ValueError(f"{origin} must end in one of {', '.join(_FORMATS)}, got {path}")
    try:
        return load_dataset(**where, split=split)
    except (DatasetNotFoundError, ConnectionError) as error:
        got = "none of this name" if isinstance(error, DatasetNotFoundError) else "no connection to the hub"
        raise ValueError(
            f"{origin} must be a file, a folder or a data set on the hub, got {got}: {source}"
        ) from error
    except (DatasetGenerationError, OSError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        if "corresponds to no data" in reason:
            raise ValueError(f"{origin} must have rows, got none in {split} of {source}") from error
        raise ValueError(f"{origin} must be readable as {builder or 'examples'}, got {source}: {reason}") from error


def _package(name: str, split: str) -> Dataset:
    if name not in PACKAGES:
        raise ValueError(f"an offline task must be one of {', '.join(PACKAGES)}, got {name!r}")
    task = movie_polarity()
    parts: dict[str, Split] = {"train": task.train, "test": task.test}
    base, _, rest = split.partition("[")
    if base not in parts:
        raise ValueError(f"a split of package:{name} must be train or test, got {split!r}")
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(task.classes))})
    rows = Dataset.from_dict({"text": parts[base].inputs, "label": parts[base].labels}, features=features)
    if not rest:
        return rows
    start, colon, stop = rest.removesuffix("]").partition(":")
    if not colon or not (start or "0").isdecimal() or not (stop or "0").isdecimal():
        raise ValueError(f"a part of package:{name} must be as train[:500] or train[500:1000], got {split!r}")
    return rows.select(range(*slice(int(start or 0), int(stop) if stop else None).indices(len(rows))))


def _check(rows: Dataset, columns: Sequence[str], origin: str) -> None:
    if not len(rows):
        raise ValueError(f"{origin} must have rows, got none")
    for column in columns:
        if column not in rows.column_names:
            near = get_close_matches(column, rows.column_names, n=1)
            hint = f": the nearest is {near[0]!r}" if near else ""
            raise ValueError(f"{origin} must have a column {column!r}, got {', '.join(rows.column_names)}{hint}")
        missing = _first_missing(rows, column)
        if missing is not None:
            raise ValueError(f"{origin} must have a {column} in every row, got none in row {missing}, from 0")


def _first_missing(rows: Dataset, column: str) -> int | None:
    values: Any = rows.with_format("arrow")[column]
    flags = values.is_null()
    return flags.to_pylist().index(True) if values.null_count else None
