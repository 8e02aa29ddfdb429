"""Every op that edgetool knows, one row an op: how it stands in a .tflite, how it runs, and what else must be known of it.

A row names the functions of the op's own file. What a row leaves out the op does not have: an op without ``source`` has no C,
and the emitter says so. To add an op, write its file and its row (CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from quantization.c_fragments.op_source import Lowering
from quantization.graph.ir import Graph, Op
from quantization.ops import (
    activation,
    batch_matmul,
    elementwise,
    fully_connected,
    gelu,
    lstm,
    lstm_source,
    mean,
    movement,
    quantize,
    rsqrt,
    softmax,
)
from quantization.ops.call import Call, FloatCall, Shapes, Values
from quantization.ops.signature import Shape, Signature

Check = Callable[[Signature], list[Shape]]
Integer = Callable[[Call], list[Values]]
Real = Callable[[FloatCall], list[Values]]
Source = Callable[[Lowering], list[str]]


def no_products(inputs: Shapes, outputs: Shapes) -> int:
    """Multiply-accumulates of an op that does none."""
    return 0


class Trait(Enum):
    """What passes, converters and the emitter of C ask of an op."""

    #: Outputs hold integers of the inputs, so that all of them have one quantization.
    MOVES = auto()
    #: Between float32 and integers, or between scales: the values stay as near as the types allow.
    CONVERTS = auto()
    #: Outputs are parts of one input in another order or shape: C looks at them where they lie.
    VIEWS = auto()
    #: An element of the output follows from the elements of the inputs at its own place.
    ELEMENTWISE = auto()
    #: Its C reads operands with any strides.
    READS_STRIDES = auto()
    #: A sum of products, which is what multiply-accumulates are counted of.
    SUMS_PRODUCTS = auto()


@dataclass(frozen=True)
class Row:
    """What is known of an op.

    ``check`` gives the shapes that its outputs must have, and refuses inputs that it cannot compute by their types, shapes,
    scales or constants. ``options`` is its table in the .tflite schema, None if it has none. ``versions``: the op's version
    by the type of its first input, 1 for types that are not named; those of TensorFlow Lite's op_version.cc. ``integer``
    computes it in the integer reference, ``real`` on real numbers, ``source`` gives the lines of C. ``macs`` counts products
    from the shapes of inputs and outputs. ``plain`` are the places of inputs that are integers about shapes, ``states`` those
    of the tensors that the op keeps from run to run: ``integer`` and ``real`` return their new values behind the outputs.
    """

    check: Check
    options: str | None
    versions: Mapping[str, int] = field(default_factory=dict)
    integer: Integer | None = None
    real: Real | None = None
    source: Source | None = None
    macs: Callable[[Shapes, Shapes], int] = no_products
    traits: frozenset[Trait] = frozenset()
    plain: tuple[int, ...] = ()
    states: tuple[int, ...] = ()


def _traits(*traits: Trait) -> frozenset[Trait]:
    return frozenset(traits)


_MOVES = _traits(Trait.MOVES)
_VIEWS = _traits(Trait.MOVES, Trait.VIEWS)
_ELEMENTWISE = _traits(Trait.ELEMENTWISE)
_CHOICE = _traits(Trait.MOVES, Trait.ELEMENTWISE)
_CONVERTS = _traits(Trait.CONVERTS, Trait.ELEMENTWISE)
_PRODUCTS = _traits(Trait.SUMS_PRODUCTS)


class OpKind(StrEnum):
    """TensorFlow Lite's name of an op, as ``Op.kind`` holds it, and its row."""

    row: Row

    def __new__(cls, kind: str, row: Row) -> OpKind:
        """A member is its name; the row goes with it."""
        member = str.__new__(cls, kind)
        member._value_ = kind
        member.row = row
        return member

    ADD = (
        "ADD",
        Row(
            elementwise.check_add,
            "AddOptions",
            {"INT8": 2, "INT16": 4},
            elementwise.run_add,
            elementwise.real_add,
            elementwise.lower_add,
            traits=_ELEMENTWISE,
        ),
    )
    BATCH_MATMUL = (
        "BATCH_MATMUL",
        Row(
            batch_matmul.check_batch_matmul,
            "BatchMatMulOptions",
            {"INT8": 2, "INT16": 3},
            batch_matmul.run_batch_matmul,
            batch_matmul.real_batch_matmul,
            batch_matmul.lower_batch_matmul,
            macs=batch_matmul.products,
            traits=_traits(Trait.READS_STRIDES, Trait.SUMS_PRODUCTS),
        ),
    )
    CONCATENATION = (
        "CONCATENATION",
        Row(
            movement.check_concatenation,
            "ConcatenationOptions",
            {"INT8": 2, "INT16": 3},
            movement.run_concatenation,
            movement.real_concatenation,
            movement.lower_concatenation,
            traits=_MOVES,
        ),
    )
    DEQUANTIZE = (
        "DEQUANTIZE",
        Row(
            quantize.check_dequantize,
            "DequantizeOptions",
            {"INT8": 2, "INT16": 3},
            quantize.run_dequantize,
            traits=_CONVERTS,
        ),
    )
    EXP = "EXP", Row(elementwise.check_unary, "ExpOptions", {"INT8": 2, "INT16": 2}, traits=_ELEMENTWISE)
    FULLY_CONNECTED = (
        "FULLY_CONNECTED",
        Row(
            fully_connected.check_fully_connected,
            "FullyConnectedOptions",
            {"INT8": 4, "INT16": 7},
            fully_connected.run_fully_connected,
            fully_connected.real_fully_connected,
            fully_connected.lower_fully_connected,
            macs=fully_connected.products,
            traits=_PRODUCTS,
        ),
    )
    GATHER = (
        "GATHER",
        Row(
            movement.check_gather,
            "GatherOptions",
            {"INT8": 2, "INT16": 4},
            movement.run_gather,
            traits=_VIEWS,
            plain=(1,),
        ),
    )
    GELU = (
        "GELU",
        Row(
            gelu.check_gelu,
            "GeluOptions",
            {"INT8": 2},
            gelu.run_gelu,
            gelu.real_gelu,
            gelu.lower_gelu,
            traits=_ELEMENTWISE,
        ),
    )
    LOGISTIC = (
        "LOGISTIC",
        Row(
            activation.check_squash,
            None,
            {"INT8": 2, "INT16": 3},
            activation.run_logistic,
            activation.real_logistic,
            activation.lower_squash,
            traits=_ELEMENTWISE,
        ),
    )
    MAXIMUM = (
        "MAXIMUM",
        Row(
            elementwise.check_maximum,
            "MaximumMinimumOptions",
            {"INT8": 2, "INT16": 3},
            elementwise.run_maximum,
            elementwise.real_maximum,
            elementwise.lower_minimum,
            traits=_CHOICE,
        ),
    )
    MEAN = (
        "MEAN",
        Row(
            mean.check_mean,
            "ReducerOptions",
            {"INT8": 2, "INT16": 3},
            mean.run_mean,
            mean.real_mean,
            mean.lower_mean,
            plain=(1,),
        ),
    )
    MINIMUM = (
        "MINIMUM",
        Row(
            elementwise.check_maximum,
            "MaximumMinimumOptions",
            {"INT8": 2, "INT16": 3},
            elementwise.run_maximum,
            elementwise.real_minimum,
            elementwise.lower_minimum,
            traits=_CHOICE,
        ),
    )
    MUL = (
        "MUL",
        Row(
            elementwise.check_multiply,
            "MulOptions",
            {"INT8": 2, "INT16": 4},
            elementwise.run_multiply,
            elementwise.real_multiply,
            elementwise.lower_multiply,
            macs=elementwise.products,
            traits=_ELEMENTWISE,
        ),
    )
    PACK = "PACK", Row(movement.check_pack, "PackOptions", {"INT8": 2}, movement.run_pack, traits=_MOVES)
    QUANTIZE = (
        "QUANTIZE",
        Row(
            quantize.check_quantize,
            "QuantizeOptions",
            {"INT8": 2, "INT16": 2},
            quantize.run_quantize,
            source=quantize.lower_quantize,
            traits=_CONVERTS,
        ),
    )
    RELU = "RELU", Row(activation.check_relu, None, {"INT8": 2}, activation.run_relu, traits=_ELEMENTWISE)
    RESHAPE = (
        "RESHAPE",
        Row(
            movement.check_reshape,
            "ReshapeOptions",
            {},
            movement.run_reshape,
            movement.real_reshape,
            traits=_VIEWS,
            plain=(1,),
        ),
    )
    RSQRT = (
        "RSQRT",
        Row(
            rsqrt.check_rsqrt,
            None,
            {"INT8": 2, "INT16": 3},
            rsqrt.run_rsqrt,
            rsqrt.real_rsqrt,
            rsqrt.lower_rsqrt,
            traits=_ELEMENTWISE,
        ),
    )
    SLICE = (
        "SLICE",
        Row(
            movement.check_slice,
            "SliceOptions",
            {"INT8": 2, "INT16": 4},
            movement.run_slice,
            traits=_VIEWS,
            plain=(1, 2),
        ),
    )
    SOFTMAX = (
        "SOFTMAX",
        Row(
            softmax.check_softmax,
            "SoftmaxOptions",
            {"INT8": 2, "INT16": 3},
            softmax.run_softmax,
            softmax.real_softmax,
            softmax.lower_softmax,
        ),
    )
    SPLIT = (
        "SPLIT",
        Row(
            movement.check_split,
            "SplitOptions",
            {"INT8": 2, "INT16": 4},
            movement.run_split,
            traits=_VIEWS,
            plain=(0,),
        ),
    )
    SQUARE = "SQUARE", Row(elementwise.check_unary, "SquareOptions", traits=_ELEMENTWISE)
    SQUARED_DIFFERENCE = (
        "SQUARED_DIFFERENCE",
        Row(
            elementwise.check_squared_difference,
            "SquaredDifferenceOptions",
            {"INT8": 2},
            elementwise.run_squared_difference,
            source=elementwise.lower_squared_difference,
            traits=_ELEMENTWISE,
        ),
    )
    STRIDED_SLICE = (
        "STRIDED_SLICE",
        Row(
            movement.check_strided_slice,
            "StridedSliceOptions",
            {"INT8": 2, "INT16": 4},
            movement.run_strided_slice,
            movement.real_strided_slice,
            traits=_VIEWS,
            plain=(1, 2, 3),
        ),
    )
    SUB = (
        "SUB",
        Row(
            elementwise.check_add,
            "SubOptions",
            {"INT8": 2, "INT16": 5},
            elementwise.run_add,
            elementwise.real_subtract,
            elementwise.lower_add,
            traits=_ELEMENTWISE,
        ),
    )
    SUM = "SUM", Row(mean.check_mean, "ReducerOptions", {"INT8": 2}, plain=(1,))
    TANH = (
        "TANH",
        Row(
            activation.check_squash,
            None,
            {"INT8": 2, "INT16": 3},
            activation.run_tanh,
            activation.real_tanh,
            activation.lower_squash,
            traits=_ELEMENTWISE,
        ),
    )
    TRANSPOSE = (
        "TRANSPOSE",
        Row(
            movement.check_transpose,
            "TransposeOptions",
            {"INT8": 2, "INT16": 4},
            movement.run_transpose,
            movement.real_transpose,
            traits=_VIEWS,
            plain=(1,),
        ),
    )
    UNIDIRECTIONAL_SEQUENCE_LSTM = (
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        Row(
            lstm.check_lstm,
            "UnidirectionalSequenceLSTMOptions",
            {"INT8": 3},
            lstm.run_lstm,
            lstm.real_lstm,
            lstm_source.lower_lstm,
            macs=lstm.products,
            traits=_PRODUCTS,
            states=(lstm.HIDDEN_STATE, lstm.CELL_STATE),
        ),
    )
    UNPACK = (
        "UNPACK",
        Row(movement.check_unpack, "UnpackOptions", {"INT8": 2}, movement.run_unpack, traits=_MOVES),
    )


_ROWS: dict[str, Row] = {kind.value: kind.row for kind in OpKind}


def _unknown(op: Signature) -> list[Shape]:
    op.refuse(f"it is not known; known: {', '.join(_ROWS)}")


_UNKNOWN = Row(_unknown, None)


def row_of(kind: str) -> Row:
    """The row of an op by its name; an empty one for a name that is not known, so that it has no form here."""
    return _ROWS.get(kind, _UNKNOWN)


def has(op: Op, *traits: Trait) -> bool:
    """True if the op has one of the ``traits``."""
    return not row_of(op.kind).traits.isdisjoint(traits)


def kinds_with(part: str) -> list[str]:
    """Names of the ops whose row has a ``part`` (integer, real, source), in alphabetical order."""
    return sorted(kind for kind, row in _ROWS.items() if getattr(row, part) is not None)


def state_inputs(graph: Graph) -> list[int]:
    """Tensors that ops keep from run to run, in the order of the ops."""
    return [op.inputs[place] for op in graph.ops for place in row_of(op.kind).states]
