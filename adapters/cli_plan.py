"""`quic plan`: blocks and orders for a budget, from a model's configuration alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from peft import get_peft_model
from rich.console import Console
from rich.table import Table

from .config import QuICConfig
from .evaluation.assets import AssetError
from .layer import QuICLayer
from .meta_model import meta_model
from .planner import BudgetPlan, Kind, group_modules, plan_budget
from .quiet import quiet

__all__ = ["plan"]


def plan(
    model: Annotated[
        Path,
        typer.Argument(
            help="config.json of a transformers model, a folder with one, or package:NAME.", show_default=False
        ),
    ],
    budget: Annotated[int, typer.Option(min=1, help="How many trained numbers the adapter may have, at most.")],
    in_bytes: Annotated[
        bool, typer.Option("--bytes", help="The budget is the size of the adapter's file in float32 instead.")
    ] = False,
    orders: Annotated[
        list[str] | None,
        typer.Option(
            "--orders", show_default="1; 1,2; 2; 1,2,3", help="Orders to choose from, as 1,2; may be repeated."
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", show_default="all linear", help="A module to adapt; may be repeated."),
    ] = None,
    side: Annotated[Literal["out", "in", "both"], typer.Option(help="Which features are rotated.")] = "out",
    n_factors: Annotated[int, typer.Option(min=1, help="Factors of each rotation.")] = 1,
    block_share: Annotated[
        bool, typer.Option("--block-share", help="One rotation for all blocks of a layer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON on standard output.")] = False,
) -> None:
    """Propose blocks and orders for every kind of module, within a budget.

    No weights are needed, and nothing is downloaded but a packaged model. What it prints last is the section
    `adapter` of a file for quic finetune, and the arguments of QuICConfig. Exit code 1 if the budget or the model
    does not do, 2 if an option is wrong.
    """
    choices = [_parse_orders(text) for text in orders or ("1", "1,2", "2", "1,2,3")]
    try:
        kinds = _kinds(model, targets, side)
        found = plan_budget(
            kinds, budget, in_bytes=in_bytes, orders=choices, block_share=block_share, n_factors=n_factors
        )
    except (AssetError, OSError, TypeError, ValueError) as problem:
        typer.echo(f"Error: {problem}", err=True)
        raise typer.Exit(code=1) from problem
    config = {"target_modules": targets or "all-linear", "side": side, **found.config_values()}
    if as_json:
        typer.echo(json.dumps(_to_json(found, config), indent=2))
    else:
        Console().print(_table(found, budget, "bytes" if in_bytes else "numbers"))
        typer.echo("adapter:")  # JSON is YAML
        for key, value in config.items():
            typer.echo(f"  {key}: {json.dumps(value)}")


def _parse_orders(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--orders must be integers with commas between, as 1,2, got {text!r}") from None


def _kinds(path: Path, targets: list[str] | None, side: Literal["out", "in", "both"]) -> list[Kind]:
    """The modules that would be adapted, and how many features of each."""
    base = meta_model(path)
    with torch.device("meta"), quiet():
        # Order 1 in one block has room in every layer of two features, so that no layer is left out here.
        config = QuICConfig(target_modules=targets or "all-linear", orders=(1,), side=side)
        adapted = get_peft_model(base, config)
    widths = {
        name.removeprefix("base_model.model."): tuple(
            turn.rotation.plan.features for turn in layer.quic_turns["default"]
        )
        for name, layer in adapted.named_modules()
        if isinstance(layer, QuICLayer)
    }
    return group_modules(widths, _template)


def _template(module: str) -> str:
    """A regular expression for a module and those of other layers."""
    return r"\.".join(r"\d+" if part.isdigit() else re.escape(part) for part in module.split("."))


def _to_json(found: BudgetPlan, config: dict[str, Any]) -> dict[str, Any]:
    modules = [
        {
            "pattern": p.kind.pattern,
            "modules": list(p.kind.modules),
            "features": list(p.kind.widths),
            "orders": list(p.plans[0].orders),
            "n_blocks": p.plans[0].n_blocks,
            "n": [plan.n for plan in p.plans],
            "turned": p.turned,
            "numbers_each": p.numbers_each,
            "numbers": p.numbers,
        }
        for p in found.proposals
    ]
    return {"numbers": found.numbers, "bytes": found.n_bytes, "modules": modules, "config": config}


def _table(found: BudgetPlan, budget: int, unit: str) -> Table:
    table = Table(
        title=f"{found.numbers:,} numbers, a file of {found.n_bytes:,} bytes, for a budget of {budget:,} {unit}"
    )
    table.add_column("modules", overflow="fold", ratio=1)
    for heading in ("count", "features", "orders", "blocks", "wires", "turned", "each", "numbers"):
        table.add_column(heading, justify="right")
    for p in found.proposals:
        table.add_row(
            re.sub(r"^.*\.\d+\.", "", p.kind.modules[0]),
            str(len(p.kind.modules)),
            ", ".join(f"{width:,}" for width in p.kind.widths),
            ", ".join(map(str, p.plans[0].orders)),
            str(p.plans[0].n_blocks),
            ", ".join(str(plan.n) for plan in p.plans),
            f"{100 * p.turned:.0f} %",
            f"{p.numbers_each:,}",
            f"{p.numbers:,}",
        )
    return table
