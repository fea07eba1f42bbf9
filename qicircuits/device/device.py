"""The device: PennyLane's circuits in, results and their derivatives out."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.exceptions import DeviceError
from pennylane.math import Interface
from pennylane.tape import QuantumScript
from pennylane.transforms.core import CompilePipeline
from pennylane.typing import TensorLike
from pennylane.wires import Wires

from .autograd_results import autograd_results
from .derivatives import as_torch_means_it, jacobian, vector_product
from .lowering import NAME, lower_to_subspace
from .simulate import Run, exact_results, run, sampled_results

__all__ = ["SubspaceDevice"]

_MOST_KEPT = 4


@simulator_tracking
@single_tape_support
class SubspaceDevice(Device):
    r"""``qicircuits.subspace``: circuits that preserve the Hamming weight, on the amplitudes of their weights only.

    A state of weight k on n wires has C(n, k) amplitudes instead of 2^n: 64 wires at weight 2 are 2,016. Circuits
    start from a basis state or from a ``StatePrep`` supported on few weights, and use gates that preserve the
    weight; any other is refused by name before anything runs. Results are those of ``default.qubit``, in double
    precision; ``sector_state`` and ``sector_probs`` return what belongs to given weights alone.

    Derivatives come from running the circuit backwards from its output, so that memory does not grow with depth:
    for torch and autograd as a function in their own graphs, for other interfaces, or with ``diff_method="adjoint"``,
    as the device's own vector-Jacobian product. Derivatives of derivatives come by torch, at a vector for each gate,
    and by ``diff_method="parameter-shift"``.

    Args:
        wires: the number of wires or their labels; the wires of each circuit if left out.
        shots: the default number of shots; ``qml.set_shots`` sets those of a QNode.
        seed: of the random numbers that samples are drawn with.

    >>> import pennylane as qml
    >>> from qicircuits.circuits import RBS
    >>> @qml.qnode(qml.device("qicircuits.subspace", wires=64))
    ... def circuit(theta):
    ...     qml.X(0)
    ...     qml.X(1)
    ...     RBS(theta, wires=[1, 63])
    ...     return qml.expval(qml.Z(63))
    >>> round(float(circuit(0.3)), 6)
    0.825336
    """

    name = NAME

    def __init__(
        self,
        wires: int | Iterable[Any] | None = None,
        shots: int | Sequence[int] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(wires=wires, shots=shots)
        self._rng = np.random.default_rng(seed)
        self._runs: OrderedDict[Any, Run] = OrderedDict()

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """Exact derivatives: backprop through torch or autograd, and the device's own for every interface."""
        if execution_config is None:
            return True
        if circuit is not None and circuit.shots:
            return False
        method = execution_config.gradient_method
        return method in ("best", "adjoint", "backprop", "device")

    def supports_vjp(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """Vector-Jacobian products are what the device computes; Jacobians are made of them."""
        return self.supports_derivatives(execution_config, circuit)

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Choose backprop for torch and autograd, and the device's own derivatives for all other interfaces.

        Raises:
            DeviceError: options are asked for that this device does not have.
        """
        config = config or ExecutionConfig()
        if config.device_options:
            raise DeviceError(f"{NAME} has no options of its own, got {sorted(config.device_options)}")
        if config.gradient_method not in ("best", "adjoint", "backprop", "device"):
            return config
        if config.interface == Interface.AUTO:
            return config  # asked again when the parameters have told
        in_graph = config.interface in (Interface.TORCH, Interface.AUTOGRAD)
        method = "backprop" if in_graph and config.gradient_method in ("best", "backprop") else "adjoint"
        return replace(
            config,
            gradient_method=method,
            use_device_gradient=True,
            use_device_jacobian_product=method == "adjoint",  # one pass backwards, where a Jacobian takes many
            grad_on_execution=False if config.grad_on_execution is None else config.grad_on_execution,
        )

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """Check the wires, decompose and refuse, in one pass: PennyLane's own transforms take a pass each."""
        program = CompilePipeline()
        program.add_transform(lower_to_subspace, self.wires)
        return program

    def execute(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """The results of lowered circuits."""
        config = execution_config or ExecutionConfig()
        return tuple(self._execute(circuit, config) for circuit in circuits)

    def _execute(self, circuit: QuantumScript, config: ExecutionConfig) -> Any:
        wires = self._wires_of(circuit)
        if circuit.shots:
            return sampled_results(circuit, run(circuit, wires), self._rng)
        if config.interface == Interface.AUTOGRAD and config.gradient_method == "backprop":
            return autograd_results(circuit, wires)
        differentiated = config.gradient_method == "adjoint" and config.interface != Interface.NUMPY
        if differentiated and circuit.trainable_params:
            return exact_results(self._kept_run(circuit, wires), as_numpy=True)
        done = run(circuit, wires)
        return exact_results(done, as_numpy=not done.has_tensors and config.interface != Interface.TORCH)

    def compute_vjp(
        self,
        circuits: Sequence[QuantumScript],
        cotangents: Sequence[TensorLike],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[tuple[TensorLike, ...], ...]:
        """For each circuit the products of a cotangent with the derivatives by all trainable parameters."""
        runs = [self._kept_run(circuit, self._wires_of(circuit)) for circuit in circuits]
        return _vector_products(runs, cotangents, execution_config)

    def execute_and_compute_vjp(
        self,
        circuits: Sequence[QuantumScript],
        cotangents: Sequence[TensorLike],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[tuple[Any, ...], tuple[tuple[TensorLike, ...], ...]]:
        """Results, and the products of `compute_vjp`, from one run."""
        runs = [self._kept_run(circuit, self._wires_of(circuit)) for circuit in circuits]
        results = tuple(exact_results(done, as_numpy=True) for done in runs)
        return results, _vector_products(runs, cotangents, execution_config)

    def compute_derivatives(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """For each circuit its Jacobian by all trainable parameters."""
        return tuple(jacobian(self._kept_run(c, self._wires_of(c))) for c in circuits)

    def execute_and_compute_derivatives(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Results and Jacobians, from one run."""
        runs = [self._kept_run(circuit, self._wires_of(circuit)) for circuit in circuits]
        results = tuple(exact_results(done, as_numpy=True) for done in runs)
        return results, tuple(map(jacobian, runs))

    def _wires_of(self, circuit: QuantumScript) -> Wires:
        return self.wires if self.wires is not None else circuit.wires

    def _kept_run(self, circuit: QuantumScript, wires: Wires) -> Run:
        """A run that can be differentiated; that of the last execution, if it was of the same circuit."""
        with torch.enable_grad():  # PennyLane calls from within torch's own functions, too
            fresh = run(circuit, wires, trainable=circuit.trainable_params, kept=self._runs)
        self._runs[fresh.key] = fresh
        self._runs.move_to_end(fresh.key)
        if len(self._runs) > _MOST_KEPT:
            self._runs.popitem(last=False)
        return fresh


def _vector_products(
    runs: Sequence[Run], cotangents: Sequence[TensorLike], config: ExecutionConfig | None
) -> tuple[tuple[TensorLike, ...], ...]:
    products = tuple(map(vector_product, runs, cotangents))
    by_torch = config is not None and config.interface == Interface.TORCH
    return tuple(map(as_torch_means_it, products)) if by_torch else products
