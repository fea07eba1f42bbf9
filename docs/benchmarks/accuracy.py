"""Measure how exactly circuit, simulator and compound agree, and what rounding costs: see --help.

Angles are drawn from [-pi, pi] with the seed. "device" is default.qubit on all 2^n amplitudes, "block" is
`weight_block`, "gates" and "compound" are the methods of `apply_layout`; the gradient is that of a fixed random
weighted sum of the block's entries with respect to the angles.
"""

import json
import math
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from qicircuits import (
    Layout,
    angles_from_orthogonal,
    apply_layout,
    cayley,
    compound_matrix,
    exponential,
    is_compound,
    orthogonal_from_angles,
    random_orthogonal,
    swap_network,
)
from qicircuits.circuits import orthogonal_layer, run_layer, weight_block
from qicircuits.orthogonal import skew
from qicircuits.testing import layout_cases


def block_and_gradient(block: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """A block, and the gradient of a fixed random weighted sum of its entries."""
    weights = torch.randn(block.shape, dtype=block.dtype, generator=torch.Generator().manual_seed(0))
    if not block.requires_grad:  # the sectors that no gate acts on
        return block, torch.zeros_like(angles)
    (gradient,) = torch.autograd.grad((weights * block).sum(), angles, allow_unused=True, materialize_grads=True)
    return block.detach(), gradient


def agreement(layout: Layout, gate: str, generator: torch.Generator, worst: dict[str, float]) -> None:
    """Bring the largest deviations up to date with every weight of a circuit; "no compound" is the smallest."""
    angles = (2 * torch.rand(layout.n_gates, dtype=torch.float64, generator=generator) - 1) * math.pi
    angles.requires_grad_()
    for order in range(layout.n + 1):
        unit = torch.eye(math.comb(layout.n, order), dtype=torch.float64)
        circuit = weight_block(lambda: orthogonal_layer(angles, layout, gate=gate), order, range(layout.n))
        block, gradient = block_and_gradient(torch.as_tensor(circuit), angles)
        simulated = block_and_gradient(apply_layout(unit, angles, layout, order, gate, method="gates").mT, angles)
        device = torch.from_numpy(run_layer(unit, angles.detach().numpy(), layout, order, gate).T.copy())
        minors = compound_matrix(orthogonal_from_angles(angles, layout), order)
        compound = block_and_gradient(minors, angles)
        found = {"block - device": block - device, "gates - device": simulated[0] - device}
        found["gradient: gates - block"] = simulated[1] - gradient
        if is_compound(layout, order, gate):
            found["compound - device"] = compound[0] - device
            found["gradient: compound - block"] = compound[1] - gradient
        else:
            distance = float((compound[0] - device).abs().max())
            worst["no compound: compound - device, smallest"] = min(
                worst.get("no compound: compound - device, smallest", math.inf), distance
            )
        for name, difference in found.items():
            worst[name] = max(worst.get(name, 0.0), float(difference.abs().max()) if difference.numel() else 0.0)


def round_trips(generator: torch.Generator) -> dict[str, float]:
    """The largest deviation of rotations from the circuits of their angles, n = 64."""
    matrix = random_orthogonal(64, batch_shape=(10,), generator=generator)
    return {
        f"angles of A and back, n = 64, {layout}": float(
            (orthogonal_from_angles(angles_from_orthogonal(matrix, layout), layout) - matrix).abs().max()
        )
        for layout in ("brickwork", "pyramid")
    }


def rounding(generator: torch.Generator) -> dict[str, float]:
    """max |A^T A - I| of float32 maps at n = 90: as they are, and with every step in float32."""
    n = 90
    found = {}
    for scale in (0.1, 1.0):
        parameters = scale * torch.randn(n * (n - 1) // 2, generator=generator)
        s, identity = skew(parameters), torch.eye(n)
        ways = {
            "cayley": (cayley(parameters), torch.linalg.solve(identity + s, identity - s)),
            "exponential": (exponential(parameters), torch.linalg.matrix_exp(s)),
            "rbs": (swap_network(parameters), orthogonal_from_angles(parameters)),
        }
        for name, matrices in ways.items():
            for how, a in zip(("ours", "all in float32"), matrices, strict=True):
                a = a.double()
                label = f"|A^T A - I|, n = 90, {name}, {how}"
                found[label] = max(found.get(label, 0.0), float((a.mT @ a - identity.double()).abs().max()))
    return found


def main(
    max_n: Annotated[int, typer.Option(help="Largest number of wires of the agreement.", min=1, max=10)] = 8,
    seed: Annotated[int, typer.Option(help="Seed of angles and matrices.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure agreement and rounding. Example: python docs/benchmarks/accuracy.py --max-n 6."""
    generator = torch.Generator().manual_seed(seed)
    worst: dict[str, float] = {}
    layouts = list(layout_cases(max_n, min_n=1))
    for layout in track(layouts, "Circuits", console=Console(stderr=True)):
        for gate in ("rbs", "fbs"):
            agreement(layout, gate, generator, worst)
    results = dict(sorted(worst.items())) | round_trips(generator) | rounding(generator)
    if as_json:
        print(json.dumps({"torch": torch.__version__, "numpy": np.__version__, "seed": seed, "results": results}))
        return
    table = Table("largest deviation of", "", title=f"seven layouts, both gates, n <= {max_n}, seed {seed}")
    for name, value in results.items():
        table.add_row(name, f"{value:.1e}" if value < 0.1 else f"{value:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
