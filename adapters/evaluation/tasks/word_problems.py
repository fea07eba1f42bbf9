"""Mathematical word problems, from the hub: MetaMathQA to train on, GSM8K to be measured on."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np

from .hub import hub_rows
from .task import Split, Task, TaskSpec

__all__ = ["TEMPLATE", "WORD_PROBLEM_SPECS", "answer_of", "same_answer", "validation_problems", "word_problems"]

_BACKBONE = "meta-llama/Llama-3.2-3B"
TEMPLATE = "Question: {query} Think step by step.\nAnswer:"
_N_VALIDATION = 50
_LONGEST = 1300  # characters of question and answer together, so that both fit 768 tokens
_MARKS = ("The answer is: ", "The answer is ", "The final answer is: ", "The final answer is ", "#### ")


def word_problems(cache: Path | None = None, *, template: str = TEMPLATE) -> Task:
    """Learn from worked answers of MetaMathQA, be measured by the final numbers of GSM8K's test split.

    Training inputs are question and worked answer, in one text. Test inputs are the questions alone, and their labels
    are the worked answers, whose number :func:`answer_of` finds. The data, the template and the limit of 1,300
    characters are those of PEFT's method_comparison.

    Args:
        cache: not used; the data come from the hub.
        template: of a question, with `{query}` in the place of its text.

    Reference:
        L. Yu et al., MetaMath, ICLR 2024; K. Cobbe et al., Training Verifiers to Solve Math Word Problems,
        arXiv:2110.14168.
    """
    worked = hub_rows("meta-math/MetaMathQA", "train")
    pairs = zip(worked["query"], worked["response"], strict=True)
    texts = [f"{template.format(query=q)} {r}" for q, r in pairs if len(f"{q} {r}") <= _LONGEST]
    test = _problems(hub_rows("openai/gsm8k", "test", "main"), template)
    train = Split(tuple(texts), ())
    return Task("metamath", "MetaMathQA to GSM8K", "language", "exact_match", (), train, test, _BACKBONE)


def validation_problems(template: str = TEMPLATE) -> Split:
    """50 problems of GSM8K's training split by a fixed permutation, as `word_problems` has them for the test."""
    rows = hub_rows("openai/gsm8k", "train", "main")
    return _problems(rows.select(np.random.RandomState(0).permutation(len(rows))[:_N_VALIDATION]), template)


def _problems(rows: Any, template: str) -> Split:
    return Split(tuple(template.format(query=q) for q in rows["question"]), tuple(rows["answer"]))


def answer_of(text: str) -> str | None:
    """The final answer that a worked answer names, or None: what follows the last "The answer is: " or "#### "."""
    text = text.strip().rstrip(".!?")
    for mark in _MARKS:
        if mark in text:
            last = text.rpartition(mark)[2].strip().partition("\n")[0]
            return last.strip(" .!?$%")
    return None


def same_answer(predicted: str | None, right: str | None) -> bool:
    """Whether two final answers are the same number, fractions included, or the same words; None is never right."""
    if predicted is None or right is None:
        return False
    numbers = _number(predicted), _number(right)
    if None in numbers:
        return predicted == right
    return numbers[0] == numbers[1]


def _number(text: str) -> float | None:
    """The value of "20/14", "1,000" or "65.33"; None of anything else."""
    try:
        above, bar, below = text.replace(",", "").partition("/")
        return float(Decimal(above.strip()) / (Decimal(below.strip()) if bar else 1))
    except (ArithmeticError, InvalidOperation):
        return None


WORD_PROBLEM_SPECS = (
    TaskSpec(
        "metamath", "language", word_problems, "hub meta-math/MetaMathQA, openai/gsm8k", "MIT (both)", online=True
    ),
)
