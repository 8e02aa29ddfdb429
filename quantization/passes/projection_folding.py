"""With one query, the key and value projections of an attention head fold away.

Score of row t: ``q . (Wk h_t + bk)`` with ``q = Wq a + bq`` is ``(Wk' q) . h_t + q . bk``. The last term is the same for all t,
and softmax does not see what is added to all scores. So the query becomes ``u = (Wk' Wq) a + Wk' bq`` and the memory is asked
directly: ``scores = u . h_t``. No key is computed. (The 1/sqrt(d) must have gone into the query: constant folding runs first.)

Context: ``sum_t w_t (Wv h_t + bv) = Wv (sum_t w_t h_t) + bv``, because the attention weights w_t sum to 1. One product with
Wv, not T.

Exact in real numbers. It saves 2 T H d multiply-accumulates a head and the storage of keys and values, and it leaves two
tensors fewer to quantize. T rows of one hidden size are asked, so u has H values where the query had d.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantization.graph.ir import Graph, Op, Tensor
from quantization.graph.rewrite import Rewriter


def fold_projections(graph: Graph) -> Graph:
    """Fold every head of the form lowering writes: FULLY_CONNECTED keys and values read by one BATCH_MATMUL each."""
    work = Rewriter(graph)
    for op in list(work.ops):
        if op.kind != "BATCH_MATMUL":
            continue
        projected = work.producer(op.inputs[1])
        if projected is None or projected.kind != "FULLY_CONNECTED" or not work.only_reader(op.inputs[1], op):
            continue
        if not _of_one_query(work, op):
            continue
        if op.options["adj_y"]:
            _fold_keys(work, op, projected)
        else:
            _fold_values(work, op, projected)
    return work.build()


def _of_one_query(work: Rewriter, op: Op) -> bool:
    """True if the product is a score of one row that a softmax reads, or a mixture by such shares: the algebra needs both."""
    if work.tensors[op.outputs[0]].shape[-2] != 1:
        return False
    if not op.options["adj_y"]:
        shares = work.producer(op.inputs[0])
        return shares is not None and shares.kind == "SOFTMAX"
    readers = work.consumers(op.outputs[0])
    capped = readers and readers[0].kind == "MINIMUM"  # of a stream: rows that have not been written
    readers = work.consumers(readers[0].outputs[0]) if capped else readers
    return len(readers) == 1 and readers[0].kind == "SOFTMAX"


def _fold_keys(work: Rewriter, scores: Op, keys: Op) -> None:
    reshape = work.producer(scores.inputs[0])
    query = None if reshape is None else work.producer(reshape.inputs[0])
    if reshape is None or query is None or query.kind != "FULLY_CONNECTED":
        return
    key_weight = work.data(keys.inputs[1])
    query_weight, query_bias = work.data(query.inputs[1]), work.data(query.inputs[2])
    assert key_weight is not None and query_weight is not None and query_bias is not None
    back = key_weight.T.astype(np.float64)
    width = back.shape[0]
    name = work.tensors[scores.outputs[0]].name.removesuffix("/scores")
    role = work.tensors[query.outputs[0]].role
    asked = work.add(Tensor(f"{name}/folded_query", (1, width), np.dtype(np.float32), role=role))
    flat = work.add(Tensor(f"{name}/folded_asked", (1, 1, width), np.dtype(np.float32), role=role))
    shape = np.array([1, 1, width], np.int32)
    shape_index = work.add(Tensor(f"{name}/folded_asked/shape", (3,), shape.dtype, None, shape))
    dense = replace(
        query,
        inputs=(
            query.inputs[0],
            work.constant(f"{name}/folded_query/weight", back @ query_weight),
            work.constant(f"{name}/folded_query/bias", back @ query_bias),
        ),
        outputs=(asked,),
    )
    shaped = replace(
        reshape, inputs=(asked, shape_index), outputs=(flat,), options={"new_shape": (1, 1, width)}
    )
    work.swap(scores, [dense, shaped, replace(scores, inputs=(flat, keys.inputs[0]))])


def _fold_values(work: Rewriter, mixed: Op, values: Op) -> None:
    reshape = next((op for op in work.consumers(mixed.outputs[0]) if op.kind == "RESHAPE"), None)
    if reshape is None:
        return
    width = work.tensors[values.inputs[0]].shape[-1]
    name = work.tensors[mixed.outputs[0]].name.removesuffix("/mixed")
    role = work.tensors[mixed.outputs[0]].role
    pooled = work.add(Tensor(f"{name}/pooled", (1, 1, width), np.dtype(np.float32), role=role))
    flat = work.add(Tensor(f"{name}/pooled_row", (1, width), np.dtype(np.float32), role=role))
    shape = np.array([1, width], np.int32)
    shape_index = work.add(Tensor(f"{name}/pooled_row/shape", (2,), shape.dtype, None, shape))
    work.swap(mixed, [replace(mixed, inputs=(mixed.inputs[0], values.inputs[0]), outputs=(pooled,))])
    options = {**values.options, "keep_num_dims": False}
    dense = replace(values, inputs=(flat, *values.inputs[1:]), outputs=reshape.outputs, options=options)
    shaped = replace(
        reshape, inputs=(pooled, shape_index), outputs=(flat,), options={"new_shape": (1, width)}
    )
    work.swap(reshape, [shaped, dense])
