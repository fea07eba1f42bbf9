"""Baselines of the laboratory's offline tasks: `python docs/benchmarks/offline_tasks.py [TASK ...]`.

Of a classification: the largest class among the test examples, and a linear probe on the frozen backbone's features.
Of the regression: the probe's Pearson correlation. Of language: the perplexity of the untouched model on the new
domain, and on the old one. Texts are cut to 64 tokens; of the training examples the first 1,000 are used, of the test
examples 500, and 40 passages.
"""

from __future__ import annotations

import sys
from collections import Counter

import torch
from torch import Tensor, nn
from transformers.utils import logging

from adapters.evaluation.backbones import Processor, encode, load_model, load_processor
from adapters.evaluation.batches import sorted_batches
from adapters.evaluation.tasks import Split, Task, load_task, task_names

N_TRAIN, N_TEST, N_PASSAGES, N_TOKENS = 1000, 500, 40, 64
DECAY = 1e-3  # of the probe's weights, on features of unit variance


@torch.no_grad()
def features(model: nn.Module, split: Split, processor: Processor) -> tuple[Tensor, Tensor]:
    """Features of all examples and their labels, in the same order."""
    batches = list(sorted_batches(encode(split, processor), 64))
    return torch.cat([model.features(**batch.inputs) for batch in batches]), torch.cat([b.labels for b in batches])


def probe(task: Task) -> float:
    """Test metric of a linear model on the frozen features."""
    model, processor = load_model(task, seed=0), load_processor(task, max_length=N_TOKENS)
    x, y = features(model, task.train.first(N_TRAIN), processor)
    tested, expected = features(model, task.test.first(N_TEST), processor)
    tested, x = (tested - x.mean(0)) / x.std(0), (x - x.mean(0)) / x.std(0)
    linear = nn.Linear(x.shape[1], task.n_outputs)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        out = linear(x)
        error = nn.functional.cross_entropy(out, y) if task.classes else (out[:, 0] - y).square().mean()
        total = error + DECAY * linear.weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    with torch.no_grad():
        out = linear(tested)
    if task.classes:
        return float((out.argmax(1) == expected).double().mean())
    return float(torch.corrcoef(torch.stack([out[:, 0], expected]))[0, 1])


@torch.no_grad()
def perplexity(model: nn.Module, split: Split, processor: Processor) -> float:
    """exp of the mean cross entropy of the tokens after the first of each passage."""
    total, count = 0.0, 0
    for batch in sorted_batches(encode(split, processor), 4):
        logits, labels = model(**batch.inputs)[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten()
        total += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        count += int((labels != -100).sum())
    return float(torch.tensor(total / count).exp())


def describe(task: Task) -> str:
    """One line of numbers."""
    if task.suite == "language":
        model, processor = load_model(task, seed=0), load_processor(task, max_length=N_TOKENS)
        new = perplexity(model, task.test.first(N_PASSAGES), processor)
        old = perplexity(model, task.old.first(N_PASSAGES), processor)
        return f"perplexity {new:.1f}, of the old domain {old:.1f}"
    reached = probe(task)
    if not task.classes:
        return f"Pearson correlation of the probe {reached:.3f}"
    largest = Counter(task.test.labels).most_common(1)[0][1] / len(task.test)
    return f"largest class {100 * largest:.1f} %, probe {100 * reached:.1f} %"


if __name__ == "__main__":
    logging.disable_progress_bar()
    for name in sys.argv[1:] or task_names():
        print(f"{name}: {describe(load_task(name))}", flush=True)
