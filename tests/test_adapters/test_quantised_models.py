"""Whole models on quantised bases: trained, saved, loaded on a fresh base, merged and exported."""

import json
import sys

import pytest
import torch
from peft import PeftModel, TaskType, get_peft_model, prepare_model_for_kbit_training
from quantised_bases import KINDS, load
from test_export import save_adapter
from tiny_models import bert, gpt2, layers
from tiny_runs import bert_checkpoint, sentences, write_config, write_csv
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertForSequenceClassification,
)
from typer.testing import CliRunner

from adapters import QuICConfig
from adapters.cli import app
from adapters.evaluation.assets import encoder_folder
from adapters.export import load_saved_model, save_as_lora, save_merged
from adapters.export.merged import output_of
from adapters.rounding_losses import rounding_losses

TEXTS = ["a warm and funny film", "dull from start to end", "the best acting of the year", "a waste of two hours"]
LABELS = torch.tensor([1, 0, 1, 0])


def steps(model, inputs, count):
    """The loss before each of some steps, on one batch, of a model that embeds texts."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-2)
    target = torch.eye(2, 384)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        states = model(**inputs).last_hidden_state.mean(1)
        loss = nn.functional.cross_entropy(10 * states @ target.mT, LABELS)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _numbers(tensor):
    """What a tensor holds; torchao's cannot be compared."""
    return tensor.qdata if type(tensor).__module__.startswith("torchao") else tensor


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")  # PEFT's
@pytest.mark.parametrize("kind", KINDS)
def test_a_real_model_is_trained_saved_and_loaded(kind, tmp_path):
    inputs = AutoTokenizer.from_pretrained(encoder_folder())(TEXTS, padding=True, return_tensors="pt")
    # With gradient checkpointing, which has the layers called twice.
    base = prepare_model_for_kbit_training(
        load(encoder_folder(), kind), gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = get_peft_model(base, QuICConfig(target_modules=["query", "value"], orders=(1, 2), n_blocks=1)).train()
    losses = steps(model, inputs, 6)
    assert losses[-1] < 0.8 * losses[0]
    with torch.no_grad():
        trained = model.eval()(**inputs).last_hidden_state
    after = {
        name.replace(".base_layer", ""): tensor for name, tensor in base.state_dict().items() if "quic" not in name
    }
    assert after.keys() == before.keys()
    assert all(torch.equal(_numbers(tensor), _numbers(before[name])) for name, tensor in after.items())
    model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 30_000
    fresh = PeftModel.from_pretrained(load(encoder_folder(), kind), str(tmp_path)).eval()
    with torch.no_grad():
        assert fresh(**inputs).last_hidden_state.equal(trained)
    with pytest.warns(UserWarning, match="12 weights again"):
        fresh.merge_adapter()
    losses = rounding_losses(fresh)
    assert set(losses) == set(layers(fresh))
    with torch.no_grad():
        merged = fresh(**inputs).last_hidden_state
    assert 0 < (merged - trained).norm() < {"8bit": 0.2, "nf4": 0.5, "int8": 0.1}[kind] * trained.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_a_quantised_conv1d_merges_into_the_unquantised_one(kind, tmp_path):
    """transformers makes Linear layers of the Conv1D of GPT-2, with the transposed weights."""
    gpt2().save_pretrained(tmp_path / "base")
    base = load(tmp_path / "base", kind, AutoModelForCausalLM)
    config = QuICConfig(
        target_modules=["c_attn", "c_fc"], n_blocks=2, task_type=TaskType.CAUSAL_LM, init_weights=False
    )
    if kind == "int8":  # torchao leaves them as they are
        assert type(base.transformer.h[0].mlp.c_fc).__name__ == "Conv1D"
    model = get_peft_model(base, config)
    model.save_pretrained(tmp_path / "adapter")
    ids = torch.arange(12)[None]
    plain = PeftModel.from_pretrained(load(tmp_path / "base", None, AutoModelForCausalLM), str(tmp_path / "adapter"))
    with torch.no_grad():
        expected = plain.eval()(ids).logits
        assert (model.eval()(ids).logits - expected).norm() < {"8bit": 0.1, "nf4": 0.5, "int8": 1e-6}[
            kind
        ] * expected.norm()
        merged = plain.merge_and_unload(safe_merge=True)
        torch.testing.assert_close(merged(ids).logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_saving_a_merged_model_keeps_what_the_quantised_one_computed(kind, tmp_path):
    save_adapter(tmp_path, "llama")
    base = load(tmp_path / "base", kind, AutoModelForCausalLM)
    model = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    inputs = {"input_ids": torch.arange(12)[None]}
    expected = output_of(model.train(), inputs)  # on a CPU 8 bits round activations too, in evaluation
    report = save_merged(model.eval(), tmp_path / "merged")
    assert report.dtype == "float32"
    config = json.loads((tmp_path / "merged" / "config.json").read_text("utf-8"))
    assert "quantization_config" not in config
    found = output_of(load(tmp_path / "merged", None, AutoModelForCausalLM), inputs)
    assert (found - expected).norm() < 1e-4 * expected.norm()


def test_a_checkpoint_in_four_bits_is_merged_without_rounding_again(tmp_path):
    save_adapter(tmp_path, "llama")
    load(tmp_path / "base", "nf4", AutoModelForCausalLM).save_pretrained(tmp_path / "small")
    arguments = ["merge", str(tmp_path / "adapter"), str(tmp_path / "merged"), "--base", str(tmp_path / "small")]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["deviation"] < 1e-4
    result = CliRunner().invoke(app, [*arguments[:2], str(tmp_path / "short"), *arguments[3:], "--dtype", "bfloat16"])
    assert result.exit_code == 0, result.stderr
    assert "in bfloat16" in result.stdout


def test_dequantising_a_merged_model_is_refused(tmp_path):
    save_adapter(tmp_path, "llama")
    base = load(tmp_path / "base", "nf4", AutoModelForCausalLM)
    model = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    with pytest.warns(UserWarning, match="Do not merge into 4 bits"):
        model.merge_adapter()
    with pytest.raises(ValueError, match=r"needs unmerged adapters, got .* merged: call unmerge_adapter"):
        save_merged(model, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_lora_is_made_of_the_dequantised_weights(tmp_path):
    save_adapter(tmp_path, "llama", target_modules=["q_proj"])
    losses = [
        save_as_lora(
            PeftModel.from_pretrained(load(tmp_path / "base", kind, AutoModelForCausalLM), str(tmp_path / "adapter")),
            tmp_path / f"lora-{kind}",
            rank=16,
            max_error=1,
        )
        for kind in (None, "int8")
    ]
    for one, other in zip(*losses, strict=True):
        assert one.error == pytest.approx(other.error, abs=0.02)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    bert_checkpoint(tmp_path / "bert")
    write_csv(tmp_path / "train.csv", sentences(32))
    return tmp_path


def finetune(folder, *options, **values):
    config = write_config(
        folder / "config.yaml",
        folder / "bert",
        folder / "train.csv",
        folder / "train.csv",
        folder / "run",
        adapter={"target_modules": "all-linear"},
        **values,
    )
    return CliRunner().invoke(app, ["finetune", str(config), *options])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_a_quantised_base_merges_into_the_unquantised_one(checkpoint, kind):
    result = finetune(checkpoint, "--json", quantisation=kind, training={"activation_checkpointing": True})
    assert result.exit_code == 0, result.stderr or result.exception
    metrics = json.loads(result.stdout)
    assert metrics["steps"] == 8
    model = load_saved_model(checkpoint / "run" / "adapter")
    assert isinstance(model.get_base_model(), BertForSequenceClassification)
    assert any(layer.quic_parameters["default"].any() for layer in layers(model).values())
    merge = ["merge", str(checkpoint / "run" / "adapter"), str(checkpoint / "merged"), "--json"]
    result = CliRunner().invoke(app, merge)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["deviation"] < 1e-5


def test_layers_that_are_new_are_not_quantised(checkpoint):
    short = bert()
    short.pooler = None
    short.save_pretrained(checkpoint / "bert")  # a checkpoint without one: it is drawn anew
    result = finetune(checkpoint, quantisation="nf4", training={"max_steps": 2, "checkpoint_every": 2})
    assert result.exit_code == 0, result.stderr or result.exception
    model = load_saved_model(checkpoint / "run" / "adapter")
    assert "bert.pooler.dense" in model.peft_config["default"].modules_to_save


def test_what_a_run_cannot_have_is_said(checkpoint, monkeypatch):
    result = finetune(checkpoint, quantisation="3bit")
    assert "quantisation should be 'none', '8bit', 'nf4' or 'int8', got '3bit'" in result.stderr
    result = finetune(checkpoint, quantisation="int8", training={"fsdp": True})
    assert "a sharded run needs quantisation: none, got int8" in result.stderr
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    result = finetune(checkpoint, quantisation="nf4")
    assert "nf4 needs pip install 'qicircuits[quantised]', got no bitsandbytes" in result.stderr
    assert result.exit_code == 1
    assert not (checkpoint / "run" / "adapter").exists()
