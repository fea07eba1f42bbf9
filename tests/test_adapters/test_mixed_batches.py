"""Batches whose rows have different adapters, in forwards and in generation."""

import pytest
import torch
from peft import get_peft_model
from tiny_models import IDS, bert, gpt2, layers, output, t5
from torch import nn
from transformers import (
    GenerationConfig,
)

from adapters import QuICConfig


def three_adapters(make):
    """Adapters of both sides, and one that only some layers have."""
    model = get_peft_model(make(), QuICConfig(target_modules="all-linear", n_blocks=1))
    model.add_adapter("in", QuICConfig(target_modules="all-linear", side="in", n_blocks=2))
    model.add_adapter("some", QuICConfig(orders=(2,), parameter_map="rbs", n_blocks=1, target_modules=None))
    for layer in layers(model).values():
        for parameters in layer.quic_parameters.values():
            nn.init.normal_(parameters, std=0.3)
    return model.eval()


def one_by_one(model, names, run):
    rows = []
    for row, name in enumerate(names):
        if name == "__base__":
            with model.disable_adapter():
                rows.append(run(row))
        else:
            model.set_adapter(name)
            rows.append(run(row))
    model.set_adapter("default")
    return rows


@pytest.mark.parametrize("make", [bert, gpt2])
def test_mixed_batch_is_each_row_with_its_adapter(make):
    model = three_adapters(make)
    names = ["some", "__base__", "in", "default", "some"]
    ids = torch.arange(5 * 6).reshape(5, 6) % 30
    expected = torch.cat(one_by_one(model, names, lambda row: output(model, ids[row : row + 1])))
    torch.testing.assert_close(output(model, ids, adapter_names=names), expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(
        output(model, ids, adapter_names=["__base__"] * 5),
        torch.cat(one_by_one(model, ["__base__"] * 5, lambda row: output(model, ids[row : row + 1]))),
        rtol=0,
        atol=2e-6,
    )


NO_SAMPLING = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}


@pytest.mark.parametrize("make", [gpt2, t5])
@pytest.mark.parametrize("place", ["keyword", "configuration", "model"])
@pytest.mark.parametrize("copies", [{"num_beams": 2}, {"num_beams": 3, "num_return_sequences": 2}])
def test_mixed_batch_with_beam_search(make, place, copies):
    model = three_adapters(make)
    names = ["in", "__base__", "some"]
    settings = {**NO_SAMPLING, **copies}
    if place == "configuration":
        # Of the model's own configuration, for its special tokens.
        settings = {"generation_config": GenerationConfig(**{**model.generation_config.to_dict(), **settings})}
    elif place == "model":
        model.generation_config.update(**settings)
        settings = {}
    attention = torch.ones_like(IDS)

    def run(row):
        rows = slice(row, row + 1)
        return model.generate(input_ids=IDS[rows], attention_mask=attention[rows], **settings)

    expected = torch.cat(one_by_one(model, names, run))
    assert model.generate(input_ids=IDS, attention_mask=attention, adapter_names=names, **settings).equal(expected)


def test_mixed_batch_with_several_samples():
    """Without randomness (one token to choose from) the samples of a row are the row's greedy choice."""
    model = three_adapters(gpt2)
    names = ["in", "__base__", "some"]
    settings = {"attention_mask": torch.ones_like(IDS), "adapter_names": names}
    greedy = model.generate(input_ids=IDS, **NO_SAMPLING, **settings)
    sampled = {**NO_SAMPLING, "do_sample": True, "top_k": 1, "num_return_sequences": 2}
    samples = model.generate(input_ids=IDS, **sampled, **settings)
    assert samples.equal(greedy.repeat_interleave(2, dim=0))


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["default"], ValueError, "one name a row of the batch, got 1 names for 3 rows"),
        (["default", "defautl", "__base__"], ValueError, r"got \['defautl'\]: the nearest to 'defautl' is 'default'"),
        ("default", TypeError, "must be a list of names.*got 'default'"),
        ([0, 0, 0], TypeError, "must be a list of names"),
    ],
)
def test_wrong_adapter_names_are_refused_and_forgotten(names, error, message):
    model = get_peft_model(bert(), QuICConfig(n_blocks=1, target_modules=None)).eval()
    expected = output(model)
    with pytest.raises(error, match=message):
        model(IDS, adapter_names=names)
    assert output(model).equal(expected)


def test_adapter_names_need_evaluation_and_unmerged_adapters():
    model = get_peft_model(bert(), QuICConfig(n_blocks=1, target_modules=None))
    with pytest.raises(ValueError, match=r"call eval\(\)"):
        model.train()(IDS, adapter_names=["default"] * 3)
    model.eval().merge_adapter()
    with pytest.raises(ValueError, match=r"got merged \['default'\]"):
        model(IDS, adapter_names=["default"] * 3)
