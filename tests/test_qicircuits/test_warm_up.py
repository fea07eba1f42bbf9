"""Warming up: what it compiles is all that later calls need."""

import subprocess
import sys

import pytest
import torch

from qicircuits import warm_up


def test_later_calls_compile_nothing():
    program = """
import torch
from numba.core import event
from qicircuits import apply_layout, brickwork, cayley, compound_apply, random_orthogonal, round_robin, warm_up
from qicircuits.engine.dispatch import rotate_blocks
from qicircuits.free_fermion import sample

warm_up()
with event.install_recorder("numba:compile") as recorder:
    for dtype in (torch.float32, torch.float64):
        for layout in (brickwork(7), round_robin(7)):
            angles = torch.randn(layout.n_gates, dtype=dtype, requires_grad=True)
            for x in (torch.randn(35), torch.randn(100, 35), torch.randn(35, 9).mT):
                for order in (3, 4):
                    apply_layout(x.to(dtype).requires_grad_(), angles, layout, order).sum().backward()
        compound_apply(random_orthogonal(7, dtype=dtype), torch.randn(20, 35, dtype=dtype), 4)
        parameters = torch.randn(2, 15, dtype=dtype, requires_grad=True)
        sectors = [(1, 0, 6), (3, 6, 26), (2, 26, 41)]
        x = torch.randn(3, 90, dtype=dtype)
        rotate_blocks(x, cayley(parameters), torch.ones(90, dtype=dtype), sectors, 2, 41).sum().backward()
        sample(random_orthogonal(7, dtype=dtype)[:, :3], 20)
assert not recorder.buffer, [event.data["dispatcher"] for _, event in recorder.buffer]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_it_says_the_seconds_of_each_dtype():
    seconds = warm_up([torch.float64])
    assert list(seconds) == [torch.float64]
    assert seconds[torch.float64] > 0


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match=r"a dtype to warm up for must be float32 or float64, got torch.float16"):
        warm_up([torch.float16])
