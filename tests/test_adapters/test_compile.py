"""Adapters as circuits: every block of every kind verifies, and what is wrong does not."""

import dataclasses
from typing import get_args

import numpy as np
import pennylane as qml
import pytest
import qiskit_qasm3_import
import torch
from peft import get_peft_model
from qiskit import qasm2
from qiskit.quantum_info import Operator
from torch import nn

from adapters import QuICConfig, compile_adapter, verify_adapter
from adapters.choices import ParameterMap
from adapters.rotation import Rotation
from adapters.verify import check_blocks
from qicircuits import compound_matrix, is_orthogonal, orthogonal_from_angles
from qicircuits.subsets import subset_integers
from qicircuits.testing import assert_circuit_is_compound


def adapted(features=(20, 33), names=("first", "second"), **config):
    torch.manual_seed(0)
    model = nn.ModuleDict({name: nn.Linear(6, d) for name, d in zip(names, features, strict=True)})
    return get_peft_model(
        model, QuICConfig(target_modules=list(names), init_weights=False, **({"block_share": False} | config))
    )


CONFIGS = [
    {},
    {"parameter_map": "exponential", "orders": (2,)},
    {"parameter_map": "rbs", "orders": (3, 1)},
    {"n_blocks": 3, "side": "out", "orders": (1,)},
    {"block_size": 7, "block_share": True},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_every_block_is_its_circuit(config):
    model = adapted(**config)
    single, double = verify_adapter(model), verify_adapter(model, dtype=torch.float64)
    layers = [m for m in model.modules() if hasattr(m, "quic_rotation")]
    assert len(single.blocks) == sum(layer.quic_rotation["default"].plan.n_blocks for layer in layers)
    assert single.passed
    assert single.tolerance == 1e-6
    assert 0 < single.largest_deviation <= 1e-6
    assert double.passed
    assert double.tolerance == 1e-12
    assert double.largest_deviation <= 1e-12
    for check in double.blocks:
        assert check.n_gates == check.n * (check.n - 1) // 2


@pytest.mark.parametrize("layout", ["brickwork", "pyramid"])
def test_the_compiled_block_is_a_pennylane_circuit_with_the_blocks_matrix(layout):
    model = adapted(n_blocks=2)
    compiled = compile_adapter(model, "second", 1, layout=layout, dtype=torch.float64)
    layer = model.base_model.model["second"]
    rotation, parameters = layer.quic_rotation["default"], layer.quic_parameters["default"].detach()
    matrix = rotation.matrices(parameters.double())[1]
    assert compiled.module.endswith("second")
    assert compiled.orders == (1, 2)
    assert compiled.layout.name == layout
    torch.testing.assert_close(orthogonal_from_angles(compiled.angles, layout), matrix, rtol=0, atol=1e-12)
    assert_circuit_is_compound(compiled.template, matrix)
    amplitudes = compiled.qnode()(np.eye(2**compiled.layout.n)[1])  # the last wire is one
    ones = amplitudes[[2**wire for wire in range(compiled.layout.n)]][::-1].real
    torch.testing.assert_close(torch.from_numpy(ones.copy()), matrix[:, -1], rtol=0, atol=1e-12)


def test_the_template_queues_inside_a_users_qnode():
    compiled = compile_adapter(adapted(), "first")
    wires = range(compiled.layout.n)

    @qml.qnode(qml.device("default.qubit", wires=wires))
    def circuit():
        qml.BasisState([1] + [0] * (compiled.layout.n - 1), wires=wires)
        compiled.template()
        return qml.probs(wires=wires)

    assert qml.specs(circuit)()["resources"].gate_types["RBS"] == compiled.layout.n_gates


def test_a_large_block_is_verified_on_its_sectors_and_on_a_sample():
    model = adapted(features=(600, 300))
    report = verify_adapter(model)
    assert report.passed
    sizes = {check.module.rpartition(".")[2]: check for check in report.blocks}
    assert sizes["first"].n == 34
    assert sizes["first"].n_columns == 34 + 512  # of 561
    assert sizes["second"].n == 24
    assert sizes["second"].n_columns == 24 + 276
    again = verify_adapter(model)
    assert [check.deviation for check in report.blocks] == [check.deviation for check in again.blocks]


@pytest.mark.parametrize("spoil", [float("nan"), 1.0])
def test_a_rotation_that_is_not_the_circuit_does_not_pass(spoil, monkeypatch):
    model = adapted(features=(20, 20))
    apply = Rotation.apply

    def spoiled(self, parameters, x, **kwargs):
        out = apply(self, parameters, x, **kwargs)
        out[..., -1, -1] += 1e-5 * spoil  # outside the sectors: an untouched feature that is touched
        return out

    monkeypatch.setattr(Rotation, "apply", spoiled)
    report = verify_adapter(model)
    assert not report.passed
    assert not report.largest_deviation <= report.tolerance


def test_a_block_that_is_not_finite_does_not_pass():
    model = adapted()
    with torch.no_grad():
        model.base_model.model["first"].quic_parameters["default"].fill_(torch.nan)
    report = verify_adapter(model)
    assert not report.passed
    assert [check.module for check in report.blocks if not check.deviation <= 1e-6] == ["base_model.model.first"]


def test_adapters_on_different_modules_are_verified_each():
    model = adapted()
    model.add_adapter("other", QuICConfig(target_modules=["first"], n_blocks=1))
    assert [check.module.rpartition(".")[2] for check in verify_adapter(model).blocks] == ["first", "second"]
    assert len(verify_adapter(model, adapter_name="other").blocks) == 1
    model.base_model.set_adapter("other")
    assert len(verify_adapter(model).blocks) == 1
    model.base_model.set_adapter(["default", "other"])
    assert len(verify_adapter(model).blocks) == 3
    with pytest.raises(ValueError, match=r"got None, and \['default', 'other'\] are active"):
        compile_adapter(model, "first")
    assert compile_adapter(model, "first", adapter_name="other").angles.count_nonzero() == 0


def test_compiling_leaves_the_model_alone():
    model = adapted()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(2, 6)
    out = model.base_model.model["first"](x)
    verify_adapter(model, dtype=torch.float64)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert model.base_model.model["first"](x).equal(out)


def test_blocks_are_checked_one_by_one():
    model = adapted(n_blocks=2)
    checks = check_blocks(model)
    assert next(checks).block == 0
    assert [check.block for check in checks] == [1, 0, 1]
    assert dataclasses.astuple(verify_adapter(model).blocks[0])[:2] == ("base_model.model.first", 0)


@pytest.mark.parametrize("parameter_map", get_args(ParameterMap))
@pytest.mark.parametrize("layout", ["brickwork", "pyramid"])
def test_every_map_compiles_to_both_layouts(parameter_map, layout):
    model = adapted(parameter_map=parameter_map, orders=(3, 2, 1), features=(64, 33), n_blocks=1)
    for name in ("first", "second"):
        compiled = compile_adapter(model, name, layout=layout, dtype=torch.float64)
        layer = model.base_model.model[name]
        matrix = layer.quic_rotation["default"].matrices(layer.quic_parameters["default"].detach().double())[0]
        assert is_orthogonal(orthogonal_from_angles(compiled.angles, layout))
        for order in range(compiled.layout.n + 1):
            expected = compound_matrix(matrix, order)
            found = compiled.columns(order, list(range(len(expected))))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_angles_of_a_swap_network_are_the_trained_numbers():
    model = adapted(parameter_map="rbs", n_blocks=2)
    trained = model.base_model.model["second"].quic_parameters["default"].detach()
    compiled = compile_adapter(model, "second", 1)
    assert compiled.is_swap_network
    assert (compiled.angles - torch.pi / 2).float().equal(trained[1])
    assert compiled.output_wires == tuple(range(compiled.layout.n))[::-1]
    assert len(compiled.template()) == compiled.layout.n_gates  # and no swaps
    pyramid = compile_adapter(model, "second", 1, layout="pyramid")
    assert not pyramid.is_swap_network
    assert pyramid.output_wires == tuple(range(compiled.layout.n))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("parameter_map", ["cayley", "rbs"])
def test_qiskit_reads_the_circuit_of_a_block(parameter_map, version):
    compiled = compile_adapter(adapted(parameter_map=parameter_map), "first", dtype=torch.float64)
    program = compiled.to_openqasm(version)
    assert program.startswith("//") == compiled.is_swap_network
    circuit = qiskit_qasm3_import.parse(program) if version == 3 else qasm2.loads(program)
    unitary = Operator(circuit.reverse_bits()).data
    for order in range(compiled.layout.n + 1):
        states = subset_integers(compiled.layout.n, order)
        found = compiled.read_out(unitary[np.ix_(states, states)], order)
        expected = compiled.columns(order, list(range(len(states))))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_relabelled_wires_and_signs_are_the_wires_of_the_matrix():
    compiled = compile_adapter(adapted(parameter_map="rbs"), "first", dtype=torch.float64)
    model = orthogonal_from_angles(compiled.angles)
    n = compiled.layout.n
    amplitudes = np.random.default_rng(0).normal(size=(n, 2))
    expected = [(-1) ** i * amplitudes[wire] for i, wire in enumerate(compiled.output_wires)]
    np.testing.assert_array_equal(compiled.read_out(amplitudes, 1), expected)
    assert compiled.read_out(amplitudes[:, 0], 1).shape == (n,)
    np.testing.assert_allclose(compiled.read_out(model.numpy(), 1), compiled.columns(1, list(range(n))), atol=1e-12)


def test_bad_input_is_refused():
    model = adapted(n_blocks=2)
    with pytest.raises(ValueError, match=r"layout must be one of .* got 'butterfly'"):
        compile_adapter(model, "first", layout="butterfly")
    with pytest.raises(ValueError, match=r"must name one adapted module, such as .*first.* got 'third'"):
        compile_adapter(model, "third")
    with pytest.raises(ValueError, match=r"block must be in 0..1 for .*first, got 2"):
        compile_adapter(model, "first", 2)
    with pytest.raises(ValueError, match=r"block must be in 0..1"):
        compile_adapter(model, "first", -1)
    with pytest.raises(ValueError, match=r"one of \['default'\] for .*first, got 'other'"):
        compile_adapter(model, "first", adapter_name="other")
    with pytest.raises(ValueError, match=r"adapter_name must be one of \['default'\], got 'other'"):
        verify_adapter(model, adapter_name="other")
    with pytest.raises(ValueError, match=r"float32 or float64, got dtype=torch\.bfloat16"):
        verify_adapter(model, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="a model with QuIC adapters is needed, got Linear"):
        verify_adapter(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"block must be an integer, got 0\.0"):
        compile_adapter(model, "first", 0.0)
