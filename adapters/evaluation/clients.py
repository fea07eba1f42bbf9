"""The package clients that bring an archive: pip, npm and apt-get."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

__all__ = ["Client", "ClientError", "download"]

Client = Literal["pip", "pip-source", "npm", "apt"]
_UNREACHABLE = re.compile(
    r"new connection|connection broken|timed out|name resolution|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|"
    r"Could not resolve|Could not connect|Network is unreachable",
    re.IGNORECASE,
)


class ClientError(RuntimeError):
    """A package client could not download what it was asked for."""


def download(client: Client, requirement: str, archive: str, folder: Path) -> None:
    """Let a package client put an archive into a folder.

    Args:
        client: "pip" for a wheel, "pip-source" for a source archive, "npm" or "apt".
        requirement: package and version, as the client writes them.
        archive: file name of the archive; that of a wheel says which platform it is for.
        folder: an existing folder.

    Raises:
        ClientError: the client is not installed, its index cannot be reached, or it has no such package.
    """
    if client == "npm":
        _run("npm", ["npm", "pack", "--loglevel=error", requirement], requirement, folder)
    elif client == "apt":
        _apt(requirement, folder)
    else:
        name = requirement.partition("==")[0]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        command += ["--no-binary", name] if client == "pip-source" else ["--only-binary", name]
        _run("pip", [*command, *_platform(archive), "--dest", str(folder), requirement], requirement, folder)


def _platform(archive: str) -> list[str]:
    """Ask for the wheel of this name whatever machine we are on: only data is read from it."""
    tags = re.fullmatch(r".*-cp(\d)(\d+)-(cp\d+)-(.+)\.whl", archive)
    if tags is None:
        return []
    major, minor, abi, platforms = tags.groups()
    return [
        *("--python-version", f"{major}.{minor}", "--implementation", "cp", "--abi", abi),
        *(option for platform in platforms.split(".") for option in ("--platform", platform)),
    ]


def _apt(requirement: str, folder: Path) -> None:
    """Download with the lists of packages that are there; where they lack it, with new ones of our own."""
    try:
        _run("apt-get", ["apt-get", "download", requirement], requirement, folder)
    except ClientError:
        if shutil.which("apt-get") is None:
            raise
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        own = ["-o", f"Dir::State::Lists={lists}", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
        _run("apt-get", ["apt-get", *own, "update"], requirement, folder)
        _run("apt-get", ["apt-get", *own, "download", requirement], requirement, folder)
        shutil.rmtree(lists)


def _run(client: str, command: Sequence[str], requirement: str, folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise ClientError(f"{requirement} is fetched with {client}, which must be installed, got no such command")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    reasons = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    if any(_UNREACHABLE.search(line) for line in reasons):
        raise ClientError(f"{client} could not download {requirement}: the package index cannot be reached")
    raise ClientError(f"{client} could not download {requirement}: {reasons[-1]}")
