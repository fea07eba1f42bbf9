"""A test whose data comes by npm or apt-get is skipped, and says so, on a machine where they bring nothing."""

import re
from collections.abc import Generator
from typing import Any

import pytest

from adapters.evaluation.assets import AssetError
from adapters.evaluation.clients import ClientError


def _skip_or_raise(error: AssetError) -> None:
    if isinstance(error.__cause__, ClientError) and re.search(r"\b(npm|apt-get)\b", str(error)):
        pytest.skip(str(error))
    raise error


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, Any, Any]:
    try:
        return (yield)
    except AssetError as error:
        return _skip_or_raise(error)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, Any, Any]:
    try:
        return (yield)
    except AssetError as error:
        return _skip_or_raise(error)
