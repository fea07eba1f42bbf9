"""Adapters with an idea taken away, for comparisons: the identity at the start, and otherwise as the others."""

import itertools
import json
import math

import pytest
import torch
from peft import PeftModel, get_peft_model
from tiny_models import bert, layers, output, turn
from torch import nn

from adapters import QuICConfig, compile_adapter, start_from_gradient
from adapters.ablation import AblatedRotation, sector_matrix
from adapters.plan import plan_blocks
from adapters.rotation import Rotation
from qicircuits import compound_matrix, random_orthogonal, subsets

ABLATIONS = [
    {"constraint": "free"},
    {"operation": "permanent"},
    {"operation": "max"},
    {"operation": "mean"},
    {"constraint": "free", "operation": "mean"},
    {"parameter_map": "rbs", "start": "zero"},
]
FORMS = [{}, {"side": "in"}, {"side": "both", "scaling": True}, {"n_blocks": 2, "orders": (2,), "n_factors": 2}]


def adapted(**options):
    return get_peft_model(
        bert(), QuICConfig(target_modules=["query", "value"], **({"block_share": False} | options))
    ).eval()


@pytest.mark.parametrize("form", [*FORMS, {"composition": "additive"}], ids=str)
@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_outputs_are_those_of_the_base_model_at_the_start(ablation, form):
    assert output(adapted(**ablation, **form)).equal(output(bert()))


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_inside_autocast_they_are_computed_in_float32(ablation):
    model = adapted(**ablation)
    with torch.autocast("cpu", torch.bfloat16):
        assert output(model).equal(output(bert()))
    turn(model, std=0.1)
    layer = next(iter(layers(model).values()))
    (found,) = layer.quic_turns["default"]
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    expected = found.apply(layer.matrices("default"), None, x, None)
    with torch.autocast("cpu", torch.bfloat16):
        assert found.apply(layer.matrices("default"), None, x, None).equal(expected)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_merging_keeps_the_outputs_and_unmerging_the_weights(ablation, form):
    model = adapted(**ablation, **form)
    turn(model, std=0.1)
    before, weights = output(model), {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    model.merge_adapter()
    assert torch.allclose(output(model), before, atol=1e-4)
    assert not torch.allclose(before, output(bert()), atol=1e-3)
    model.unmerge_adapter()
    for name, layer in layers(model).items():
        assert torch.allclose(layer.base_layer.weight, weights[name], atol=1e-3)


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_saving_and_loading_keeps_the_outputs(ablation, tmp_path):
    model = adapted(**ablation)
    turn(model, std=0.1)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["config_version"] == 4
    assert output(PeftModel.from_pretrained(bert(), str(tmp_path)).eval()).equal(output(model))


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_every_order_gets_a_gradient_at_the_start(ablation):
    for orders in ((1,), (2,), (3,), (2, 3)):
        if ablation.get("operation") and orders == (1,):
            continue  # a 1×1 matrix is its determinant
        model = adapted(**ablation, orders=orders)
        output(model).square().sum().backward()
        assert all(layer.quic_parameters["default"].grad.abs().max() > 0 for layer in layers(model).values())


def test_a_free_matrix_has_n_squared_numbers():
    for layer in layers(adapted(constraint="free", orders=(1, 2), n_blocks=2)).values():
        assert layer.quic_parameters["default"].shape == (2, 5**2)  # 5 + 10 of 16 features


def slow(operation, part):
    """f of a matrix, by its definition."""
    k = len(part)
    if operation == "permanent":
        return sum(math.prod(part[i][p[i]] for i in range(k)) for p in itertools.permutations(range(k)))
    entries = [entry for row in part for entry in row]
    return max(entries) if operation == "max" else sum(entries) / len(entries)


@pytest.mark.parametrize("operation", ["permanent", "max", "mean"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_sector_is_what_its_definition_says(operation, order):
    n = 4
    matrix = torch.randn(n, n, generator=torch.Generator().manual_seed(order), dtype=torch.float64)
    found = sector_matrix(matrix, order, operation)
    for i, rows in enumerate(subsets(n, order)):
        for j, columns in enumerate(subsets(n, order)):
            own = slow(operation, [[matrix[a, b].item() for b in columns] for a in rows])
            unit = slow(operation, [[float(a == b) for b in columns] for a in rows])
            assert found[i, j].item() == pytest.approx(float(i == j) + own - unit)


def test_with_no_idea_taken_away_it_is_the_rotation():
    plan = plan_blocks(30, (1, 2, 3), n_blocks=2, n_factors=2)
    numbers = torch.randn(plan.parameter_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.randn(3, plan.features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    slow_one, fast_one = AblatedRotation(plan, "cayley"), Rotation(plan, "cayley")
    for transpose in (False, True):
        expected = fast_one.apply(numbers, x, transpose=transpose)
        assert torch.allclose(slow_one.apply(numbers, x, transpose=transpose), expected, atol=1e-12)
        assert torch.allclose(slow_one.undo(numbers, expected, transpose=transpose), x, atol=1e-12)


def test_determinants_of_any_matrix_are_its_compound():
    n, orders = 4, (1, 2)
    plan = plan_blocks(10, orders)
    numbers = torch.randn(1, n * n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = torch.eye(n, dtype=torch.float64) + numbers.reshape(n, n)
    blocks = torch.block_diag(*(compound_matrix(matrix, order) for order in orders))
    assert torch.allclose(AblatedRotation(plan, "free").apply(numbers, torch.eye(10).double()).mT, blocks)


def test_permanents_of_rotations_do_not_rotate():
    rotation = random_orthogonal(5, generator=torch.Generator().manual_seed(0)).double()
    matrix = sector_matrix(rotation, 2, "permanent")
    assert not torch.allclose(matrix @ matrix.mT, torch.eye(10).double(), atol=1e-2)


def test_zero_angles_are_a_start_of_lower_rank():
    plan = plan_blocks(5, (1,))
    start = torch.zeros(plan.parameter_shape, dtype=torch.float64)
    ranks = []
    for rotation in (AblatedRotation(plan, "rbs from zero"), Rotation(plan, "rbs")):
        jacobian = torch.autograd.functional.jacobian(rotation.matrices, start).reshape(25, 10)
        ranks.append(torch.linalg.matrix_rank(jacobian).item())
    assert ranks == [plan.n - 1, plan.n * (plan.n - 1) // 2]


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_mixed_batches_take_each_row_by_its_adapter(ablation):
    model = adapted()
    model.add_adapter("other", QuICConfig(target_modules=["query", "value"], **({"block_share": False} | ablation)))
    for name in ("default", "other"):
        turn(model, name, std=0.1)
    names = ["other", "default", "__base__"]
    mixed = output(model, adapter_names=names)
    for row, name in enumerate(names[:2]):
        model.set_adapter(name)
        assert torch.allclose(output(model)[row], mixed[row], atol=1e-5)
    assert torch.allclose(output(bert())[2], mixed[2], atol=1e-5)


def test_what_needs_a_circuit_refuses_an_ablation():
    model = adapted(operation="mean")
    with pytest.raises(ValueError, match="needs an adapter without ablations"):
        compile_adapter(model, "encoder.layer.0.attention.self.query")
    with pytest.raises(ValueError, match="needs compounds of rotations, got others in"):
        start_from_gradient(model, [0], lambda _: nn.functional.mse_loss(output(model), torch.zeros(3, 32)))
    with pytest.raises(ValueError, match=r"must be rotations alone, got .* or an ablation"):
        model.add_weighted_adapter(["default"], [0.5], "half")


@pytest.mark.parametrize(
    ("message", "values"),
    [
        (r"operation must be one of .*, got 'sum'", {"operation": "sum"}),
        (r"constraint must be one of .*, got 'none'", {"constraint": "none"}),
        (r"start must be one of .*, got 'one'", {"start": "one"}),
        ("start='zero' needs parameter_map='rbs', got 'cayley'", {"start": "zero"}),
        ("constraint='free' has no map, .*, got 'rbs'", {"constraint": "free", "parameter_map": "rbs"}),
    ],
)
def test_impossible_choices_are_refused(message, values):
    with pytest.raises(ValueError, match=message):
        QuICConfig(**({"block_share": False, "target_modules": None} | values))
