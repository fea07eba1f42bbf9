"""Many adapters on one base: python docs/benchmarks/bank.py --help.

Batches of 32 rows with 1, 8 and 32 different adapters, against LoRA's of PEFT and the base model; merged weights from
one adapter to the next, against unmerging and merging and against LoRA's, and what a thousand switches leave; and the
memory of thousands of adapters. all-MiniLM-L6-v2 has its pretrained weights, SmolLM2-135M its shape alone, with
random ones: no time here depends on them. Every linear layer is adapted, QuIC with N = 4 and orders (1, 2), LoRA with
r = 8.
"""

import copy
import gc
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import measure
import torch
import typer
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModel, LlamaConfig, LlamaForCausalLM

from adapters import AdapterBank, QuICConfig
from adapters.evaluation.assets import encoder_folder

PAGE = Path(__file__).with_suffix(".md")
RESULTS = measure.PAGES / "results" / "bank.json"
PACKAGES = ("torch", "numba", "transformers", "peft", "qicircuits")
SEED = 0
ROWS = 32
COUNTS = (1, 8, 32)
TOKENS = {"minilm": 64, "smollm2": 8}
NEW_TOKENS = 4
SWITCHES = 1000
LIMIT = 20.0
TITLES = {"minilm": "all-MiniLM-L6-v2", "smollm2": "SmolLM2-135M (shape)"}
QUIC = {"target_modules": "all-linear", "n_blocks": 4}
KINDS: dict[str, dict[str, Any]] = {
    "orders (1, 2), N = 4": QUIC,
    "orders (1, 2), N = 4, query and value": {**QUIC, "target_modules": ["query", "value"]},
    "orders (1, 2, 3), N = 1": {"target_modules": "all-linear", "orders": (1, 2, 3)},
}


def make_model(name: str) -> nn.Module:
    torch.manual_seed(SEED)
    if name == "minilm":
        return AutoModel.from_pretrained(encoder_folder()).eval()
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def with_quic(model: nn.Module, count: int, **config: Any) -> tuple[PeftModel, AdapterBank]:
    adapted = get_peft_model(model, QuICConfig(**({"block_share": False} | QUIC | config))).eval()
    bank = AdapterBank(adapted)
    fill(bank, count)
    return adapted, bank


def fill(bank: AdapterBank, count: int) -> None:
    """Add random adapters, of turns as large as training makes them."""
    generator = torch.Generator().manual_seed(SEED)
    shapes = bank.shapes()
    for index in range(len(bank), count):
        bank.add(
            f"a{index}", {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        )


def with_lora(model: nn.Module, count: int, **config: Any) -> PeftModel:
    settings = LoraConfig(r=8, init_lora_weights=False, **({"target_modules": "all-linear"} | config))
    adapted = get_peft_model(model, settings, adapter_name="a0")
    for index in range(1, count):
        adapted.add_adapter(f"a{index}", settings)
    return adapted.eval()


def names_of(distinct: int) -> list[str]:
    """Rows with so many different adapters, in turn: as requests come in."""
    return [f"a{row % distinct}" for row in range(ROWS)]


@torch.inference_mode()
def mixed_batches(name: str, repetitions: int) -> dict[str, Any]:
    """Seconds of a forward and, for a decoder, of a generation, by method and number of different adapters."""
    base, quic, lora = (
        make_model(name),
        with_quic(make_model(name), max(COUNTS))[0],
        with_lora(make_model(name), max(COUNTS)),
    )
    ids = torch.randint(1, 1000, (ROWS, TOKENS[name]))

    def forward(model: Callable[..., Any], **extra: Any) -> Callable[[], object]:
        return torch.inference_mode()(lambda: model(input_ids=ids, **extra))

    def generate(model: Any, **extra: Any) -> Callable[[], object]:
        settings = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, **extra}
        prompt = ids[:, :4]
        return lambda: model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), **settings)

    found = {}
    for task, make in {"forward": forward, "generate": generate}.items():
        if task == "generate" and name == "minilm":
            continue
        rivals = {"base": make(base)}
        for distinct in COUNTS:
            rivals[f"QuIC {distinct}"] = make(quic, adapter_names=names_of(distinct))
            rivals[f"LoRA {distinct}"] = make(lora, adapter_names=names_of(distinct))
        found[task] = {
            key: measure.summary(times) for key, times in measure.in_turns(rivals, repetitions, limit=LIMIT).items()
        }
    return found


def switching(name: str, repetitions: int) -> dict[str, Any]:
    """Seconds from one merged adapter to the next, of a whole model."""
    _, bank = with_quic(make_untied(name), 2)
    merged, other = with_quic(make_untied(name), 2)
    lora = with_lora(make_untied(name), 2)
    for model in (merged, lora):
        model.merge_adapter(["default"] if model is merged else ["a0"])
    state = {"next": 0}
    given = [other.parameters(f"a{index}") for index in range(2)]

    def exchange() -> None:
        state["next"] = 1 - state["next"]
        merged.unmerge_adapter()
        put(merged, given[state["next"]])
        merged.merge_adapter()

    rivals = {
        "QuIC switch": lambda: bank.switch("a1" if bank.current == "a0" else "a0"),
        "QuIC unmerge, merge": exchange,
        "LoRA unmerge, merge": lambda: exchange_lora(lora),
    }
    return {key: measure.summary(times) for key, times in measure.in_turns(rivals, repetitions, limit=LIMIT).items()}


def make_untied(name: str) -> nn.Module:
    """A model whose linear layers can all be merged."""
    model = make_model(name)
    if name == "smollm2":
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    return model


@torch.no_grad()
def put(model: PeftModel, tensors: dict[str, torch.Tensor]) -> None:
    for name, numbers in tensors.items():
        module, _, holder = name.rpartition(".")
        getattr(model.base_model.model.get_submodule(module), holder)["default"].copy_(numbers)


def exchange_lora(model: PeftModel) -> None:
    merged = next(module.merged_adapters[0] for module in model.modules() if getattr(module, "merged_adapters", None))
    model.unmerge_adapter()
    model.merge_adapter(["a1" if merged == "a0" else "a0"])


def drift() -> dict[str, dict[str, float]]:
    """How far a weight of all-MiniLM-L6-v2 is, relative to it, from what it was, after some switches."""
    found: dict[str, dict[str, float]] = {}
    for dtype in ("float32", "bfloat16"):
        base = make_model("minilm").to(getattr(torch, dtype))
        some = {"target_modules": r".*layer\.0\..*query"}
        switched, bank = with_quic(copy.deepcopy(base), 4, **some)
        merged, given = with_quic(copy.deepcopy(base), 4, **some)
        lora = with_lora(copy.deepcopy(base), 2, **some)
        put(merged, given.parameters("a0"))
        merged.merge_adapter()
        lora.merge_adapter(["a0"])
        bank.switch("a0")

        def exchange(index: int, merged: PeftModel = merged, given: AdapterBank = given) -> None:
            merged.unmerge_adapter()
            put(merged, given.parameters(f"a{index % 4}"))
            merged.merge_adapter()

        ways: dict[str, tuple[nn.Module, Callable[[int], object]]] = {
            "QuIC switch": (switched, lambda index, bank=bank: bank.switch(f"a{index % 4}")),
            "QuIC unmerge, merge": (merged, exchange),
            "LoRA unmerge, merge": (lora, lambda index, lora=lora: exchange_lora(lora)),
        }
        for way, (model, step) in ways.items():
            before = merged_weights(model)
            for index in range(1, SWITCHES + 1):
                step(index)
                if index in (4, 100, SWITCHES):
                    after = merged_weights(model)
                    off = max(((a - b).norm() / b.norm()).item() for a, b in zip(after, before, strict=True))
                    found.setdefault(f"{way}, {dtype}", {})[str(index)] = off
    return found


def merged_weights(model: nn.Module) -> list[torch.Tensor]:
    layers = [module for module in model.modules() if getattr(module, "merged_adapters", None)]
    return [layer.get_base_layer().weight.detach().double().clone() for layer in layers]


def memory() -> dict[str, Any]:
    """Bytes of adapters of all-MiniLM-L6-v2, as counted by the bank and by the system, and the time to add one."""
    found: dict[str, Any] = {}
    for kind, config in KINDS.items():
        model, bank = with_quic(make_model("minilm"), 0, **({"n_blocks": None} | config))
        fill(bank, 1)
        own: dict[str, Any] = {"numbers": bank.nbytes // 4, "counted": {}}
        gc.collect()
        start = resident()
        for count in (1000, 10_000):
            fill(bank, count)
            own["counted"][str(count)] = bank.nbytes
            if not found:  # later kinds are given what earlier ones have freed
                own.setdefault("resident", {})[str(count)] = resident() - start
        own["folder_seconds"] = add_folder_seconds(model, bank)
        found[kind] = own
        del model, bank
    lora = with_lora(make_model("minilm"), 1)
    found["LoRA r=8"] = {"numbers": sum(p.numel() for p in lora.parameters() if p.requires_grad)}
    return found


def resident() -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def add_folder_seconds(model: PeftModel, bank: AdapterBank, repetitions: int = 20) -> float:
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        start = time.perf_counter()
        for index in range(repetitions):
            bank.add(f"folder {index}", folder)
        return (time.perf_counter() - start) / repetitions


def render(path: Path) -> None:
    """Write the page's tables from the kept results."""
    results = measure.read_json(path)
    sections = {
        "mixed": ("A batch of 32 rows", mixed_table),
        "switching": ("From one merged adapter to the next", switching_table),
        "drift": (f"Drift over {SWITCHES:,} switches", drift_table),
        "memory": ("Memory", memory_table),
    }
    text = [
        f"### {title}\n\n{measure.markdown_table(*table(results))}\n\n{machine(results['environments'][part])}"
        for part, (title, table) in sections.items()
    ]
    measure.between_markers(PAGE, "results", "\n\n".join(text))


def machine(environment: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return (
        f"{environment['cpu']}, {environment['cores']} cores, threads: {environment['threads']}, Python "
        f"{environment['python']}, {versions}; commit {environment['commit']}, {environment['date']}, load at the "
        f"start {environment['load']}, seed {environment['seed']}."
    )


def mixed_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    columns = ["", "base model", *(f"{kind}, {count} different" for kind in ("QuIC", "LoRA") for count in COUNTS)]
    rows = []
    for name, tasks in results["mixed"].items():
        for task, found in tasks.items():
            cells = [
                f"{measure.show_seconds(found[key]['median'])} ({measure.ratio(found[key], found['base']):.2f})"
                for key in keys()
            ]
            rows.append([f"{TITLES[name]}, {task}", measure.show_spread(found["base"]), *cells])
    return columns, rows


def keys() -> list[str]:
    return [f"{kind} {count}" for kind in ("QuIC", "LoRA") for count in COUNTS]


def switching_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    ways = list(next(iter(results["switching"].values())))
    rows = [
        [TITLES[name], *(measure.show_spread(found[way]) for way in ways)]
        for name, found in results["switching"].items()
    ]
    return ["", *ways], rows


def drift_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    counts = list(next(iter(results["drift"].values())))
    rows = [[way, *(f"{found[count]:.1e}" for count in counts)] for way, found in results["drift"].items()]
    return ["", *(f"after {count}" for count in counts)], rows


def memory_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for kind, found in results["memory"].items():
        sizes = [f"{4 * count * found['numbers'] / 2**20:.0f}" for count in (1000, 10_000)]
        if "resident" in found:
            grown = found["resident"].values()
            sizes = [f"{size} ({bytes_ / 2**20:.0f})" for size, bytes_ in zip(sizes, grown, strict=True)]
        added = measure.show_seconds(found["folder_seconds"]) if "folder_seconds" in found else ""
        rows.append([kind, f"{found['numbers']:,}", f"{found['numbers'] * 4 / 2**10:.1f}", *sizes, added])
    return ["", "numbers", "KiB", "1,000: MiB (resident)", "10,000: MiB (resident)", "add a folder"], rows


def main(
    threads: Annotated[int, typer.Option(help="Threads of every library.", min=1)] = 1,
    parts: Annotated[
        str, typer.Option(help="Comma-separated: mixed, switching, drift, memory.")
    ] = "mixed,switching,drift,memory",
    repetitions: Annotated[int, typer.Option(help="Turns of each rival.", min=1)] = 7,
    output: Annotated[
        Path | None, typer.Option(help="Keep the results in this file, beside its other parts.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Measure nothing: page from the kept results.")] = False,
) -> None:
    """Time many adapters on one base. Example: python docs/benchmarks/bank.py --parts mixed."""
    if page:
        render(output or RESULTS)
        return
    measure.pin_threads(threads)
    warnings.filterwarnings("ignore", message=".*(merged|shape|tie_word|tied|unmerge).*")
    measured: dict[str, Callable[[], Any]] = {
        "mixed": lambda: {name: mixed_batches(name, repetitions) for name in TITLES},
        "switching": lambda: {name: switching(name, repetitions) for name in TITLES},
        "drift": drift,
        "memory": memory,
    }
    results: dict[str, Any] = {"environments": {}}
    for part in parts.split(","):
        results["environments"][part] = measure.environment(PACKAGES, SEED)
        results[part] = measured[part]()
        if output is not None:
            kept = measure.read_json(output) if output.exists() else {"environments": {}}
            environments = kept["environments"] | results["environments"]
            measure.write_json(output, kept | results | {"environments": environments})
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    typer.run(main)
