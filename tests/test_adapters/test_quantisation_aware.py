"""Training with rounded numbers: the straight-through estimator written out, checkpoints, transformers' Trainer."""

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from tiny_models import layers, turn
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from adapters import QuICConfig
from adapters.quantisation_aware import QuantisationAware, QuantisationAwareCallback
from adapters.quantise import quantise
from adapters.storage import pack_adapter
from qicircuits import is_orthogonal

INPUT = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
TARGET = torch.randn(16, 20, generator=torch.Generator().manual_seed(2))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(6, 20)
        self.second = nn.Linear(20, 20)

    def forward(self, x, labels=None):
        out = self.second(self.first(x).tanh())
        return out if labels is None else {"loss": (out - labels).square().mean(), "logits": out}


def adapted(std=0.0):
    model = get_peft_model(Net(), QuICConfig(target_modules=["first", "second"], n_blocks=2))
    turn(model, std=std)
    return model


def numbers(model):
    return [layer.quic_parameters["default"] for layer in layers(model).values()]


def step(model, optimizer):
    optimizer.zero_grad()
    (model(INPUT) - TARGET).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("bits", [16, 8, 4, 1])
@pytest.mark.parametrize("std", [0.0, 0.2])
def test_a_step_is_the_straight_through_estimator(bits, std):
    model, twin = adapted(std), adapted()
    for own, other in zip(numbers(model), numbers(twin), strict=True):
        other.data.copy_(own)
    unrounded = [own.detach().clone().requires_grad_() for own in numbers(model)]
    optimizer = torch.optim.AdamW(numbers(model), lr=0.05)
    slow = torch.optim.AdamW(unrounded, lr=0.05)
    with QuantisationAware(model, optimizer, bits):
        for _ in range(5):
            for own, theta in zip(numbers(twin), unrounded, strict=True):
                own.data.copy_(quantise(theta.detach(), bits))
            for own, other in zip(numbers(model), numbers(twin), strict=True):
                assert own.equal(other)
            twin.zero_grad()
            (twin(INPUT) - TARGET).square().mean().backward()
            for own, theta in zip(numbers(twin), unrounded, strict=True):
                theta.grad = own.grad.clone()
            slow.step()
            step(model, optimizer)
    for own, theta in zip(numbers(model), unrounded, strict=True):
        assert own.equal(quantise(theta.detach(), bits))
    assert all(is_orthogonal(layer.matrices("default").detach()) for layer in layers(model).values())


@pytest.mark.parametrize("bits", [4, 1])
def test_it_learns_and_what_is_saved_packs_without_loss(bits, tmp_path):
    model = adapted()
    before = float((model(INPUT) - TARGET).detach().square().mean())
    optimizer = torch.optim.AdamW(numbers(model), lr=0.02, weight_decay=0)
    with QuantisationAware(model, optimizer, bits):
        for _ in range(60):
            step(model, optimizer)
    trained = model.eval()(INPUT).detach()
    assert float((trained - TARGET).square().mean()) < 0.97 * before
    model.save_pretrained(tmp_path / "adapter")
    report = pack_adapter(tmp_path / "adapter", tmp_path / "small", bits)
    assert all(layer.frobenius < 1e-12 for layer in report.layers)
    assert PeftModel.from_pretrained(Net(), tmp_path / "small").eval()(INPUT).equal(trained)


@pytest.mark.parametrize("make", [lambda p: torch.optim.AdamW(p, lr=0.05), lambda p: torch.optim.SGD(p, lr=0.5)])
def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(make):
    model = adapted()
    optimizer = make(numbers(model))
    states = []
    with QuantisationAware(model, optimizer, 4):
        for _ in range(4):
            step(model, optimizer)
            states.append(copy.deepcopy((get_peft_model_state_dict(model), optimizer.state_dict())))
    for load_first in (True, False):
        again = adapted()
        own = make(numbers(again))
        again.load_state_dict({f"{name}.default": tensor for name, tensor in states[1][0].items()}, strict=False)
        if load_first:
            own.load_state_dict(copy.deepcopy(states[1][1]))
        with QuantisationAware(again, own, 4):
            if not load_first:
                own.load_state_dict(copy.deepcopy(states[1][1]))
            step(again, own)
            step(again, own)
        assert all(a.equal(b) for a, b in zip(numbers(again), numbers(model), strict=True))


def test_afterwards_the_optimizer_is_an_ordinary_one():
    model = adapted()
    optimizer = torch.optim.AdamW(numbers(model), lr=0.05)
    with QuantisationAware(model, optimizer, 1):
        step(model, optimizer)
    assert all(set(state) == {"step", "exp_avg", "exp_avg_sq"} for state in optimizer.state.values())
    step(model, optimizer)
    assert not any(own.equal(quantise(own.detach(), 1)) for own in numbers(model))


def test_an_optimizer_of_other_parameters_and_other_widths_are_refused():
    model = adapted()
    with pytest.raises(ValueError, match="must train numbers of the adapter"):
        QuantisationAware(model, torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1), 4)
    with pytest.raises(ValueError, match="bits must be one of"):
        QuantisationAwareCallback(2)


class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == 4


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
def test_the_trainer_resumes_to_the_same_numbers(tmp_path):
    rows = [{"x": x, "labels": y} for x, y in zip(INPUT, TARGET, strict=True)]

    def run(folder, *callbacks, resume=None):
        model = adapted()
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=4,
            num_train_epochs=2,
            save_steps=4,
            save_strategy="steps",
            report_to=[],
            learning_rate=0.02,
            logging_steps=100,
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(model, arguments, train_dataset=rows, callbacks=[QuantisationAwareCallback(4), *callbacks])
        trainer.train(resume_from_checkpoint=resume)
        return numbers(model)

    whole = run(tmp_path / "whole")
    run(tmp_path / "cut", Stop())
    resumed = run(tmp_path / "cut", resume=str(tmp_path / "cut" / "checkpoint-4"))
    assert all(own.equal(quantise(own.detach(), 4)) for own in whole)
    assert all(a.equal(b) for a, b in zip(whole, resumed, strict=True))
