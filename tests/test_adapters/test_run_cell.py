"""Real cells of a few steps: equal numbers for equal cells, both precisions, what is counted, and what is refused."""

from dataclasses import replace

import lab_cells as lab
import pytest
import torch
from torch import nn

from adapters.evaluation.autocast import computing_in
from adapters.evaluation.batches import training_batches
from adapters.evaluation.cells import Cell, freeze_options
from adapters.evaluation.examples import embed, examples_of, split_of
from adapters.evaluation.machine import peak_memory, reset_peak_memory
from adapters.evaluation.objectives import Objective, objective_of, score_batches
from adapters.evaluation.pretrained import fresh_model, kept_model
from adapters.evaluation.run_cell import run_cell
from adapters.evaluation.tasks import Split, load_task
from adapters.evaluation.training import DivergedError, fit

pytestmark = pytest.mark.integration

SMALL = {"steps": 3, "batch_size": 4, "max_length": 12, "train_limit": 60, "test_limit": 16}
QUIC = Cell("movie", "quic", "orders=1+2", rate=5e-3, **SMALL)


@pytest.fixture(scope="module")
def quic():
    return run_cell(QUIC)


@pytest.mark.parametrize(
    "cell",
    [
        QUIC,
        replace(QUIC, method="head", size="", rate=1e-2),
        replace(QUIC, method="lora", size="r=2", precision="bfloat16"),
    ],
    ids=lambda cell: cell.method,
)
def test_the_same_cell_gives_the_same_numbers_whatever_ran_before(cell):
    first = lab.plain(run_cell(cell))
    run_cell(replace(cell, seed=5, method="full", size="", rate=1e-4))  # changes every weight of its copy
    assert lab.plain(run_cell(cell)) == first


def test_a_cell_depends_on_its_seed_and_rate(quic):
    assert run_cell(replace(QUIC, seed=1)).losses != quic.losses
    assert run_cell(replace(QUIC, rate=1e-3)).losses[0] == quic.losses[0]  # the same batch, model and head
    assert run_cell(replace(QUIC, rate=1e-3)).losses[2] != quic.losses[2]


def test_what_is_counted(quic):
    n, layers = 27, 2 * 6  # one block of 384 features: 27 + 27 * 26 / 2 = 378
    assert quic.adapter_numbers == layers * n * (n - 1) // 2
    assert quic.head_numbers == 2 * 384 + 2
    assert quic.n_bytes == 4 * quic.adapter_numbers
    assert (quic.train_examples, quic.test_examples) == (60, 16)
    assert len(quic.losses) == 3
    assert quic.seconds > 3 * quic.seconds_per_step > 0
    assert quic.environment["threads"] == torch.get_num_threads()


def test_rivals_see_the_same_batches_and_the_same_head(quic):
    """Both start as the untouched model, so their first losses are the same."""
    assert run_cell(replace(QUIC, method="lora", size="r=2")).losses[0] == pytest.approx(quic.losses[0], abs=1e-6)
    head = run_cell(replace(QUIC, method="head", size="", rate=1e-2))
    assert head.losses[0] == pytest.approx(quic.losses[0], abs=1e-5)  # padded otherwise when it was embedded
    assert (head.adapter_numbers, head.n_bytes) == (0, 0)


def test_bfloat16_is_close_to_float32(quic):
    rounded = run_cell(replace(QUIC, precision="bfloat16"))
    assert rounded.losses != quic.losses
    assert rounded.losses == pytest.approx(quic.losses, rel=0.02)


def test_layers_and_targets_choose_modules(quic):
    one = run_cell(replace(QUIC, layers=(5,)))
    assert one.adapter_numbers == quic.adapter_numbers / 6
    values = run_cell(replace(QUIC, targets="value"))
    assert values.adapter_numbers == quic.adapter_numbers / 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": None}, "a cell needs a rate to be run, got none: quic orders=1\\+2 on movie"),
        ({"task": "films"}, "a task must be one of .*, got 'films'"),
        ({"method": "quick"}, "a method must be one of .*'quick'"),
        ({"measures": ("taste",)}, r"measures must be of \['jacobian', 'old_task', 'packing'\], got \['taste'\]"),
        ({"targets": "nowhere"}, "targets must be one of attention_qv, .*, got 'nowhere' in layers None"),
        ({"layers": (6,)}, r"got 'attention_qv' in layers \(6,\)"),
    ],
)
def test_what_there_is_not(values, message):
    with pytest.raises(ValueError, match=message):
        run_cell(replace(QUIC, **values))


def test_a_loss_that_is_not_finite_stops_the_cell():
    layer = nn.Linear(2, 2)
    batches = training_batches(Pairs(), 2, 2, 0)
    with pytest.raises(DivergedError, match="the training loss must stay finite, got nan at step 1"):
        fit(lambda batch: layer(batch.inputs["x"]) * float("nan"), [(layer.parameters(), 0.1)], batches, lambda: None)


class Pairs:
    lengths = (1, 1, 1, 1)

    def collate(self, rows):
        from adapters.evaluation.batches import Batch

        return Batch({"x": torch.ones(len(rows), 2)}, torch.zeros(len(rows), dtype=torch.long), torch.tensor(rows))


# ---- examples


def test_examples_set_apart_are_not_trained_on_and_not_the_test():
    task = load_task("movie")
    train, apart = split_of(task, "tuning", 100, 1000)
    assert (len(train), len(apart)) == (80, 20)
    assert tuple(train.inputs) + tuple(apart.inputs) == tuple(task.train.inputs[:100])
    assert not set(apart.inputs) & set(task.test.inputs)
    assert len(split_of(task, "tuning", 100, 5)[1]) == 5
    assert split_of(task, "test", None, None)[1] is task.test


def test_features_are_those_of_the_model_in_the_order_of_the_split():
    examples, model = examples_of(QUIC), kept_model("movie", 0, None)
    embedded = embed(model, examples.test, "float32")
    batch = examples.test.collate([3, 7])
    with torch.no_grad():
        logits = model(**batch.inputs)
    assert torch.allclose(model.head(embedded.features[[3, 7]]), logits, atol=1e-5)
    assert torch.equal(embedded.collate([3, 7]).labels, batch.labels)


def test_a_fresh_model_is_the_callers_own():
    fresh = fresh_model("movie", 0, None)
    with torch.no_grad():
        fresh.head.weight.zero_()
    assert kept_model("movie", 0, None).head.weight.any()


# ---- objectives


def test_a_regression_is_learnt_in_units_of_its_spread():
    split = Split(tuple("abcd"), (1.0, 2.0, 3.0, 6.0))
    objective = objective_of("pearson", split)
    labels = torch.tensor(split.labels)
    standard = (labels - labels.mean()) / labels.std()
    assert objective.loss(standard.unsqueeze(-1), labels) == pytest.approx(0, abs=1e-12)
    assert objective.loss(torch.zeros(4, 1), labels) == pytest.approx(0.75)  # of n - 1


def test_the_perplexity_of_a_uniform_guess_is_the_vocabulary():
    batch = examples_like(torch.tensor([[5, 6, 7], [5, 6, -100]]))
    forward = lambda batch: torch.zeros(*batch.labels.shape, 11)  # noqa: E731
    assert score_batches("perplexity", forward, [batch, batch]) == pytest.approx(11)
    assert Objective("perplexity").loss(forward(batch), batch.labels).exp() == pytest.approx(11)


def test_the_next_token_is_predicted_not_the_same():
    batch = examples_like(torch.tensor([[1, 2, 3]]))
    shifted = 50 * nn.functional.one_hot(torch.tensor([[2, 3, 0]]), 4).float()
    assert score_batches("perplexity", lambda batch: shifted, [batch]) == pytest.approx(1)


def examples_like(labels):
    from adapters.evaluation.batches import Batch

    return Batch({}, labels, torch.arange(len(labels)))


def test_generated_text_cannot_be_measured_on_logits():
    with pytest.raises(ValueError, match="a cell measures logits, got the metric 'exact_match'"):
        objective_of("exact_match", Split((), ()))


# ---- measures


@pytest.fixture(scope="module")
def measured():
    return run_cell(replace(QUIC, measures=("jacobian", "old_task", "packing"), test_limit=24))


def test_packing_at_32_bits_changes_nothing(measured):
    packing = measured.extra["packing"]
    assert list(packing) == ["32", "16", "8", "4", "1"]
    assert packing["32"] == {"score": measured.score, "bytes": 4 * measured.adapter_numbers}
    sizes = [entry["bytes"] for entry in packing.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_the_jacobian_is_an_isometry_at_the_start(measured):
    for layer in measured.extra["jacobian"]["layers"]:
        assert layer["start"] == pytest.approx([2.0] * 41)  # Cayley: dA = -2 dS
        assert layer["end"] == sorted(layer["end"], reverse=True)
        assert layer["end"] != layer["start"]


def test_angles_that_are_all_zero_lose_directions():
    options = freeze_options({"parameter_map": "rbs", "start": "zero"})
    result = run_cell(
        replace(QUIC, size="orders=1,n_blocks=32", options=options, measures=("jacobian",), layers=(0,), steps=1)
    )
    start = result.extra["jacobian"]["layers"][0]["start"]
    assert min(start) == pytest.approx(0, abs=1e-6)


def test_the_old_task_is_the_same_before_whatever_is_learnt(measured):
    lora = run_cell(replace(QUIC, method="lora", size="r=2", measures=("old_task", "packing", "jacobian")))
    assert list(lora.extra) == ["old_task"]  # the others are of QuIC only
    old, other = measured.extra["old_task"], lora.extra["old_task"]
    assert (old["metric"], old["before"]) == ("pearson", other["before"])
    assert old["before"] > 0.3
    assert old["after"] != other["after"]


# ---- the machine


def test_peak_memory_starts_again():
    if not reset_peak_memory():
        pytest.skip("this system does not reset it")
    before = peak_memory()
    torch.ones(50_000_000)  # 200 MB, freed at once
    assert peak_memory() - before > 150e6
    reset_peak_memory()
    assert peak_memory() - before < 100e6


def test_autocast_is_on_in_one_precision_only():
    layer, x = nn.Linear(4, 4), torch.ones(1, 4)
    with computing_in("bfloat16"):
        assert layer(x).dtype == torch.bfloat16
    with computing_in("float32"):
        assert layer(x).dtype == torch.float32
