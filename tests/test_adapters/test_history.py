"""The recorder of training: what it records is what the adapter is, by hand, in the Trainer, and from a file."""

from typing import get_args

import numpy as np
import pytest
import torch
from peft import get_peft_model
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from transformers import Trainer, TrainingArguments

from adapters import QuICConfig
from adapters.choices import ParameterMap
from adapters.distance import distance_from_identity, eigenvalue_angles, turning_angles
from adapters.history import AdapterHistory
from adapters.plan import plan_blocks
from adapters.rotation import Rotation
from qicircuits import is_orthogonal
from qicircuits.drawing import draw_training

MAPS = get_args(ParameterMap)


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 20), nn.Linear(20, 14)

    def forward(self, x, labels=None):
        y = self.second(self.first(x).tanh())
        return {"loss": ((y - labels) ** 2).mean(), "logits": y}


def adapted(**config):
    return get_peft_model(
        Regression(), QuICConfig(target_modules=["first", "second"], **({"block_share": False} | config))
    )


def data():
    generator = torch.Generator().manual_seed(1)
    return [
        {"x": torch.randn(6, generator=generator), "labels": torch.randn(14, generator=generator)} for _ in range(24)
    ]


@pytest.mark.parametrize("parameter_map", MAPS)
@pytest.mark.parametrize("size", [0.0, 1e-6, 0.3, 2.0])
@pytest.mark.parametrize(
    "plan",
    [
        plan_blocks(20, (1, 2)),
        plan_blocks(33, (2, 1), n_blocks=2, block_share=True),
        plan_blocks(50, (3,), n_blocks=2),
        plan_blocks(32, (1, 4), n_blocks=2),
        plan_blocks(5, (1,)),
    ],
    ids=str,
)
def test_the_distance_is_that_of_the_matrix(plan, size, parameter_map):
    rotation = Rotation(plan, parameter_map)
    numbers = size * torch.randn(plan.parameter_shape, generator=torch.Generator().manual_seed(0)).double()
    matrix = rotation.apply(numbers, torch.eye(plan.features, dtype=torch.float64))
    expected = torch.linalg.matrix_norm(matrix - torch.eye(plan.features, dtype=torch.float64)).item()
    distance = distance_from_identity(eigenvalue_angles(rotation, numbers), plan)
    assert distance == pytest.approx(expected, rel=1e-8, abs=1e-13)


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_turning_angles_are_those_of_the_planes(n):
    generator = torch.Generator().manual_seed(n)
    basis = torch.linalg.qr(torch.randn(3, n, n, generator=generator, dtype=torch.float64)).Q
    thetas = torch.rand(3, n // 2, generator=generator, dtype=torch.float64) * 3
    blocks = torch.eye(n, dtype=torch.float64).repeat(3, 1, 1)
    for plane in range(n // 2):
        i, j = 2 * plane, 2 * plane + 1
        cos, sin = thetas[:, plane].cos(), thetas[:, plane].sin()
        blocks[:, i, i], blocks[:, j, j], blocks[:, i, j], blocks[:, j, i] = cos, cos, -sin, sin
    rotations = basis @ blocks @ basis.mT
    assert is_orthogonal(rotations)
    found = turning_angles(torch.linalg.eigvals(rotations).angle())
    torch.testing.assert_close(found, thetas.sort(descending=True).values)


def test_factors_are_summed_as_squares():
    plan = plan_blocks(24, (1, 2), n_blocks=2, n_factors=2)
    rotation = Rotation(plan, "cayley")
    numbers = torch.randn(plan.parameter_shape, generator=torch.Generator().manual_seed(0)).double()
    parts = [distance_from_identity(eigenvalue_angles(r, own), r.plan) for r, own in rotation.factors(numbers)]
    assert distance_from_identity(eigenvalue_angles(rotation, numbers), plan) == pytest.approx(np.hypot(*parts))


@pytest.mark.parametrize("parameter_map", MAPS)
def test_the_trainer_records_the_start_every_so_many_steps_and_the_end(tmp_path, parameter_map):
    model, history = adapted(parameter_map=parameter_map, n_blocks=2), AdapterHistory(every=2)
    args = TrainingArguments(
        tmp_path, max_steps=5, per_device_train_batch_size=8, learning_rate=0.1, report_to=[], save_strategy="no",
        use_cpu=True, logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model, args, train_dataset=data(), callbacks=[history])
    trainer.train()
    assert history.steps == [0, 2, 4, 5]
    assert list(history.parameters) == ["base_model.model.first", "base_model.model.second"]
    for name in history.parameters:
        layer = model.get_submodule(name)
        np.testing.assert_array_equal(history.parameters[name][-1], layer.quic_parameters["default"].detach().numpy())
        assert history.distances[name][0] == 0 < history.distances[name][1]
        assert not history.angles[name][0].any()
        assert history.angles[name].shape == (4, 2 * (layer.quic_rotation["default"].plan.n // 2))
    draw_training(history.angles, history.distances, history.steps)
    trainer.train()  # once more, from the start
    assert history.steps == [0, 2, 4, 5]
    assert history.distances["base_model.model.first"][0] > 0


def test_both_sides_of_a_layer_are_recorded():
    model, history = adapted(side="both", orders=(1,), init_weights=False), AdapterHistory()
    history.record(model, 0)
    assert list(history.distances) == [
        f"base_model.model.{part}" for part in ("first.out", "first.in", "second.out", "second.in")
    ]
    layer = model.base_model.model.first
    np.testing.assert_array_equal(
        history.parameters["base_model.model.first.out"][0], layer.quic_parameters["default"].detach()
    )
    np.testing.assert_array_equal(
        history.parameters["base_model.model.first.in"][0], layer.quic_in_parameters["default"].detach()
    )


def test_a_history_is_saved_and_loaded_whole(tmp_path):
    model, history = adapted(), AdapterHistory(every=3)
    for step in range(0, 9, 4):
        history.record(model, step)
        for name in ("first", "second"):
            nn.init.normal_(model.base_model.model.get_submodule(name).quic_parameters["default"], std=0.1)
    history.save(tmp_path / "history.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["history.npz"]
    loaded = AdapterHistory.load(tmp_path / "history.npz")
    assert (loaded.steps, loaded.every) == ([0, 4, 8], 3)
    for part in ("parameters", "angles", "distances"):
        one, two = getattr(history, part), getattr(loaded, part)
        assert list(one) == list(two)
        for name in one:
            assert one[name].dtype == two[name].dtype
            np.testing.assert_array_equal(one[name], two[name])
    loaded.record(model, 9)
    empty = tmp_path / "empty.npz"
    AdapterHistory().save(empty)
    assert AdapterHistory.load(empty).angles == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a history", b"arrays", None])
def test_what_is_no_history_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "other.npz"
    if content is None:
        np.savez(path, steps=np.array([object()], dtype=object), every=1)
    elif content == b"arrays":
        np.savez(path, steps=[0], every=1, **{"angles/a": [[0.1], [0.2]]})
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"a history is a file \.npz that AdapterHistory wrote, got .*other\.npz"):
        AdapterHistory.load(path)
    with pytest.raises(ValueError, match=r"a file \.npz, got .*json"):
        AdapterHistory().save(tmp_path / "history.json")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["other.npz"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    history, path = AdapterHistory(), tmp_path / "history.npz"
    history.save(path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space left"):
        history.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.npz"]


def test_the_adapter_must_be_one_and_the_same():
    model = adapted()
    history = AdapterHistory()
    history.record(model, 3)
    with pytest.raises(ValueError, match="steps must grow, got 3 after 3"):
        history.record(model, 3)
    with pytest.raises(ValueError, match="the same layers at every step"):
        history.record(adapted(n_blocks=2), 4)
    with pytest.raises(ValueError, match="QuIC adapters is needed, got Linear"):
        history.record(nn.Linear(2, 2), 4)
    with pytest.raises(TypeError, match="step must be an integer"):
        history.record(model, 3.5)
    with pytest.raises(ValueError, match="every must be at least 1, got every=0"):
        AdapterHistory(0)
    model.add_adapter("other", QuICConfig(target_modules=["first"], n_blocks=1))
    model.base_model.set_adapter(["default", "other"])
    with pytest.raises(ValueError, match=r"several are active, got \['default', 'other'\]"):
        history.record(model, 4)
    assert history.steps == [3]
    named = AdapterHistory(adapter_name="other")
    named.record(model, 0)
    assert list(named.distances) == ["base_model.model.first"]


def test_sharded_parameters_are_gathered(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = adapted(init_weights=False)
        whole = AdapterHistory()
        whole.record(model, 0)
        mesh = init_device_mesh("cpu", (1,))
        for name, placement in (("first", Shard(0)), ("second", Replicate())):
            layer = model.base_model.model.get_submodule(name)
            tensor = distribute_tensor(layer.quic_parameters["default"].detach(), mesh, [placement])
            layer.quic_parameters["default"] = nn.Parameter(tensor)
        sharded = AdapterHistory()
        sharded.record(model, 0)
        for name, values in whole.parameters.items():
            np.testing.assert_array_equal(sharded.parameters[name], values)
    finally:
        torch.distributed.destroy_process_group()
