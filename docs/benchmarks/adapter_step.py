"""Time and weigh one training step of an adapted transformer: python docs/benchmarks/adapter_step.py --help.

Forward, backward and AdamW, float32, of an encoder as wide as BERT-base on 8 x 128 tokens, and of one block as wide
as Llama-2-7B on 1 x 256 tokens, their weights random; every linear layer is adapted, PEFT's methods with their
defaults but LoRA with r = 8, and a linear head of two classes is trained beside every method. Time: the methods take
turns in one process, which holds the frozen weights once. All else: a process of its own for each method. Memory is
that of the operating system, the highest during a step: "step's peak" above what is resident between steps, "peak of
all" above what was resident before the model was made, after a small model had made a step. Bytes saved for the
backward count every storage once, and no parameter or buffer.
"""

import copy
import ctypes
import gc
import json
import multiprocessing
import statistics
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import measure
import torch
import typer
from peft import PeftConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from adapters import QuICConfig
from adapters.evaluation.rivals.peers import peer_config
from adapters.evaluation.rivals.size import parse_size

PAGE = Path(__file__).with_suffix(".md")
RESULTS = measure.PAGES / "results" / "adapter_step.json"
PACKAGES = ("torch", "numba", "transformers", "peft", "qicircuits")
SEED = 0
LORA = "LoRA r=8"
TITLES = {"bert": "BERT-wide encoder, 8 x 128 tokens", "llama": "Llama-wide block, 1 x 256 tokens"}

BLOCKS = (1, 4, 16)
ORDERS = ((1, 2), (1, 2, 3))


def _peer(method: str, size: str) -> Callable[[], PeftConfig]:
    return lambda: peer_config(method, parse_size(size), "all-linear")


PEERS: dict[str, Callable[[], PeftConfig]] = {
    LORA: _peer("lora", "r=8"),
    "OFT": _peer("oft", "oft_block_size=32,use_cayley_neumann=True"),
    "BOFT": _peer("boft", "boft_block_size=4"),
    "HRA": _peer("hra", "r=8"),
    "RoAd": _peer("road", "variant=road_1"),
    "PSOFT": _peer("psoft", "r=32"),
    "VeRA": _peer("vera", "r=256,save_projection=True"),
    "FourierFT": _peer("fourierft", "n_frequency=1000"),
    "RandLoRA": _peer("randlora", "r=32,save_projection=True"),
    "C3A": _peer("c3a", "block_size=256"),
}
OURS: dict[str, Callable[[], PeftConfig]] = {
    f"QuIC {kind} N={n_blocks} {orders}": lambda kind=kind, n_blocks=n_blocks, orders=orders: QuICConfig(
        target_modules="all-linear", parameter_map=kind, n_blocks=n_blocks, orders=orders
    )
    for orders in ORDERS
    for n_blocks in BLOCKS
    for kind in ("cayley", "rbs")
}
METHODS: dict[str, Callable[[], PeftConfig] | None] = {**OURS, **PEERS, "head only": None, "full": None}


class Task(nn.Module):
    """An encoder and a linear head on the mean of its last hidden states."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(ids).last_hidden_state.mean(1))


def make_encoder(model: str, layers: int) -> tuple[nn.Module, Tensor]:
    """An encoder and the tokens of a step."""
    torch.manual_seed(SEED)
    if model == "bert":
        config = BertConfig(vocab_size=1000, num_hidden_layers=layers)
        return BertModel(config), torch.randint(1000, (8, 128))
    config = LlamaConfig(vocab_size=1000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=1)
    return LlamaModel(config), torch.randint(1000, (1, 256))


def make_task(encoder: nn.Module, method: str) -> Task:
    """The encoder with an adapter; its frozen parameters are those of `encoder` itself."""
    shared = {} if method == "full" else {id(parameter): parameter for parameter in encoder.parameters()}
    own = copy.deepcopy(encoder, memo=shared)
    make_config = METHODS[method]
    if make_config is not None:
        # Warnings of PEFT's on shapes and versions, the same for every run.
        with warnings.catch_warnings(action="ignore"):
            own = get_peft_model(own, make_config())
    else:  # said also of "full": the methods before it have frozen the parameters that it was copied from
        own.requires_grad_(method == "full")
    return Task(own).train()


def _small_task(method: str) -> tuple[Task, Tensor]:
    config = BertConfig(vocab_size=10, hidden_size=768, intermediate_size=768, num_hidden_layers=1)
    return make_task(BertModel(config), method), torch.zeros(2, 8, dtype=torch.long)


def make_step(task: Task, ids: Tensor) -> Callable[[], None]:
    labels = torch.arange(len(ids)) % 2
    optimizer = torch.optim.AdamW([parameter for parameter in task.parameters() if parameter.requires_grad], lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(task(ids), labels).backward()
        optimizer.step()

    return step


def time_steps(
    model: str, methods: list[str], layers: int, repetitions: int
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of every step of every method, and the reasons of those that cannot."""
    encoder, ids = make_encoder(model, layers)
    steps, refused = {}, {}
    for method in methods:
        try:
            steps[method] = make_step(make_task(encoder, method), ids)
            steps[method]()
        except Exception as error:
            steps.pop(method, None)
            refused[method] = _reason(error)
    return measure.in_turns(steps, repetitions), refused


def weigh(model: str, method: str, layers: int, threads: int) -> dict[str, float | int | None]:
    """All that is not the time of a step; for a process of its own."""
    torch.set_num_threads(threads)
    make_step(*_small_task(method))()  # code that is loaded at its first use is nothing that the method holds
    before = _resident("VmRSS")
    encoder, ids = make_encoder(model, layers)
    task = make_task(encoder, method)
    del encoder
    step = make_step(task, ids)
    step()
    saved = saved_bytes(task, ids)
    idle = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest value starts anew
    step()
    highest = _resident("VmHWM", trim=False)
    adapted = isinstance(task.encoder, PeftModel)
    return {
        "trainable": sum(parameter.numel() for parameter in task.encoder.parameters() if parameter.requires_grad),
        "saved_bytes": saved,
        "step_bytes": highest - idle,
        "all_bytes": highest - before,
        "file_bytes": _file_bytes(task.encoder) if adapted else None,
        "merge_seconds": _merge_seconds(task.encoder) if adapted else None,
    }


def saved_bytes(task: Task, ids: Tensor) -> int:
    """Bytes that a forward keeps for its backward."""
    held = {tensor.untyped_storage().data_ptr() for tensor in (*task.parameters(), *task.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = task(ids).square().sum()
    total = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in held)
    loss.backward()
    task.zero_grad()
    return total


def _resident(kind: str, *, trim: bool = True) -> int:
    """Bytes that the operating system counts: VmRSS, now, or VmHWM, at most."""
    if trim:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is freed but kept by the allocator is not in use
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(kind))


def _file_bytes(model: PeftModel) -> int:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        model.save_pretrained(folder)
        return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))


def _merge_seconds(model: PeftModel, repetitions: int = 3) -> float | None:
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        try:
            model.merge_adapter()
            times.append(time.perf_counter() - start)
            model.unmerge_adapter()
        except Exception:  # some methods cannot merge, or not take it back
            traceback.print_exc()
            break
    return statistics.median(times) if times else None


def weigh_apart(model: str, method: str, layers: int, threads: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(weigh, model, method, layers, threads).result()


def measure_model(model: str, methods: list[str], layers: int, repetitions: int, threads: int) -> dict[str, Any]:
    times, refused = time_steps(model, methods, layers, repetitions)
    results = {}
    for method, seconds in times.items():
        try:
            results[method] = {"step": measure.summary(seconds), **weigh_apart(model, method, layers, threads)}
        except Exception as error:
            refused[method] = _reason(error)
    return {"layers": layers if model == "bert" else 1, "methods": results, "refused": refused}


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


COLUMNS = (
    *("", "step", "of LoRA's", "step's peak MiB", "peak of all MiB", "saved MiB", "trainable", "file KiB"),
    "merge",
)


def table_rows(results: dict[str, Any]) -> list[list[str]]:
    methods = results["methods"]
    lora = methods.get(LORA)
    return [
        [
            method,
            measure.show_spread(found["step"]),
            f"{measure.ratio(found['step'], lora['step']):.2f}" if lora else "",
            *(f"{found[name] / 2**20:.1f}" for name in ("step_bytes", "all_bytes", "saved_bytes")),
            f"{found['trainable']:,}",
            "" if found["file_bytes"] is None else f"{found['file_bytes'] / 2**10:.0f}",
            "" if found["merge_seconds"] is None else measure.show_seconds(found["merge_seconds"]),
        ]
        for method, found in methods.items()
    ]


def render(path: Path) -> None:
    """Write the page's tables and the plots from the results of all thread counts."""
    text = []
    for threads, results in sorted(measure.read_json(path).items()):
        machine = results["environment"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        text.append(
            f"## Threads: {threads}\n\n{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
            f"{versions}; commit {machine['commit']}, {machine['date']}, load at the start {machine['load']}, "
            f"seed {machine['seed']}."
        )
        for model, found in results["models"].items():
            text.append(f"### {TITLES[model]}, layers: {found['layers']}")
            text.append(measure.markdown_table(COLUMNS, table_rows(found)))
            text += [f"{method} is left out: {reason}." for method, reason in found["refused"].items()]
            name, title = f"adapter-step-{model}-{threads}", f"{TITLES[model]}, threads: {threads}"
            measure.plot_bars(name, title, _plotted(found["methods"]), (15, 4.5))
            text.append(f"![{title}](../images/benchmarks/{name}.svg)")
    measure.between_markers(PAGE, "results", "\n\n".join(text))


def _plotted(methods: dict[str, Any]) -> dict[str, dict[str, measure.Summary]]:
    """Our methods in one colour for each kind, the others in another."""
    groups = {}
    for method, found in methods.items():
        kind = method.split()[1] if method in OURS else "peers"
        name = method if kind == "peers" else method.removeprefix(f"QuIC {kind} ")
        groups.setdefault(name.replace(" ", "\n", 1).replace(", ", ","), {})[
            f"QuIC {kind}" if method in OURS else kind
        ] = found["step"]
    return groups


def main(
    threads: Annotated[int, typer.Option(help="Threads of every library.", min=1)] = 1,
    models: Annotated[str, typer.Option(help="Comma-separated: bert, llama.")] = "bert,llama",
    only: Annotated[str, typer.Option(help="Comma-separated beginnings of the methods' names; LoRA is kept.")] = "",
    layers: Annotated[int, typer.Option(help="Layers of the BERT-wide encoder.", min=1)] = 2,
    repetitions: Annotated[int, typer.Option(help="Steps of each method.", min=1)] = 11,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    output: Annotated[Path | None, typer.Option(help="Keep the results in this file, beside other threads'.")] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Measure nothing: page and plots from the kept results.")
    ] = False,
) -> None:
    """Time a training step. Example: python docs/benchmarks/adapter_step.py --models bert --only "QuIC,OFT"."""
    if page:
        render(output or RESULTS)
        return
    measure.pin_threads(threads)
    starts = tuple(start.strip() for start in only.split(",") if start.strip())
    methods = [method for method in METHODS if not starts or method.startswith((*starts, LORA))]
    results = {
        "environment": measure.environment(PACKAGES, SEED) | {"repetitions": repetitions},
        "models": {model: measure_model(model, methods, layers, repetitions, threads) for model in models.split(",")},
    }
    if output is not None:
        kept = measure.read_json(output) if output.exists() else {}
        measure.write_json(output, kept | {str(threads): results})
    if as_json:
        print(json.dumps(results))
        return
    for model, found in results["models"].items():
        title = f"{TITLES[model]}, layers: {found['layers']}, threads: {threads}, torch {torch.__version__}"
        measure.print_table(title, COLUMNS, table_rows(found))
        for method, reason in found["refused"].items():
            print(f"{method} is left out: {reason}")


if __name__ == "__main__":
    typer.run(main)
