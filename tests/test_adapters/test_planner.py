"""quic plan: what it counts is what a model and a file have, within the budget; its configuration makes the plan."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import get_peft_model
from tiny_models import bert, gpt2, layers
from transformers import AutoConfig
from typer.testing import CliRunner

from adapters import QuICConfig
from adapters.cli import app
from adapters.planner import Kind, group_modules, plan_budget

ORDERS = [(1,), (1, 2), (2,)]
KINDS = [Kind("a", ("0.a", "1.a"), (48,)), Kind("b", ("0.b", "1.b"), (130,)), Kind("c", ("c",), (48,))]


@settings(deadline=None)
@given(budget=st.integers(1, 40_000), in_bytes=st.booleans(), share=st.booleans(), n_factors=st.integers(1, 2))
def test_a_plan_keeps_its_budget_or_says_what_is_needed(budget, in_bytes, share, n_factors):
    options = {"in_bytes": in_bytes, "orders": ORDERS, "block_share": share, "n_factors": n_factors}
    try:
        found = plan_budget(KINDS, budget, **options)
    except ValueError as error:
        least = int(str(error).split(" has ")[1].split(" ")[0].replace(",", ""))
        assert least > budget
        assert plan_budget(KINDS, least, **options)
        return
    assert (found.n_bytes if in_bytes else found.numbers) <= budget
    assert [proposal.kind for proposal in found.proposals] == KINDS
    assert found.proposals[0].plans == found.proposals[2].plans
    more = plan_budget(KINDS, 2 * budget, **options)
    assert more.numbers >= found.numbers


def planned(tmp_path, model, *options):
    model.config.save_pretrained(tmp_path / "model")
    result = CliRunner().invoke(app, ["plan", str(tmp_path / "model"), *options, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("make", [bert, gpt2])
@pytest.mark.parametrize(
    "options",
    [
        ("--budget", "1500"),
        ("--budget", "40000", "--bytes", "--side", "both", "--orders", "1"),
        ("--budget", "3000", "--n-factors", "2", "--orders", "1,2", "--block-share"),
    ],
)
def test_the_configuration_makes_the_plan_to_the_byte(tmp_path, make, options):
    report = planned(tmp_path, make(), *options)
    model = get_peft_model(make(), QuICConfig(**({"block_share": False, "target_modules": None} | report["config"])))
    assert model.get_nb_trainable_parameters()[0] == report["numbers"]
    found = {}
    for name, layer in layers(model).items():
        plan = layer.quic_rotation["default"].plan
        found[name.removeprefix("base_model.model.")] = (list(plan.orders), plan.n_blocks)
    names = {name: (p["orders"], p["n_blocks"]) for p in report["modules"] for name in p["modules"]}
    prefix = "transformer." if make is gpt2 else ""  # the plan is of the model without its head
    assert found == {f"{prefix}{name}": choice for name, choice in names.items()}
    if not prefix:
        model.save_pretrained(tmp_path / "adapter")
        assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size == report["bytes"]


def test_patterns_tell_kinds_apart_that_end_alike():
    names = {"layer.0.attention.output.dense": (8,), "layer.0.output.dense": (8,), "layer.0.query": (8,)}
    kinds = group_modules(names, lambda name: name.replace(".0.", r"\.\d+\.").replace("t.d", r"t\.d"))
    assert [kind.pattern for kind in kinds][2] == "query"
    for kind in kinds:
        config = QuICConfig(n_blocks_pattern={kind.pattern: 7}, target_modules=None)
        assert [name for name in names if config.for_module(name).n_blocks == 7] == list(kind.modules)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_what_quic_plan_prints_is_the_section_of_a_file(tmp_path):
    import yaml

    bert().config.save_pretrained(tmp_path)
    result = CliRunner().invoke(app, ["plan", str(tmp_path / "config.json"), "--budget", "2000"])
    assert result.exit_code == 0, result.output
    assert "for a budget of 2,000 numbers" in result.stdout.replace("\n", " ")
    section = yaml.safe_load(result.stdout[result.stdout.index("adapter:") :])["adapter"]
    numbers = get_peft_model(
        bert(), QuICConfig(**({"block_share": False, "target_modules": None} | section))
    ).get_nb_trainable_parameters()[0]
    assert numbers <= 2000


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--budget", "10"), 1, "the smallest adapter of these modules and orders has"),
        (("--budget", "0"), 2, "budget"),
        (("--budget", "100", "--orders", "1;2"), 2, "integers with commas"),
        (("--budget", "100", "--orders", "1,1"), 1, "orders must be distinct"),
        (("--budget", "100", "--orders", "400"), 1, "no choice of the orders"),
        (("--budget", "100", "--target", "qeury"), 1, "qeury"),
    ],
)
def test_quic_plan_refuses(tmp_path, options, code, message):
    AutoConfig.for_model("bert", hidden_size=32, num_hidden_layers=1, num_attention_heads=2).save_pretrained(tmp_path)
    result = CliRunner().invoke(app, ["plan", str(tmp_path), *options])
    assert result.exit_code == code
    assert message in result.output
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    result = CliRunner().invoke(app, ["plan", str(broken), "--budget", "100"])
    assert result.exit_code == 1
    assert "a configuration of a transformers model is needed" in result.output


def test_a_plan_refuses():
    with pytest.raises(TypeError, match=r"budget must be an integer, got 10\.0"):
        plan_budget(KINDS, 10.0)
    with pytest.raises(ValueError, match="at least one kind of module"):
        plan_budget([], 10)
