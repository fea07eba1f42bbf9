"""The laboratory's tasks: fixed splits without repetitions, read from pinned packages."""

from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.evaluation.backbones import collate, encode, load_processor
from adapters.evaluation.batches import PixelSplit, TokenisedSplit, sorted_batches, training_batches
from adapters.evaluation.tasks import TASKS, Split, load_task, task_names
from adapters.evaluation.tasks.task import METRICS, divide, unique

SIZES = {  # training examples, test examples, classes, and how the digest of the training split begins
    "movie": (8033, 2008, 2, "11b69ef6"),
    "tweets": (2690, 672, 2, "6194742b"),
    "amazon": (2348, 587, 2, "ed0fdd30"),
    "valence": (4095, 1024, 0, "378a18d4"),
    "bbc": (1697, 424, 5, "9424f8c9"),
    "newsgroups": (11264, 7520, 20, "6935362b"),
    "r8": (5419, 2176, 8, "085c27c4"),
    "uci": (2386, 596, 2, "c4e32bdd"),
    "digits": (1000, 797, 10, "0d0d7f4c"),
    "mnist": (1000, 2000, 10, "c1205e29"),
    "fashion": (1000, 2000, 10, "29bcb0ee"),
    "emoji": (1000, 527, 8, "f52afb9f"),
    "brown": (2034, 501, 0, "30282d7a"),
    "newswire": (9352, 3518, 0, "11ef4ae2"),
}


def contents(split):
    """Each input as something that can be counted."""
    return [example.tobytes() if isinstance(example, np.ndarray) else example for example in split.inputs]


def test_every_offline_task_has_its_sizes_here():
    assert tuple(SIZES) == task_names()
    assert {name for suite in ("text", "image", "language") for name in task_names(suite)} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_a_task_is_the_same_everywhere(name):
    task = load_task(name)
    n_train, n_test, n_classes, digest = SIZES[name]
    assert (task.name, task.suite) == (name, TASKS[name].suite)
    assert task.metric in METRICS
    assert (len(task.train), len(task.test), len(task.classes)) == (n_train, n_test, n_classes)
    assert task.train.digest().startswith(digest)


@pytest.mark.parametrize("name", SIZES)
def test_the_page_says_of_each_task_what_is_known(name):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "offline_tasks.md").read_text("utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` | "))
    n_train, n_test, _, _ = SIZES[name]
    for words in (f"{n_train:,}, {n_test:,}", TASKS[name].source, TASKS[name].licence):
        assert f"| {words} |" in row


@pytest.mark.parametrize("name", SIZES)
def test_no_example_is_repeated_in_or_between_the_splits(name):
    task = load_task(name)
    every = contents(task.train) + contents(task.test) + (contents(task.old) if task.old else [])
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("name", [name for name in SIZES if SIZES[name][2]])
def test_every_class_is_in_both_splits(name):
    task = load_task(name)
    for split in (task.train, task.test):
        assert set(split.labels) == set(range(len(task.classes)))


@pytest.mark.parametrize("name", task_names("language"))
def test_language_has_text_of_the_old_domain_and_no_labels(name):
    task = load_task(name)
    assert task.n_outputs == 0
    assert task.old is not None
    for split in (task.train, task.test, task.old):
        assert split.labels == ()
        assert all(0 < len(text.split()) <= 100 for text in split.inputs)


def test_valence_is_rated_between_minus_four_and_four():
    task = load_task("valence")
    labels = np.array(task.train.labels + task.test.labels)
    assert task.n_outputs == 1
    assert -4 <= labels.min() < -2 < 2 < labels.max() <= 4


@pytest.mark.parametrize(
    ("name", "near"), [("newsgroup", "newsgroups"), ("Movie", "movie"), ("glue/sst", "glue/sst2")]
)
def test_an_unknown_task_is_refused_with_the_nearest_names(name, near):
    with pytest.raises(ValueError, match=f"must be one of movie, .* got '{name}'; the nearest are .*{near}"):
        load_task(name)


def test_a_split_needs_as_many_labels_as_inputs():
    with pytest.raises(ValueError, match="got 1 labels for 2 inputs"):
        Split(("a", "b"), (0,))


def test_examples_are_unique_and_divided_by_a_permutation():
    examples = unique([("a", 0), ("", 1), ("b", 1), ("a", 1), ("c", 0)], without=frozenset("c"))
    assert examples == [("a", 0), ("b", 1)]
    train, test = divide([(str(i), i) for i in range(10)], 3)
    assert (len(train), len(test)) == (7, 3)
    assert sorted(train.labels + test.labels) == list(range(10))
    assert all(text == str(label) for text, label in zip(train.inputs, train.labels, strict=True))


@pytest.mark.parametrize("inputs", [("a", "b", "c"), np.arange(12, dtype=np.uint8).reshape(3, 2, 2)])
def test_rows_are_selected_in_their_order(inputs):
    split = Split(inputs, (5, 6, 7))
    chosen = split.select([2, 0])
    assert chosen.labels == (7, 5)
    assert contents(chosen) == [contents(split)[2], contents(split)[0]]
    assert split.digest() == Split(inputs, (5, 6, 7)).digest() != chosen.digest()


# ---- batches


@pytest.mark.parametrize("name", ["digits", "emoji"])
def test_images_become_normalised_colour_pixels(name):
    task = load_task(name)
    batch = collate(task, task.train, [3, 1], load_processor(task))
    pixels = batch.inputs["pixel_values"]
    assert pixels.shape == (2, 3, 56, 56)
    assert -2.2 < pixels.min() < pixels.max() < 2.7  # black and white by the colours of ImageNet
    assert batch.labels.tolist() == [task.train.labels[3], task.train.labels[1]]


def test_white_and_black_keep_their_place_in_every_channel():
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = np.stack([np.zeros((8, 8)), np.full((8, 8), 255)]).astype(np.uint8)
    pixels = PixelSplit(images, (0, 1), 14).collate([0, 1]).inputs["pixel_values"]
    torch.testing.assert_close(pixels.mean((2, 3)), torch.stack([-mean, 1 - mean]) / deviation)


def test_language_is_predicted_everywhere_but_at_padding():
    split = TokenisedSplit(([5, 6, 7], [8]), (), padding=9)
    batch = split.collate([1, 0])
    assert batch.inputs["input_ids"].tolist() == [[8, 9, 9], [5, 6, 7]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.labels.tolist() == [[8, -100, -100], [5, 6, 7]]


@pytest.mark.parametrize("name", ["uci", "valence", "digits"])
def test_all_suites_share_the_batches(name):
    task = load_task(name)
    test = encode(task.test.first(20), load_processor(task, max_length=16))
    batches = list(sorted_batches(test, 8))
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(20))
    for batch in [*batches, *training_batches(test, 4, 3, seed=1)]:
        assert batch.labels.tolist() == pytest.approx([task.test.labels[row] for row in batch.rows])
        assert all(len(values) == len(batch.rows) for values in batch.inputs.values())
        assert batch.labels.is_floating_point() == (task.metric == "pearson")
