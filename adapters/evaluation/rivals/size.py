"""The size of a method as text: ``r=8``, ``orders=1+2,n_blocks=4``, ``block_size=8,block_share``."""

from collections.abc import Mapping
from typing import Any

__all__ = ["parse_size", "values_of"]


def parse_size(size: str) -> dict[str, Any]:
    """What a size says, by name.

    Args:
        size: ``name=value`` or ``name`` (for True), separated by commas; a value is an integer, a number, integers
            joined by "+" (a tuple; `orders` is always one), True, False or a word. The empty text says nothing.

    Raises:
        ValueError: it is not that.

    >>> parse_size("orders=1+2,n_blocks=4,block_share")
    {'orders': (1, 2), 'n_blocks': 4, 'block_share': True}
    """
    values: dict[str, Any] = {}
    for part in size.split(",") if size else ():
        name, equals, text = part.partition("=")
        if not name.isidentifier() or (equals and not text) or name in values:
            raise ValueError(f"a size must be like 'r=8' or 'orders=1+2,block_share', got {size!r}")
        value = _value(text) if equals else True
        values[name] = (value,) if name == "orders" and not isinstance(value, tuple) else value
    return values


def values_of(size: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a size and options say together; options win."""
    return {**parse_size(size), **options}


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    if "+" in text:
        return tuple(int(part) for part in text.split("+"))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
