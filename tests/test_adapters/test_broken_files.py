"""Files that anything may have happened to: reading them succeeds or is one clear error, and harms nothing."""

import json
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save
from torch import nn

from adapters import QuICConfig
from adapters.packed import PACKED, pack_tensors, unpack_tensors
from adapters.quantise import BITS
from adapters.saved import saved_config, saved_rotations
from adapters.storage import pack_adapter, unpack_adapter

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
RUNS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NAMES = [f"base_model.model.{module}.quic_parameters" for module in ("first", "second")]
TENSORS = {
    NAMES[0]: torch.linspace(-1, 1, 21)[None],
    NAMES[1]: torch.linspace(-1, 1, 30).reshape(2, 15)[:1],
    "base_model.model.head.weight": torch.ones(2, 3),
    "base_model.model.head.bias": torch.ones(2),
}
PACKED_FILES = [save(pack_tensors(TENSORS, bits), {"format": "pt"}) for bits in BITS]
PLAIN_FILE = save(TENSORS, {"format": "pt"})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def net():
    torch.manual_seed(0)
    return nn.ModuleDict({"first": nn.Linear(4, 30), "second": nn.Linear(4, 23), "head": nn.Linear(3, 2)})


@pytest.fixture
def folder(tmp_path):
    config = QuICConfig(target_modules=["first", "second"], modules_to_save=["head"], n_blocks=1)
    model = get_peft_model(net(), config)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@st.composite
def damaged(draw, data):
    """Bytes cut, flipped, doubled or put in."""
    kind = draw(st.sampled_from(["cut", "flip", "insert", "swap"]))
    at = draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        return data[:at]
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]
    if kind == "insert":
        return data[:at] + draw(st.binary(min_size=1, max_size=9)) + data[at:]
    to = draw(st.integers(0, len(data) - 1))
    low, high = min(at, to), max(at, to)
    return data[high:] + data[low:high] + data[:low]


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def outcome(function):
    """The result, or None where it is refused with a message; anything else fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of keys it does not know, and drops them
        try:
            return function()
        except (ValueError, TypeError) as error:
            message = str(error)
    assert message.strip()
    return None


def read_everything(folder, output):
    """All that reads an adapter folder."""
    before = contents(folder)
    for function in (
        lambda: saved_config(folder),
        lambda: list(saved_rotations(folder)),
        lambda: pack_adapter(folder, output, 8),
        lambda: unpack_adapter(folder, output),
    ):
        outcome(function)
    assert contents(folder) == before
    assert not output.exists() or set(contents(output)) >= {WEIGHTS, CONFIG}


@pytest.fixture
def written(folder, tmp_path):
    """Writes bytes into a file of the folder, reads it by all readers, and the original comes back."""

    def read(name, data):
        old = (folder / name).read_bytes()
        (folder / name).write_bytes(data)
        read_everything(folder, tmp_path / "new")
        (folder / name).write_bytes(old)

    return read


@RUNS
@given(data=st.one_of(*(damaged(file) for file in (PLAIN_FILE, *PACKED_FILES)), st.binary(max_size=200)))
def test_any_safetensors_file_is_read_or_refused(written, data):
    written(WEIGHTS, data)


@RUNS
@given(
    values=st.dictionaries(
        st.sampled_from(sorted(QuICConfig(target_modules=["a"], n_blocks=1).to_dict())), JSON, max_size=4
    )
)
@example(values={"orders": [10**30]})
@example(values={"n_blocks": 10**400})
@example(values={"target_modules": []})
@example(values={"orders_pattern": {"first": None}})
@example(values={"block_size": float("nan")})
@example(values={"peft_type": []})
@example(values={"peft_type": {"a": 1}})
def test_any_values_of_a_configuration_are_read_or_refused(folder, written, values):
    written(CONFIG, json.dumps(json.loads((folder / CONFIG).read_text()) | values).encode())


@RUNS
@given(data=st.data())
@example(data=None)
def test_any_bytes_of_a_configuration_are_read_or_refused(folder, written, data):
    if data is None:
        for text in (b"[" * 100_000, b'{"peft_type":' * 5000, b"\xff\xfe", b"null", b"[]", b'"QUIC"', b"1e999", b""):
            written(CONFIG, text)
        return
    written(CONFIG, data.draw(damaged((folder / CONFIG).read_bytes()) | st.binary(max_size=60)))


@RUNS
@given(
    values=st.dictionaries(st.sampled_from(["version", "bits", "crc", "shapes", "x"]), JSON),
    body=st.binary(max_size=40),
)
@example(values={"version": 1, "bits": 1, "crc": 0, "shapes": {NAMES[0]: [2**30, 2**30]}}, body=b"")
@example(values={"version": 1, "bits": 8, "crc": 0, "shapes": {NAMES[0]: [0]}}, body=b"")
@example(values={"version": 2}, body=b"")
def test_any_index_of_a_packed_tensor_is_read_or_refused(values, body):
    text = zlib.compress(json.dumps(values).encode())
    data = np.frombuffer(struct.pack("<I", len(text)) + text + body, np.uint8)
    found = outcome(lambda: unpack_tensors({PACKED: torch.from_numpy(data.copy())}))
    assert found is None or all(tensor.isfinite().all() for tensor in found.values())


@RUNS
@given(bits=st.sampled_from(BITS), at=st.integers(0, 10**6), by=st.integers(1, 255))
def test_every_flipped_bit_of_a_packed_tensor_is_noticed(bits, at, by):
    packed = pack_tensors(TENSORS, bits)
    packed[PACKED][at % len(packed[PACKED])] ^= by
    with pytest.raises(ValueError, match=PACKED):
        unpack_tensors(packed)


@pytest.mark.parametrize("bits", BITS)
def test_every_truncation_of_a_packed_tensor_is_noticed(bits):
    packed = pack_tensors(TENSORS, bits)[PACKED]
    for length in range(len(packed)):
        with pytest.raises(ValueError, match=PACKED):
            unpack_tensors({PACKED: packed[:length]})


def test_a_small_file_cannot_ask_for_any_amount_of_memory():
    text = zlib.compress(b" " * (1 << 26))
    data = np.frombuffer(struct.pack("<I", len(text)) + text, np.uint8)
    with pytest.raises(ValueError, match="must begin with an index"):
        unpack_tensors({PACKED: torch.from_numpy(data.copy())})


@pytest.mark.parametrize(
    "packed", [torch.zeros(3), torch.zeros(2, 2, dtype=torch.uint8), torch.zeros(0, dtype=torch.uint8)]
)
def test_other_tensors_of_that_name_are_refused(packed):
    with pytest.raises(ValueError, match=PACKED):
        unpack_tensors({PACKED: packed})


@RUNS
@given(data=damaged(PACKED_FILES[2]))
def test_a_model_is_loaded_whole_or_left_alone(folder, data):
    old = (folder / WEIGHTS).read_bytes()
    (folder / CONFIG).write_text(
        json.dumps(json.loads((folder / CONFIG).read_text()) | {"packed_bits": 8, "config_version": 3})
    )
    (folder / WEIGHTS).write_bytes(data)
    base = net()
    loaded = outcome(lambda: PeftModel.from_pretrained(base, folder))
    (folder / WEIGHTS).write_bytes(old)
    if loaded is None:
        assert [type(module) for module in base.values()] == [nn.Linear] * 3


def test_the_files_that_were_damaged_are_read_when_whole(folder, tmp_path):
    for data in (PLAIN_FILE, *PACKED_FILES):
        (folder / WEIGHTS).write_bytes(data)
        assert len(list(saved_rotations(folder))) == 2
        pack_adapter(folder, tmp_path / "new", 4)
        assert PACKED in load_file(tmp_path / "new" / WEIGHTS)


def test_a_file_without_a_module_trained_in_full_is_refused_by_its_name(folder):
    tensors = load_file(folder / WEIGHTS)
    del tensors["base_model.model.head.bias"]
    (folder / WEIGHTS).write_bytes(save(tensors, {"format": "pt"}))
    with pytest.raises(ValueError, match=r"must be saved with the adapter, got no head\.bias in"):
        PeftModel.from_pretrained(net(), folder)
