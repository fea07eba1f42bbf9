"""Small checkpoints on disk, with tokenizers and examples, for fine-tuning runs that take a second."""

import csv
import random

import yaml
from PIL import Image
from tiny_models import bert, gpt2, vit
from transformers import BertTokenizer, ViTImageProcessorPil

GOOD, BAD = ["good", "fine", "great"], ["bad", "awful", "poor"]
FILLING = ["the", "a", "film", "was", "very", "not", "and"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def bert_checkpoint(folder):
    """A BERT of two layers of 32 without a head, whose dropout is on, and a tokenizer that knows 18 words."""
    bert().save_pretrained(folder)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*SPECIAL, *GOOD, *BAD, *FILLING]))
    BertTokenizer(str(vocabulary)).save_pretrained(folder)
    return folder


def sentences(count, seed=0):
    """(text, class) in turn: each text has one word that tells its class."""
    chance = random.Random(seed)
    return [
        (" ".join([*chance.choices(FILLING, k=3), chance.choice(GOOD if row % 2 else BAD)]), row % 2)
        for row in range(count)
    ]


def write_csv(file, rows, header=("text", "label")):
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(header)
        writer.writerows(rows)
    return file


def write_inputs(folder):
    """In a folder, the checkpoint of a BERT, and 64 sentences to train and 32 to evaluate on."""
    bert_checkpoint(folder / "bert")
    write_csv(folder / "train.csv", sentences(64))
    write_csv(folder / "validation.csv", sentences(32, seed=1))
    return folder


def write_config(file, model, train, validation, output, **values):
    """A configuration of 16 steps in two passes over 64 rows, with a checkpoint every four steps."""
    config = {
        "model": str(model),
        "output": str(output),
        "data": {"train": str(train), "validation": str(validation)},
        "adapter": {"target_modules": ["query", "value"], "orders": [1, 2], "block_share": False},
        "training": {
            "num_train_epochs": 2,
            "batch_size": 8,
            "learning_rate": 1e-2,
            "logging_steps": 3,
            "checkpoint_every": 4,
        },
    }
    for key, value in values.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) and key in config else value
    file.write_text(yaml.safe_dump(config))
    return file


def vit_checkpoint(folder):
    """A ViT of 16 x 16 pixels without a head, and its image processor."""
    vit().save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def gpt2_checkpoint(folder, tokenizer):
    """A GPT-2 with the vocabulary of the BERT in another folder, whose tokens for padding and the end are its own."""
    gpt2().save_pretrained(folder)
    BertTokenizer.from_pretrained(tokenizer, pad_token="[PAD]", eos_token="[SEP]").save_pretrained(folder)
    return folder


def write_images(folder, count):
    """A folder for each of two classes: dark pictures and bright ones."""
    for row in range(count):
        name = ["dark", "bright"][row % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("L" if row % 3 else "RGB", (20, 20), 60 + 120 * (row % 2) if row % 3 else (90, 90, 90)).save(
            folder / name / f"{row}.png"
        )
    return folder
