"""A test whose data comes by npm or apt-get is skipped, and says so, on a machine where they bring nothing."""

import re
from collections.abc import Generator
from typing import Any

import pytest

from adapters.evaluation.assets import AssetError
from adapters.evaluation.clients import ClientError


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, Any, Any]:
    """Skip what asks for data that npm or apt-get should have brought."""
    try:
        return (yield)
    except AssetError as error:
        if isinstance(error.__cause__, ClientError) and re.search(r"\b(npm|apt-get)\b", str(error)):
            pytest.skip(str(error))
        raise


pytest_pyfunc_call = pytest_fixture_setup
