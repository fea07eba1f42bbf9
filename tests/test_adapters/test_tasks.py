"""The movie-review task and its batches, on the real sentences."""

import pytest
import torch

from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.batches import TokenisedSplit, sorted_batches, tokenise, training_batches
from adapters.evaluation.classifier import load_tokenizer
from adapters.evaluation.tasks import Split, movie_polarity


@pytest.fixture(scope="module")
def task():
    return movie_polarity()


def toy_split(count):
    """Sentences of 1, 2, ..., tokens, in a scrambled order; each token is its sentence's number."""
    lengths = [(7 * i) % count + 1 for i in range(count)]
    return TokenisedSplit(tuple([i + 1] * n for i, n in enumerate(lengths)), tuple(i % 2 for i in range(count)))


def test_sentences_are_divided_once_and_for_all(task):
    assert (len(task.train), len(task.test)) == (8033, 2008)
    again = movie_polarity()
    assert (task.train.digest(), task.test.digest()) == (again.train.digest(), again.test.digest())


def test_no_sentence_is_repeated(task):
    texts = task.train.inputs + task.test.inputs
    assert len(set(texts)) == len(texts)


def test_both_classes_are_there_in_equal_measure(task):
    for split in (task.train, task.test):
        assert set(split.labels) == {0, 1}
        assert 0.45 < sum(split.labels) / len(split) < 0.55


def test_labels_are_the_sign_of_the_rating(task):
    label = dict(zip(task.train.inputs + task.test.inputs, task.train.labels + task.test.labels, strict=True))
    praised = [text for text in label if "masterpiece" in text.lower() or "brilliant" in text.lower()]
    panned = [text for text in label if "awful" in text.lower() or "unfunny" in text.lower()]
    assert sum(label[text] for text in praised) > 0.8 * len(praised) > 8
    assert sum(label[text] for text in panned) < 0.2 * len(panned)


def test_first_and_rest_divide_a_split():
    split = Split(("a", "b", "c"), (0, 1, 1))
    assert (split.first(1).inputs, split.first(1).labels) == (("a",), (0,))
    assert (split.rest(1).inputs, split.rest(1).labels) == (("b", "c"), (1, 1))


def test_tokens_carry_the_special_ones_and_are_cut(task):
    tokenizer = load_tokenizer(encoder_folder())
    tokens = tokenise(task.test.first(50), tokenizer, max_length=8)
    assert {ids[0] for ids in tokens.token_ids} == {tokenizer.cls_token_id}
    assert {ids[-1] for ids in tokens.token_ids} == {tokenizer.sep_token_id}
    assert max(map(len, tokens.token_ids)) == 8


@pytest.mark.parametrize(("count", "size"), [(1, 1), (1, 4), (10, 4), (12, 4)])
def test_sorted_batches_hold_every_sentence_once_from_short_to_long(count, size):
    split = toy_split(count)
    batches = list(sorted_batches(split, size))
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == list(range(count))
    lengths = torch.cat([batch.inputs["attention_mask"].sum(1) for batch in batches])
    assert torch.equal(lengths, lengths.sort().values)
    for batch in batches:
        assert (
            batch.inputs["input_ids"].shape
            == batch.inputs["attention_mask"].shape
            == (len(batch.rows), batch.inputs["attention_mask"].sum(1).max())
        )
        assert torch.equal(batch.inputs["input_ids"], (batch.rows + 1)[:, None] * batch.inputs["attention_mask"])
        assert torch.equal(batch.labels, batch.rows % 2)


def test_training_batches_pass_through_the_split_before_they_repeat():
    batches = training_batches(toy_split(40), size=4, steps=25, seed=3)
    first, second = batches[:10], batches[10:20]
    assert len(batches) == 25
    assert all(len(batch.rows) == 4 for batch in batches)
    for one_pass in (first, second):
        assert sorted(torch.cat([batch.rows for batch in one_pass]).tolist()) == list(range(40))
    assert not torch.equal(first[0].rows, second[0].rows)


def test_training_batches_depend_on_the_seed_alone():
    def draw(seed):
        return torch.cat([batch.rows for batch in training_batches(toy_split(40), 4, 10, seed)])

    torch.manual_seed(1)
    once = draw(0)
    torch.manual_seed(2)
    assert torch.equal(once, draw(0))
    assert not torch.equal(once, draw(1))


@pytest.mark.parametrize(
    ("size", "steps", "message"),
    [
        (0, 1, "between 1 and 5 sentences, got 0"),
        (6, 1, "between 1 and 5 sentences, got 6"),
        (2, 0, "steps must be positive, got 0"),
    ],
)
def test_impossible_batches_are_refused(size, steps, message):
    with pytest.raises(ValueError, match=message):
        training_batches(toy_split(5), size, steps, seed=0)
