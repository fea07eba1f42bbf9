"""Local stand-ins for what the hub has: tiny checkpoints of the real architectures, and tiny data sets."""

import json

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    DebertaV2Config,
    DebertaV2Model,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = [
    *"?:.#12345",
    "Question",
    "Answer",
    "The",
    "answer",
    "the",
    "is",
    "a",
    "an",
    "what",
    "good",
    "bad",
    "one",
    "two",
    "plus",
]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def save_tokenizer(folder):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special + WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", eos_token="[SEP]"
    )
    tokenizer.save_pretrained(folder)
    return len(special + WORDS)


def tiny_deberta(folder):
    torch.manual_seed(0)
    vocabulary = save_tokenizer(folder)
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
    config = DebertaV2Config(vocab_size=vocabulary, type_vocab_size=0, **SIZES, **relative, hidden_dropout_prob=0.5)
    DebertaV2Model(config).save_pretrained(folder)
    return str(folder)


def tiny_dinov2(folder):
    torch.manual_seed(0)
    sizes = {name: value for name, value in SIZES.items() if name != "intermediate_size"}
    Dinov2Model(Dinov2Config(**sizes, mlp_ratio=2, image_size=70, patch_size=14)).save_pretrained(folder)
    return str(folder)


def tiny_llama(folder):
    torch.manual_seed(0)
    vocabulary = save_tokenizer(folder)
    config = LlamaConfig(vocab_size=vocabulary, **SIZES, pad_token_id=0, eos_token_id=3, bos_token_id=2)
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def save_rows(root, repository, splits):
    folder = root / repository
    folder.mkdir(parents=True)
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def save_images(root, repository, splits, classes):
    """Images of 20 x 30 pixels, each class in its own folder and of its own colour."""
    random = np.random.RandomState(0)
    for split, count in splits.items():
        for number, name in enumerate(classes):
            folder = root / repository / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = random.randint(0, 50, (20, 30, 3))
                pixels[..., number] += 200
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
