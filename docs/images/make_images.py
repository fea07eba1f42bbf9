"""Make the pictures of the README and of docs/how-to/draw_circuits.md: run `python docs/images/make_images.py`.

Trains a pretrained encoder for a hundred steps: about a minute on two cores. `quic assets` fetches it.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pennylane as qml
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from peft import get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

from adapters import QuICConfig, compile_adapter
from adapters.compile import CompiledBlock
from adapters.evaluation.assets import encoder_folder
from adapters.evaluation.tasks import movie_polarity
from adapters.history import AdapterHistory
from adapters.plan import plan_blocks
from qicircuits import (
    angles_from_orthogonal,
    brickwork,
    butterfly,
    pyramid,
    random_orthogonal,
    round_robin,
    staircase,
    v_shape,
    x_shape,
)
from qicircuits.circuits import orthogonal_layer, subspace_loader
from qicircuits.drawing import draw_adapter, draw_circuit, draw_compound, draw_layout, draw_training

HERE = Path(__file__).parent
STEPS = 100


def main() -> None:
    generator = torch.Generator().manual_seed(7)
    matrix = random_orthogonal(6, generator=generator, dtype=torch.float64)
    angles = angles_from_orthogonal(matrix, "brickwork")
    save(draw_circuit(brickwork(6), angles), "circuit")
    save(draw_circuit(overlap()), "loaders")
    save(draw_circuit(round_robin(11), np.linspace(-1, 1, 55), gate="fbs"), "angles")
    save(draw_adapter(plan_blocks(128, (1, 2), n_blocks=2)), "adapter")
    save(draw_compound(matrix, (1, 2)), "compound")
    layouts = brickwork(6), pyramid(6), x_shape(6), v_shape(6), staircase(6), butterfly(8), round_robin(6)
    save(draw_layout(*layouts), "layouts", dpi=100)
    history, block = train()
    save(draw_training(history.angles, history.distances, history.steps), "training")
    save(draw_circuit(block), "block")


def save(drawn: Axes | Figure, name: str, dpi: int = 120) -> None:
    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    figure.savefig(HERE / f"{name}.png", dpi=dpi)


def overlap() -> list[object]:
    """The circuit of an inner product: load a vector over pairs of wires, turn it, unload another."""
    layout = brickwork(4)
    loader = subspace_loader([3.0, 1.0, -1.0, 2.0, 1.0, 0.5], 2, range(4))
    layer = orthogonal_layer(np.linspace(-1, 1, layout.n_gates), layout)
    return [loader, layer, qml.adjoint(subspace_loader([1.0, 0.0, 2.0, -1.0, 1.0, 1.0], 2, range(4)))]


def train() -> tuple[AdapterHistory, CompiledBlock]:
    """Fine-tune all-MiniLM-L6-v2 on the polarity of movie reviews, on its circuits' own angles."""
    torch.manual_seed(0)
    folder = encoder_folder()
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    config = QuICConfig(
        target_modules=["query", "value"], n_blocks=12, parameter_map="rbs", modules_to_save=["classifier"]
    )
    model = get_peft_model(model, config)
    sentences = movie_polarity().train.first(16 * STEPS)
    encoded = AutoTokenizer.from_pretrained(folder)(list(sentences.inputs), truncation=True, max_length=32)
    examples = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label}
        for ids, label in zip(encoded["input_ids"], sentences.labels, strict=True)
    ]
    history = AdapterHistory(every=5)
    with TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch, max_steps=STEPS, per_device_train_batch_size=16, learning_rate=5e-3, report_to=[],
            save_strategy="no", use_cpu=True, seed=0, disable_tqdm=True,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(folder)
        Trainer(model, arguments, train_dataset=examples, processing_class=tokenizer, callbacks=[history]).train()
    return history, compile_adapter(model, "layer.0.attention.self.query")


if __name__ == "__main__":
    main()
