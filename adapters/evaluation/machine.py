"""What is measured on, and how much memory the process takes."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

__all__ = ["cpu_name", "environment", "installed_versions", "peak_memory", "reset_peak_memory"]

_PACKAGES = ("torch", "transformers", "peft", "numba", "numpy", "qicircuits")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def environment() -> dict[str, Any]:
    """Machine, Python, versions of the packages that matter, and torch's threads, in JSON's types."""
    return _fixed() | {"threads": torch.get_num_threads()}


@functools.cache
def _fixed() -> dict[str, Any]:
    versions = installed_versions(_PACKAGES)
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "python": platform.python_version(), "versions": versions}


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of packages by name; those that are not installed are left out."""
    return {name: metadata.version(name) for name in packages if _is_installed(name)}


def _is_installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def cpu_name() -> str:
    """The processor's name, and the widest instructions that it has for matrices."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    model = re.search(r"^model name\s*: (.*)$", text, flags=re.MULTILINE)
    able = " with AMX bfloat16" if "amx_bf16" in text else " with AVX-512" if "avx512f" in text else ""
    return (model[1] if model else platform.machine()) + able


def reset_peak_memory() -> bool:
    """Let the largest resident memory start again at what is resident now; False where the system cannot."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def peak_memory() -> int | None:
    """Largest resident memory of the process since the last reset, in bytes; None where the system does not say."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text("utf-8"), flags=re.MULTILINE)
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None
