"""Weights put in the order in which each core's LSTM kernel reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LstmWeights:
    """An int8 LSTM layer. Gates are in the order input, forget, cell, output.

    ``input`` [4, units, inputs] and ``recurrent`` [4, units, units] are int8, ``bias`` [4, units] is int32 at the
    scale of the input product; the zero points are the input's and the hidden state's.
    """

    input: NDArray[np.int8]
    recurrent: NDArray[np.int8]
    bias: NDArray[np.int32]
    input_zero_point: int
    hidden_zero_point: int

    @property
    def units(self) -> int:
        """Number of units."""
        return int(self.input.shape[1])

    @property
    def inputs(self) -> int:
        """Number of inputs of a step."""
        return int(self.input.shape[2])


def folded_bias(
    weights: NDArray[np.int8], bias: NDArray[np.int32] | None, zero_point: int
) -> NDArray[np.int32]:
    """``bias - zero_point * sum(weights)`` over the last axis: the sum that raw int8 inputs start from."""
    total = -zero_point * weights.astype(np.int64).sum(axis=-1)
    if bias is not None:
        total = total + bias
    if np.abs(total).max(initial=0) > 0x7FFFFFFF:
        raise ValueError("a folded bias exceeds 32 bits")
    result: NDArray[np.int32] = total.astype(np.int32)
    return result


def blocks(count: int, width: int = 4) -> int:
    """``count`` in blocks of ``width``, rounded up."""
    return -(-count // width)


def dsp_refusal(weights: LstmWeights) -> str | None:
    """Why the paired-row kernel of the DSP cores cannot run these weights exactly, or None.

    It needs \\|weight\\| <= 127 and twice every accumulator below 2^23, for any int8 input.
    """
    for name, matrix, bias, zero_point in (
        ("input", weights.input, weights.bias, weights.input_zero_point),
        ("recurrent", weights.recurrent, None, weights.hidden_zero_point),
    ):
        if int(matrix.min(initial=0)) < -127:
            return f"an {name} weight is -128"
        reach = max(127 - zero_point, 128 + zero_point)
        largest = np.abs(matrix.astype(np.int64)).sum(axis=-1) * reach
        if bias is not None:
            largest = largest + np.abs(bias.astype(np.int64))
        if int(largest.max(initial=0)) * 2 >= 1 << 23:
            return f"an {name} sum can reach {int(largest.max())}, above 2^22"
    return None


def _paired_rows(
    low: Integers, high: Integers, bias_low: Integers, bias_high: Integers
) -> tuple[Integers, Integers]:
    """Bias words [units, 2] (T, A) and weight words [units, blocks, 2] of one pair of gates.

    A word's lanes are columns (0, 2) or (1, 3) of a block; a lane is ``low + 256 high``.
    """
    lanes = low + 256 * high
    grouped = lanes.reshape(*lanes.shape[:-1], -1, 4)
    words = np.stack(
        [
            (grouped[..., 0] & 0xFFFF) | (grouped[..., 2] & 0xFFFF) << 16,
            (grouped[..., 1] & 0xFFFF) | (grouped[..., 3] & 0xFFFF) << 16,
        ],
        axis=-1,
    )
    a = low.reshape(*low.shape[:-1], -1, 4)
    winograd = (a[..., 0] * a[..., 1] + a[..., 2] * a[..., 3]).sum(axis=-1)
    bias = np.stack([2 * (bias_low + 256 * bias_high), 2 * bias_low - winograd], axis=-1)
    return bias, words


def dsp_stream(weights: LstmWeights) -> NDArray[np.int32]:
    """The words of ``et_lstm_dsp.h``, unit after unit. ValueError if :func:`dsp_refusal` gives a reason."""
    reason = dsp_refusal(weights)
    if reason is not None:
        raise ValueError(f"these weights do not fit the paired-row kernel: {reason}")
    parts: list[Integers] = []
    for matrix, bias in (
        (weights.input.astype(np.int64), weights.bias.astype(np.int64)),
        (weights.recurrent.astype(np.int64), np.zeros((4, weights.units), np.int64)),
    ):
        padding = -matrix.shape[-1] % 4
        matrix = np.pad(matrix, ((0, 0), (0, 0), (0, padding)))
        first_bias, first = _paired_rows(matrix[0], matrix[1], bias[0], bias[1])
        second_bias, second = _paired_rows(matrix[2], matrix[3], bias[2], bias[3])
        parts.append(np.concatenate([first_bias, second_bias], axis=-1))
        parts.append(np.concatenate([first, second], axis=-1).reshape(weights.units, -1))
    words = np.concatenate(parts, axis=-1).reshape(-1)
    return (words & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def mve_stream(weights: LstmWeights) -> NDArray[np.int8]:
    """The bytes of ``et_lstm_mve_template.S``: groups of four units, rows in chunks of 16 columns, biases behind."""
    groups = blocks(weights.units)
    parts: list[NDArray[np.int8]] = []
    sources = (
        (weights.input, folded_bias(weights.input, weights.bias, weights.input_zero_point)),
        (weights.recurrent, folded_bias(weights.recurrent, None, weights.hidden_zero_point)),
    )
    for matrix, bias in sources:
        spare_units = 4 * groups - weights.units
        chunks = blocks(matrix.shape[-1], 16)
        padded = np.pad(matrix, ((0, 0), (0, spare_units), (0, 16 * chunks - matrix.shape[-1])))
        rows = padded.reshape(4, groups, 4, chunks, 16).transpose(1, 0, 3, 2, 4)
        biases = np.pad(bias, ((0, 0), (0, spare_units))).reshape(4, groups, 4).transpose(1, 0, 2)
        bias_bytes = np.ascontiguousarray(biases.astype("<i4")).view(np.int8).reshape(groups, 4, 16)
        parts.append(np.concatenate([rows.reshape(groups, 4, -1), bias_bytes], axis=-1).reshape(groups, -1))
    return np.ascontiguousarray(np.concatenate(parts, axis=-1)).reshape(-1)


def fully_connected_dsp_stream(matrix: NDArray[np.int8], bias: NDArray[np.int64]) -> NDArray[np.int32]:
    """The words of ``et_fully_connected_dsp.S``: per four units their paired biases, then per four columns the paired rows."""
    units, depth = matrix.shape
    padded = np.pad(matrix.astype(np.int64), ((0, -units % 4), (0, 0)))
    rows = padded.reshape(-1, 2, 2, depth)  # group, pair, row of the pair, column
    lanes = rows[:, :, 0] + 256 * rows[:, :, 1]
    pairs = (lanes & 0xFFFF).reshape(len(rows), 2, depth // 4, 2, 2)
    words = pairs[..., 0] | pairs[..., 1] << 16
    ordered = words.transpose(0, 2, 1, 3).reshape(len(rows), -1)  # group, block, pair, half
    low, high = np.moveaxis(np.pad(bias, (0, -units % 4)).reshape(-1, 2, 2), -1, 0)
    both = low + 256 * high
    biases = np.stack([both, both >> 32, low], axis=-1).reshape(len(rows), 6)
    stream = np.concatenate([biases, ordered], axis=1).reshape(-1)
    return (stream & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def fully_connected_mve_stream(
    matrix: NDArray[np.int8], bias: NDArray[np.int64], columns: int
) -> NDArray[np.int32]:
    """The words of ``et_fully_connected_mve.S``: per four units biases, then per ``columns`` columns four pieces of rows."""
    units, depth = matrix.shape
    groups = blocks(units)
    padded = np.pad(matrix, ((0, 4 * groups - units), (0, -depth % columns)))
    rows = padded.reshape(groups, 4, -1, columns).transpose(0, 2, 1, 3)
    weights = np.ascontiguousarray(rows).reshape(groups, -1).view("<i4")
    biases = np.pad(bias.astype("<i4"), (0, 4 * groups - units)).reshape(groups, 4)
    return np.concatenate([biases, weights], axis=1).reshape(-1)
