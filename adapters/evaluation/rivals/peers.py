"""Methods of PEFT as rivals: their configurations, at a size, for the targets that all methods share."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from peft import (
    BOFTConfig,
    C3AConfig,
    FourierFTConfig,
    HRAConfig,
    IA3Config,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    PsoftConfig,
    RandLoraConfig,
    RoadConfig,
    TinyLoraConfig,
    VeraConfig,
    get_peft_model,
)
from torch import nn

from ...config import QuICConfig
from ...plan import plan_blocks
from .method import Attach, Count
from .parts import has_head, seeded

__all__ = ["PEERS", "Peer", "attach_peer", "peer_config"]


@dataclass(frozen=True)
class Peer:
    """How a method of PEFT takes part.

    Args:
        config: the class of its configuration.
        count: its trained numbers for one layer: (out features, in features, values).
        fixed: what is not PEFT's default, for every size.
        scaled: a field that is a multiple of r, and the multiple.
        seed: the field that takes the seed of what is drawn once and never trained.
    """

    config: type[PeftConfig]
    count: Count
    fixed: Mapping[str, Any] = field(default_factory=dict)
    scaled: tuple[str, int] | None = None
    seed: str | None = None


def _boft(out: int, into: int, v: Mapping[str, Any]) -> int:
    b = v["boft_block_size"]
    return int(v.get("boft_n_butterfly_factor", 1)) * (into // b) * b * b + out  # and a scale for each output


def _oft(out: int, into: int, v: Mapping[str, Any]) -> int:
    b = v["oft_block_size"]
    return (1 if v.get("block_share") else into // b) * (b * (b - 1) // 2)


def _lokr(out: int, into: int, v: Mapping[str, Any]) -> int:
    (out_1, out_2), (into_1, into_2) = (_nearest_factors(d, v.get("decompose_factor", -1)) for d in (out, into))
    r = v["r"]
    return out_1 * into_1 + (r * (out_2 + into_2) if r < max(out_2, into_2) / 2 else out_2 * into_2)


def _nearest_factors(d: int, factor: int) -> tuple[int, int]:
    """d as a product, smaller factor first: of `factor` where it divides d, else of the nearest to √d up to it."""
    if factor > 0 and d % factor == 0:
        return (factor, d // factor) if factor <= d // factor else (d // factor, factor)
    top = min(math.isqrt(d), factor if factor > 0 else d)
    first = next(m for m in range(top, 0, -1) if d % m == 0)
    return first, d // first


def _psoft(out: int, into: int, v: Mapping[str, Any]) -> int:
    return int(v["r"] * (v["r"] - 1) // 2 + 2 * v["r"])


def _randlora(out: int, into: int, v: Mapping[str, Any]) -> int:
    least = min(out, into)
    return int(-(-least // v["r"]) * (v["r"] + least))


def _road(out: int, into: int, v: Mapping[str, Any]) -> int:
    return {"road_1": 1, "road_2": 2, "road_4": 4}[v["variant"]] * out


def _quic(out: int, into: int, v: Mapping[str, Any]) -> int:
    names = ("n_blocks", "block_size", "block_share", "n_factors")
    options = {name: v[name] for name in names if name in v}
    side = v.get("side", "out")
    widths = {"out": [out], "in": [into], "both": [out, into]}[side]
    numbers = sum(plan_blocks(d, v.get("orders", (1, 2)), **options).n_parameters for d in widths)
    return numbers + (widths[0] if v.get("scaling") else 0)


PEERS: dict[str, Peer] = {
    "lora": Peer(LoraConfig, lambda out, into, v: v["r"] * (out + into), scaled=("lora_alpha", 2)),
    # The exact Cayley transform, as in its paper; PEFT's default is five terms of its series.
    "oft": Peer(OFTConfig, _oft, {"use_cayley_neumann": False}),
    "boft": Peer(BOFTConfig, _boft),
    "hra": Peer(HRAConfig, lambda out, into, v: v["r"] * into),
    "road": Peer(RoadConfig, _road),
    "psoft": Peer(PsoftConfig, _psoft, scaled=("psoft_alpha", 1), seed="random_seed"),
    "vera": Peer(
        VeraConfig, lambda out, into, v: v["r"] + out, {"save_projection": False}, seed="projection_prng_key"
    ),
    # Zero at the start: the random spectrum of its paper is a large change of layers as narrow as 384.
    "fourierft": Peer(
        FourierFTConfig, lambda out, into, v: v["n_frequency"], {"init_weights": True}, seed="random_loc_seed"
    ),
    "ia3": Peer(IA3Config, lambda out, into, v: into if v.get("side") == "in" else out),
    "lokr": Peer(LoKrConfig, _lokr, scaled=("alpha", 1)),
    "randlora": Peer(
        RandLoraConfig, _randlora, {"save_projection": False}, ("randlora_alpha", 20), "projection_prng_key"
    ),
    # Zero at the start, as the others: PEFT's default is a small random kernel.
    "c3a": Peer(C3AConfig, lambda out, into, v: out * into // v["block_size"], {"init_weights": True}),
    "tinylora": Peer(TinyLoraConfig, lambda out, into, v: v["u"], {"save_projection": False}, seed="projection_seed"),
    # One block where a size says nothing of blocks: sizes are compared, defaults are not.
    "quic": Peer(QuICConfig, _quic, {"block_share": False}),
}


def peer_config(
    method: str,
    values: Mapping[str, Any],
    targets: Sequence[str] | str,
    seed: int = 0,
    modules_to_save: Sequence[str] | None = None,
) -> PeftConfig:
    """The configuration of a method of PEFT, or of ours.

    Args:
        method: a key of `PEERS`.
        values: its size and options, fields of its configuration; for "ia3" `side`, "out" or "in", too.
        targets: names or suffixes of the layers to adapt, or "all-linear".
        seed: of what is drawn once and never trained.
        modules_to_save: modules that are trained in full beside it.

    Raises:
        ValueError: a value is no field of the configuration, or PEFT would leave it out.
    """
    peer = PEERS[method]
    fields = {**peer.fixed, **_derived(peer, values, seed), **values}
    if method == "ia3":
        fields["feedforward_modules"] = targets if fields.pop("side", "out") == "in" else []
    if method == "boft" and values.get("boft_n_butterfly_factor", 1) > 1 and not torch.cuda.is_available():
        raise ValueError("more than one butterfly factor needs a GPU: without one PEFT takes one factor in silence")
    if unknown := sorted(fields.keys() - peer.config.__dataclass_fields__.keys()):
        raise ValueError(f"{method!r} has the fields of {peer.config.__name__}, got {unknown}")
    names = targets if isinstance(targets, str) else list(targets)
    saved = None if modules_to_save is None else list(modules_to_save)
    with warnings.catch_warnings(action="ignore"):  # on projections that a seed brings back
        return peer.config(target_modules=names, modules_to_save=saved, **fields)


def _derived(peer: Peer, values: Mapping[str, Any], seed: int) -> dict[str, Any]:
    derived = {} if peer.seed is None else {peer.seed: seed}
    if peer.scaled is not None and "r" in values:
        name, multiple = peer.scaled
        derived[name] = multiple * values["r"]
    return derived


def attach_peer(method: str) -> Attach:
    """What puts a method of PEFT, or ours, into a model."""
    attach: Callable[..., nn.Module] = partial(_attach, method)
    return attach


def _attach(method: str, model: nn.Module, values: Mapping[str, Any], targets: Sequence[str], seed: int) -> nn.Module:
    config = peer_config(method, values, targets, seed, ["head"] if has_head(model) else None)
    with seeded(seed), warnings.catch_warnings(action="ignore"):  # PEFT's, on block sizes that it corrects
        return get_peft_model(model, config)
