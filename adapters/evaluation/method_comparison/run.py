"""Train an experiment's adapter on worked answers, solve problems by generation, and write the result."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, get_cosine_schedule_with_warmup

from ..backbones import pretrained_language_model
from ..tasks import Split
from ..tasks.word_problems import answer_of, same_answer, validation_problems, word_problems
from .experiment import Experiment, TrainingParams
from .result import write_result

__all__ = ["TrainingLog", "run_experiment"]

_WARMUP = 0.1  # of the steps


@dataclass
class TrainingLog:
    """What is measured while an experiment runs.

    Args:
        losses: of each step.
        tokens: trained on in each step.
        seconds: of each step.
        memory: reserved on the accelerator after each step, in bytes; empty on a CPU.
        metrics: one entry for each evaluation, by the names of PEFT's method_comparison.
    """

    losses: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)


def run_experiment(experiment: Experiment) -> Path:
    """Train, evaluate every `eval_steps` on 50 validation problems and at the end on the whole test split.

    Runs on the GPU where there is one.

    Returns:
        The path of the result, `results/METHOD--NAME.json`.

    Raises:
        ValueError: the model or the data are neither local nor on a hub that can be reached.
    """
    started, params = time.time(), experiment.params
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task = word_problems(template=params.query_template)
    validation = validation_problems(template=params.query_template)
    base, tokenizer = pretrained_language_model(
        params.model_id, dtype=getattr(torch, params.dtype), attn_implementation=params.attn_implementation
    )
    torch.manual_seed(params.seed)
    model: Any = get_peft_model(
        base.to(device), experiment.adapter, autocast_adapter_dtype=params.autocast_adapter_dtype
    )
    log = TrainingLog()
    _train(model, tokenizer, task.train, validation, params, log)
    accuracy = solve(model, tokenizer, task.test, params)
    log.metrics.append(
        {
            "step": params.max_steps,
            "test accuracy": accuracy,
            "train loss": _mean(log.losses[-params.eval_steps :]),
            "train samples": params.max_steps * params.batch_size,
            "train total tokens": sum(log.tokens),
        }
    )
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        size = (Path(folder) / "adapter_model.safetensors").stat().st_size
    return write_result(experiment, model, log, file_size=size, started=started)


def _train(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: Split,
    validation: Split,
    params: TrainingParams,
    log: TrainingLog,
) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = getattr(torch.optim, params.optimizer_type)(trained, **params.optimizer_kwargs)
    schedule = _schedule(optimizer, params)
    started = time.perf_counter()
    model.train()
    for step, texts in zip(range(1, params.max_steps + 1), _batches(train, params), strict=False):
        began = time.perf_counter()
        inputs, labels = _encode(texts, tokenizer, params.max_seq_length, model)
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        if params.grad_norm_clip:
            nn.utils.clip_grad_norm_(trained, params.grad_norm_clip)
        optimizer.step()
        schedule.step()
        log.losses.append(float(loss.detach()))
        log.tokens.append(int((labels != -100).sum()))
        log.seconds.append(time.perf_counter() - began)
        if labels.is_cuda:
            log.memory.append(torch.cuda.memory_reserved())
        if step % params.eval_steps == 0:
            log.metrics.append(_evaluate(model, tokenizer, validation, params, log, time.perf_counter() - started))


def _evaluate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    validation: Split,
    params: TrainingParams,
    log: TrainingLog,
    elapsed: float,
) -> dict[str, float]:
    began = time.perf_counter()
    accuracy = solve(model, tokenizer, validation, params)
    seconds = sum(log.seconds[-params.eval_steps :])
    memory = _mean(log.memory[-params.eval_steps :])
    return {
        "step": len(log.losses),
        "valid accuracy": accuracy,
        "train loss": _mean(log.losses[-params.eval_steps :]),
        "train samples": len(log.losses) * params.batch_size,
        "train time": seconds,
        "eval time": time.perf_counter() - began,
        "tokens / sec": sum(log.tokens[-params.eval_steps :]) / seconds,
        "mem allocated avg": memory,
        "mem reserved avg": memory,
        "elapsed time": elapsed,
    }


@torch.inference_mode()
def solve(model: Any, tokenizer: PreTrainedTokenizerBase, problems: Split, params: TrainingParams) -> float:
    """Share of the problems whose generated answer ends in the right number; the model's mode is kept."""
    was_training, right = model.training, 0
    model.eval()
    for start in range(0, len(problems), params.batch_size_eval):
        chosen = problems.select(range(start, min(start + params.batch_size_eval, len(problems))))
        encoded = tokenizer(list(chosen.inputs), padding=True, padding_side="left", return_tensors="pt")
        encoded = encoded.to(next(model.parameters()).device)
        limits = dict(params.generation_kwargs)
        if {"max_length", "max_new_tokens"} <= limits.keys():  # transformers takes one of both: the smaller
            room = limits.pop("max_length") - encoded["input_ids"].shape[1]
            limits["max_new_tokens"] = max(1, min(limits["max_new_tokens"], room))
        generated = model.generate(**encoded, pad_token_id=tokenizer.pad_token_id, **limits)
        texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
        pairs = zip(texts, chosen.labels, strict=True)
        right += sum(same_answer(answer_of(text), answer_of(str(label))) for text, label in pairs)
    model.train(was_training)
    return right / len(problems)


def _batches(train: Split, params: TrainingParams) -> Iterator[list[str]]:
    """Shuffled passes through the training texts, for ever; a last batch that is not full is left out."""
    size = params.batch_size
    if size > len(train):
        raise ValueError(f"batch_size must be at most the number of training texts, {len(train)}, got {size}")
    for epoch in itertools.count():
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(params.seed + epoch)).tolist()
        for start in range(0, len(order) - size + 1, size):
            yield [train.inputs[row] for row in order[start : start + size]]


def _encode(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, max_length: int, model: Any
) -> tuple[dict[str, Tensor], Tensor]:
    """Tokens and labels: the tokens themselves, and the one that ends a text, so that its end is learnt."""
    ended = [text + (tokenizer.eos_token or "") for text in texts]
    encoded = tokenizer(ended, truncation=True, max_length=max_length, padding=True, return_tensors="pt")
    device = next(model.parameters()).device
    inputs = {name: encoded[name].to(device) for name in ("input_ids", "attention_mask")}
    return inputs, inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)


def _schedule(optimizer: torch.optim.Optimizer, params: TrainingParams) -> Any:
    if params.lr_scheduler is None:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return get_cosine_schedule_with_warmup(optimizer, int(_WARMUP * params.max_steps), params.max_steps)


def _mean(numbers: list[float] | list[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
