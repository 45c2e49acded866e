"""The 4 × 4 stencil that spreads a Gaussian over a lattice, in LLVM's vectors of four.

Numba compiles four neighbouring scalars one by one; with vectors `exalign_engine.heatmaps.kernels.splat` takes two
thirds of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def add_stencil(
    typing: Any, lattice: Any, at: Any, stride: Any, w: Any, t: Any, u: Any, v: Any
) -> tuple[Any, Callable[..., Any]]:
    """Add w · (weights of u) ⊗ (weights of v) to ``lattice[at + i·stride + j]``, i and j from 0 to 3.

    The weights of u on the nodes −1, 0, 1, 2 are E ℓ(u + Z) = ℓ(u) + t ℓ''(u)/2 for their cubic Lagrange polynomials
    ℓ, with E Z = E Z³ = 0 and E Z² = t: the only ones with these moments about u. Nothing is checked.

    Args:
        typing: Numba's.
        lattice: 1-D float32 array.
        at: first place.
        stride: from one row of four to the next.
        w: float32.
        t: float32, variance of the weights along each axis, in squared spacings.
        u: float32 in [0, 1), along the rows.
        v: float32 in [0, 1), within a row.
    """
    signature = types.void(lattice, types.intp, types.intp, *[types.float32] * 4)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        array, at, stride, w, t, u, v = arguments
        four, place = ir.VectorType(ir.FloatType(), 4), ir.IntType(32)
        fast = {"flags": ("fast",)}

        def constant(*values: float) -> Any:
            return ir.Constant(four, list(values))

        def spread(scalar: Any) -> Any:
            single = builder.insert_element(ir.Constant(four, ir.Undefined), scalar, place(0))
            lanes = ir.Constant(ir.VectorType(place, 4), [0] * 4)
            return builder.shuffle_vector(single, ir.Constant(four, ir.Undefined), lanes)

        def plus(a: Any, x: Any, y: Any) -> Any:
            return builder.fadd(a, builder.fmul(x, y, **fast), **fast)

        half = builder.fmul(spread(t), constant(0.5, 0.5, 0.5, 0.5), **fast)
        cubic, square = constant(-1 / 6, 1 / 2, -1 / 2, 1 / 6), constant(1 / 2, -1, 1 / 2, 0)
        linear = plus(constant(-1 / 3, -1 / 2, 1, -1 / 6), half, constant(-1, 3, -3, 1))
        fixed = plus(constant(0, 1, 0, 0), half, constant(1, -2, 1, 0))

        def weights(x: Any) -> Any:
            return plus(fixed, plus(linear, plus(square, cubic, x), x), x)

        along_x, along_y = builder.fmul(weights(spread(u)), spread(w), **fast), weights(spread(v))
        line = builder.gep(context.make_array(lattice)(context, builder, array).data, [at])
        for i in range(4):
            pointer = builder.bitcast(line, four.as_pointer())
            here = builder.load(pointer, align=4)
            builder.store(plus(here, spread(builder.extract_element(along_x, place(i))), along_y), pointer, align=4)
            line = builder.gep(line, [stride])
        return context.get_dummy_value()

    return signature, generate
