"""Several factors: R is their product, mixes more than one factor does, and lives as a layer with one does."""

import json
from typing import get_args

import pytest
import torch
from peft import PeftModel, get_peft_model
from tiny_models import bert, layers, output, turn

from adapters import QuICConfig, compile_adapter, rows, verify_adapter
from adapters.choices import ParameterMap
from adapters.mixing import count_apart, factors_to_mix, positions
from adapters.plan import plan_blocks
from adapters.resources import saved_blocks
from adapters.rotation import Rotation
from adapters.verify import verify_saved
from qicircuits import compound_matrix, is_orthogonal
from qicircuits.resources import describe_blocks

FORMS = ({"n_blocks": 2}, {"block_size": 11}, {"n_blocks": 2, "block_share": True}, {"block_size": 20})


def rotation_and_parameters(n_factors, orders=(1, 2), form=None, parameter_map="cayley"):
    plan = plan_blocks(25, orders, n_factors=n_factors, **(form or {"n_blocks": 2}))
    torch.manual_seed(0)
    return Rotation(plan, parameter_map), torch.randn(plan.parameter_shape, dtype=torch.float64) / 2


def built(rotation, parameters):
    """R, by its definition."""
    plan, result = rotation.plan, torch.eye(rotation.plan.features, dtype=torch.float64)
    matrices = rotation.matrices(parameters)
    rows = 1 if plan.block_share else plan.n_blocks
    for factor in range(plan.n_factors):
        parts = []
        for index in range(plan.n_blocks):
            matrix = matrices[factor * rows + (0 if plan.block_share else index)]
            parts += [compound_matrix(matrix, order) for order in plan.orders] + [torch.eye(plan.pad)]
        blocks = torch.block_diag(*parts, torch.eye(plan.untouched)).double()
        shuffle = torch.zeros_like(blocks)
        shuffle[list(positions(plan.features, plan.n_blocks, plan.block_size, factor)), range(plan.features)] = 1
        result = shuffle.T @ blocks @ shuffle @ result
    return result


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orders", [(1,), (2,), (2, 1)])
@pytest.mark.parametrize("n_factors", [2, 3])
def test_applied_is_the_product_and_orthogonal(n_factors, orders, form):
    rotation, parameters = rotation_and_parameters(n_factors, orders, form)
    r = built(rotation, parameters)
    assert is_orthogonal(r)
    x = torch.randn(2, 3, 25, dtype=torch.float64)
    torch.testing.assert_close(rotation.apply(parameters, x), x @ r.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(rotation.apply(parameters, x, transpose=True), x @ r, rtol=0, atol=1e-13)
    bias = torch.randn(25, dtype=torch.float64)
    expected = (x - bias) @ r.T + bias
    torch.testing.assert_close(rotation.rotate(rotation.matrices(parameters), x, bias), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("parameter_map", get_args(ParameterMap))
def test_the_start_is_exact_and_every_factor_moves_from_it(parameter_map, form):
    rotation, parameters = rotation_and_parameters(3, (1, 2), form, parameter_map)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x, bias = torch.randn(4, 25).to(dtype), torch.randn(25).to(dtype)
        zero = torch.zeros(rotation.plan.parameter_shape)
        assert rotation.apply(zero, x).to(dtype).equal(x)
        assert rotation.rotate(rotation.matrices(zero), x, bias).equal(x)
    zero = torch.zeros_like(parameters, requires_grad=True)
    x = torch.eye(25, dtype=torch.float64)
    (rotation.apply(zero, x) * torch.randn(25, 25, dtype=torch.float64)).sum().backward()
    assert (zero.grad != 0).all()


def test_gradients_through_the_shuffles_are_right():
    rotation, parameters = rotation_and_parameters(3)
    x = torch.randn(2, 25, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(25, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda p, x, bias: rotation.rotate(rotation.matrices(p), x, bias), (parameters.requires_grad_(), x, bias)
    )


@pytest.mark.parametrize("orders", [(1,), (1, 2), (2,), (1, 2, 3)])
@pytest.mark.parametrize("blocks", [{"n_blocks": 1}, {"n_blocks": 2}, {"block_size": 17}])
@pytest.mark.parametrize("features", [47, 64])
def test_the_factors_that_are_said_to_mix_do_and_one_fewer_does_not(features, blocks, orders):
    """The count by sets of features against the entries of a random R that are not zero."""
    plan = plan_blocks(features, orders, **blocks)
    where = (features, plan.n_blocks, plan.block_size, plan.sectors)
    count = factors_to_mix(*where)
    if count is None:
        pytest.skip("not in 16 factors")
    for n_factors in {count, max(1, count - 1)}:
        if n_factors == 1:
            rotation = Rotation(plan, "cayley")
        else:
            rotation = Rotation(plan_blocks(features, orders, n_factors=n_factors, **blocks), "cayley")
        torch.manual_seed(1)
        parameters = torch.randn(rotation.plan.parameter_shape, dtype=torch.float64)
        r = rotation.apply(parameters, torch.eye(features, dtype=torch.float64))
        assert bool((r != 0).all()) == (n_factors == count)


def test_every_block_is_joined_with_the_others():
    """Of the usual widths; the shift by a whole block, for comparison, joins nothing."""
    for features in (384, 768, 1024, 3072):
        for orders in ((1,), (1, 2), (2,)):
            for n_blocks in (1, 3, 8):
                plan = plan_blocks(features, orders, n_blocks=n_blocks)
                steps = factors_to_mix(features, n_blocks, plan.block_size, plan.sectors)
                assert steps is not None
                assert steps <= 8
    blocks = [range(0, 8), range(8, 16)]
    assert count_apart([blocks, [[(i + 8) % 16 for i in block] for block in blocks]]) == 2
    assert count_apart([blocks, [[(i + 4) % 16 for i in block] for block in blocks]]) == 1


def test_a_shuffle_is_undone():
    for where in ((25, 2, 12), (25, 1, 25), (26, 3, 8), (7, 7, 1)):
        assert sorted(positions(*where, 1)) == list(range(where[0]))
        forth, back = positions(*where, 3), positions(*where, -3)
        assert [back[i] for i in forth] == list(range(where[0]))
        rotation = Rotation(plan_blocks(where[0], (1,), block_size=max(where[2], 2)), "cayley")
        plan = rotation.plan
        x = torch.arange(where[0])
        for times in (-2, 1, 3):
            stands = positions(plan.features, plan.n_blocks, plan.block_size, times)
            assert rotation._shuffle(x, times)[list(stands)].equal(x)


def test_factors_that_mix_nothing_more_are_refused():
    with pytest.raises(
        ValueError, match=r"n_factors must be 1 .* got 1 block of 24 for 24 features and orders \(1,\)"
    ):
        plan_blocks(24, (1,), n_factors=2)
    for n_factors, error in ((0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="n_factors must be"):
            QuICConfig(n_factors=n_factors, n_blocks=1, target_modules=None)


@pytest.mark.parametrize("side", ["out", "in"])
@pytest.mark.parametrize("blocks", [{"n_blocks": 2}, {"block_size": 10, "block_share": True}])
def test_the_life_of_a_model_with_factors(tmp_path, side, blocks):
    base = bert()
    expected = output(base)
    model = get_peft_model(
        base,
        QuICConfig(target_modules=["query", "value"], n_factors=2, side=side, **({"block_share": False} | blocks)),
    )
    assert output(model).equal(expected)
    turn(model)
    turned = output(model)
    assert (turned - expected).abs().max() > 1e-3
    model.merge_adapter()
    torch.testing.assert_close(output(model), turned, rtol=0, atol=2e-5)
    model.unmerge_adapter()
    with model.disable_adapter():
        torch.testing.assert_close(output(model), expected, rtol=0, atol=2e-5)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["config_version"] == 2
    loaded = PeftModel.from_pretrained(bert(), tmp_path)
    assert output(loaded).equal(turned)
    torch.testing.assert_close(output(loaded.merge_and_unload()), turned, rtol=0, atol=2e-5)


def test_every_circuit_of_every_factor_is_its_block(tmp_path):
    config = QuICConfig(target_modules=["query"], n_factors=3, n_blocks=2, block_share=True, parameter_map="rbs")
    model = get_peft_model(bert(), config)
    turn(model)
    report = verify_adapter(model, dtype=torch.float64)
    assert report.passed
    assert [check.block for check in report.blocks] == 2 * list(range(6))
    (name, layer), *_ = layers(model).items()
    matrices = layer.matrices("default")
    angles = [compile_adapter(model, name, block).angles for block in range(6)]
    assert angles[0].equal(angles[1])
    assert not angles[0].equal(angles[2])
    assert matrices.shape[0] == 3
    with pytest.raises(ValueError, match=r"block must be in 0\.\.5"):
        compile_adapter(model, name, 6)
    model.save_pretrained(tmp_path)
    assert verify_saved(tmp_path).passed
    assert sum(group.copies for group in saved_blocks(tmp_path)) == 2 * 6
    assert sum(group.copies for group in describe_blocks(model)) == 2 * 6


@pytest.mark.parametrize("n_factors", [1, 3])
def test_a_file_of_another_number_of_factors_is_refused(tmp_path, n_factors):
    get_peft_model(bert(), QuICConfig(n_factors=2, n_blocks=2, target_modules=None)).save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_factors": n_factors}))
    with pytest.raises(ValueError, match=rf"must have shape \({2 * n_factors}, n.*, {n_factors=}, got \(4, "):
        QuICConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("kernels", [True, False])
def test_rows_of_a_mixed_batch_go_through_the_factors(kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr(rows, "rotates_rows", lambda *_: False)
    config = QuICConfig(target_modules=["query", "value"], n_factors=2, n_blocks=2)
    model = get_peft_model(bert(), config)
    model.add_adapter("second", config)
    turn(model)
    turn(model, "second")
    names = ["second", "__base__", "default"]
    mixed = output(model.eval(), adapter_names=names)
    for row, name in enumerate(names):
        if name == "__base__":
            with model.disable_adapter():
                expected = output(model)
        else:
            model.set_adapter(name)
            expected = output(model)
        torch.testing.assert_close(mixed[row], expected[row], rtol=0, atol=2e-6)
