"""Checkpoints of the paper's own layers, n×n arrays for each block, taken over into a QuIC adapter."""

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor, nn

from .compile import adapted_layers
from .layer import QuICLayer

__all__ = ["load_paper_checkpoint"]


def load_paper_checkpoint(
    model: nn.Module,
    file: Path,
    *,
    cayley: Literal["plus", "minus"] = "plus",
    vectors: Literal["rows", "columns"] = "rows",
    adapter_name: str | None = None,
) -> tuple[str, ...]:
    """Give a model's adapter the rotations of a checkpoint that holds a full n×n array M for every block.

    With S = (M - M^T)/2 its blocks are Q = (I + S)(I - S)^(-1) ("plus") or (I - S)(I + S)^(-1) ("minus"); ours is the
    latter, of the upper triangle of S alone. Its features are row vectors, x -> x R with R = ⊕ [⊕_k C_k(Q) ⊕ I]; ours
    are columns, x -> R x, hence A = Q^T. The symmetric part of M has no effect and is left out. Which side of W is
    rotated is the configuration's `side`: W' = R^T W or W R^T with R for rows; orders and blocks are its, too.

    Args:
        model: a model with a QuIC adapter of the map "cayley" and one factor, on one side, as the checkpoint has it.
        file: .safetensors or .npz, with an array of shape (N, n, n), or (n, n) for one block, for every adapted
            module, named as the module or as something inside it.
        cayley: the sign of the checkpoint's Cayley transform.
        vectors: whether its features are multiplied as rows, from the right, or as columns.
        adapter_name: the adapter; the active one if left out.

    Returns:
        the names of arrays that belong to no adapted module, such as those of a head.

    Raises:
        ValueError: the file is a pickle, or not readable; an array is missing, of another shape or not finite; or the
            adapter is of another kind. The model is as it was then.

    Reference:
        S. Raj and B. Coyle, arXiv:2502.06916.
    """
    for name, value, allowed in (("cayley", cayley, ("plus", "minus")), ("vectors", vectors, ("rows", "columns"))):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
    arrays = {name.removeprefix("base_model.model."): array for name, array in _read(Path(file)).items()}
    used, found = set(), []
    for path, layer, adapter in adapted_layers(model, adapter_name):
        module = path.removeprefix("base_model.model.")
        _check_kind(module, layer, adapter)
        names = [name for name in arrays if name == module or name.startswith(f"{module}.")]
        if len(names) != 1:
            raise ValueError(f"{module}: the file must hold one array for it, got {names or 'none'} in {file}")
        numbers = _numbers(arrays[names[0]], layer, adapter, f"{names[0]} in {file}")
        # A transpose changes the sign of S, as does the other Cayley transform.
        found.append(
            (layer.quic_parameters[adapter], -numbers if (cayley == "plus") != (vectors == "rows") else numbers)
        )
        used.update(names)
    with torch.no_grad():
        for parameters, numbers in found:
            parameters.copy_(numbers)
    return tuple(name for name in arrays if name not in used)


_DAMAGE = (SafetensorError, OSError, ValueError, EOFError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile)
"""What readers raise where bytes are wrong: to zipfile a damaged member may look encrypted or unknown."""


def _read(file: Path) -> dict[str, np.ndarray]:
    if file.suffix not in (".safetensors", ".npz"):
        raise ValueError(
            f"a checkpoint must be a .safetensors or .npz file, got {file.name}: a pickle can run any code while it "
            "is read, so save its arrays by safetensors.torch.save_file or numpy.savez where you trust it"
        )
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # Opened here: numpy leaves a file open that is none of its own.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except _DAMAGE as error:
        raise ValueError(f"a checkpoint must be a complete file of numbers, got {file}: {error}") from error


def _check_kind(module: str, layer: QuICLayer, adapter: str) -> None:
    rotation = layer.quic_rotation[adapter]
    kind = (rotation.parameter_map, rotation.plan.n_factors, len(layer.quic_turns[adapter]))
    if kind != ("cayley", 1, 1):
        raise ValueError(
            f"{module}: the paper's layers have parameter_map='cayley', one factor and one side, got {kind[0]!r}, "
            f"n_factors={kind[1]} and {kind[2]} side{'s' * (kind[2] > 1)}"
        )


def _numbers(array: np.ndarray, layer: QuICLayer, adapter: str, place: str) -> Tensor:
    """The strict upper triangle of S for each block, shape (N, n(n-1)/2)."""
    plan = layer.quic_rotation[adapter].plan
    shape = (plan.parameter_shape[0], plan.n, plan.n)
    if array.shape != shape and (1, *array.shape) != shape:
        raise ValueError(f"an array must have shape {shape} for {plan}, got {array.shape} for {place}")
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"an array must hold finite floating-point numbers, got {array.dtype} for {place}")
    full = torch.from_numpy(array.astype(np.float64)).reshape(shape)
    rows, columns = torch.triu_indices(plan.n, plan.n, 1)
    return ((full - full.mT) / 2)[:, rows, columns]
