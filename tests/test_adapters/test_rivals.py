"""The methods that the laboratory compares: start, numbers, one step, seed and merging, on the real encoder."""

import copy
import functools
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import nn

from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.classifier import load_classifier
from adapters.evaluation.rivals import (
    METHODS,
    adapter_parameters,
    attach,
    count_numbers,
    head_parameters,
    merge_ok,
    merged,
    parse_size,
    saved_bytes,
    trainable_numbers,
)
from adapters.evaluation.rivals.parts import saved_tensors, target_layers

TARGETS = ["layer.4.attention.self.query", "layer.5.attention.self.value", "layer.5.intermediate.dense"]
IDS = torch.randint(1000, 20000, (8, 12), generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 2
HEAD = 2 * 384 + 2

# One size of each; the whole list of each is counted below, on layers without weights.
SIZES = {
    "boft": "boft_block_size=8",
    "psoft": "r=16",
    "fourierft": "n_frequency=100",
    "c3a": "block_size=96",
    "lokr": "r=4,decompose_factor=8",
    "tinylora": "r=4,u=16",
    "quic": "orders=1+2,n_blocks=1",
    "control_subspace": "orders=1+2+3,n_blocks=4",
    "control_small_oft": "orders=1+2,n_blocks=1",
    "control_shared_oft": "orders=1+2,n_blocks=2",
    "paper": "orders=1+2,n_blocks=8",
}
CASES = [(name, SIZES.get(name, method.sizes[0])) for name, method in METHODS.items()]
CASES += [("ether", "n_blocks=4,plus"), ("quic", "orders=1,n_blocks=48,side=both,scaling"), ("ia3", "side=in")]
ADAPTERS = [case for case in CASES if case[0] not in ("head", "full")]


@functools.cache
def _classifier():
    return load_classifier(encoder_folder(), 2, seed=0)


def classifier():
    """A copy that shares the memory of what no adapter touches."""
    base = _classifier()
    touched = (*(f"{target}.weight" for target in TARGETS), "head.weight")
    memo = {id(p): nn.Parameter(p.data) for name, p in base.named_parameters() if not name.endswith(touched)}
    return copy.deepcopy(base, memo)


@functools.cache
def base_logits():
    with torch.no_grad():
        return logits(_classifier().eval())


def made(method, size, seed=0, **options):
    return attach(classifier(), method, size, TARGETS, seed, options).eval()


def logits(model):
    return model(input_ids=IDS, attention_mask=torch.ones_like(IDS))


def loss(model):
    return nn.functional.cross_entropy(logits(model), LABELS)


def step(model, rate):
    """One step of AdamW with a rate for the adapter; the head stays, so that only the adapter can lower the loss."""
    optimizer = torch.optim.AdamW(adapter_parameters(model), lr=rate, weight_decay=0.0)
    before = loss(model)
    before.backward()
    optimizer.step()
    return before.item(), loss(model).item()


@pytest.mark.parametrize(("method", "size"), CASES)
def test_it_starts_as_the_base_model_or_where_it_says(method, size):
    with torch.no_grad():
        change = (logits(made(method, size)) - base_logits()).abs().max().item()
    if (method, "plus" in parse_size(size)) == ("ether", False):
        assert change > 1e-2  # a reflection is never the identity
    else:
        assert change < 1e-5


@pytest.mark.parametrize("method", ["paper", "control_subspace", "control_shared_oft", "control_small_oft"])
def test_inside_autocast_the_start_is_that_of_the_base_model_to_the_last_bit(method):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert logits(made(method, SIZES[method])).equal(logits(classifier()))


@pytest.mark.parametrize(("method", "size"), CASES)
def test_it_trains_what_its_formula_says_and_the_head(method, size):
    model = made(method, size)
    assert trainable_numbers(model) == count_numbers(classifier(), method, size, TARGETS)
    assert sum(parameter.numel() for parameter in head_parameters(model)) == HEAD
    trained = {id(parameter) for parameter in adapter_parameters(model) + head_parameters(model)}
    assert trained == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


@pytest.mark.parametrize(("method", "size"), ADAPTERS)
def test_one_step_lowers_the_loss_and_moves_nothing_frozen(method, size):
    model = made(method, size)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    before, after = step(model, METHODS[method].default_rates[0])
    assert after < before
    assert all(p.equal(frozen[name]) for name, p in model.named_parameters() if name in frozen)


@pytest.mark.parametrize("method", ["head", "full"])
def test_one_step_of_all_or_of_the_head_lowers_the_loss(method):
    model = copy.deepcopy(made(method, ""))
    optimizer = torch.optim.AdamW(adapter_parameters(model) + head_parameters(model), lr=1e-4)
    before = loss(model)
    before.backward()
    optimizer.step()
    assert loss(model) < before


@pytest.mark.parametrize(("method", "size"), CASES)
def test_the_seed_decides_everything_and_nothing_outside(method, size):
    def tensors(seed):
        return {**dict(made(method, size, seed).named_parameters()), **dict(made(method, size, seed).named_buffers())}

    torch.manual_seed(5)
    expected, first = torch.rand(1), tensors(0)
    torch.manual_seed(5)
    again = tensors(0)
    assert torch.rand(1).equal(expected)  # nothing outside was drawn
    assert first.keys() == again.keys()
    assert all(first[name].equal(again[name]) for name in first)


@pytest.mark.parametrize("method", ["lora", "vera", "randlora", "fourierft", "tinylora", "ether", "control_subspace"])
def test_another_seed_draws_other_numbers(method):
    def gradient(seed):
        model = made(method, SIZES.get(method, METHODS[method].sizes[0]), seed)
        loss(model).backward()
        return torch.cat([parameter.grad.flatten() for parameter in adapter_parameters(model)])

    assert not torch.allclose(gradient(0), gradient(1))


@pytest.mark.parametrize(("method", "size"), [case for case in ADAPTERS if merge_ok(case[0])])
def test_merging_a_moved_adapter_keeps_the_outputs(method, size):
    model = made(method, size)
    for _ in range(2):
        step(model, METHODS[method].default_rates[0])
    with torch.no_grad():
        expected = logits(model)
        assert not torch.allclose(expected, base_logits(), atol=1e-4)
        plain = merged(model)
        assert torch.allclose(logits(plain), expected, atol=1e-4)
    assert {name for name, _ in plain.named_parameters()} == {name for name, _ in classifier().named_parameters()}


@pytest.mark.parametrize(("method", "size"), ADAPTERS)
def test_saved_bytes_are_those_of_a_file_without_its_header(method, size):
    model = made(method, size)
    tensors = {name: tensor.contiguous() for name, tensor in saved_tensors(model).items()}
    content = save(tensors)
    assert saved_bytes(model) == len(content) - 8 - int.from_bytes(content[:8], "little")
    assert saved_bytes(model) >= 4 * trainable_numbers(model)


class Layers(nn.Module):
    """Layers of the shapes of an encoder of width 384, on the device of shapes alone."""

    def __init__(self):
        super().__init__()
        self.square = nn.Linear(384, 384)
        self.wide = nn.Linear(384, 1536)
        self.narrow = nn.Linear(1536, 384)
        self.head = nn.Linear(384, 2)

    def forward(self, x):
        return self.head(self.narrow(self.wide(self.square(x))))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.count])
def test_every_size_has_the_numbers_of_its_formula(name):
    targets = ["square", "wide", "narrow"]
    for size in METHODS[name].sizes:
        if (name, size) == ("psoft", "r=256"):
            continue  # seconds of singular values, for nothing new
        model = Layers()
        expected = count_numbers(model, name, size, targets)
        assert trainable_numbers(attach(model, name, size, targets, 0)) == expected, size


def test_sizes_reach_from_hundreds_of_numbers_to_a_million():
    model = classifier()
    counts = [
        count_numbers(model, name, size, ["query", "value"])
        for name, method in METHODS.items()
        if method.count
        for size in method.sizes
    ]
    assert min(counts) < 300
    assert max(counts) > 500_000


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_sizes_rates_and_a_note(name):
    method = METHODS[name]
    assert method.name == name
    assert method.sizes
    assert len(method.default_rates) == 3
    assert sorted(method.default_rates) == list(method.default_rates)
    assert method.note


def test_every_method_has_a_row_in_the_page():
    page = (Path(__file__).parents[2] / "docs" / "explanations" / "rivals.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip().split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert list(dict.fromkeys(row for row in rows if "=" not in row)) == list(METHODS)


@pytest.mark.parametrize("orders", ["2", "3", "2+3"])
def test_the_papers_determinants_have_no_gradient_at_the_start_and_the_right_ones_have(orders):
    values = {"paper": f"orders={orders},n_blocks=8", "quic": f"orders={orders},n_blocks=8"}
    largest = {}
    for method, size in values.items():
        model = made(method, size)
        loss(model).backward()
        largest[method] = max(parameter.grad.abs().max().item() for parameter in adapter_parameters(model))
    assert largest["paper"] == 0  # to the last bit: it never moves
    assert largest["quic"] > 0


def test_with_the_first_order_the_papers_map_is_ours_transposed():
    from adapters.evaluation.rivals.paper import DeterminantMap
    from adapters.plan import plan_blocks
    from adapters.rotation import Rotation

    plan = plan_blocks(30, (1, 2, 3), n_blocks=2)
    generator = torch.Generator().manual_seed(0)
    papers, ours = DeterminantMap(plan).double(), Rotation(plan, "cayley")
    arrays = torch.randn(papers.arrays.shape, generator=generator, dtype=torch.float64)
    papers.arrays.data = arrays
    rows, columns = torch.triu_indices(plan.n, plan.n, 1)
    numbers = ((arrays - arrays.mT) / 2)[:, rows, columns]
    x = torch.randn(4, 30, generator=generator, dtype=torch.float64)
    # Q of S is our A of -S, and rows are multiplied from the right: R^T x of the paper is R x of ours for S.
    assert torch.allclose(papers(x), ours.apply(numbers, x), atol=1e-10)


@pytest.mark.parametrize("method", ["control_subspace", "control_shared_oft", "control_small_oft"])
@pytest.mark.parametrize("size", ["orders=1+2,n_blocks=1", "orders=1+2+3,n_blocks=4", "orders=2,n_blocks=3"])
def test_controls_rotate_with_as_many_numbers(method, size):
    model = made(method, size)
    wanted = count_numbers(classifier(), "quic", size, TARGETS)
    least = wanted if method != "control_small_oft" else 0.98 * wanted
    assert least <= trainable_numbers(model) <= wanted
    with torch.no_grad():
        for parameter in adapter_parameters(model):
            parameter.normal_(std=0.1)
        rotation = model.get_submodule(f"encoder.encoder.{TARGETS[0]}").out_map
        image = rotation(torch.eye(384))
    assert torch.allclose(image @ image.mT, torch.eye(384), atol=1e-4)
    assert not torch.allclose(image, torch.eye(384), atol=1e-2)


def test_unmixed_factors_are_one_factor_of_the_product():
    from adapters.evaluation.rivals.controls import UnmixedFactors
    from adapters.plan import plan_blocks
    from adapters.rotation import Rotation
    from qicircuits import cayley

    plan = plan_blocks(20, (1, 2), n_blocks=2)
    module = UnmixedFactors(plan, 2).double()
    x = torch.randn(3, 20, dtype=torch.float64)
    assert module(x).equal(x)
    with torch.no_grad():
        module.numbers.normal_()
    one = Rotation(plan, "cayley")
    first, second = cayley(module.numbers.detach())
    expected = one.rotate(second, one.rotate(first, x))
    assert torch.allclose(module(x), expected, atol=1e-12)


def test_generators_of_the_subspace_are_orthogonal_and_as_long_as_those_of_the_compounds():
    from adapters.evaluation.rivals.controls import SubspaceRotation
    from adapters.plan import plan_blocks
    from qicircuits import compound_matrix

    plan = plan_blocks(10, (1, 2))
    torch.manual_seed(0)
    control = SubspaceRotation(plan).double()
    start = torch.zeros_like(control.numbers)

    def skew(numbers):
        return torch.func.functional_call(control, {"numbers": numbers}, (torch.eye(10).double(),)).mT

    own = torch.autograd.functional.jacobian(skew, start).reshape(100, 6)
    generators = []
    for i, j in zip(*torch.triu_indices(4, 4, 1).tolist(), strict=True):
        turn = torch.zeros(4, 4, dtype=torch.float64)
        turn[i, j], turn[j, i] = 2, -2

        def blocks(t, turn=turn):
            matrix = torch.eye(4).double() - t * turn
            return torch.block_diag(*(compound_matrix(matrix, order) for order in plan.orders))

        generators.append(torch.autograd.functional.jacobian(blocks, torch.zeros(()).double()).flatten())
    compounds = torch.stack(generators, dim=1)
    assert torch.allclose(own.mT @ own, compounds.mT @ compounds, atol=1e-10)


def test_the_reflections_of_ether_are_their_own_inverses_and_bounded_in_the_relaxed_form():
    from adapters.evaluation.rivals.ether import Reflection, RelaxedReflection

    torch.manual_seed(0)
    unit = torch.eye(12, dtype=torch.float64)
    reflection, relaxed = Reflection(12, 3).double(), RelaxedReflection(12, 3).double()
    image = reflection(unit)
    assert torch.allclose(image @ image, unit)
    assert torch.linalg.det(image).item() == pytest.approx(-1)
    assert torch.linalg.norm(image - unit).item() == pytest.approx(2 * 3**0.5)
    assert relaxed(unit).equal(unit)
    nn.init.normal_(relaxed.opposites)
    assert torch.linalg.norm(relaxed(unit) - unit).item() <= 2 * 3**0.5


@pytest.mark.parametrize(
    ("message", "method", "size", "targets"),
    [
        ("got 'lorra': the nearest to 'lorra' is 'lora'", "lorra", "r=8", TARGETS),
        (r"every target must match a linear layer of the model, got \['querry'\]", "lora", "r=8", ["querry"]),
        ("targets must be names of linear layers, at least one, got ", "ether", "n_blocks=1", []),
        (r"'lora' has the fields of LoraConfig, got \['rank'\]", "lora", "rank=8", TARGETS),
        (r"'ether' has the values n_blocks and plus, got \['r'\]", "ether", "r=8", TARGETS),
        ("n_blocks must divide the 384 features", "ether", "n_blocks=7", TARGETS),
        (r"the values must be of .*, got \['r'\]", "control_subspace", "r=8", TARGETS),
        ("the method 'head' has no size and no options", "head", "r=8", TARGETS),
        ("a size must be like", "lora", "r=", TARGETS),
        ("butterfly factor needs a GPU", "boft", "boft_block_size=8,boft_n_butterfly_factor=2", TARGETS),
        ("too small for orders", "paper", "orders=3,n_blocks=200", TARGETS),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_changes(message, method, size, targets):
    model = classifier()
    with pytest.raises(ValueError, match=message):
        attach(model, method, size, targets, 0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [name for name, _ in model.named_modules()] == [name for name, _ in classifier().named_modules()]


def test_targets_are_whole_names_or_ends_of_names():
    model = classifier()
    assert len(target_layers(model, ["query"])) == 6
    assert list(target_layers(model, ["encoder.encoder.layer.0.attention.self.query"])) == [
        "encoder.encoder.layer.0.attention.self.query"
    ]
    with pytest.raises(ValueError, match="must match"):
        target_layers(model, ["uery"])


def test_a_model_without_a_head_trains_none():
    model = attach(classifier().encoder, "lora", "r=1", ["query"], 0)
    assert head_parameters(model) == []
    assert trainable_numbers(model) == 6 * 2 * 384
