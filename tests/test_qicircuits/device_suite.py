"""A pytest plugin for PennyLane's device tests: what the device refuses must be listed, with the reason.

Loaded with ``-p device_suite``. A test whose circuit the device refuses counts as skipped if the list names the test
and what is refused; every other failure stays one. ``--suite-report`` names a file for what was refused.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

EXCLUSIONS = Path(__file__).with_name("device_suite_exclusions.json")
REFUSAL = re.compile(r"qicircuits\.subspace: (\S+) on wires .* is not supported|(MyMeasurement) is not")

_REFUSED, _OUTCOMES = pytest.StashKey(), pytest.StashKey()


def function_of(item):
    """The test without its parameters, after the name of its file."""
    return f"{Path(item.path).name}::{item.nodeid.split('::', 1)[1].split('[')[0]}"


def pytest_addoption(parser):
    parser.addoption("--suite-report", required=True)


def pytest_configure(config):
    config.stash[_REFUSED], config.stash[_OUTCOMES] = {}, Counter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        found = REFUSAL.search(str(call.excinfo.value)) if report.failed else None
        what = next(filter(None, found.groups())) if found else None
        if what in json.loads(EXCLUSIONS.read_text())["tests"].get(function_of(item), []):
            item.config.stash[_REFUSED].setdefault(function_of(item), set()).add(what)
            report.outcome, report.longrepr = "skipped", (str(item.path), 0, f"Skipped: {what}")
            item.config.stash[_OUTCOMES]["refused"] += 1
        else:
            item.config.stash[_OUTCOMES][report.outcome] += 1
    return report


def pytest_sessionfinish(session):
    refused = {name: sorted(what) for name, what in sorted(session.config.stash[_REFUSED].items())}
    report = {"outcomes": session.config.stash[_OUTCOMES], "refused": refused}
    Path(session.config.getoption("--suite-report")).write_text(json.dumps(report))
