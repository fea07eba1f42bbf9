"""Small models of real architectures for the tests: random weights, lively enough that every adapter shows."""

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTModel,
)

from adapters.layer import QuICLayer

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
IDS = torch.arange(21).reshape(3, 7)


def with_lively_weights(model):
    """A trained model has larger weights than a new one, and biases that are not zero."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def bert(cls=BertModel, **values):
    return with_lively_weights(cls(BertConfig(vocab_size=30, max_position_embeddings=16, **{**SIZES, **values})))


def gpt2():
    config = GPT2Config(
        vocab_size=30, n_positions=32, n_embd=32, n_layer=2, n_head=4, pad_token_id=0, eos_token_id=29
    )
    return with_lively_weights(GPT2LMHeadModel(config))


def t5():
    config = T5Config(vocab_size=30, d_model=32, d_ff=48, d_kv=8, num_layers=1, num_heads=4, decoder_start_token_id=0)
    return with_lively_weights(T5ForConditionalGeneration(config))


def vit():
    return with_lively_weights(ViTModel(ViTConfig(image_size=16, patch_size=8, **SIZES)))


def layers(model):
    return {name: module for name, module in model.named_modules() if isinstance(module, QuICLayer)}


def turn(model, adapter_name="default", std=0.3):
    for layer in layers(model).values():
        nn.init.normal_(layer.quic_parameters[adapter_name], std=std)


def output(model, ids=IDS, **kwargs):
    result = model(ids, **kwargs)
    return result.logits if "logits" in result else result.pooler_output
