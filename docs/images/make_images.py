"""Make the pictures of the README with the public API: run `python docs/images/make_images.py`."""

from pathlib import Path

import torch

from adapters.plan import plan_blocks
from qicircuits import (
    angles_from_orthogonal,
    brickwork,
    butterfly,
    pyramid,
    random_orthogonal,
    round_robin,
    v_shape,
    x_shape,
)
from qicircuits.drawing import draw_adapter, draw_circuit, draw_layout

HERE = Path(__file__).parent


def main() -> None:
    generator = torch.Generator().manual_seed(7)
    matrix = random_orthogonal(6, generator=generator, dtype=torch.float64)
    circuit = draw_circuit(brickwork(6), angles_from_orthogonal(matrix, "brickwork"))
    circuit.figure.savefig(HERE / "circuit.png")
    draw_adapter(plan_blocks(128, (1, 2), n_blocks=2)).figure.savefig(HERE / "adapter.png")
    layouts = draw_layout(brickwork(6), pyramid(6), butterfly(8), x_shape(6), v_shape(6), round_robin(6))
    layouts.savefig(HERE / "layouts.png", dpi=110)


if __name__ == "__main__":
    main()
