"""Weight decay leaves adapters alone, in torch and in transformers' Trainer; starts go downhill."""

import math

import pytest
import torch
from peft import get_peft_model
from tiny_models import IDS, bert, layers, turn
from torch import nn
from transformers import BertForSequenceClassification, Trainer, TrainingArguments

from adapters import QuICConfig, UndecayedAngles, parameter_groups, start_from_gradient
from qicircuits import is_orthogonal


def classifier(**values):
    config = QuICConfig(task_type="SEQ_CLS", target_modules=["query"], **({"block_share": False} | values))
    return get_peft_model(bert(BertForSequenceClassification), config)


def test_groups_hold_every_trained_parameter_once_and_decay_no_adapter():
    model = classifier(side="both", scaling=True, bias="quic_only")
    decayed, kept = parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert [names[id(parameter)] for parameter in decayed["params"]] == [
        "base_model.model.classifier.modules_to_save.default.weight"
    ]
    assert (
        len(decayed["params"]) + len(kept["params"])
        == len(names)
        == len({id(parameter) for parameter in decayed["params"] + kept["params"]})
    )
    optimizer = torch.optim.AdamW([decayed, kept], lr=0.1)
    turn(model)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for parameter in decayed["params"] + kept["params"]:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = [name for name, parameter in model.named_parameters() if not parameter.equal(before[name])]
    assert moved == ["base_model.model.classifier.modules_to_save.default.weight"]


def test_trainer_decays_what_the_groups_decay(tmp_path):
    class AdapterTrainer(UndecayedAngles, Trainer):
        pass

    arguments = TrainingArguments(str(tmp_path), weight_decay=0.1, report_to=[], use_cpu=True)
    found = {}
    for kind in (Trainer, AdapterTrainer):
        model = classifier(scaling=True)
        optimizer = kind(model=model, args=arguments).create_optimizer()
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        found[kind] = [
            names[id(parameter)]
            for group in optimizer.param_groups
            for parameter in group["params"]
            if group["weight_decay"]
        ]
    assert found[AdapterTrainer] == ["base_model.model.classifier.modules_to_save.default.weight"]
    assert len(found[Trainer]) == 1 + 2 * len(layers(model))  # angles and scales: what the class is for


def test_groups_refuse():
    with pytest.raises(ValueError, match=r"weight_decay must be at least 0, got -0\.1"):
        parameter_groups(classifier(), -0.1)
    with pytest.raises(ValueError, match="weight_decay must be at least 0, got nan"):
        parameter_groups(classifier(), math.nan)
    with pytest.raises(ValueError, match="trained parameters is needed, got Linear without any"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), 0.1)


LABELS = torch.tensor([0, 1, 0])


def loss_of(model):
    return lambda rows: nn.functional.cross_entropy(model(IDS[rows]).logits, LABELS[rows])


@pytest.mark.parametrize("values", [{}, {"parameter_map": "rbs"}, {"parameter_map": "exponential", "side": "both"}])
def test_a_start_turns_downhill_by_the_angle_and_leaves_the_rest(values):
    model = classifier(**values, n_blocks=2)
    rest = {name: (p.clone(), p.grad) for name, p in model.named_parameters() if ".quic_" not in name}
    loss = loss_of(model)
    before = loss(slice(None)).item()
    found = start_from_gradient(model, [slice(0, 3), slice(0, 3)], loss, angle=0.02)
    assert found == pytest.approx(before)
    assert loss(slice(None)).item() < before
    angles = []
    for layer in layers(model).values():
        for turn_ in layer.quic_turns["default"]:
            matrices = turn_.rotation.matrices(getattr(layer, turn_.parameters_in)["default"]).double()
            assert is_orthogonal(matrices, 1e-6)
            angles.append(torch.linalg.eigvals(matrices).angle().square().sum(-1).div(2).sqrt().max().item())
    assert max(angles) == pytest.approx(0.02, rel=1e-3)
    for name, parameter in model.named_parameters():
        if name in rest:
            value, gradient = rest[name]
            assert parameter.equal(value)
            assert parameter.grad is gradient


def test_all_maps_start_at_the_same_rotation_to_first_order():
    rotations = []
    for parameter_map in ("cayley", "exponential"):
        model = classifier(parameter_map=parameter_map)
        start_from_gradient(model, [slice(None)], loss_of(model), angle=1e-3)
        rotations.append(torch.stack([layer.matrices("default") for layer in layers(model).values()]))
    torch.testing.assert_close(*rotations, rtol=0, atol=1e-6)


def test_a_start_refuses():
    model = classifier()
    loss = loss_of(model)
    for angle in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="angle must be positive and finite"):
            start_from_gradient(model, [slice(None)], loss, angle=angle)
    with pytest.raises(ValueError, match="at least one batch"):
        start_from_gradient(model, [], loss)
    with pytest.raises(ValueError, match="finite and not zero, got a largest length of 0"):
        start_from_gradient(model, [slice(None)], lambda rows: 0 * loss(rows))
    with pytest.raises(ValueError, match="trained QuIC adapters is needed, got Linear"):
        start_from_gradient(nn.Linear(2, 2), [slice(None)], loss)
    assert not any(layer.quic_parameters["default"].any() for layer in layers(model).values())
    turn(model)
    with pytest.raises(ValueError, match=r"R = I, got parameters that are not zero in .*layer\.0\.attention"):
        start_from_gradient(model, [slice(None)], loss)
