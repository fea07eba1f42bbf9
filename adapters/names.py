"""Unknown names, with the nearest known ones."""

import difflib
from collections.abc import Collection, Iterable

__all__ = ["nearest_names"]

_MOST_LISTED = 12
_LEAST_ALIKE = 0.3


def nearest_names(unknown: Iterable[str], known: Collection[str]) -> str:
    """A hint for an error message: the known name next to every unknown one, and some or all of the known names.

    Args:
        unknown: names that are not known.
        known: the names that are.

    >>> nearest_names(["lgeal"], ["legal", "medical"])
    "the nearest to 'lgeal' is 'legal'"
    >>> nearest_names(["x"], ["legal", "medical"])
    "known are ['legal', 'medical']"
    """
    hints = []
    for name in sorted(unknown):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=_LEAST_ALIKE):
            hints.append(f"the nearest to {name!r} is {near[0]!r}")
    if hints:
        return ", ".join(hints)
    listed = sorted(known)[:_MOST_LISTED]
    more = f" and {len(known) - len(listed)} more" if len(known) > len(listed) else ""
    return f"known are {listed}{more}"
