"""The GPU kernels against the CPU's and against torch: on a GPU where there is one, else in Triton's interpreter.

The interpreter cuts numbers off to bfloat16 where a GPU rounds them, hence its tolerance.
"""

import math
import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton", reason="the GPU kernels need triton, which is not installed")

from qicircuits import cayley, random_orthogonal, swap_network
from qicircuits.engine import cuda
from qicircuits.engine.cpu_rotation import rotate_sectors, rotate_sectors_backward
from qicircuits.engine.cuda_orthogonal import build_flat, build_flat_backward, build_rotations

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2 if ON_GPU else 2e-2}
MAPS = {"cayley": cayley, "rbs": swap_network}

needs_gpu = pytest.mark.skipif(not ON_GPU, reason="needs a CUDA device")

if not ON_GPU:
    # The operators are for CUDA tensors only; interpreted, their kernels take those of the CPU.
    build_flat.register_kernel("cpu")(build_flat._init_fn)
    build_flat_backward.register_kernel("cpu")(build_flat_backward._init_fn)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def sectors_of(n, orders, first=0):
    """Sectors one after the other, as (order, start, stop) in one list, and where they end."""
    sectors, stop = [], first
    for order in orders:
        sectors += [order, stop, stop + math.comb(n, order)]
        stop = sectors[-1]
    return sectors, stop


def layer(n, orders, n_blocks, *, pad=0, tail=0, first=0):
    """The number of features of a layer, and what operators are told of it."""
    sectors, stop = sectors_of(n, orders, first)
    return n_blocks * (stop + pad) + tail, (sectors, n_blocks, stop + pad)


LAYERS = {
    "two blocks with padding and rest": (5, *layer(5, (1, 2), 2, pad=3, tail=4)),
    "order 2 first, one block": (7, *layer(7, (2, 1), 1, tail=1)),
    "order 2 alone": (4, *layer(4, (2,), 3)),
    "order 1 alone": (6, *layer(6, (1,), 3, pad=1)),
    "a gap before the sectors": (3, *layer(3, (1, 2), 2, first=2)),
    "smallest": (2, *layer(2, (1,), 1)),
    "tiles of 32": (20, *layer(20, (1, 2), 1, tail=1)),
    "tiles of 64": (35, *layer(35, (1, 2), 1)),
}


def assert_close(actual, expected, tolerance):
    """Relative to the largest entry."""
    assert actual.shape == expected.shape
    atol = tolerance * (1 + float(expected.abs().max() if expected.numel() else 0))
    torch.testing.assert_close(actual.cpu().double(), expected.double(), rtol=0, atol=atol)


def compare(x, matrices, bias, plan):
    """Value and gradients against those of the CPU's kernels, taken in the dtype of the matrices."""
    dtype = x.dtype
    out = cuda.rotate(x, matrices, bias, *plan)
    assert out.dtype == dtype
    assert out.is_contiguous()
    wide = [t if t is None else t.cpu().to(matrices.dtype) for t in (x, matrices, bias)]
    assert_close(out, rotate_sectors(*wide, *plan), TOLERANCE[dtype])
    grad = torch.randn(x.shape).to(x)
    if x.stride(0) == 1:
        grad = grad.mT.contiguous().mT
    found = cuda.rotate_backward(grad, out, matrices, bias, *plan, True)
    wide = [t if t is None else t.cpu().to(matrices.dtype) for t in (grad, out, matrices, bias)]
    assert [t.dtype for t in found] == [dtype, matrices.dtype]
    for actual, expected in zip(found, rotate_sectors_backward(*wide, *plan, True), strict=True):
        assert_close(actual, expected, TOLERANCE[dtype])


def draw(name, dtype, tokens, *, share=False, with_bias=False):
    """Vectors, matrices and bias for one of LAYERS, and its plan."""
    n, features, plan = LAYERS[name]
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    matrices = random_orthogonal(n, batch_shape=(1 if share else plan[1],), dtype=wide).to(DEVICE)
    bias = torch.randn(features).to(DEVICE, dtype) if with_bias else None
    return torch.randn(tokens, features).to(DEVICE, dtype), matrices, bias, plan


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_rotations_are_those_of_the_cpu(name, dtype, with_bias):
    compare(*draw(name, dtype, 5, share=name == "order 2 alone", with_bias=with_bias))


@pytest.mark.parametrize("tokens", [0, 1, 16, 17, 70])
def test_rotations_take_any_number_of_tokens(tokens):
    for dtype in (torch.float32, torch.bfloat16):
        compare(*draw("order 2 alone", dtype, tokens, with_bias=True))


@pytest.mark.parametrize(
    "lay",
    [
        lambda x: x.mT.contiguous().mT,
        lambda x: x.repeat_interleave(2, 1)[:, ::2],
        lambda x: x.repeat_interleave(3, 0)[::3],
        lambda x: x[:1].expand(len(x), -1),
    ],
)
def test_rotations_take_any_strides(lay):
    x, matrices, bias, plan = draw("two blocks with padding and rest", torch.float32, 20, with_bias=True)
    compare(lay(x), matrices.mT.contiguous().mT, lay(bias.expand(2, -1))[0], plan)


def test_programs_of_all_groups_of_tokens_add_up_the_same_in_every_call():
    x, matrices, _, plan = draw("two blocks with padding and rest", torch.float32, 70)
    first, second = (cuda.rotate_backward(x, x, matrices, None, *plan, True)[1] for _ in range(2))
    assert first.equal(second)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_the_identity_changes_no_number(name, dtype, with_bias):
    x, matrices, bias, plan = draw(name, dtype, 3, with_bias=with_bias)
    identity = torch.eye(matrices.shape[-1]).to(matrices).expand_as(matrices)
    assert cuda.rotate(x, identity, bias, *plan).equal(x)
    assert cuda.rotate_backward(x, x, identity, bias, *plan, True)[0].equal(x)


def test_the_operators_have_these_kernels_for_cuda():
    schema = "qicircuits::rotate_sectors"
    for name in (schema, f"{schema}_backward", "qicircuits::build_rotations", "qicircuits::build_rotations_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(name, "CUDA"), name


SHAPES = [(2, 5), (1, 1), (3, 17), (0, 4), (1, 2)]  # (N, n)


def by_torch(parameters, shapes, to_rotation):
    parts = parameters.split([number * n * (n - 1) // 2 for number, n in shapes])
    return [to_rotation(part.view(number, n * (n - 1) // 2)) for part, (number, n) in zip(parts, shapes, strict=True)]


def draw_parameters(shapes, dtype=torch.float64):
    count = sum(number * n * (n - 1) // 2 for number, n in shapes)
    return torch.randn(count, dtype=dtype, device=DEVICE).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("shapes", [SHAPES, [(2, 1)], [(1, 33), (1, 4)]], ids=str)
def test_rotations_of_a_model_are_those_of_each_module(shapes, name, dtype):
    parameters = draw_parameters(shapes, dtype)
    built = build_rotations(parameters, shapes, name)
    used = [matrices for matrices, (number, n) in zip(built, shapes, strict=True) if number and n > 1]
    shapes_used = [shape for shape in shapes if shape[0] and shape[1] > 1]
    again = parameters.detach().cpu().requires_grad_()
    expected = by_torch(again, shapes_used, MAPS[name])
    assert [tuple(matrices.shape) for matrices in built] == [(number, n, n) for number, n in shapes]
    for actual, matrices in zip(used, expected, strict=True):
        assert_close(actual.detach(), matrices.detach(), TOLERANCE[dtype])
    if not used:
        return
    gradients = [torch.randn(matrices.shape, dtype=dtype) for matrices in expected]
    (found,) = torch.autograd.grad(used, parameters, [grad.to(DEVICE) for grad in gradients])
    assert_close(found, torch.autograd.grad(expected, again, gradients)[0], TOLERANCE[dtype])


@pytest.mark.parametrize("name", MAPS)
def test_zero_parameters_give_the_identity(name):
    parameters = torch.zeros_like(draw_parameters(SHAPES, torch.float32))
    for matrices in build_rotations(parameters, SHAPES, name):
        assert matrices.equal(torch.eye(matrices.shape[-1], device=DEVICE).expand_as(matrices))


@pytest.mark.parametrize("name", MAPS)
def test_large_parameters_need_no_pivots(name):
    parameters = 100 * draw_parameters([(1, 20)]).detach()
    (built,) = build_rotations(parameters, [(1, 20)], name)
    assert_close(built[0].mT @ built[0], torch.eye(20).double(), 1e-9)


@pytest.mark.parametrize("name", MAPS)
def test_maps_pass_the_checks_of_torch(name):
    shapes = [(2, 3), (1, 4)]
    numbers, sizes = [number for number, _ in shapes], [n for _, n in shapes]
    torch.library.opcheck(build_flat, (draw_parameters(shapes), numbers, sizes, name))


def test_what_cannot_be_built_is_refused():
    parameters = torch.zeros(3)
    with pytest.raises(ValueError, match=r'"cayley" or "rbs", got .exponential'):
        build_rotations(parameters, [(1, 3)], "exponential")
    with pytest.raises(ValueError, match=r"n must be in 1..128, got 129"):
        build_rotations(parameters, [(1, 3), (1, 129)], "rbs")
    with pytest.raises(ValueError, match=r"have 1 parameters, got shape \(3,\)"):
        build_rotations(parameters, [(1, 2)], "cayley")


@needs_gpu
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_largest_tiles_run(dtype):
    n = 128 if dtype.itemsize == 2 else 64
    device = torch.device("cuda")
    if not cuda.rotates(device, n, (1, 2), dtype):
        pytest.skip(f"{torch.cuda.get_device_name()} has too little shared memory")
    features, plan = layer(n, (1, 2), 1)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    matrices = random_orthogonal(n, batch_shape=(1,), dtype=wide).cuda()
    compare(torch.randn(40, features).to(device, dtype), matrices, torch.randn(features).to(device, dtype), plan)


@needs_gpu
def test_autograd_finds_the_kernels():
    x, matrices, bias, plan = draw("two blocks with padding and rest", torch.float32, 20, with_bias=True)
    inputs = [t.requires_grad_() for t in (x, matrices, bias)]
    torch.library.opcheck(rotate_sectors, (*inputs, *plan))


COMPILE = """
import os
os.environ.pop("TRITON_INTERPRET", None)
os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from qicircuits.engine import cuda, cuda_maps, cuda_rotation

H100 = GPUTarget("cuda", 90, 32)
POINTERS = {"sizes": "*i32", "parameter_starts": "*i64", "matrix_starts": "*i64", "table_starts": "*i64"}
POINTERS |= {name: "*i32" for name in ("partners", "gates", "signs")}
NUMBERS = "x y grad out grad_x bias parameters".split()
WIDE = "matrices tangents grad_parameters".split()

def shared(kernel, number, warps, **constants):
    types = POINTERS | {name: "*" + number for name in NUMBERS} | {name: "*fp32" for name in WIDE}
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in names}
    used = {name: value for name, value in constants.items() if name in names}
    compiled = triton.compile(ASTSource(kernel, signature, used), target=H100, options={"num_warps": warps})
    assert compiled.asm["cubin"]
    return compiled.metadata.shared

for number, dtype, terms, size in (("bf16", tl.bfloat16, 1, 64), ("fp32", tl.float32, 0, 32)):
    for kernel in (cuda_rotation.rotate_tokens, cuda_rotation.tangent_tokens):
        used = shared(
            kernel, number, 8, ACC=tl.float32, SHORT=dtype, TERMS=terms, HAS_BIAS=True, HAS_SINGLES=True,
            HAS_PAIRS=True, STACK=64 // size, SIZE=size,
        )
        allowed = cuda._SHARED_BYTES[2 if terms else 4][size]
        assert used <= allowed, (kernel.__name__, number, size, used, allowed)
for kernel in (
    cuda_maps.cayley_forward, cuda_maps.cayley_backward, cuda_maps.swap_forward, cuda_maps.swap_backward
):
    shared(kernel, "fp32", 8, SIZE=64)
print("compiled")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux only")
def test_kernels_compile_for_an_h100(tmp_path):
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "compiled", done.stderr[-2000:]
