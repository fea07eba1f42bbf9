"""Few bits a number: what comes back from a file, how far it is from what was stored, and what is refused."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.quantise import _LEVELS, BITS, GROUP, decode, encode, encoded_size, quantise

COUNTS = (0, 1, 2, 3, 63, 64, 65, 351)
# By theory for normal numbers and groups of 64: the relative error of a sign is sqrt(1 - 2/pi) = 0.603.
ERRORS = {32: 0.0, 16: 3e-4, 8: 7e-3, 4: 0.1, 1: 0.61}


def draw(count, scale=1.0, seed=0):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-3, 1.0, 1e4, 1e37])
def test_a_file_gives_back_the_rounded_numbers_and_rounding_again_changes_nothing(bits, count, scale):
    numbers = draw(count, scale)
    if bits == 16 and scale > 1e4:
        pytest.skip("float16 ends at 65504")
    stored = encode(numbers, bits)
    rounded = quantise(numbers, bits)
    assert len(stored) == encoded_size(count, bits)
    assert decode(stored, count, bits).equal(rounded)
    assert quantise(rounded, bits).equal(rounded)


@pytest.mark.parametrize("bits", BITS)
def test_the_error_is_that_of_the_width(bits):
    numbers = draw(64 * 200)
    error = (quantise(numbers, bits) - numbers).norm() / numbers.norm()
    assert error <= ERRORS[bits]
    assert bits == 32 or error > ERRORS[bits] / 4


def test_eight_bits_are_within_half_a_step_of_the_largest_of_their_group():
    numbers = draw(640).reshape(10, 64)
    steps = numbers.abs().amax(1, keepdim=True) / 127
    assert ((quantise(numbers, 8) - numbers).abs() <= 0.5 * (1 + 2**-8) * steps).all()


def test_one_bit_is_the_sign_and_the_mean_magnitude():
    numbers = torch.tensor([1.0, -2.0, 3.0])
    assert quantise(numbers, 1).tolist() == [2.0, -2.0, 2.0]


def test_four_bits_are_closer_than_even_steps_at_any_one_scale():
    numbers = draw(200 * GROUP).reshape(-1, GROUP)
    error = (quantise(numbers, 4) - numbers).norm()
    for levels in (torch.arange(-7, 8) / 7, torch.arange(-15, 16, 2) / 15):
        for fraction in torch.linspace(0.5, 1, 26):
            scale = fraction * numbers.abs().amax(1, keepdim=True)
            nearest = levels[(numbers[..., None] / scale[..., None] - levels).abs().argmin(-1)] * scale
            assert error < (nearest - numbers).norm()


def test_the_levels_of_four_bits_are_best_for_normal_numbers():
    """Each is the mean of the normal numbers that are nearest to it (the condition of Lloyd and Max)."""
    levels = _LEVELS[4] * 2.733
    edges = torch.cat((torch.tensor([-torch.inf]), (levels[1:] + levels[:-1]) / 2, torch.tensor([torch.inf])))
    density = torch.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi)
    share = torch.special.ndtr(edges)
    means = (density[:-1] - density[1:]) / (share[1:] - share[:-1])
    assert torch.allclose(means, levels, atol=1e-3)


@pytest.mark.parametrize("bits", BITS)
def test_zeros_stay_zero_and_groups_do_not_touch_each_other(bits):
    assert not quantise(torch.zeros(100), bits).any()
    numbers = draw(3 * GROUP)
    changed = numbers.clone()
    changed[GROUP : 2 * GROUP] *= 1000
    a, b = quantise(numbers, bits).split(GROUP), quantise(changed, bits).split(GROUP)
    assert a[0].equal(b[0])
    assert a[2].equal(b[2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_are_kept(dtype):
    numbers = draw(6).reshape(2, 3).to(dtype)
    for bits in BITS:
        rounded = quantise(numbers, bits)
        assert rounded.dtype == dtype
        assert rounded.shape == numbers.shape


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(bits, wrong):
    numbers = torch.tensor([1.0, wrong])
    for function in (quantise, encode):
        with pytest.raises(ValueError, match="must be finite and at most"):
            function(numbers, bits)


def test_numbers_too_large_for_their_width_are_refused():
    with pytest.raises(ValueError, match="16 bits must be finite and at most 65504, got 70000"):
        quantise(torch.tensor([70000.0]), 16)
    with pytest.raises(ValueError, match="32 bits must be finite"):
        quantise(torch.tensor([1e300], dtype=torch.float64), 32)


@pytest.mark.parametrize("bits", [0, 2, 3, 64, -1, True, 8.0, "8", None])
def test_other_widths_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be one of"):
        quantise(torch.zeros(1), bits)


@pytest.mark.parametrize("bits", BITS)
def test_another_number_of_bytes_is_refused(bits):
    stored = encode(draw(5), bits)
    for data in (stored[:-1], stored + b"\0", b""):
        with pytest.raises(ValueError, match=r"5 numbers of .* bits take"):
            decode(data, 5, bits)


def test_a_code_that_is_never_written_and_a_scale_that_is_not_finite_are_refused():
    with pytest.raises(ValueError, match="codes of 8 bits must be below 255, got 255"):
        decode(encode(draw(1), 8)[:-1] + b"\xff", 1, 8)
    with pytest.raises(ValueError, match="stored numbers must be finite"):
        decode(b"\xff\xff" + encode(draw(1), 8)[2:], 1, 8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-60000, 60000, width=32), max_size=130), st.sampled_from(BITS))
def test_any_numbers_come_back_as_they_were_rounded(values, bits):
    numbers = torch.tensor(values)
    rounded = quantise(numbers, bits)
    assert decode(encode(numbers, bits), len(values), bits).equal(rounded)
    assert quantise(rounded, bits).equal(rounded)
    assert rounded.isfinite().all()
