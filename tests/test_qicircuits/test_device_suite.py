"""PennyLane's own tests of devices pass, but for those listed in device_suite_exclusions.json, with the reasons."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from device_suite import EXCLUSIONS
from pennylane.devices.tests import get_device_tests

HAS_JAX = find_spec("jax") is not None  # without it, its tests are left out
PLUGINS = ["-p", "flaky.flaky_pytest_plugin", "-p", "pytest_mock", "-p", "device_suite", "-p", "no:cacheprovider"]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """What came of the tests, with exact results and with shots."""
    folder = tmp_path_factory.mktemp("suite")
    return [run_suite(folder / f"{shots}.json", shots) for shots in ("None", "20000")]


def run_suite(path, shots):
    arguments = [get_device_tests(), "--device=qicircuits.subspace", f"--shots={shots}", f"--suite-report={path}"]
    quiet = ["--rootdir", str(path.parent), "-q", "--tb=line", "--no-flaky-report", "-Wignore"]
    here = [str(EXCLUSIONS.parent), str(EXCLUSIONS.parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(here),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
    }
    command = [sys.executable, "-m", "pytest", *PLUGINS, *arguments, *quiet]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return json.loads(path.read_text())


def test_all_that_is_not_listed_passes(reports):
    assert all(report["outcomes"]["passed"] > 140 for report in reports)


def test_all_that_is_listed_is_refused(reports):
    exclusions = json.loads(EXCLUSIONS.read_text())
    refused = {}
    for report in reports:
        for name, what in report["refused"].items():
            refused.setdefault(name, set()).update(what)
    listed = {name: what for name, what in exclusions["tests"].items() if HAS_JAX or "_jax" not in name}
    assert {name: sorted(what) for name, what in refused.items()} == listed
    assert {what for names in exclusions["tests"].values() for what in names} == set(exclusions["reasons"])
