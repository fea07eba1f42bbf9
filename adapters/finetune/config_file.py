"""From a YAML file, a preset and flags to one checked configuration, or to a sentence that says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .config import TRAINER_KEYS, AdapterKeys, DataConfig, FinetuneConfig, TrainingConfig

__all__ = ["dump", "load_config", "parse_setting", "preset_names", "read_yaml"]

_SECTIONS: Mapping[str, frozenset[str]] = {
    "": frozenset(FinetuneConfig.model_fields),
    "data": frozenset(DataConfig.model_fields),
    "adapter": frozenset(AdapterKeys),
    "training": frozenset(TrainingConfig.model_fields) | TRAINER_KEYS,
}
_PASSED_ON = TRAINER_KEYS - set(TrainingConfig.model_fields)
_PRESETS = files(__package__) / "presets"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 5e-3 as a string, for it has no dot: here it is a number, as in YAML 1.2."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def preset_names() -> list[str]:
    """The presets that come with the package, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in _PRESETS.iterdir() if file.name.endswith(".yaml"))


def load_config(
    path: Path | None = None, preset: str | None = None, settings: Sequence[tuple[str, Any]] = ()
) -> FinetuneConfig:
    """A configuration: the preset, over it the file, over both the settings.

    Args:
        path: a YAML file.
        preset: the name of a preset.
        settings: (key, value), a key inside a section with a dot, as `training.learning_rate`.

    Raises:
        ValueError: a key is unknown, missing or has a value that is not allowed; or there is no such preset.
        OSError: the file cannot be read.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        if preset not in preset_names():
            raise ValueError(f"a preset must be one of {', '.join(preset_names())}, got {preset!r}")
        values = _parse((_PRESETS / f"{preset}.yaml").read_text("utf-8"), f"preset {preset}")
    if path is not None:
        values = _merge(values, read_yaml(path))
    for key, value in settings:
        section, _, name = key.rpartition(".")
        values = _merge(values, {section: {name: value}} if section else {name: value})
    _check_keys(values)
    try:
        return FinetuneConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(_sentence(error.errors()[0])) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ValueError: it is not there, no YAML, or no mapping.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"a configuration must be an existing YAML file, got {path}")
    return _parse(path.read_text("utf-8"), str(path))


def parse_setting(setting: str) -> tuple[str, Any]:
    """The key and the value of `KEY=VALUE`, the value read as YAML.

    Raises:
        ValueError: it is not of this form.
    """
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"a setting must be KEY=VALUE, got {setting!r}")
    try:
        return key.strip(), yaml.load(value, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"the value of a setting must be YAML, got {setting!r}") from error


def dump(config: FinetuneConfig) -> str:
    """The YAML text of a configuration, with every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _parse(text: str, origin: str) -> dict[str, Any]:
    try:
        values = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ValueError(f"a configuration must be YAML, got {origin}{where}: {reason}") from error
    if not isinstance(values, dict):
        raise ValueError(f"a configuration must be a mapping of keys to values, got {values!r} in {origin}")
    return values


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _check_keys(values: Mapping[str, Any]) -> None:
    for section, known in _SECTIONS.items():
        part = values.get(section, {}) if section else values
        if not isinstance(part, dict):
            raise ValueError(f"{section} must be a mapping of keys to values, got {part!r}")
        for key in part:
            if key not in known:
                raise ValueError(_unknown(section, str(key)))


def _unknown(section: str, key: str) -> str:
    """Which key was meant: one of the same section, or else of another."""
    name = _path(section, key)
    if section == "training" and key in {"save_steps", "eval_steps", "save_strategy", "eval_strategy"}:
        return f"checkpoints and evaluations are set by training.checkpoint_every, got {name}"
    if section == "training" and key.startswith("per_device_"):
        return f"a batch is set over all processes by training.batch_size, got {name}"
    for candidates in (_SECTIONS[section], frozenset().union(*_SECTIONS.values())):
        if near := get_close_matches(key, sorted(candidates), n=1):
            home = section if near[0] in _SECTIONS[section] else next(s for s in _SECTIONS if near[0] in _SECTIONS[s])
            return f"every key must be known, got {name}: the nearest is {_path(home, near[0])}"
    own = f"known are {', '.join(sorted(_SECTIONS[section] - _PASSED_ON))}"
    return f"every key must be known, got {name}: {own}{', and arguments of Trainer' * (section == 'training')}"


def _path(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _sentence(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
    if error["type"] == "missing":
        return f"a configuration must give {where}, got none"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    rule = error["msg"].removeprefix("Input ")
    return f"{where} {rule}, got {error['input']!r}"
