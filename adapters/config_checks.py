"""The rules for single values of a configuration: each refuses a wrong one by its field's name."""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, get_args

from .choices import Composition, ParameterMap, Sides, TrainedBiases
from .plan import check_orders

if TYPE_CHECKING:
    from .config import QuICConfig

__all__ = [
    "check_choices",
    "check_count",
    "check_layers",
    "check_modules",
    "check_names",
    "check_pattern",
    "check_patterns",
    "check_version",
]

_CHOICES = (("parameter_map", ParameterMap), ("side", Sides), ("composition", Composition), ("bias", TrainedBiases))


def check_version(version: Any, known: Collection[int]) -> None:
    """Refuse a configuration of another release.

    Args:
        version: what the configuration says, or None if nothing.
        known: the versions that this release reads.

    Raises:
        ValueError: the version is not one of them.
    """
    if type(version) is not int or version not in known:
        found = "no version" if version is None else repr(version)
        raise ValueError(
            f"this release of qicircuits reads config_version={' or '.join(map(str, known))}, got {found}: "
            "load the adapter with the release that wrote it"
        )


def check_count(field: str, value: Any) -> None:
    """Refuse what is not an integer of at least 1.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is not positive.
    """
    if type(value) is not int:
        raise TypeError(f"{field} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{field} must be at least 1, got {field}={value}")


def check_names(field: str, value: Any, containers: tuple[type[Collection[Any]], ...], rule: str) -> None:
    """Refuse what is neither None, nor a string, nor a container of strings, and empty strings.

    Raises:
        TypeError, ValueError: `value` is not what `rule` says.
    """
    names: Any = [value] if isinstance(value, str) else value
    if names is None:
        return
    if not isinstance(names, containers) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{field} must be {rule}, got {value!r}")
    if "" in names:
        raise ValueError(f"{field} must be {rule}, none of them empty, got {value!r}")


def check_pattern(field: str, pattern: str) -> None:
    """Refuse a string that is no regular expression.

    Raises:
        ValueError: it is none.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{field} must be a regular expression if it is a string, got {pattern!r}: {error}"
        ) from None


def check_choices(config: "QuICConfig") -> None:
    """Check the fields that choose between words.

    Raises:
        ValueError: the value is none of them.
    """
    for name, choices in _CHOICES:
        if (value := getattr(config, name)) not in get_args(choices):
            raise ValueError(f"{name} must be one of {get_args(choices)}, got {value!r}")


def check_patterns(config: "QuICConfig") -> None:
    """Check the fields that say something of modules by the ends of their names; orders become tuples.

    Raises:
        TypeError: one is not a dictionary with strings as keys, or holds a value of another type.
        ValueError: a key is empty or no regular expression, or a value not allowed.
    """
    for name in ("n_blocks_pattern", "orders_pattern"):
        _check_keys(name, getattr(config, name))
    for key, count in config.n_blocks_pattern.items():
        check_count(f"n_blocks_pattern[{key!r}]", count)
    config.orders_pattern = {key: _check_orders_of(key, orders) for key, orders in config.orders_pattern.items()}


def _check_orders_of(key: str, orders: Any) -> tuple[int, ...]:
    try:
        return check_orders(orders)
    except (TypeError, ValueError) as error:
        raise type(error)(f"orders_pattern[{key!r}]: {error}") from None


def _check_keys(field: str, patterns: Any) -> None:
    if not isinstance(patterns, dict) or not all(isinstance(key, str) for key in patterns):
        raise TypeError(f"{field} must be a dictionary from endings of module names to values, got {patterns!r}")
    for key in patterns:
        if not key:
            raise ValueError(f"{field} must have the endings of module names as keys, got an empty one")
        check_pattern(f"a key of {field}", key)


def check_modules(config: "QuICConfig") -> None:
    """Check the fields that name modules; names become sets, as PEFT matches them.

    Raises:
        TypeError, ValueError: one of them is not allowed.
    """
    for name in ("target_modules", "exclude_modules"):
        value = getattr(config, name)
        check_names(name, value, (list, tuple, set), "a list of names or one regular expression")
        if isinstance(value, str):
            check_pattern(name, value)
        elif value is not None:
            # PEFT matches names against sets, and writes them to disk as lists.
            setattr(config, name, set(value))
    if config.target_modules is not None and not config.target_modules:
        raise ValueError("target_modules must name at least one module (None takes the default), got none")
    if isinstance(config.modules_to_save, str):
        raise TypeError(f"modules_to_save must be a list of names, got {config.modules_to_save!r}")
    check_names("modules_to_save", config.modules_to_save, (list,), "a list of names")  # PEFT extends it


def check_layers(config: "QuICConfig") -> None:
    """Check the fields that name layers by their index.

    Raises:
        TypeError, ValueError: one of them is not allowed.
    """
    layers = (
        [config.layers_to_transform] if isinstance(config.layers_to_transform, int) else config.layers_to_transform
    )
    if layers is not None:
        if not isinstance(layers, list | tuple) or any(type(layer) is not int for layer in layers):
            raise TypeError(
                f"layers_to_transform must be an index or a list of them, got {config.layers_to_transform!r}"
            )
        if not layers or min(layers) < 0:
            raise ValueError(
                "layers_to_transform must hold at least one index, counted from 0 (None takes all layers), "
                f"got {config.layers_to_transform!r}"
            )
        if isinstance(config.target_modules, str):
            raise ValueError(
                "layers_to_transform needs target_modules as a list; a regular expression selects the layers "
                f"itself, got target_modules={config.target_modules!r}"
            )
    check_names("layers_pattern", config.layers_pattern, (list, tuple), "a name or a list of names")
    if config.layers_pattern and layers is None:
        raise ValueError(
            f"layers_pattern needs layers_to_transform too, got layers_pattern={config.layers_pattern!r}"
        )
