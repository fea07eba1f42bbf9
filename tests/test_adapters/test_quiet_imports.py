"""Importing the package is silent where optional packages are installed, and hides nothing else that they log."""

import logging
import subprocess
import sys

import pytest

import adapters
from adapters.quiet_imports import UNSAID


@pytest.mark.parametrize(("name", "beginning"), UNSAID.items())
def test_only_that_message_is_left_unsaid(caplog, name, beginning):
    logger = logging.getLogger(name)
    rest = " %s" * (1 - beginning.count("%s"))
    with caplog.at_level(logging.WARNING, logger=name):
        logger.warning(beginning + rest, "some file")
        assert caplog.messages == []
        logger.warning("a weight is damaged")
        logger.warning("it says: " + beginning + rest, "some file")
    assert len(caplog.messages) == 2


def test_the_import_is_silent():
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {adapters.__path__[0]!r} + '/..'); import adapters",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""
