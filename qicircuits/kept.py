"""Results that are kept, the last ones used, up to a number of bytes: index tables differ a millionfold in size."""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ["keep_bytes"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def keep_bytes(limit: int) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Keep what a function returned, as `functools.lru_cache` does, but up to a number of bytes.

    Args:
        limit: bytes of the arrays in all kept results; a single result that has more is not kept.

    Returns:
        A decorator, for functions of hashable positional arguments that return arrays, or tuples or lists of arrays.
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        kept: OrderedDict[Hashable, tuple[_Result, int]] = OrderedDict()
        lock = threading.Lock()
        total = 0

        @functools.wraps(function)
        def find(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            nonlocal total
            key = args, tuple(kwargs.items())
            with lock:
                if key in kept:
                    kept.move_to_end(key)
                    return kept[key][0]
            result = function(*args, **kwargs)
            size = _bytes(result)
            with lock:
                if size <= limit and key not in kept:
                    kept[key] = result, size
                    total += size
                while total > limit:
                    total -= kept.popitem(last=False)[1][1]
            return result

        return find

    return decorate


def _bytes(result: Any) -> int:
    if isinstance(result, np.ndarray):
        return result.nbytes
    return sum(_bytes(one) for one in result) if isinstance(result, tuple | list) else 0
