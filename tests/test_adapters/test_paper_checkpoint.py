"""The paper's own checkpoints: their layer rebuilt from its formula, and the imported adapter beside it."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from safetensors.numpy import save_file
from tiny_models import layers
from torch import nn

from adapters import QuICConfig
from adapters.paper_checkpoint import load_paper_checkpoint

X = torch.randn(5, 17, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def their_cayley(full, sign):
    """From a full n×n array: S is its skew part."""
    skew = (full - full.T) / 2
    one = np.eye(len(full))
    return (one + sign * skew) @ np.linalg.inv(one - sign * skew)


def their_compound(matrix, order):
    """Minor by minor."""
    chosen = list(itertools.combinations(range(len(matrix)), order))
    return np.array([[np.linalg.det(matrix[np.ix_(rows, columns)]) for columns in chosen] for rows in chosen])


def their_rotation(blocks, orders, features, n_blocks, sign):
    """Compounds down the diagonal of each block, ones for the padding."""
    size = features // n_blocks
    whole = np.eye(features)
    for index in range(n_blocks):
        at = index * size
        matrix = their_cayley(blocks[index if len(blocks) > 1 else 0], sign)
        for order in orders:
            part = their_compound(matrix, order)
            whole[at : at + len(part), at : at + len(part)] = part
            at += len(part)
    return whole


def base():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(17, 23), nn.Linear(23, 17)).double()


def their_output(model, rotations, side, vectors):
    """y = x W^T with the fine-tuned weight, and the bias as it is."""
    out = X.numpy()
    for layer, rotation in zip(model, rotations, strict=True):
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        turned = rotation.T if vectors == "rows" else rotation  # as it acts on columns
        out = out @ (turned @ weight if side == "out" else weight @ turned).T + bias
    return torch.from_numpy(out)


def adapted(**values):
    return get_peft_model(base(), QuICConfig(target_modules=["0", "1"], **({"block_share": False} | values)))


def draw(model, seed=0):
    rng = np.random.default_rng(seed)
    plans = {
        name.removeprefix("base_model.model."): layer.quic_rotation["default"].plan
        for name, layer in layers(model).items()
    }
    return {name: rng.normal(size=(plan.parameter_shape[0], plan.n, plan.n)) * 0.4 for name, plan in plans.items()}


@pytest.mark.parametrize("cayley", ["plus", "minus"])
@pytest.mark.parametrize("vectors", ["rows", "columns"])
@pytest.mark.parametrize("side", ["out", "in"])
@pytest.mark.parametrize(
    "values",
    [
        {"orders": (1, 2)},
        {"orders": (1,), "n_blocks": 3},
        {"orders": (2, 1), "n_blocks": 2, "block_share": True},
        {"orders": (3,)},
    ],
)
def test_the_imported_adapter_is_their_layer(tmp_path, cayley, vectors, side, values):
    model = adapted(side=side, **values)
    arrays = draw(model)
    save_file(
        {f"base_model.model.{name}.compound_weight": array for name, array in arrays.items()},
        tmp_path / "theirs.safetensors",
    )
    assert load_paper_checkpoint(model, tmp_path / "theirs.safetensors", cayley=cayley, vectors=vectors) == ()
    sign = 1 if cayley == "plus" else -1
    features = [23, 17] if side == "out" else [17, 23]
    n_blocks = values.get("n_blocks", 1)
    rotations = [
        their_rotation(arrays[name], values["orders"], d, n_blocks, sign)
        for name, d in zip("01", features, strict=True)
    ]
    expected = their_output(base(), rotations, side, vectors)
    assert torch.allclose(model(X), expected, atol=1e-6, rtol=0)
    assert not torch.allclose(base()(X), expected, atol=1e-2)
    model.save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(base(), tmp_path / "adapter")
    assert torch.allclose(again(X), expected, atol=1e-6, rtol=0)


def test_npz_files_one_block_without_its_dimension_and_heads_beside(tmp_path):
    model = adapted(orders=(1,))
    arrays = draw(model)
    np.savez(tmp_path / "a.npz", **{"0": arrays["0"][0], "1.x": arrays["1"][0], "head.weight": np.ones((2, 2))})
    assert load_paper_checkpoint(model, tmp_path / "a.npz") == ("head.weight",)
    rotations = [their_rotation(arrays[name], (1,), d, 1, 1) for name, d in (("0", 23), ("1", 17))]
    assert torch.allclose(model(X), their_output(base(), rotations, "out", "rows"), atol=1e-6, rtol=0)


def numbers(model):
    return [layer.quic_parameters["default"].detach().clone() for layer in layers(model).values()]


def nothing_changes(model, file, message, **values):
    before = numbers(model)
    with pytest.raises(ValueError, match=message):
        load_paper_checkpoint(model, file, **values)
    assert all(a.equal(b) for a, b in zip(before, numbers(model), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"0": a["0"]}, r"^1: the file must hold one array for it, got none"),
        (lambda a: {**a, "1.x": a["1"]}, r"^1: the file must hold one array for it, got \['1', '1\.x'\]"),
        (lambda a: {**a, "1": a["1"][:, 1:, 1:]}, r"must have shape \(1, 17, 17\) for .*got \(1, 16, 16\) for 1 in"),
        (lambda a: {**a, "1": a["1"] * np.nan}, "must hold finite floating-point numbers"),
        (lambda a: {**a, "1": a["1"].astype(int)}, "must hold finite floating-point numbers, got int64 for 1 in"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, message):
    model = adapted(orders=(1,))
    np.savez(tmp_path / "a.npz", **change(draw(model)))
    nothing_changes(model, tmp_path / "a.npz", message)


def test_pickles_are_never_read(tmp_path):
    model = adapted(orders=(1,))
    for name in ("a.bin", "a.pt", "a.pkl"):
        torch.save(draw(model), tmp_path / name)
        nothing_changes(model, tmp_path / name, f"must be a .safetensors or .npz file, got {name}: a pickle")
    np.savez(tmp_path / "a.npz", **{"0": np.array([{"an": "object"}], dtype=object), "1": np.ones(1)})
    nothing_changes(model, tmp_path / "a.npz", "allow_pickle=False")


def test_adapters_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **draw(adapted(orders=(1,))))
    for values in ({"parameter_map": "rbs"}, {"n_factors": 2, "n_blocks": 2}, {"side": "both"}):
        nothing_changes(adapted(orders=(1,), **values), tmp_path / "a.npz", "the paper's layers have parameter_map")
    for values in ({"cayley": "other"}, {"vectors": "row"}):
        nothing_changes(adapted(orders=(1,)), tmp_path / "a.npz", "must be one of", **values)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), by=st.binary(max_size=4), suffix=st.sampled_from(["npz", "safetensors"]))
def test_any_file_is_read_or_refused(tmp_path, at, by, suffix):
    model = adapted(orders=(1,), n_blocks=4)
    file = tmp_path / f"a.{suffix}"
    np.savez(file, **draw(model)) if suffix == "npz" else save_file(draw(model), file)
    data = file.read_bytes()
    at %= len(data)
    file.write_bytes(data[:at] + by + data[at + len(by) :] if by else data[:at])
    before = numbers(model)
    try:
        load_paper_checkpoint(model, file)
    except ValueError:
        assert all(a.equal(b) for a, b in zip(before, numbers(model), strict=True))
