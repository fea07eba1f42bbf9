"""RiemannianAdam: the same steps of rotations whatever the map, AdamW for the rest, in loops and in Trainer."""

import copy
import io
import itertools
import math
from typing import get_args

import pytest
import torch
from peft import get_peft_model
from tiny_models import IDS, bert, layers, turn
from torch import nn
from transformers import BertForSequenceClassification, Trainer, TrainingArguments

from adapters import QuICConfig, RiemannianAdam, riemannian_groups
from adapters.choices import ParameterMap
from adapters.logarithms import parameters_of_rotations
from adapters.maps import rotations
from qicircuits import is_orthogonal, random_orthogonal

GOAL = random_orthogonal(5, batch_shape=(3,), generator=torch.Generator().manual_seed(7))
MAPS = get_args(ParameterMap)
LABELS = torch.tensor([0, 1, 0])


def classifier(**values):
    config = QuICConfig(task_type="SEQ_CLS", target_modules=["query", "value"], **({"block_share": False} | values))
    return get_peft_model(bert(BertForSequenceClassification), config)


def near_identity(n, rows):
    """Rotations of moderate angles, which every map has numbers for."""
    skewed = 0.2 * torch.randn(rows, n, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    return torch.linalg.matrix_exp(skewed - skewed.mT)


def course(parameter_map, lr, *, steps=3, dtype=torch.float64, **values):
    """The rotations after some steps towards fixed ones, all maps from the same rotations."""
    start = near_identity(5, 3)
    theta = nn.Parameter(parameters_of_rotations(parameter_map, start, dtype))
    group = {"params": [theta], "parameter_map": parameter_map}
    optimizer = RiemannianAdam([group], lr=lr, damping=1e-10, **values)
    for _ in range(steps):
        optimizer.zero_grad()
        reached = rotations(parameter_map, [theta])[0]
        (reached - GOAL.to(dtype)).square().mul(torch.arange(1.0, 26).view(5, 5)).sum().backward()
        optimizer.step()
    return rotations(parameter_map, [theta.detach()])[0], start


@pytest.mark.parametrize("values", [{}, {"betas": (0.0, 0.0)}, {"betas": (0.9, 0.0), "eps": 1.0}])
def test_all_maps_take_the_same_steps_of_rotations_to_first_order(values):
    apart = []
    for lr in (1e-3, 5e-4):
        ends = {parameter_map: course(parameter_map, lr, **values)[0] for parameter_map in MAPS}
        moved = (ends["cayley"] - near_identity(5, 3)).norm()
        pairs = [(ends[one] - ends[other]).norm() for one, other in itertools.combinations(MAPS, 2)]
        apart.append(max(pairs))
        assert max(pairs) < 0.02 * moved
    assert apart[1] < 0.3 * apart[0]  # of second order: a quarter


def test_adam_on_the_numbers_does_not():
    ends = []
    for parameter_map in ("cayley", "rbs"):
        theta = nn.Parameter(parameters_of_rotations(parameter_map, near_identity(5, 1), torch.float64))
        optimizer = torch.optim.Adam([theta], lr=1e-3)
        weights = torch.randn(5, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        (rotations(parameter_map, [theta])[0] * weights).sum().backward()
        optimizer.step()
        step = rotations(parameter_map, [theta.detach()])[0] - near_identity(5, 1)
        ends.append(step / step.norm())
    assert (ends[0] - ends[1]).norm() > 0.2


@pytest.mark.parametrize("parameter_map", MAPS)
def test_the_first_step_turns_each_block_by_the_rate(parameter_map):
    ends, start = course(parameter_map, 1e-4, steps=1)
    angles = torch.linalg.eigvals(start.mT @ ends).angle().square().sum(-1).div(2).sqrt()
    torch.testing.assert_close(angles, torch.full_like(angles, 1e-4 * math.sqrt(10)), rtol=1e-2, atol=0)


@pytest.mark.parametrize("parameter_map", MAPS)
def test_float32_follows_float64_and_goes_downhill_to_rotations(parameter_map):
    wide, start = course(parameter_map, 0.02, steps=20)
    narrow, _ = course(parameter_map, 0.02, steps=20, dtype=torch.float32)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=0, atol=1e-3)
    assert is_orthogonal(wide)
    assert is_orthogonal(narrow, 1e-5)
    assert (wide - GOAL).norm() < (start - GOAL).norm()


@pytest.mark.parametrize("parameter_map", MAPS)
def test_a_rate_that_is_far_too_large_still_gives_rotations(parameter_map):
    ends, _ = course(parameter_map, 3.0, steps=30, dtype=torch.float32)
    assert is_orthogonal(ends, 1e-5)


def test_other_parameters_are_stepped_by_adamw():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    twin = copy.deepcopy(model)
    own = RiemannianAdam(model.parameters(), lr=0.01, weight_decay=0.1)
    usual = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(5):
        x = torch.randn(8, 4)
        for one, optimizer in ((model, own), (twin, usual)):
            optimizer.zero_grad()
            one(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(list(model.parameters()), list(twin.parameters()), rtol=1e-6, atol=1e-7)


SHAPES = [
    {"n_blocks": 2, "n_factors": 2},
    {"n_blocks": 2, "block_share": True, "parameter_map": "exponential"},
    {"side": "both", "scaling": True, "bias": "quic_only", "parameter_map": "rbs"},
    {"composition": "additive", "orders_pattern": {"value": (2,)}},
]


@pytest.mark.parametrize("values", SHAPES)
def test_groups_hold_every_parameter_once_and_rotations_with_their_map(values):
    model = classifier(**values)
    groups = riemannian_groups(model, 0.1)
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(of) == sum(len(group["params"]) for group in groups) == len(trained)
    for name, parameter in trained.items():
        is_rotation = "quic_parameters" in name or "quic_in_parameters" in name
        assert of[id(parameter)]["parameter_map"] == (values.get("parameter_map", "cayley") if is_rotation else None)
        decays = "classifier" in name and parameter.dim() > 1
        assert of[id(parameter)]["weight_decay"] == (0.1 if decays else 0.0)


@pytest.mark.parametrize("values", SHAPES)
def test_a_model_learns_stays_orthogonal_and_its_rotations_are_stepped_one_by_one(values):
    model = classifier(**values)
    turn(model, std=0.1)
    optimizer = RiemannianAdam(riemannian_groups(model, 0.01), lr=0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(IDS).logits, LABELS)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    for layer in layers(model).values():
        for own in layer.quic_turns["default"]:
            parameters = getattr(layer, own.parameters_in)["default"]
            assert is_orthogonal(own.rotation.matrices(parameters), 1e-5)
            assert optimizer.state[parameters]["exp_avg_sq"].shape == (len(parameters), 1)


def test_a_row_is_a_rotation_of_its_own():
    """What another block does, or whether its layer is stepped together with others, changes nothing."""
    torch.manual_seed(0)
    start, gradients = 0.3 * torch.randn(3, 10), torch.randn(3, 10)
    together, apart = nn.Parameter(start.clone()), [nn.Parameter(row.clone()[None]) for row in start]
    together.grad = gradients
    for parameter, gradient in zip(apart, gradients, strict=True):
        parameter.grad = gradient[None]
    for parameters in ([together], apart):
        RiemannianAdam([{"params": parameters, "parameter_map": "rbs"}], lr=0.1).step()
    torch.testing.assert_close(together.detach(), torch.cat([p.detach() for p in apart]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("parameter_map", MAPS)
def test_a_saved_state_goes_on_bit_by_bit(parameter_map):
    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(IDS).logits, LABELS).backward()
            optimizer.step()

    model = classifier(parameter_map=parameter_map, scaling=True)
    optimizer = RiemannianAdam(riemannian_groups(model, 0.01), lr=0.01)
    train(model, optimizer, 3)
    saved = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), saved)
    saved.seek(0)
    weights, state = torch.load(saved, weights_only=True)
    train(model, optimizer, 3)
    again = classifier(parameter_map=parameter_map, scaling=True)
    again.load_state_dict(weights)
    resumed = RiemannianAdam(riemannian_groups(again, 0.01), lr=0.5)
    resumed.load_state_dict(state)
    train(again, resumed, 3)
    for parameter, other in zip(model.parameters(), again.parameters(), strict=True):
        assert parameter.equal(other)


def test_closure_and_parameters_without_a_gradient():
    theta, idle = nn.Parameter(torch.zeros(1, 6)), nn.Parameter(torch.ones(2, 3))
    groups = [{"params": [theta, idle], "parameter_map": "exponential"}]
    optimizer = RiemannianAdam(groups, lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = rotations("exponential", [theta])[0][0, 0, 1]
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 0
    assert optimizer.step(closure).item() < 0
    assert idle.equal(torch.ones(2, 3))


@pytest.mark.parametrize("parameter_map", MAPS)
def test_a_gradient_of_zero_moves_nothing(parameter_map):
    theta = nn.Parameter(torch.full((2, 6), 0.1))
    theta.grad = torch.zeros_like(theta)
    RiemannianAdam([{"params": [theta], "parameter_map": parameter_map}], lr=0.1).step()
    assert theta.equal(torch.full((2, 6), 0.1))


@pytest.mark.parametrize("parameter_map", MAPS)
def test_trainer_trains_with_it(tmp_path, parameter_map):
    model = classifier(parameter_map=parameter_map)
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(IDS, LABELS, strict=True)] * 4
    arguments = TrainingArguments(
        str(tmp_path), max_steps=12, per_device_train_batch_size=6, report_to=[], use_cpu=True, save_strategy="no",
        logging_steps=1, dataloader_pin_memory=False,
    )  # fmt: skip
    optimizer = RiemannianAdam(riemannian_groups(model, 0.01), lr=0.03)
    trainer = Trainer(model, arguments, train_dataset=rows, optimizers=(optimizer, None))
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < 0.7 * losses[0]
    matrices = [layer.matrices("default") for layer in layers(model).values()]
    assert all(is_orthogonal(matrix, 1e-5) for matrix in matrices)
    assert all((matrix - torch.eye(matrix.shape[-1])).norm() > 1e-2 for matrix in matrices)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"lr": -1}, "lr must be at least 0 and finite, got -1"),
        ({"lr": math.nan}, "lr must be at least 0 and finite, got nan"),
        ({"eps": math.inf}, "eps must be at least 0 and finite, got inf"),
        ({"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\), got \(0.9, 1.0\)"),
        ({"damping": 0}, "damping must be positive and finite, got 0"),
        ({"weight_decay": 0.1}, "weight_decay of rotations must be 0, it would turn them back, got 0.1"),
    ],
)
def test_values_out_of_range_are_refused(values, rule):
    with pytest.raises(ValueError, match=rule):
        RiemannianAdam([{"params": [nn.Parameter(torch.zeros(1, 6))], "parameter_map": "cayley"}], **values)


def test_what_is_no_rotation_is_refused():
    optimizer = RiemannianAdam([nn.Parameter(torch.zeros(3))])
    for shape in ((6,), (1, 5), (2, 0), (1, 1, 6)):
        with pytest.raises(ValueError, match=r"parameters of rotations have shape \(rows, n\(n-1\)/2\), float32 or"):
            optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(shape))], "parameter_map": "rbs"})
    half = nn.Parameter(torch.zeros(1, 6, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match=r"float32 or float64, got \(1, 6\), torch\.bfloat16"):
        optimizer.add_param_group({"params": [half], "parameter_map": "rbs"})
    with pytest.raises(ValueError, match=r"parameter_map must be None or one of \('cayley'.*got 'euler'"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1, 6))], "parameter_map": "euler"})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="trained parameters is needed, got Linear without any"):
        riemannian_groups(nn.Linear(2, 2).requires_grad_(False), 0.1)


def test_numbers_that_are_not_finite_and_foreign_states_are_refused():
    theta = nn.Parameter(torch.full((1, 6), math.nan))
    theta.grad = torch.ones_like(theta)
    optimizer = RiemannianAdam([{"params": [theta], "parameter_map": "exponential"}])
    with pytest.raises(ValueError, match="numbers of a rotation must be finite, got NaN or infinity"):
        optimizer.step()
    for other in (RiemannianAdam([{"params": [theta], "parameter_map": "rbs"}]), torch.optim.AdamW([theta])):
        with pytest.raises(ValueError, match=r"groups with the maps \['exponential'\], got"):
            optimizer.load_state_dict(other.state_dict())
