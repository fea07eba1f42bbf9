"""The page on fine-tuning: its example runs, and its tables have every key there is."""

import re
import shlex
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from adapters.cli import app
from adapters.finetune.config import AdapterKeys, DataConfig, FinetuneConfig, TrainingConfig

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "finetune.md"


def rows(section):
    """One row a key: its default, and its explanation in the configuration class."""
    for key, field in section.model_fields.items():
        is_section = field.default is PydanticUndefined
        default = "" if is_section else "none" if field.default is None else f"`{field.default}`"
        yield f"| `{key}` | {default} | {field.description} |"


def tables():
    adapter = (f"| `{key}` | {text} |" for key, text in AdapterKeys.items())
    parts = {
        "run": rows(FinetuneConfig),
        "data": rows(DataConfig),
        "training": rows(TrainingConfig),
        "adapter": adapter,
    }
    return {name: "\n".join(part) for name, part in parts.items()}


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)[1]


@pytest.mark.parametrize("table", ["run", "data", "training", "adapter"])
def test_the_tables_have_every_key_with_its_explanation(table):
    assert f"|\n{tables()[table]}\n" in PAGE.read_text("utf-8"), f"the table must be:\n{tables()[table]}"


@pytest.mark.integration
def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    Path("reviews.csv").write_text(block("csv"))
    Path("reviews.yaml").write_text(block("yaml"))
    commands = block("bash").splitlines()
    assert len(commands) == 3
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "quic"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{command}: {result.stderr}"
    described = set(re.findall(r"`([\w.]+)/?`", block_of_table("file")))
    assert {path.name for path in Path("runs/reviews").iterdir()} == described


def block_of_table(heading):
    return re.search(rf"^\| {heading} \|.*?\n\n", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)[0]
