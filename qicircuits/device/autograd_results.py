"""Results that autograd differentiates by the device's own derivatives, as it does any function of its numpy.

On PennyLane's way from autograd to a device the circuit is copied twice for each derivative, gate by gate, and that
takes longer than the simulation. Here autograd gets one function of all parameters instead, and nothing is copied.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from autograd import builtins
from autograd.extend import defvjp, primitive
from autograd.tracer import isbox
from pennylane.exceptions import DeviceError
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from .derivatives import vector_product
from .simulate import Run, exact_results, run

__all__ = ["autograd_results"]


def autograd_results(circuit: QuantumScript, wires: Wires) -> Any:
    """The results of a lowered circuit, traced if any of its parameters is.

    Args:
        circuit: made of what the device runs.
        wires: the wires of the device.
    """
    values = circuit.get_parameters(trainable_only=False)
    boxed = [number for number, value in enumerate(values) if isbox(value)]
    with torch.enable_grad():
        done = run(circuit, wires, trainable=boxed)
    results = exact_results(done, as_numpy=True)
    arrays = tuple(map(np.asarray, results)) if isinstance(results, tuple) else np.asarray(results)
    return _traced(builtins.list([values[number] for number in boxed]), arrays, done) if boxed else arrays


@primitive
def _traced(parameters: Sequence[Any], results: Any, done: Run) -> Any:
    """The results of a run, as a function of the parameters that are traced."""
    return results


def _products(results: Any, parameters: Sequence[Any], _: Any, done: Run) -> Callable[[Any], list[Any]]:
    if isbox(parameters):
        rule = 'derivatives of derivatives need diff_method="parameter-shift" and max_diff=2'
        raise DeviceError(f"{rule}: those of the device itself are of the first order")
    return lambda cotangent: list(vector_product(done, cotangent))


defvjp(_traced, _products, argnums=[0])
