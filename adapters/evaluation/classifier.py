"""Pretrained models as the tasks use them: encoders under a linear head, and language models."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

__all__ = ["ImageClassifier", "LanguageModel", "SentenceClassifier", "load_classifier", "load_tokenizer"]


class SentenceClassifier(nn.Module):
    """logits = head(mean of the encoder's last hidden states over the sentence's tokens).

    Args:
        encoder: a transformers encoder.
        n_classes: how many classes the head tells apart; 1 for a regression.
    """

    def __init__(self, encoder: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, n_classes)  # type: ignore[union-attr,arg-type]

    def features(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Sentence embeddings, shape (batch, hidden size), of token numbers of shape (batch, length)."""
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **segments).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)  # (batch, length, 1)
        return (states * weights).sum(1) / weights.sum(1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits, shape (batch, n_classes)."""
        logits: Tensor = self.head(self.features(input_ids, attention_mask, token_type_ids))
        return logits


class ImageClassifier(nn.Module):
    """logits = head(last hidden state of the class token, beside the mean of those of the patches).

    Args:
        encoder: a transformers vision encoder whose first token is the class token, as DINOv2.
        n_classes: how many classes the head tells apart.
    """

    def __init__(self, encoder: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(2 * encoder.config.hidden_size, n_classes)  # type: ignore[union-attr,operator,arg-type]

    def features(self, pixel_values: Tensor) -> Tensor:
        """Image embeddings, shape (batch, 2 x hidden size), of pixels of shape (batch, 3, height, width)."""
        states = self.encoder(pixel_values=pixel_values).last_hidden_state
        return torch.cat([states[:, 0], states[:, 1:].mean(1)], -1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits, shape (batch, n_classes)."""
        logits: Tensor = self.head(self.features(pixel_values))
        return logits


class LanguageModel(nn.Module):
    """A causal language model that is called like the classifiers; it has no head of its own.

    Args:
        decoder: a transformers causal language model.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of the token after each one, shape (batch, length, vocabulary)."""
        logits: Tensor = self.decoder(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
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
