"""Adapted models under tools of torch: compile without a graph break, export, data-parallel and sharded training."""

import os
from typing import get_args

import pytest
import torch
from peft import get_peft_model
from tiny_models import IDS, bert, turn
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from adapters import QuICConfig
from adapters.choices import ParameterMap

MAPS = get_args(ParameterMap)


def adapted_bert():
    torch.manual_seed(0)
    model = get_peft_model(bert(), QuICConfig(target_modules="all-linear", n_blocks=1))
    turn(model)
    return model


def adapted_layers(parameter_map="cayley"):
    torch.manual_seed(0)
    model = get_peft_model(
        nn.Sequential(nn.Linear(24, 30), nn.Tanh(), nn.Linear(30, 28, bias=False), nn.Tanh(), nn.Linear(28, 2)),
        QuICConfig(target_modules=["0", "2"], n_blocks=2, orders=(1, 2, 3), parameter_map=parameter_map),
    )
    turn(model)
    return model


def batch():
    torch.manual_seed(1)
    return torch.randn(8, 24)


def gradients(model, loss):
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_alike(actual, expected):
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=1e-5 * float(1 + gradient.abs().max()))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_transformer_compiles_without_a_graph_break():
    model = adapted_bert()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected, actual = (run(IDS).pooler_output for run in (model, compiled))
    torch.testing.assert_close(actual, expected)
    assert_alike(gradients(model, actual.square().sum()), gradients(model, expected.square().sum()))


@pytest.mark.parametrize("parameter_map", MAPS)
def test_layers_of_every_map_compile_without_a_graph_break(parameter_map):
    model = adapted_layers(parameter_map)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected, actual = (run(batch()) for run in (model, compiled))
    torch.testing.assert_close(actual, expected)
    assert_alike(gradients(model, actual.square().sum()), gradients(model, expected.square().sum()))


@pytest.mark.parametrize("parameter_map", MAPS)
def test_a_model_is_exported_for_any_number_of_rows(parameter_map):
    model = adapted_layers(parameter_map).eval()
    exported = torch.export.export(
        model.get_base_model(), (torch.randn(4, 24),), dynamic_shapes=({0: torch.export.Dim("rows")},)
    )
    for rows in (2, 9):
        x = torch.randn(rows, 24)
        torch.testing.assert_close(exported.module()(x), model(x))


def _train(rank, folder, queue):
    """Gradients of one of two processes, on its half of the batch."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    half = batch()[4 * rank : 4 * rank + 4]
    model = adapted_layers()
    replica = DistributedDataParallel(model)
    parallel = gradients(model, replica(half).square().mean())
    model = adapted_layers()
    mesh = init_device_mesh("cpu", (2,))
    for layer in (model.get_base_model()[0], model.get_base_model()[2]):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    model(half).square().mean().backward()
    sharded = {name: p.grad.full_tensor() for name, p in model.named_parameters() if p.grad is not None}
    if rank == 0:
        queue.put([{name: g.numpy() for name, g in found.items()} for found in (parallel, sharded)])
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.integration
def test_two_processes_train_as_one(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    children = [context.Process(target=_train, args=(rank, tmp_path, queue), daemon=True) for rank in range(2)]
    for child in children:
        child.start()
    found = queue.get(timeout=120)
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    model = adapted_layers()
    expected = gradients(model, model(batch()).square().mean())
    for gradients_of_two in found:
        assert set(gradients_of_two) == set(expected)
        assert_alike({name: torch.from_numpy(g) for name, g in gradients_of_two.items()}, expected)
