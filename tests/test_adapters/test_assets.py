"""The offline assets: pinned, checked before they appear, and never half there."""

import hashlib
import os
import re
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli import app
from adapters.evaluation.assets import (
    ENCODER,
    SENTENCES,
    Asset,
    AssetError,
    cache_folder,
    encoder_folder,
    fetch,
    made_folder,
)
from adapters.evaluation.packages import DIGITS, REVIEWS, SUITES

WHEEL = "tiny_asset-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of packages that pip is pointed at instead of the network; it holds one tiny wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        info = "tiny_asset-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def tiny(sha256, requirement="tiny-asset==1.0", archive=WHEEL):
    return Asset(requirement, archive, sha256)


def test_fetch_brings_the_pinned_file_and_nothing_else(index, tmp_path):
    sha256 = hashlib.sha256((index / WHEEL).read_bytes()).hexdigest()
    path = fetch(tiny(sha256), tmp_path / "cache")
    assert path.read_bytes() == (index / WHEEL).read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == [WHEEL]


def test_fetch_takes_the_cached_file_without_pip(index, tmp_path):
    sha256 = hashlib.sha256((index / WHEEL).read_bytes()).hexdigest()
    path = fetch(tiny(sha256), tmp_path / "cache")
    (index / WHEEL).unlink()
    assert fetch(tiny(sha256), tmp_path / "cache") == path


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        (tiny("0" * 64), "must have SHA-256 0000.*another file than the one pinned"),
        (tiny("0" * 64, archive="other.whl"), r"should have brought other.whl, got \['tiny_asset-1.0"),
        (tiny("0" * 64, requirement="tiny-asset==2.0"), "pip could not download tiny-asset==2.0: .*tiny-asset==2.0"),
    ],
)
def test_a_failed_fetch_leaves_the_cache_empty(index, tmp_path, asset, message):
    cache = tmp_path / "cache"
    with pytest.raises(AssetError, match=message):
        fetch(asset, cache)
    assert list(cache.iterdir()) == []


@pytest.fixture
def unreachable(monkeypatch, tmp_path):
    """Clients that are told of an index at a port where nobody listens."""
    nowhere = "http://127.0.0.1:9"
    for name in [name for name in os.environ if name.upper().startswith(("PIP_", "NPM_CONFIG_"))]:
        monkeypatch.delenv(name)
    settings = {"PIP_INDEX_URL": nowhere, "PIP_RETRIES": "1", "PIP_CONFIG_FILE": os.devnull}
    settings |= {"npm_config_registry": nowhere, "npm_config_fetch_retries": "0", "npm_config_cache": str(tmp_path)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("requirement", "client"), [("tiny-asset==1.0", "pip"), ("tiny-asset==1.0", "pip-source"), ("tiny@1.0.0", "npm")]
)
def test_an_index_out_of_reach_is_said_so(unreachable, tmp_path, requirement, client):
    asset = Asset(requirement, WHEEL, "0" * 64, client)
    with pytest.raises(AssetError, match=f"could not download {requirement}: the package index cannot be reached$"):
        fetch(asset, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(("client", "command"), [("npm", "npm"), ("apt", "apt-get")])
def test_a_client_that_is_not_installed_is_named(tmp_path, monkeypatch, client, command):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssetError, match=f"is fetched with {command}, which must be installed"):
        fetch(Asset("tiny", "tiny.tgz", "0" * 64, client), tmp_path / "cache")


@pytest.mark.parametrize("asset", [DIGITS, REVIEWS])
def test_archives_come_from_their_clients(tmp_path, asset):
    path = fetch(asset, tmp_path)  # a wheel for another platform or Python, and an archive of npm
    assert path.read_bytes() == (cache_folder() / asset.archive).read_bytes()


@pytest.mark.parametrize("suite", [*SUITES, "all"])
def test_the_assets_of_a_suite_are_fetched(suite):
    result = CliRunner().invoke(app, ["assets", "--suite", suite])
    assert result.exit_code == 0
    assert str(cache_folder()) in result.stdout.replace("\n", "")
    chosen = [asset for name, assets in SUITES.items() if suite in (name, "all") for asset in assets]
    assert chosen
    assert all((cache_folder() / asset.archive).is_file() for asset in chosen)


def test_every_archive_is_pinned_once():
    archives = {asset for assets in SUITES.values() for asset in assets}
    assert len({asset.archive for asset in archives}) == len(archives) == 12
    assert all(re.fullmatch("[0-9a-f]{64}", asset.sha256) for asset in archives)


@pytest.mark.parametrize("asset", [ENCODER, SENTENCES])
def test_a_damaged_cached_file_is_refused_and_left_alone(tmp_path, asset):
    (tmp_path / asset.archive).write_bytes(b"truncated")
    with pytest.raises(AssetError, match=f"must have SHA-256 {asset.sha256}, got .*: remove "):
        fetch(asset, tmp_path)
    assert (tmp_path / asset.archive).read_bytes() == b"truncated"


def test_the_encoder_is_unpacked_from_its_wheel(tmp_path):
    encoder_folder()  # so that the wheel is in the cache
    (tmp_path / ENCODER.archive).symlink_to(cache_folder() / ENCODER.archive)
    folder = encoder_folder(tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert {path.name for path in tmp_path.iterdir()} == {ENCODER.archive, folder.name}
    assert encoder_folder(tmp_path) == folder


def test_a_folder_that_another_process_made_first_is_taken_as_it_is(index, tmp_path):
    cache = tmp_path / "cache"

    def make(archive, scratch):
        for folder, name in ((cache / "made", "theirs"), (scratch / "made", "ours")):
            folder.mkdir()
            (folder / name).touch()
        return scratch / "made"

    asset = tiny(hashlib.sha256((index / WHEEL).read_bytes()).hexdigest())
    folder = made_folder("made", asset, make, cache)
    assert [path.name for path in folder.iterdir()] == ["theirs"]
    assert {path.name for path in cache.iterdir()} == {WHEEL, "made"}


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("QICIRCUITS_DATA", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere"


def test_a_checkout_keeps_its_own_cache(monkeypatch):
    monkeypatch.delenv("QICIRCUITS_DATA", raising=False)
    assert cache_folder() == Path(__file__).parents[2] / "data-cache"
