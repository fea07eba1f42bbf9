"""The entries that several questions share, so that each is run once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..cells import freeze_options
from ..profiles import Profile
from ..rivals import METHODS
from .entries import Entry

__all__ = ["ALL_LINEAR", "FULL", "HEAD", "LORA", "QUIC", "lora", "ours", "peers", "text_tasks"]

HEAD = Entry("head only", "probe", "head")
FULL = Entry("full fine-tuning", "other", "full", measures=("old_task",))
LORA = Entry("LoRA r=8", "rival", "lora", "r=8", measures=("old_task",))
QUIC = Entry("QuIC (1, 2)", "quic", "quic", "orders=1+2", measures=("jacobian", "old_task", "packing"))
"""Orders (1, 2), one block, Cayley map, outputs of query and value: what the questions vary."""

ALL_LINEAR = "all_linear"

# The title of each method, and a few sizes for a profile that is not thorough: small ones and one that is large.
_PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lora": ("LoRA", ("r=1", "r=8", "r=64")),
    "oft": ("OFT", ("oft_block_size=2", "oft_block_size=8", "oft_block_size=64")),
    "boft": ("BOFT", ("boft_block_size=4", "boft_block_size=16")),
    "hra": ("HRA", ("r=2", "r=16")),
    "road": ("RoAd", ("variant=road_1", "variant=road_4")),
    "psoft": ("PSOFT", ("r=16", "r=64", "r=128")),
    "vera": ("VeRA", ("r=16", "r=256", "r=1024")),
    "fourierft": ("FourierFT", ("n_frequency=100", "n_frequency=1000", "n_frequency=16000")),
    "ia3": ("IA3", ("side=out",)),
    "lokr": ("LoKr", ("r=1,decompose_factor=8", "r=16,decompose_factor=4")),
    "randlora": ("RandLoRA", ("r=384", "r=32")),
    "c3a": ("C3A", ("block_size=384", "block_size=48")),
    "tinylora": ("TinyLoRA", ("r=8,u=64", "r=32,u=1024")),
    "ether": ("ETHER", ("n_blocks=4", "n_blocks=4,plus")),
}


def ours(
    name: str,
    size: str,
    role: str = "quic",
    *,
    options: Mapping[str, Any] | None = None,
    targets: str = "attention_qv",
    layers: tuple[int, ...] | None = None,
    measures: tuple[str, ...] = (),
) -> Entry:
    """A QuIC adapter of another size, or with other options, modules or layers."""
    return Entry(name, role, "quic", size, freeze_options(options or {}), targets, layers, measures)


def lora(size: str) -> Entry:
    """LoRA at a size; r=8 is the one that is measured more closely."""
    return LORA if size == LORA.size else Entry(f"LoRA {size}", "rival", "lora", size)


def peers(profile: Profile) -> list[Entry]:
    """Every method that is neither ours, nor a control, nor the head or the whole model: all sizes, or a few."""
    found = []
    for name, (title, few) in _PEERS.items():
        role = "control" if name == "oft" else "other"
        for size in METHODS[name].sizes if profile.thorough else few:
            shown = size.replace("boft_", "").replace("oft_", "").replace(",", ", ")
            found.append(lora(size) if name == "lora" else Entry(f"{title} {shown}", role, name, size))
    return found


def text_tasks(profile: Profile, count: int = 2) -> tuple[str, ...]:
    """The text tasks that most questions use: all of a thorough profile, else the first few."""
    tasks = profile.tasks["text"]
    return tasks if profile.thorough else tasks[:count]
