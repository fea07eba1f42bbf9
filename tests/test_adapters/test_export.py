"""Ways out: what plain transformers, ONNX Runtime and PEFT's LoRA make of an adapter is what the adapter made."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from tiny_models import SIZES, with_lively_weights
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    ViTConfig,
    ViTForImageClassification,
)
from typer.testing import CliRunner

from adapters import QuICConfig
from adapters.class_names import write_class_names
from adapters.cli import app
from adapters.export import load_saved_model, save_as_lora, save_merged, save_onnx
from adapters.export.merged import merge, output_of
from adapters.export.saved_model import probe_inputs

BASES = {
    "bert": lambda: BertForSequenceClassification(BertConfig(vocab_size=30, max_position_embeddings=16, **SIZES)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=30, **SIZES)),
    "vit": lambda: ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, **SIZES)),
}
TASKS = {"bert": TaskType.SEQ_CLS, "llama": TaskType.CAUSAL_LM, "vit": None}
CLASSES = {
    "bert": AutoModelForSequenceClassification,
    "llama": AutoModelForCausalLM,
    "vit": AutoModelForImageClassification,
}


def save_adapter(folder, kind, **values):
    """A base checkpoint, and a lively adapter in a folder; that of "bert" has a head of its own, with 5 labels."""
    with_lively_weights(BASES[kind]()).save_pretrained(folder / "base")
    head = {"num_labels": 5, "ignore_mismatched_sizes": True} if kind == "bert" else {}
    base = CLASSES[kind].from_pretrained(folder / "base", **head)
    exclude = ["classifier"] if kind == "vit" else None
    settings = {"target_modules": "all-linear", "exclude_modules": exclude, "n_blocks": 2, "task_type": TASKS[kind]}
    model = get_peft_model(
        base, QuICConfig(**({"block_share": False, "target_modules": None} | settings | values))
    ).eval()
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "quic_parameters" in name:
            nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder / "adapter")
    return model


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("values", [{}, {"side": "in", "parameter_map": "rbs"}])
def test_plain_transformers_loads_what_the_adapter_computes(tmp_path, kind, values):
    model = save_adapter(tmp_path, kind, **values)
    inputs = probe_inputs(model.get_base_model(), seed=3)
    expected = output_of(model, inputs)
    report = save_merged(load_saved_model(tmp_path / "adapter"), tmp_path / "merged")
    plain = CLASSES[kind].from_pretrained(tmp_path / "merged").eval()
    assert not any("quic" in name for name, _ in plain.named_parameters())
    torch.testing.assert_close(output_of(plain, inputs), expected, rtol=1e-5, atol=1e-5)
    assert report.deviation < 1e-5
    assert report.layers == {"bert": 13, "llama": 14, "vit": 12}[kind]
    files = [file for file in (tmp_path / "merged").iterdir() if file.is_file()]
    assert report.bytes == sum(file.stat().st_size for file in files)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "adapter", "merged"}


def test_the_merged_checkpoint_knows_the_names_of_its_classes(tmp_path):
    save_adapter(tmp_path, "bert")
    names = ["bad", "poor", "fair", "good", "gut – très bien"]
    write_class_names(tmp_path / "adapter", names)
    save_merged(load_saved_model(tmp_path / "adapter"), tmp_path / "merged")
    config = CLASSES["bert"].from_pretrained(tmp_path / "merged").config
    assert config.id2label == dict(enumerate(names))
    assert config.label2id == {name: number for number, name in enumerate(names)}
    write_class_names(tmp_path / "adapter", names[:3])
    with pytest.raises(ValueError, match="must name the 5 outputs of the head, got 3 names"):
        load_saved_model(tmp_path / "adapter")
    for damaged in ('["bad", "bad"]', '{"0": "bad"}', '["ba'):
        (tmp_path / "adapter" / "classes.json").write_text(damaged)
        with pytest.raises(ValueError, match="a JSON list of different names"):
            load_saved_model(tmp_path / "adapter")


def test_a_base_that_has_moved_is_one_sentence(tmp_path):
    save_adapter(tmp_path, "bert")
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    result = CliRunner().invoke(app, ["merge", str(tmp_path / "adapter"), str(tmp_path / "merged")])
    assert result.exit_code == 1
    assert f"got {tmp_path / 'base'}, which is the base that {tmp_path / 'adapter'} names" in result.stderr
    assert "--base" in result.stderr
    assert not (tmp_path / "merged").exists()
    moved = ["merge", str(tmp_path / "adapter"), str(tmp_path / "merged"), "--base", str(tmp_path / "elsewhere")]
    assert CliRunner().invoke(app, moved).exit_code == 0


def test_another_base_is_one_sentence(tmp_path):
    save_adapter(tmp_path, "bert")
    other = BertForSequenceClassification(BertConfig(vocab_size=30, **SIZES | {"hidden_size": 64}))
    other.save_pretrained(tmp_path / "other")
    result = CliRunner().invoke(
        app, ["merge", str(tmp_path / "adapter"), str(tmp_path / "merged"), "--base", str(tmp_path / "other")]
    )
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"Error: the base of {tmp_path / 'adapter'} must be the model that it was trained on"
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "merged").exists()


def test_rounding_the_merged_weights_is_reported(tmp_path):
    save_adapter(tmp_path, "llama")
    report = save_merged(load_saved_model(tmp_path / "adapter"), tmp_path / "merged", torch.bfloat16)
    plain = CLASSES["llama"].from_pretrained(tmp_path / "merged")
    assert report.dtype == "bfloat16"
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.bfloat16}
    assert 1e-5 < report.deviation < 0.05


def test_a_folder_with_files_is_left_alone(tmp_path):
    model = save_adapter(tmp_path, "bert")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for save in (
        lambda: save_merged(model, tmp_path / "full"),
        lambda: save_as_lora(model, tmp_path / "full", 32, 1),
    ):
        with pytest.raises(ValueError, match="new or empty folder"):
            save()
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_a_failed_merge_leaves_nothing(tmp_path):
    model = save_adapter(tmp_path, "bert")
    nn.init.constant_(model.get_parameter(next(n for n, _ in model.named_parameters() if "quic_" in n)), torch.inf)
    with pytest.raises(ValueError, match="finite"):
        save_merged(model, tmp_path / "merged")
    assert {path.name for path in tmp_path.iterdir()} == {"base", "adapter"}


def test_an_adapter_without_a_base_is_refused(tmp_path):
    model = save_adapter(tmp_path, "bert")
    model.save_pretrained(tmp_path / "homeless")
    file = tmp_path / "homeless" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(ValueError, match="must name its base model"):
        load_saved_model(tmp_path / "homeless")
    assert load_saved_model(tmp_path / "homeless", str(tmp_path / "base")) is not None


@pytest.mark.parametrize("kind", ["bert", "vit"])
def test_onnx_runtime_computes_the_same_for_other_sizes(tmp_path, kind):
    merged = merge(save_adapter(tmp_path, kind))
    assert save_onnx(merged, tmp_path / "model.onnx") < 1e-5
    inputs = probe_inputs(merged, seed=5)
    other = {
        name: torch.cat((value, value))[:3, :7] if kind == "bert" else value[:1] for name, value in inputs.items()
    }
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in other.items()})[0]
    np.testing.assert_allclose(found, output_of(merged, other), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="must not exist"):
        save_onnx(merged, tmp_path / "model.onnx")


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_lora_of_full_rank_is_the_adapter(tmp_path, kind):
    model = save_adapter(tmp_path, kind)
    losses = save_as_lora(model, tmp_path / "lora", 32)
    assert all(loss.error < 1e-6 and 1 <= loss.rank_needed <= 32 for loss in losses)
    head = {"num_labels": 5, "ignore_mismatched_sizes": True} if kind == "bert" else {}
    base = CLASSES[kind].from_pretrained(tmp_path / "base", **head)
    lora = PeftModel.from_pretrained(base, tmp_path / "lora").eval()
    assert isinstance(lora.peft_config["default"], LoraConfig)
    inputs = probe_inputs(model.get_base_model())
    torch.testing.assert_close(output_of(lora, inputs), output_of(model, inputs), rtol=1e-4, atol=1e-5)


def test_lora_that_loses_too_much_is_refused(tmp_path):
    model = save_adapter(tmp_path, "llama")
    with pytest.raises(ValueError, match=r"may lose 5\.0% of the change of a layer, got .*% for .* at rank 4"):
        save_as_lora(model, tmp_path / "lora", 4)
    assert not (tmp_path / "lora").exists()
    losses = save_as_lora(model, tmp_path / "lora", 4, max_error=1)
    needed = max(loss.rank_needed for loss in save_as_lora(model, tmp_path / "again", 16, max_error=1))
    layer = max(losses, key=lambda loss: loss.error)
    weight = model.get_base_model().get_submodule(layer.module)
    change = weight.turn_weight(weight.get_base_layer().weight.detach().double(), "default", inverse=False)
    change = change - weight.get_base_layer().weight.double()
    values = torch.linalg.svdvals(change)
    assert layer.error == pytest.approx(float((values[4:].square().sum() / values.square().sum()).sqrt()))
    assert needed <= 32


@pytest.mark.parametrize(
    ("rank", "max_error", "match"),
    [(0, 0.1, "rank must be in 1..32"), (33, 0.1, "rank must be"), (4, 2, "max_error")],
)
def test_lora_refuses_impossible_numbers(tmp_path, rank, max_error, match):
    with pytest.raises(ValueError, match=match):
        save_as_lora(save_adapter(tmp_path, "bert"), tmp_path / "lora", rank, max_error)
    assert not (tmp_path / "lora").exists()


def test_an_untrained_adapter_needs_no_rank(tmp_path):
    model = save_adapter(tmp_path, "llama")
    for name, parameter in model.named_parameters():
        if "quic_parameters" in name:
            nn.init.zeros_(parameter)
    assert {(loss.error, loss.rank_needed) for loss in save_as_lora(model, tmp_path / "lora", 1)} == {(0.0, 1)}


def test_commands(tmp_path):
    save_adapter(tmp_path, "bert")
    run = CliRunner().invoke
    done = run(app, ["merge", str(tmp_path / "adapter"), str(tmp_path / "merged"), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["layers"] == 13
    assert done.stderr == ""
    again = run(app, ["merge", str(tmp_path / "adapter"), str(tmp_path / "merged")])
    assert again.exit_code == 1
    assert "new or empty folder" in again.output
    lost = run(app, ["to-lora", str(tmp_path / "adapter"), str(tmp_path / "lora"), "--rank", "2"])
    assert lost.exit_code == 1
    assert "may lose 5.0%" in lost.output
    kept = run(app, ["to-lora", str(tmp_path / "adapter"), str(tmp_path / "lora"), "--rank", "2", "--max-error", "1"])
    assert kept.exit_code == 0
    assert "lost at rank 2" in kept.output


@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL's own settings, in transformers
def test_trl_trains_and_saves_the_adapter(tmp_path):
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    words = Dataset.from_dict({"input_ids": torch.arange(64).remainder(29).reshape(8, 8).tolist()})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_word_tokenizer(), pad_token="w0", eos_token="w1")
    with_lively_weights(BASES["llama"]()).save_pretrained(tmp_path / "base")
    settings = SFTConfig(
        output_dir=str(tmp_path / "run"),
        max_steps=2,
        per_device_train_batch_size=4,
        bf16=False,
        report_to="none",
        use_cpu=True,
    )
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(tmp_path / "base"),
        args=settings,
        train_dataset=words,
        processing_class=tokenizer,
        peft_config=QuICConfig(target_modules="all-linear", n_blocks=2, task_type=TaskType.CAUSAL_LM),
    )
    trainer.train()
    trainer.save_model()
    trained = [p for name, p in trainer.model.named_parameters() if "quic_parameters" in name]
    assert all(parameter.abs().max() > 0 for parameter in trained)
    reloaded = load_saved_model(tmp_path / "run", str(tmp_path / "base"))
    inputs = probe_inputs(reloaded.get_base_model())
    torch.testing.assert_close(output_of(reloaded, inputs), output_of(trainer.model.eval(), inputs))


def _word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(30)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer
