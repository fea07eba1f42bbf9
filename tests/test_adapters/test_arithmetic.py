"""Arithmetic of rotations by their numbers: against the matrices R themselves, for every map."""

import math

import pytest
import torch
from peft import PeftModel, get_peft_model
from test_rotation import FORMS, MAPS, built, rotation_and_parameters
from tiny_models import bert, output, turn

from adapters import AdapterBank, QuICConfig
from adapters.arithmetic import compose, distance, inverse, mean, power, similarity
from adapters.combine import distances
from adapters.logarithms import logarithm, logarithms_of_parameters, parameters_of_rotations
from adapters.plan import plan_blocks
from adapters.rotation import Rotation
from qicircuits import exponential, is_orthogonal, random_orthogonal

CASES = [((1, 2), form) for form in FORMS] + [((2, 3), {}), ((1,), {"n_blocks": 3})]


def pair(orders, parameter_map, form):
    rotation, first = rotation_and_parameters(orders, parameter_map, form)
    return rotation, first, torch.randn_like(first) / 2


@pytest.mark.parametrize(("orders", "form"), CASES)
@pytest.mark.parametrize("parameter_map", MAPS)
def test_inverse_powers_and_products_are_those_of_the_matrices(orders, form, parameter_map):
    rotation, first, second = pair(orders, parameter_map, form)
    r, s = built(rotation, first), built(rotation, second)
    close = {"rtol": 0, "atol": 1e-11}
    torch.testing.assert_close(built(rotation, inverse(rotation, first)), r.T, **close)
    torch.testing.assert_close(built(rotation, compose(rotation, first, second)), s @ r, **close)
    third = built(rotation, power(rotation, first, 1 / 3))
    torch.testing.assert_close(third @ third @ third, r, **close)
    torch.testing.assert_close(built(rotation, power(rotation, first, 0.0)), torch.eye(25, dtype=r.dtype), **close)
    torch.testing.assert_close(built(rotation, power(rotation, first, 1.0)), r, **close)
    torch.testing.assert_close(
        built(rotation, power(rotation, first, 0.3)) @ third,
        built(rotation, power(rotation, first, 0.3 + 1 / 3)),
        **close,
    )
    assert is_orthogonal(third)


@pytest.mark.parametrize("parameter_map", MAPS)
def test_mean_of_commuting_generators_is_exact(parameter_map):
    """Powers of one rotation commute, and so do rotations of different planes."""
    rotation, numbers = rotation_and_parameters((1, 2), parameter_map, {"n_blocks": 2})
    others = [power(rotation, numbers, exponent) for exponent in (0.2, -0.5, 0.7)]
    found = mean(rotation, others, [1.0, 0.5, -2.0])
    expected = power(rotation, numbers, 0.2 - 0.25 - 1.4)
    torch.testing.assert_close(built(rotation, found), built(rotation, expected), rtol=0, atol=1e-11)
    n = rotation.plan.n
    first, second = torch.zeros(2, n, n, dtype=torch.float64), torch.zeros(2, n, n, dtype=torch.float64)
    first[:, 0, 1], second[:, 2, 3] = 0.9, -0.4
    planes = [
        parameters_of_rotations(parameter_map, torch.linalg.matrix_exp(one - one.mT), torch.float64)
        for one in (first, second)
    ]
    found = mean(rotation, planes, [0.25, 1.5])
    product = built(rotation, power(rotation, planes[0], 0.25)) @ built(rotation, power(rotation, planes[1], 1.5))
    torch.testing.assert_close(built(rotation, found), product, rtol=0, atol=1e-11)


def test_mean_of_exponentials_is_that_of_the_numbers_and_of_others_is_not():
    rotation, first, second = pair((1, 2), "exponential", {"n_blocks": 2})
    torch.testing.assert_close(mean(rotation, [first, second], [0.3, 0.6]), 0.3 * first + 0.6 * second)
    rotation, first, second = pair((1, 2), "cayley", {"n_blocks": 2})
    assert (mean(rotation, [first, second], [0.3, 0.6]) - (0.3 * first + 0.6 * second)).abs().max() > 1e-2
    torch.testing.assert_close(
        mean(rotation, [first, second], [0.5, 0.5]), mean(rotation, [second, first], [0.5, 0.5])
    )


@pytest.mark.parametrize(("orders", "form"), CASES)
@pytest.mark.parametrize("parameter_map", MAPS)
def test_similarity_and_distance(orders, form, parameter_map):
    rotation, first, second = pair(orders, parameter_map, form)
    r, s = built(rotation, first), built(rotation, second)
    assert similarity(rotation, first, second) == pytest.approx((r * s).sum().item() / 25, abs=1e-12)
    assert similarity(rotation, first, first) == pytest.approx(1, abs=1e-12)
    assert distance(rotation, first, first) == pytest.approx(0, abs=1e-6)
    # The path of powers has this length: its small steps are short enough for the distance in SO(d).
    step = compose(rotation, first, power(rotation, compose(rotation, inverse(rotation, first), second), 1e-3))
    chord = (built(rotation, step) - r).norm().item() * 1e3
    if parameter_map != "exponential":
        assert distance(rotation, first, second) == pytest.approx(distance(rotation, second, first), rel=1e-9)
    full = logarithm(built(rotation, compose(rotation, inverse(rotation, first), second))).norm().item()
    assert full <= distance(rotation, first, second) * (1 + 1e-9)
    assert chord == pytest.approx(distance(rotation, first, second), rel=1e-3)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 9])
def test_logarithms_give_the_rotation_back(n):
    torch.manual_seed(0)
    turned = random_orthogonal(n, batch_shape=(5,))
    diagonal = torch.ones(n, dtype=torch.float64)
    diagonal[: n // 2 * 2] = -1  # the eigenvalue -1, as often as det A = 1 allows
    half_turned = turned @ torch.diag(diagonal) @ turned.mT
    small = exponential(torch.full((3, n * (n - 1) // 2), 1e-9, dtype=torch.float64))
    for matrices in (turned, half_turned, small, torch.eye(n, dtype=torch.float64)[None]):
        logs = logarithm(matrices)
        torch.testing.assert_close(torch.linalg.matrix_exp(logs), matrices, rtol=0, atol=1e-12)
        assert logs.equal(-logs.mT) or (logs + logs.mT).abs().max() < 1e-13
        assert torch.linalg.matrix_norm(logs, 2).max() <= math.pi + 1e-12
    assert logarithm(torch.eye(n, dtype=torch.float64)).abs().max() == 0
    assert (torch.linalg.matrix_norm(logarithm(small), 2) > 0).all() == (n > 1)


@pytest.mark.parametrize("parameter_map", ["exponential", "rbs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_half_turns_have_numbers_of_these_maps(parameter_map, dtype):
    turned = random_orthogonal(5, batch_shape=(4,), generator=torch.Generator().manual_seed(0))
    matrices = turned @ torch.diag(torch.tensor([-1.0, -1, -1, -1, 1], dtype=torch.float64)) @ turned.mT
    rotation = Rotation(plan_blocks(20, (1,), n_blocks=4), parameter_map)
    numbers = parameters_of_rotations(parameter_map, matrices, dtype)
    assert numbers.dtype == dtype
    torch.testing.assert_close(
        rotation.matrices(numbers).double(), matrices, rtol=0, atol=2e-6 if dtype == torch.float32 else 1e-12
    )


def test_maps_of_comparisons_are_not_turned_around():
    with pytest.raises(ValueError, match=r"is one of \('cayley', .*\), got 'free'"):
        parameters_of_rotations("free", torch.eye(3, dtype=torch.float64)[None], torch.float64)


@pytest.mark.parametrize("angle", [math.pi, math.pi - 1e-5])
def test_cayley_refuses_what_it_cannot_give(angle):
    rotation = Rotation(plan_blocks(6, (1,)), "cayley")
    half = torch.zeros(1, 6, 6, dtype=torch.float64)
    half[0, 0, 1], half[0, 2, 3] = angle / 2, 0.7
    turned = random_orthogonal(6, generator=torch.Generator().manual_seed(0))
    half = turned @ (half - half.mT) @ turned.mT
    numbers = parameters_of_rotations("cayley", torch.linalg.matrix_exp(half), torch.float32)
    for double in (lambda: power(rotation, numbers, 2.0), lambda: compose(rotation, numbers, numbers)):
        with pytest.raises(
            ValueError, match=r"'cayley' gives no rotation by half a turn.*float32.*angle of 1(79|80)\."
        ):
            double()
    almost = power(rotation, numbers, 1.9)
    expected = torch.linalg.matrix_exp(1.9 * half)
    torch.testing.assert_close(rotation.matrices(almost.double()), expected, rtol=0, atol=1e-5)


def test_short_numbers_are_computed_in_float64_and_rounded_once():
    for parameter_map in MAPS:
        rotation, first, second = pair((1, 2), parameter_map, {"n_blocks": 2})
        expected = compose(rotation, first.float().double(), second.float().double()).float()
        assert compose(rotation, first.float(), second.float()).equal(expected)


def test_products_of_factors_are_refused():
    rotation = Rotation(plan_blocks(24, (1, 2), n_blocks=2, n_factors=2), "cayley")
    numbers = torch.zeros(rotation.plan.parameter_shape)
    for call in (
        lambda: inverse(rotation, numbers),
        lambda: compose(rotation, numbers, numbers),
        lambda: similarity(rotation, numbers, numbers),
        lambda: distance(rotation, numbers, numbers),
    ):
        with pytest.raises(ValueError, match=r"n_factors=1.*got n_factors=2"):
            call()
    assert logarithms_of_parameters("cayley", numbers).abs().max() == 0


def trained(**config):
    """A model with adapters "default" and "other" of one configuration, and "third" of another."""
    model = get_peft_model(
        bert(), QuICConfig(target_modules=["query", "value"], **({"block_share": False} | config))
    ).eval()
    model.add_adapter("other", QuICConfig(target_modules=["query", "value"], **({"block_share": False} | config)))
    model.add_adapter("third", QuICConfig(target_modules=["query"], orders=(2,), block_share=False))
    turn(model)
    turn(model, "other")
    return model


@pytest.mark.parametrize("config", [{}, {"side": "in", "parameter_map": "rbs"}, {"side": "both", "n_blocks": 2}])
def test_adapters_made_of_adapters(config):
    model = trained(**config)
    tuner = model.base_model
    tuner.add_weighted_adapter(["default", "other"], [1.0, 1.0], "product", combination_type="composition")
    tuner.add_weighted_adapter(["product"], [-1.0], "inverse")
    tuner.add_weighted_adapter(["default"], [0.0], "nothing")
    tuner.add_weighted_adapter(["default", "other"], [0.5, 0.5], "mean")
    assert model.active_adapters == ["default"]
    tuner.set_adapter(["default", "other"])
    both = output(model)
    model.set_adapter("product")
    torch.testing.assert_close(output(model), both, rtol=0, atol=1e-5)
    with model.disable_adapter():
        base = output(model)
    for names in (["nothing"], ["product", "inverse"]):
        tuner.set_adapter(names)
        if config.get("side") != "both" or names == ["nothing"]:  # R_out of one stands between the turns of the other
            torch.testing.assert_close(output(model), base, rtol=0, atol=1e-5)
    table = tuner.similarities(["default", "mean", "other"])
    assert table.equal(table.T)
    assert table.diagonal().equal(torch.ones(3, dtype=torch.float64))
    assert table[0, 1].item() == pytest.approx(table[1, 2].item(), abs=5e-2)
    assert table[0, 2] < table[0, 1] < 1


def test_an_adapter_made_of_adapters_is_saved_and_loaded(tmp_path):
    model = trained()
    model.base_model.add_weighted_adapter(["default", "other"], [0.3, -0.4], "made")
    model.set_adapter("made")
    model.save_pretrained(tmp_path, selected_adapters=["made"])
    loaded = PeftModel.from_pretrained(bert(), tmp_path / "made").eval()
    assert output(loaded).equal(output(model))


def test_adapters_of_a_bank_are_combined_alike():
    model = trained()
    bank = AdapterBank(model)
    tensors = {name: model.base_model.model.get_submodule(name.rpartition(".")[0]) for name in bank.shapes()}
    for adapter in ("default", "other"):
        bank.add(f"{adapter}'", {name: layer.quic_parameters[adapter] for name, layer in tensors.items()})
    bank.add_weighted_adapter(["default'", "other'"], [0.3, 0.6], "mean")
    model.base_model.add_weighted_adapter(["default", "other"], [0.3, 0.6], "twin")
    assert output(model, adapter_names=["mean"] * 3).equal(output(model, adapter_names=["twin"] * 3))
    names = ["default'", "other'", "mean"]
    assert bank.similarities(names).equal(model.base_model.similarities(["default", "other", "twin"]))
    lengths = distances(bank._plan.turns(), [bank.parameters(name) for name in names])
    assert lengths.equal(lengths.T)
    assert lengths[0, 1] <= lengths[0, 2] + lengths[2, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("default", [1.0], "new"), TypeError, "adapters must be a list of names, got 'default'"),
        ((["default"], [True], "new"), TypeError, r"weights must be a list of numbers, got \[True\]"),
        ((["default"], [1.0, 2.0], "new"), ValueError, "got 1 adapters and 2 weights"),
        (([], [], "new"), ValueError, "at least one adapter, got 0 adapters"),
        ((["default"], [math.nan], "new"), ValueError, r"must be finite, got \[nan\]"),
        ((["default"], [1], "new", "linear"), ValueError, r"one of \('lie', 'composition'\), got 'linear'"),
        ((["defautl"], [1], "new"), ValueError, "nearest to 'defautl' is 'default'"),
        ((["default"], [1], "other"), ValueError, "must be new, got 'other'"),
        ((["default"], [1], "a.b"), ValueError, "a word without dots"),
        ((["default", "third"], [1, 1], "new"), ValueError, r"orders=\(1, 2\), got orders=\(2,\) in 'third'"),
        ((["default"], [2], "new"), ValueError, "query.quic_parameters: the map 'cayley' gives no rotation"),
    ],
)
def test_wrong_combinations_are_refused_and_the_model_is_as_before(arguments, error, message):
    model = trained()
    with torch.no_grad():  # a quarter turn
        first = model.base_model.model.encoder.layer[0].attention.self.query.quic_parameters["default"]
        first.zero_()[0, 0] = 1
    names, before = list(model.peft_config), output(model)
    with pytest.raises(error, match=message):
        model.base_model.add_weighted_adapter(*arguments)
    assert list(model.peft_config) == names
    assert output(model).equal(before)


def test_scales_are_not_combined():
    model = get_peft_model(bert(), QuICConfig(target_modules=["query"], scaling=True, n_blocks=1))
    with pytest.raises(ValueError, match="rotations alone, got one with scaling"):
        model.base_model.add_weighted_adapter(["default"], [0.5], "half")
