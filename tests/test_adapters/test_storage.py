"""Packed adapters: written, loaded by PEFT, unpacked; what they report; and what is refused, with nothing harmed."""

import json
import shutil

import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import bert, layers, output, turn
from transformers import BertForSequenceClassification
from typer.testing import CliRunner

from adapters import QuICConfig
from adapters.adapter_file import read_tensors
from adapters.bank import AdapterBank
from adapters.class_names import read_class_names, write_class_names
from adapters.cli import app
from adapters.packed import PACKED, pack_tensors
from adapters.quantise import BITS, encoded_size, quantise
from adapters.rotation_change import rotation_change
from adapters.rounded import numbers_of, rounded, score_by_bits
from adapters.storage import pack_adapter, unpack_adapter
from adapters.verify import verify_saved
from qicircuits import is_orthogonal

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def trained(**values):
    config = QuICConfig(
        **(
            {"block_share": False}
            | {"task_type": "SEQ_CLS", "target_modules": ["query", "value"], "bias": "quic_only", **values}
        )
    )
    model = get_peft_model(bert(BertForSequenceClassification), config).eval()
    turn(model)
    return model


@pytest.fixture
def saved(tmp_path):
    model = trained()
    model.save_pretrained(tmp_path / "adapter")
    return model, tmp_path / "adapter"


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def read_json(folder):
    return json.loads((folder / CONFIG).read_text())


def test_the_card_and_the_names_of_the_classes_go_along(saved, tmp_path):
    _, folder = saved
    write_class_names(folder, ["bad", "good"])
    (folder / "README.md").write_text("# A card")
    for target, write in (
        ("small", lambda to: pack_adapter(folder, to, 8)),
        ("plain", lambda to: unpack_adapter(folder, to)),
    ):
        for _ in range(2):  # the second replaces the first
            write(tmp_path / target)
        assert set(contents(tmp_path / target)) == {CONFIG, WEIGHTS, "README.md", "classes.json"}
        assert read_class_names(tmp_path / target) == ["bad", "good"]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_a_packed_folder_loads_by_peft_and_is_the_rounded_model(saved, tmp_path, bits, low_cpu_mem_usage):
    model, folder = saved
    pack_adapter(folder, tmp_path / "small", bits)
    base = bert(BertForSequenceClassification)
    loaded = PeftModel.from_pretrained(base, tmp_path / "small", low_cpu_mem_usage=low_cpu_mem_usage)
    with rounded(model, bits):
        assert output(loaded).equal(output(model))
    for layer in layers(loaded).values():
        assert is_orthogonal(layer.matrices("default"))
    assert loaded.peft_config["default"].packed_bits is None


@pytest.mark.parametrize(
    "values",
    [
        {"n_blocks": 2, "orders": (1,)},
        {"orders_pattern": {"value": (1,)}},
        {"parameter_map": "rbs", "side": "in"},
        {"orders": (1,), "n_factors": 2, "n_blocks": 2},
        {"side": "both", "scaling": True},
        {"composition": "additive"},
    ],
)
def test_every_kind_of_adapter_round_trips(tmp_path, values):
    model = trained(**values)
    for numbers in numbers_of(model, None):
        torch.nn.init.normal_(numbers, std=0.3)
    model.save_pretrained(tmp_path / "adapter")
    pack_adapter(tmp_path / "adapter", tmp_path / "small", 8)
    others = load_file(tmp_path / "small" / WEIGHTS)
    assert not [name for name in others if "parameters" in name]
    loaded = PeftModel.from_pretrained(bert(BertForSequenceClassification), tmp_path / "small")
    with rounded(model, 8):
        assert output(loaded).equal(output(model))
    unpack_adapter(tmp_path / "small", tmp_path / "plain")
    before, after = read_json(tmp_path / "adapter"), read_json(tmp_path / "plain")
    assert {**after, "packed_bits": None} == {**before, "packed_bits": None}


def test_a_second_adapter_can_be_packed_and_saved_again(tmp_path):
    model = trained(bias="none")
    model.save_pretrained(tmp_path / "adapter")
    pack_adapter(tmp_path / "adapter", tmp_path / "small", 4)
    both = trained(bias="none")
    both.load_adapter(tmp_path / "small", "second")
    both.set_adapter("second")
    with rounded(model, 4):
        expected = output(model)
    assert output(both).equal(expected)
    both.save_pretrained(tmp_path / "again")
    assert PACKED not in load_file(tmp_path / "again" / "second" / WEIGHTS)
    again = PeftModel.from_pretrained(bert(BertForSequenceClassification), tmp_path / "again" / "second")
    assert output(again).equal(expected)


@pytest.mark.parametrize("bits", BITS)
def test_unpacking_gives_an_ordinary_adapter_with_the_rounded_numbers(saved, tmp_path, bits):
    _, folder = saved
    pack_adapter(folder, tmp_path / "small", bits)
    unpack_adapter(tmp_path / "small", tmp_path / "plain")
    before, after = load_file(folder / WEIGHTS), load_file(tmp_path / "plain" / WEIGHTS)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].equal(quantise(tensor, bits) if "quic_parameters" in name else tensor)
    plain = bert(BertForSequenceClassification)
    plain.load_adapter(str(tmp_path / "plain"))
    assert plain.eval()(input_ids=torch.arange(3)[None]).logits.isfinite().all()
    assert pack_adapter(tmp_path / "small", None, bits).layers[0].frobenius < 1e-12  # rounding again changes nothing


def test_the_report_counts_every_byte_and_measures_every_layer(saved, tmp_path):
    model, folder = saved
    for bits in BITS:
        report = pack_adapter(folder, tmp_path / "small", bits)
        for size, file in ((report.before, folder), (report.after, tmp_path / "small")):
            assert size.total == (file / WEIGHTS).stat().st_size
            tensors = read_tensors(file)
            assert size.others == sum(tensor.nbytes for name, tensor in tensors.items() if "quic_p" not in name)
        numbers = [layer.quic_parameters["default"].detach() for layer in layers(model).values()]
        assert report.before.numbers == sum(4 * tensor.numel() for tensor in numbers)
        assert report.after.numbers == sum(encoded_size(tensor.numel(), bits) for tensor in numbers)
        assert [layer.n_numbers for layer in report.layers] == [tensor.numel() for tensor in numbers]
        by_name = {layer.module: layer for layer in report.layers}
        for name, layer in layers(model).items():
            found = by_name[name.removeprefix("base_model.model.")]
            own = layer.quic_parameters["default"].detach()
            change = rotation_change(layer.quic_rotation["default"], own, quantise(own, bits))
            assert (found.frobenius, found.operator) == pytest.approx((change.frobenius, change.operator), abs=1e-12)


def test_the_sizes_of_factors_add_up_in_the_report(tmp_path):
    model = trained(orders=(1,), n_factors=2, n_blocks=2)
    model.save_pretrained(tmp_path / "adapter")
    report = pack_adapter(tmp_path / "adapter", None, 4)
    layer = next(iter(layers(model).values()))
    own = layer.quic_parameters["default"].detach()
    change = rotation_change(layer.quic_rotation["default"], own, quantise(own, 4))
    assert report.layers[0].frobenius == pytest.approx(change.frobenius)


def test_without_an_output_nothing_is_written(saved, tmp_path):
    _, folder = saved
    before = contents(folder)
    pack_adapter(folder, None, 1)
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_can_be_packed_in_place(saved):
    model, folder = saved
    pack_adapter(folder, folder, 8)
    with rounded(model, 8):
        assert output(PeftModel.from_pretrained(bert(BertForSequenceClassification), folder)).equal(output(model))


def test_packed_adapters_are_verified_as_circuits_from_their_folder(tmp_path):
    trained(orders=(1,), n_blocks=4).save_pretrained(tmp_path / "adapter")
    pack_adapter(tmp_path / "adapter", tmp_path / "small", 1)
    assert verify_saved(tmp_path / "small").passed


def test_loaders_that_know_only_ordinary_adapters_are_refused(saved, tmp_path):
    _, folder = saved
    pack_adapter(folder, tmp_path / "small", 8)
    with pytest.raises(ValueError, match=r"must be loaded by PeftModel .* got another loader.* quic unpack"):
        bert(BertForSequenceClassification).load_adapter(str(tmp_path / "small"))
    assert isinstance(PeftConfig.from_pretrained(tmp_path / "small"), QuICConfig)
    config = QuICConfig.from_pretrained(str(tmp_path / "small"))
    base = bert(BertForSequenceClassification)
    with pytest.raises(ValueError, match="must be loaded by PeftModel"):
        base.load_adapter(str(tmp_path / "small"), peft_config=config)
    assert not layers(base)


def other_base(folder):
    tensors = read_tensors(folder)
    name = next(name for name in tensors if "quic_parameters" in name)
    save_file(pack_tensors({**tensors, name: torch.zeros(1, 28)}, 8), folder / WEIGHTS)


def not_triangular(folder):
    tensors = read_tensors(folder)
    name = next(name for name in tensors if "quic_parameters" in name)
    save_file(pack_tensors({**tensors, name: torch.zeros(1, 27)}, 8), folder / WEIGHTS)


def without_configuration(folder):
    (folder / CONFIG).unlink()


def truncated(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-1])


def no_numbers(folder):
    save_file({"other": torch.zeros(1)}, folder / WEIGHTS)


def pickled(folder):
    torch.save(read_tensors(folder), folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()


def both(folder):
    save_file({**load_file(folder / WEIGHTS), **read_tensors(folder)}, folder / WEIGHTS)


def later_version(folder):
    values = read_json(folder) | {"config_version": 99}
    (folder / CONFIG).write_text(json.dumps(values))


DAMAGES = [
    (not_triangular, r"n\(n-1\)/2 with n > 2.*got \(1, 27\) for "),
    (without_configuration, "a saved adapter is a folder with adapter_config.json"),
    (truncated, "must be a complete safetensors file"),
    (no_numbers, "must hold tensors named quic_parameters, got none"),
    (pickled, "got only adapter_model.bin in .* a pickle"),
    (both, "must be packed or beside the packed ones, got both"),
    (later_version, "got 99: load the adapter with the release that wrote it"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_a_damaged_folder_is_refused_and_the_output_stays(saved, tmp_path, damage, message, command):
    _, folder = saved
    small, old = tmp_path / "small", tmp_path / "old"
    pack_adapter(folder, small, 8)
    damage(small)
    shutil.copytree(folder, old)
    before = contents(old), contents(small)
    with pytest.raises(ValueError, match=message):
        pack_adapter(small, old, 4) if command == "pack" else unpack_adapter(small, old)
    assert (contents(old), contents(small)) == before
    assert sorted(tmp_path.iterdir()) == sorted([folder, small, old])


def test_an_adapter_for_another_base_is_refused_with_the_numbers(saved, tmp_path):
    _, folder = saved
    pack_adapter(folder, tmp_path / "small", 8)
    other_base(tmp_path / "small")
    base = bert(BertForSequenceClassification)
    with pytest.raises(ValueError, match=r"attention\.self\.query: .*\(1, 21\).*got \(1, 28\)"):
        PeftModel.from_pretrained(base, tmp_path / "small")
    assert not layers(base)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_never_packed(saved, tmp_path, wrong):
    _, folder = saved
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in tensors if "quic_parameters" in name)
    tensors[name][0, 3] = wrong
    with pytest.raises(ValueError, match=f"{name}: numbers of 8 bits must be finite"):
        pack_tensors(tensors, 8)
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(ValueError, match="parameters must be finite"):
        pack_adapter(folder, tmp_path / "small", 8)
    assert not (tmp_path / "small").exists()


def test_a_folder_with_somebodys_files_is_not_replaced(saved, tmp_path):
    _, folder = saved
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"must be a new folder.*notes\.txt"):
        pack_adapter(folder, tmp_path / "notes", 8)
    assert (tmp_path / "notes" / "notes.txt").read_text() == "mine"


def test_a_full_disk_leaves_the_old_folder(saved, tmp_path, monkeypatch):
    _, folder = saved
    pack_adapter(folder, tmp_path / "small", 8)
    before = contents(tmp_path / "small")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    result = CliRunner().invoke(app, ["pack", str(folder), "--bits", "4", "--output", str(tmp_path / "small")])
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert contents(tmp_path / "small") == before
    assert sorted(tmp_path.iterdir()) == [folder, tmp_path / "small"]


def test_scores_by_width_leave_the_model_as_it_was(saved):
    model, _ = saved
    before = output(model)
    scores = score_by_bits(model, lambda model: float((output(model) - before).detach().norm()))
    assert scores[32] == 0 < scores[16] < scores[8] < scores[4] < scores[1]
    with pytest.raises(ZeroDivisionError):
        score_by_bits(model, lambda model: 1 / 0)
    assert output(model).equal(before)


def test_a_model_without_the_adapter_is_refused(saved):
    with pytest.raises(ValueError, match="adapter_name must be one of"), rounded(saved[0], 8, adapter_name="none"):
        pass


def test_the_command_packs_reports_and_unpacks(saved, tmp_path):
    _, folder = saved
    runner = CliRunner(env={"COLUMNS": "140", "NO_COLOR": "1", "TERM": "dumb"})
    small, plain = tmp_path / "small", tmp_path / "plain"
    result = runner.invoke(app, ["pack", str(folder), "--bits", "4", "--output", str(small), "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report == pack_adapter(folder, None, 4).to_json()
    assert report["after"]["total"] == (small / WEIGHTS).stat().st_size
    shown = runner.invoke(app, ["pack", str(folder), "--bits", "1"]).stdout
    assert "1 bit a number" in shown
    assert "bert.encoder.layer.0.attention.self.query" in shown
    result = runner.invoke(app, ["unpack", str(small), "--output", str(plain), "--json"])
    assert json.loads(result.stdout)["total"] == (plain / WEIGHTS).stat().st_size
    assert str(plain) in runner.invoke(app, ["unpack", str(small), "--output", str(plain)]).stdout


@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_help_has_an_example_and_errors_are_one_line(command, tmp_path):
    runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    shown = runner.invoke(app, [command, "--help"])
    assert f"quic {command} runs/" in shown.stdout
    assert "--json" in shown.stdout
    result = runner.invoke(app, [command, str(tmp_path), "--output", str(tmp_path / "new")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a saved adapter is a folder")
    assert result.stderr.count("\n") == 1
    assert runner.invoke(app, ["pack", str(tmp_path), "--bits", "3"]).exit_code == 2


def test_a_bank_takes_packed_adapters(tmp_path):
    model = trained(bias="none", task_type=None)
    model.save_pretrained(tmp_path / "adapter")
    pack_adapter(tmp_path / "adapter", tmp_path / "small", 4)
    bank = AdapterBank(model)
    bank.add("small", tmp_path / "small")
    rows = output(model, adapter_names=["small", "default", "small"])
    with rounded(model, 4):
        assert torch.allclose(rows[[0, 2]], output(model)[[0, 2]], atol=1e-5)
