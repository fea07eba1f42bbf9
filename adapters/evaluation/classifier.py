"""A pretrained sentence encoder with a linear head."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

__all__ = ["SentenceClassifier", "load_classifier", "load_tokenizer"]


class SentenceClassifier(nn.Module):
    """logits = head(mean of the encoder's last hidden states over the sentence's tokens).

    Args:
        encoder: a transformers encoder.
        n_classes: how many classes the head tells apart.
    """

    def __init__(self, encoder: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, n_classes)  # type: ignore[union-attr,arg-type]

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Sentence embeddings, shape (batch, hidden size), of token numbers of shape (batch, length)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)  # (batch, length, 1)
        return (states * weights).sum(1) / weights.sum(1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits, shape (batch, n_classes)."""
        logits: Tensor = self.head(self.features(input_ids, attention_mask))
        return logits


def load_classifier(folder: Path, n_classes: int, seed: int) -> SentenceClassifier:
    """The encoder stored in `folder` under a freshly drawn head.

    Dropout is off: one pass over a few thousand sentences does not overfit, and a step is then the
    same computation in training and in evaluation.

    Args:
        folder: where transformers finds the encoder's config and weights.
        n_classes: how many classes the head tells apart.
        seed: of the head's first weights.
    """
    encoder = AutoModel.from_pretrained(
        folder,
        attn_implementation="sdpa",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        local_files_only=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SentenceClassifier(encoder, n_classes)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer stored beside the encoder in `folder`."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
