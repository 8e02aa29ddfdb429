"""Exact integer matrix products on floating-point hardware."""

from __future__ import annotations

import numpy as np

from quantization.arithmetic.fixed_point import Integers

#: Integers below this size are exact in float64.
EXACT = 2**53


def exact_matmul(a: Integers, b: Integers) -> Integers:
    """``a @ b`` of int64 arrays, exact, by float64 BLAS.

    Every partial sum is bounded by depth * max|a| * max|b|, checked to be below 2**53, so that no product or sum is
    rounded, in any order.
    """
    largest = int(np.abs(a).max(initial=0)) * int(np.abs(b).max(initial=0)) * a.shape[-1]
    if largest >= EXACT:
        product: Integers = np.matmul(a, b)
        return product
    exact: Integers = np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    return exact
