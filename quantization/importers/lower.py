"""From an imported network to the float window graph that the passes, the quantizer and the emitter of C take.

Movement of values vanishes (:mod:`quantization.importers.elements`). Convolutions become dense layers over the taps that they
see, so that their integer arithmetic, their C and their .tflite are those of FULLY_CONNECTED. Attention becomes a score, a
softmax and a mixture a head, as in the lowering of our own network, and the same passes fold its projections. What has no op
yet is refused by its name and the author's source line, all in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quantization.graph.ir import Graph, Role
from quantization.graph.rewrite import Rewriter
from quantization.importers.attention_ops import attention, matmul, softmax
from quantization.importers.dense_ops import batch_norm, conv1d, linear, relu
from quantization.importers.elements import Dense, NotAPatternError
from quantization.importers.elementwise_ops import binary, gelu, layer_norm, scaled, unary
from quantization.importers.evaluate import MOVEMENT, TARGETS
from quantization.importers.making import NOTHING, Arguments, GraphMaking, UnsupportedError, is_constant
from quantization.importers.program import Node, Program, Ref, listed
from quantization.importers.recurrent_ops import gru, lstm
from quantization.importers.time_ops import average_pool, max_pool, mean, pad, whole_mean
from toolkit.errors import ConversionError


def lower_program(
    program: Program, streams: Mapping[str, str], target: Mapping[str, Any] | None = None
) -> Graph:
    """The float window graph: an input [1, T, C] a stream, ``moments`` [1, O].

    ``streams`` gives the stream of each input by its name in the network; ``target`` is what its author standardised
    the moments with, ``mean`` and ``std``, and is undone. Raises ConversionError naming every node that cannot be lowered.
    """
    lowering = _Lowering(program, streams)
    moments = lowering.output(target)
    # What was made once more in another form leaves ops behind that nobody reads.
    return Rewriter(lowering.builder.build(tuple(lowering.inputs.values()), (moments,))).build()


class _Lowering(GraphMaking):
    """A graph in the making; ``values`` by the names of the program."""

    def __init__(self, program: Program, streams: Mapping[str, str]) -> None:
        self.program = program
        super().__init__("window")
        self.inputs = {
            streams[name]: self.builder.add(streams[name], shape, role=Role.INPUT)
            for name, shape in program.inputs.items()
        }
        self.values: dict[str, Any] = dict(program.weights)
        for name, shape in program.inputs.items():
            self.values[name] = self.elements.of_tensor(self.inputs[streams[name]]).reshape(shape)
        self.problems: list[str] = []
        for node in program.nodes:
            self._node(node)
        if self.problems:
            raise ConversionError(
                f"the network has no int8 form yet: {listed(self.problems)}; docs/IMPORT.md lists what has"
            )

    def output(self, target: Mapping[str, Any] | None) -> int:
        """``moments`` [1, O]: the network's output, a last dense layer of its own name and role."""
        ids = self.values[self.program.output]
        if is_constant(ids):
            raise ConversionError("the network's output does not depend on its inputs")
        flat = ids.reshape(-1)
        base = self.elements.base_of(flat)
        undone = {"mean": 0.0, "std": 1.0} if target is None else target
        mean, std = (np.asarray(undone[key]) for key in ("mean", "std"))
        if base is not None and base.dense is not None and base.dense.activation == "NONE":
            local = flat - base.first
            rows, columns = np.unique(local // base.width), local % base.width
            if len(rows) == 1:
                dense = base.dense
                weight, bias = dense.weight[columns], dense.bias[columns]
                if target is not None:
                    weight = np.float64(weight) * std.reshape(-1, 1)
                    bias = np.float64(bias) * std + mean
                last = Dense("moments", dense.x[rows], weight, bias, Role.OUTPUT)
                return self.elements.tensor(self.elements.of_dense(last), row_form=True)
        weight = np.eye(len(flat)) * std.reshape(-1, 1)
        last = Dense("moments", flat[None], weight, np.broadcast_to(mean, flat.shape), Role.OUTPUT)
        return self.elements.tensor(self.elements.of_dense(last), row_form=True)

    def _node(self, node: Node) -> None:
        arguments = {key: self._resolved(value) for key, value in node.arguments.items()}
        if any(_missing(value) for value in arguments.values()):
            return  # it depends on a node that was told already
        try:
            found = self._lowered(node, arguments)
        except (UnsupportedError, NotAPatternError, ValueError, LookupError, TypeError) as reason:
            where = f" at {node.where}" if node.where else ""
            self.problems.append(f"{node.target}{where}: {reason}")
            return
        self.values.update(zip(node.outputs, found if isinstance(found, tuple) else (found,)))

    def _lowered(self, node: Node, a: Arguments) -> Any:
        tensors = [v for value in a.values() for v in (value if isinstance(value, list) else [value])]
        if all(is_constant(value) for value in tensors):
            return TARGETS[node.target](
                {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in a.items()}
            )
        if node.target in MOVEMENT:
            return MOVEMENT[node.target]({k: self._moved(v) for k, v in a.items()})
        if node.target not in LOWERINGS:
            raise UnsupportedError("it has no integer form yet")
        return LOWERINGS[node.target](self, a, node.outputs[0])

    def _moved(self, value: Any) -> Any:
        """Constants among elements get elements of their own, so that they are moved alike."""
        if isinstance(value, list):
            return [self._moved(one) for one in value]
        if isinstance(value, np.ndarray) and is_constant(value):
            return self.constant_elements(value)
        return value

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self.values.get(value.name, NOTHING)
        return [self._resolved(one) for one in value] if isinstance(value, list) else value


def _missing(value: Any) -> bool:
    return value is NOTHING or (isinstance(value, list) and any(one is NOTHING for one in value))


#: How each op that computes is lowered, by ATen's name.
LOWERINGS: dict[str, Callable[[GraphMaking, Arguments, str], Any]] = {
    "lstm.input": lstm,
    "gru.input": gru,
    "linear.default": linear,
    "conv1d.default": conv1d,
    "batch_norm.default": batch_norm,
    "layer_norm.default": layer_norm,
    "scaled_dot_product_attention.default": attention,
    "bmm.default": matmul,
    "matmul.default": matmul,
    "softmax.int": softmax,
    "relu.default": relu,
    "gelu.default": gelu,
    "tanh.default": unary("TANH"),
    "sigmoid.default": unary("LOGISTIC"),
    "add.Tensor": binary("ADD"),
    "sub.Tensor": binary("SUB"),
    "mul.Tensor": binary("MUL"),
    "div.Tensor": binary("DIV"),
    "add.Scalar": binary("ADD"),
    "sub.Scalar": binary("SUB"),
    "mul.Scalar": binary("MUL"),
    "div.Scalar": binary("DIV"),
    "rsub.Scalar": lambda low, a, name: binary("SUB")(
        low, {**a, "self": a["other"], "other": a["self"]}, name
    ),
    "neg.default": lambda low, a, name: scaled(low, a["self"], -1.0, name),
    "mean.dim": mean,
    "mean.default": mean,
    "max_pool1d.default": max_pool,
    "avg_pool1d.default": average_pool,
    "adaptive_avg_pool1d.default": whole_mean,
    "pad.default": pad,
}
