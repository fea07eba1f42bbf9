"""Vector instructions along a state vector: a two-wire gate on two runs of neighbouring amplitudes.

Numbers are real; an amplitude is one of them, or two, its real and imaginary parts. What is left of a run behind
its last whole register is one masked register: runs are often shorter than that. LLVM's own vectoriser would have
to check for every run that the two do not overlap, and would leave short ones to scalar code.
"""

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .cpu_lanes import LANE_BYTES

__all__ = ["rotate_run", "turn_of_gate", "unrotate_run"]

# A product and a sum may become one fused instruction, and nothing else may change.
_FUSE = ("contract",)
_Codegen = Callable[[Any, Any, Any, Any], Any]


@intrinsic
def rotate_run(typing: Any, x: Any, a: Any, b: Any, count: Any, turn: Any) -> tuple[Any, _Codegen]:
    """Rotate the numbers x[a : a + count] with x[b : b + count], element by element.

    The turn is (cos, sin), or (cos, p, q) on complex numbers, with p + i q = exp(i phi) sin:
    x_a, x_b = cos x_a - (p - i q) x_b, (p + i q) x_a + cos x_b.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        run = _Run(context, builder, signature.args[0], args[0])
        turn = _turn(run, args[4], signature.args[4].count)
        for at, mask in run.steps(args[3]):
            a, b = builder.add(args[1], at), builder.add(args[2], at)
            run.store_rotated(a, b, run.load(a, mask), run.load(b, mask), turn, mask)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, turn), generate


@intrinsic
def unrotate_run(
    typing: Any, state: Any, adjoint: Any, a: Any, b: Any, count: Any, turn: Any, sums: Any
) -> tuple[Any, _Codegen]:
    """Undo `rotate_run` on both, and before that add their overlaps to sums, float64, a row of lanes for each.

    With g the adjoint: the real part of w = conj(g_b) x_a - g_a conj(x_b), and for a complex turn also its imaginary
    part and that of conj(g_b) x_b - conj(g_a) x_a, both with the sign of every other lane exchanged.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state = _Run(context, builder, signature.args[0], args[0])
        adjoint = _Run(context, builder, signature.args[1], args[1])
        cos, *sines = _turn(state, args[5], signature.args[5].count)
        back = [cos, *(builder.fneg(sine) for sine in sines)]
        totals = _Totals(context, builder, signature.args[6], args[6], state.lanes, 2 * len(sines) - 1)
        for at, mask in state.steps(args[4]):
            a, b = builder.add(args[2], at), builder.add(args[3], at)
            x_a, x_b, g_a, g_b = (
                state.load(a, mask),
                state.load(b, mask),
                adjoint.load(a, mask),
                adjoint.load(b, mask),
            )
            totals.add(0, state.products("fsub", (g_b, x_a), (g_a, x_b)))
            if len(sines) == 2:
                y_a, y_b = state.exchange(x_a), state.exchange(x_b)
                totals.add(1, state.products("fadd", (g_b, y_a), (g_a, y_b)))
                totals.add(2, state.products("fsub", (g_b, y_b), (g_a, y_a)))
            state.store_rotated(a, b, x_a, x_b, back, mask)
            adjoint.store_rotated(a, b, g_a, g_b, back, mask)
        totals.store()
        return context.get_dummy_value()

    return types.void(state, adjoint, types.intp, types.intp, types.intp, turn, sums), generate


@intrinsic
def turn_of_gate(typing: Any, turns: Any, at: Any, sign: Any) -> tuple[Any, _Codegen]:
    """The turn (turns[0][at], sign turns[1][at], ...) of a gate."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, number = signature.args[0].dtype, context.get_data_type(signature.return_type.dtype)
        sign = builder.sitofp(args[2], number)
        numbers: list[Any] = []
        for array in cgutils.unpack_tuple(builder, args[0], signature.args[0].count):
            data = context.make_array(array_type)(context, builder, array).data
            value = builder.load(builder.gep(data, [args[1]]))
            numbers.append(builder.fmul(sign, value) if numbers else value)
        return context.make_tuple(builder, signature.return_type, numbers)

    return types.UniTuple(turns.dtype.dtype, turns.count)(turns, types.intp, types.intp), generate


class _Run:
    """The numbers of an array argument while code is generated: registers of them, whole or masked."""

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any) -> None:
        self.builder = builder
        self.data = context.make_array(array_type)(context, builder, array).data
        self.align = ir.Constant(ir.IntType(32), array_type.dtype.bitwidth // 8)
        self.lanes = LANE_BYTES * 8 // array_type.dtype.bitwidth
        self.vector = ir.VectorType(context.get_data_type(array_type.dtype), self.lanes)
        self.suffix = f"v{self.lanes}f{array_type.dtype.bitwidth}.p0"

    def steps(self, count: Any) -> Iterator[tuple[Any, Any]]:
        """Where each register of a run starts, and its mask; the caller's code is generated twice."""
        builder, index = self.builder, count.type
        rest = builder.and_(count, ir.Constant(index, self.lanes - 1))
        whole = builder.sub(count, rest)
        with cgutils.for_range_slice(builder, ir.Constant(index, 0), whole, ir.Constant(index, self.lanes)) as (
            at,
            _,
        ):
            yield at, None
        with builder.if_then(builder.icmp_unsigned("!=", rest, ir.Constant(index, 0))):
            short = ir.VectorType(ir.IntType(32), self.lanes)
            places = ir.Constant(short, list(range(self.lanes)))
            limit = self._splat(builder.trunc(rest, ir.IntType(32)), short)
            yield whole, builder.icmp_unsigned("<", places, limit)

    def load(self, offset: Any, mask: Any) -> Any:
        pointer = self._pointer(offset)
        if mask is None:
            return self.builder.load(pointer, align=self.align.constant)
        arguments = [pointer, self.align, mask, ir.Constant(self.vector, [0.0] * self.lanes)]
        return self._call("llvm.masked.load", self.vector, arguments)

    def store(self, offset: Any, value: Any, mask: Any) -> None:
        pointer = self._pointer(offset)
        if mask is None:
            self.builder.store(value, pointer, align=self.align.constant)
        else:
            self._call("llvm.masked.store", ir.VoidType(), [value, pointer, self.align, mask])

    def store_rotated(self, a: Any, b: Any, x_a: Any, x_b: Any, turn: list[Any], mask: Any) -> None:
        cos, sin = turn[:2]
        first, second = self.products("fsub", (cos, x_a), (sin, x_b)), self.products("fadd", (sin, x_a), (cos, x_b))
        if len(turn) == 3:  # +-i q times a complex number: its parts exchanged, by q and -q in turn
            first = self._minus(first, turn[2], self.exchange(x_b))
            second = self._minus(second, turn[2], self.exchange(x_a))
        self.store(a, first, mask)
        self.store(b, second, mask)

    def products(self, operation: str, left: tuple[Any, Any], right: tuple[Any, Any]) -> Any:
        """The sum or difference of two products."""
        products = [self.builder.fmul(*factors, flags=_FUSE) for factors in (left, right)]
        return getattr(self.builder, operation)(*products, flags=_FUSE)

    def exchange(self, value: Any) -> Any:
        """Real parts in the place of imaginary parts, and the reverse."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [lane ^ 1 for lane in range(self.lanes)])
        return self.builder.shuffle_vector(value, value, mask)

    def splat(self, number: Any) -> Any:
        return self._splat(number, self.vector)

    def alternate(self, number: Any) -> Any:
        """The number and its negative in turn."""
        signs = ir.Constant(self.vector, [1.0, -1.0] * (self.lanes // 2))
        return self.builder.fmul(self.splat(number), signs)

    def _minus(self, value: Any, left: Any, right: Any) -> Any:
        return self.builder.fsub(value, self.builder.fmul(left, right, flags=_FUSE), flags=_FUSE)

    def _splat(self, number: Any, vector: Any) -> Any:
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, first, mask)

    def _pointer(self, offset: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.data, [offset]), self.vector.as_pointer())

    def _call(self, name: str, result: Any, arguments: list[Any]) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"{name}.{self.suffix}")
        return self.builder.call(function, arguments)


class _Totals:
    """Rows of float64 lanes of an array, kept in registers while a run is summed up."""

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any, lanes: int, rows: int) -> None:
        self.builder = builder
        self.vector = ir.VectorType(ir.DoubleType(), lanes)
        data = context.make_array(array_type)(context, builder, array).data
        starts = [builder.gep(data, [ir.Constant(ir.IntType(64), row * lanes)]) for row in range(rows)]
        self.rows = [builder.bitcast(start, self.vector.as_pointer()) for start in starts]
        self.registers = [cgutils.alloca_once(builder, self.vector) for _ in self.rows]
        for row, register in zip(self.rows, self.registers, strict=True):
            builder.store(builder.load(row, align=8), register)

    def add(self, row: int, value: Any) -> None:
        if value.type != self.vector:
            value = self.builder.fpext(value, self.vector)
        register = self.registers[row]
        self.builder.store(self.builder.fadd(self.builder.load(register), value), register)

    def store(self) -> None:
        for row, register in zip(self.rows, self.registers, strict=True):
            self.builder.store(self.builder.load(register), row, align=8)


def _turn(run: _Run, turn: Any, count: int) -> list[Any]:
    """The numbers of a turn in registers."""
    numbers = cgutils.unpack_tuple(run.builder, turn, count)
    return [run.splat(number) for number in numbers[:2]] + [run.alternate(number) for number in numbers[2:]]
