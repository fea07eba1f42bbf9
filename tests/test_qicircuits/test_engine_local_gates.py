"""Gates on direct sums of sectors: the kernels agree with their slow twin, in value and in gradient."""

import numpy as np
import pytest
import torch

from qicircuits.engine.direct_sum import Selection, direct_sum
from qicircuits.engine.local_gates import (
    Circuit,
    Mix,
    Rotations,
    apply_circuit,
    apply_circuit_slowly,
    plan_mixes,
)

PAIR = Selection((0, 2), (1, 0)), Selection((0, 2), (0, 1))
TRIPLE = tuple(Selection((3, 1, 0), bits) for bits in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
MIXES = [
    Mix(PAIR, 0),
    Mix((Selection((1,), (1,)),), 4),
    Mix(TRIPLE, 5),
    Mix((Selection(parity_wires=(0, 1, 2), odd=1),), 14),
    Mix((Selection(),), 15),
]
SIZES = (2, 1, 3, 1, 1)


def unitaries(dtype):
    return torch.cat([torch.linalg.qr(torch.randn(size, size, dtype=dtype))[0].ravel() for size in SIZES])


@pytest.mark.parametrize(("n", "orders"), [(4, (0,)), (4, (4,)), (5, (2,)), (5, (0, 1, 2)), (6, (1, 3, 6))])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("batch", [1, 3])
def test_kernels_agree_with_their_twin(n, orders, dtype, batch):
    torch.manual_seed(n)
    space = direct_sum(n, orders)
    rotations = Rotations((0, 1, 3, 1, 2, 3, 0, 3), True, slice(0, 4)), Rotations((2, 0), False, slice(4, 5))
    steps = plan_mixes(MIXES[:2], space), rotations[0], plan_mixes(MIXES[2:], space), rotations[1]
    circuit = Circuit(space, steps)
    vectors = torch.randn(3, space.dim, dtype=dtype, requires_grad=True)
    angles = torch.randn(batch, 5, dtype=torch.float64, requires_grad=True)
    entries = torch.stack([unitaries(dtype) for _ in range(batch)]).requires_grad_()
    weights = torch.randn(3, space.dim, dtype=dtype)
    outputs = []
    for apply in (apply_circuit, apply_circuit_slowly):
        out = apply(vectors, angles, entries, circuit)
        loss = (out * weights).sum().abs()
        outputs.append((out.detach(), *torch.autograd.grad(loss, (vectors, angles, entries), allow_unused=True)))
    for fast, slow in zip(*outputs, strict=True):
        torch.testing.assert_close(fast, slow if slow is not None else torch.zeros_like(fast), rtol=0, atol=1e-12)


def test_groups_of_local_states_agree_on_the_other_wires():
    space = direct_sum(6, (1, 2, 4))
    for states in (PAIR, TRIPLE, (Selection((2,), (0,)), Selection((2,), (1,)))):
        groups = space.groups(states)
        own = list(states[0].wires)
        others = [wire for wire in range(6) if wire not in own]
        held = space.occupied[groups]
        assert groups.shape[1] > 0
        assert (held[:, :, others] == held[:1, :, others]).all()
        assert (held[:, :, own] == np.array([state.bits for state in states], dtype=bool)[:, None]).all()
        assert (space.find(space.occupied) == np.arange(space.dim)).all()


def test_memory_does_not_grow_with_the_depth():
    space = direct_sum(8, (3,))
    kept = []
    for depth in (2, 200):
        steps = (plan_mixes(MIXES, space), Rotations((0, 1), False, slice(0, 1))) * depth
        angles = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            apply_circuit(
                torch.ones(1, space.dim, dtype=torch.float64),
                angles,
                unitaries(torch.float64)[None],
                Circuit(space, steps),
            )
    assert kept[: len(kept) // 2] == kept[len(kept) // 2 :]
