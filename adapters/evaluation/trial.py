"""What all methods that are compared on a task share: the encoder, the first head, the batches in their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .batches import Batch, sorted_batches, tokenise, training_batches
from .classifier import SentenceClassifier, load_classifier, load_tokenizer
from .tasks import Split

__all__ = ["Trial", "prepare_trial"]

_TRAIN_BATCH = 32
_TEST_BATCH = 64


@dataclass(frozen=True)
class Trial:
    """One comparison of methods.

    Args:
        encoder: folder of the pretrained encoder.
        n_classes: how many classes there are.
        train: one batch for each training step.
        test: the batches that accuracy is measured on.
        seed: of the batches, the first head and LoRA's first factors.
    """

    encoder: Path
    n_classes: int
    train: list[Batch]
    test: list[Batch]
    seed: int

    def classifier(self) -> SentenceClassifier:
        """The untrained classifier, the same at each call."""
        return load_classifier(self.encoder, self.n_classes, self.seed)


def prepare_trial(encoder: Path, train: Split, test: Split, steps: int, seed: int) -> Trial:
    """Tokenise both splits and lay out `steps` training batches of 32 sentences.

    Args:
        encoder: folder of the pretrained encoder and its tokenizer.
        train: sentences to train on.
        test: sentences to measure on.
        steps: training steps of each method.
        seed: of everything that is drawn.
    """
    tokenizer = load_tokenizer(encoder)
    return Trial(
        encoder=encoder,
        n_classes=len(set(train.labels)),
        train=training_batches(tokenise(train, tokenizer), _TRAIN_BATCH, steps, seed),
        test=list(sorted_batches(tokenise(test, tokenizer), _TEST_BATCH)),
        seed=seed,
    )
