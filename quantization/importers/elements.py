"""Tensors of the graph in the making, addressed by element: what makes view, transpose and head splitting vanish.

Every tensor that the lowering computes gets a range of numbers, one an element. A value of the network is then an array of such
numbers in the network's own shape, and every op that only moves values moves the numbers, in numpy, as it would move the
values. Only where something is computed must the elements lie in a tensor of their own: then :meth:`Elements.tensor` finds the
slice, the joining or the transposition that puts them there. A dense layer is deferred until then, and gives just the rows and
outputs that are asked for, so that a stacked projection becomes one small layer a head and a layer of which the newest row
alone is used is computed for that row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.graph.ir import GraphBuilder, Role

Ids = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]


#: Slices that one tensor may be joined of: taps of a convolution, heads, streams, steps of a window.
MOST_PIECES = 512


class NotAPatternError(ValueError):
    """Elements that lie in no order that slices, joins and transpositions make."""


@dataclass(eq=False)
class Base:
    """A range of elements from ``first`` on, [rows, width]: of a tensor, or of a dense layer that waits (``dense``)."""

    first: int
    rows: int
    width: int
    tensor: int | None = None
    dense: Dense | None = None
    role: Role | None = None


@dataclass(frozen=True, eq=False)
class Dense:
    """activation(weight x + bias) for each row of ``x`` (rows, inputs)."""

    name: str
    x: Ids
    weight: Floats
    bias: Floats
    role: Role
    activation: str = "NONE"


class Elements:
    """The numbers of elements, and the tensors made of them."""

    def __init__(self, builder: GraphBuilder) -> None:
        self.builder = builder
        self.bases: list[Base] = []
        self.starts: list[int] = []
        self.made: dict[tuple[Any, ...], int] = {}
        self.names: dict[str, int] = {}

    # -- adding -----------------------------------------------------------------------------------------------------

    def name(self, wanted: str) -> str:
        """``wanted``, with a number from the second time on."""
        count = self.names.get(wanted, 0)
        self.names[wanted] = count + 1
        return f"{wanted}/{count}" if count else wanted

    def _add(self, rows: int, width: int, **parts: Any) -> Ids:
        first = self.bases[-1].first + self.bases[-1].rows * self.bases[-1].width if self.bases else 0
        self.bases.append(Base(first, rows, width, **parts))
        self.starts.append(first)
        return first + np.arange(rows * width, dtype=np.int64).reshape(rows, width)

    def of_tensor(self, index: int) -> Ids:
        """Elements (rows, width) of a tensor of the graph, [1, rows, width] or [1, width]."""
        tensor = self.builder.tensors[index]
        width = tensor.shape[-1]
        return self._add(int(np.prod(tensor.shape)) // width, width, tensor=index, role=tensor.role)

    def of_dense(self, dense: Dense) -> Ids:
        """Elements (rows, outputs) of a dense layer that is computed where it is needed."""
        return self._add(len(dense.x), len(dense.bias), dense=dense, role=dense.role)

    def of_zeros(self, rows: int, width: int, role: Role | None) -> Ids:
        """Elements of a constant of zeros: padding."""
        index = self.builder.constant(self.name("padding"), np.zeros((1, rows, width), np.float32))
        return self._add(rows, width, tensor=index, role=role)

    # -- looking ----------------------------------------------------------------------------------------------------

    def base_of(self, ids: Ids) -> Base | None:
        """The one base that all of ``ids`` lie in; None if they lie in several."""
        places = np.searchsorted(self.starts, [ids.min(), ids.max()], side="right") - 1
        return self.bases[int(places[0])] if places[0] == places[1] else None

    def bases_of(self, ids: Ids) -> list[Base]:
        """All bases that elements lie in, in order of their first element."""
        places = np.unique(np.searchsorted(self.starts, ids.reshape(-1), side="right") - 1)
        return [self.bases[int(place)] for place in places]

    def role_of(self, ids: Ids) -> Role | None:
        """The role of where the elements come from, that of the first if there are several."""
        return self.bases_of(ids)[0].role

    def covered(self, ids: Ids) -> list[Base] | None:
        """The bases of ``ids`` if they hold each element of each base once; else None."""
        found = self.bases_of(ids)
        flat = np.sort(ids.reshape(-1))
        whole = np.concatenate([b.first + np.arange(b.rows * b.width) for b in found])
        return found if len(flat) == len(whole) and bool((flat == whole).all()) else None

    # -- making -----------------------------------------------------------------------------------------------------

    def tensor(self, ids: Ids, *, row_form: bool = False) -> int:
        """The tensor [1, rows, width] that holds ``ids`` (rows, width) in order; [1, width] of one row with ``row_form``."""
        key = (ids.tobytes(), ids.shape, row_form)
        if key not in self.made:
            shape = (1, ids.shape[1]) if row_form and len(ids) == 1 else (1, *ids.shape)
            self.made[key] = self._make(ids, shape)
        return self.made[key]

    def _make(self, ids: Ids, shape: tuple[int, ...]) -> int:
        base = self.base_of(ids)
        if base is not None:
            grid = _grid(ids - base.first, base.width)
            if grid is not None:
                return self._taken(base, *grid, shape)
            turned = _grid((ids - base.first).T, base.width)
            if turned is not None:
                return self._transposed(ids, shape)
            if base.dense is not None:  # asked for in an order that is not its own: computed whole
                return self._make(self.whole(base).reshape(-1)[ids - base.first], shape)
            if (
                ids.size == base.rows * base.width
                and (ids.reshape(-1) == base.first + np.arange(ids.size)).all()
            ):
                assert base.tensor is not None
                return self.reshaped(base.tensor, shape)
        return self._joined(ids, shape)

    def whole(self, base: Base) -> Ids:
        """Elements (rows, width) of a waiting dense layer, now a tensor."""
        assert base.dense is not None
        index = self._taken(base, np.arange(base.rows), np.arange(base.width), (1, base.rows, base.width))
        key = ("whole", base.first)
        if key not in self.made:
            self.made[key] = len(self.bases)
            return self.of_tensor(index)
        known = self.bases[self.made[key]]
        return known.first + np.arange(base.rows * base.width).reshape(base.rows, base.width)

    def _taken(self, base: Base, rows: Ids, columns: Ids, shape: tuple[int, ...]) -> int:
        """Rows and columns of a base."""
        if base.dense is not None:
            return self._computed(base.dense, rows, columns, shape)
        assert base.tensor is not None
        every = len(rows) == base.rows and len(columns) == base.width
        if every and (rows == np.arange(base.rows)).all():
            return self.reshaped(base.tensor, shape)
        return self._sliced(base, rows, columns, shape)

    def _computed(self, dense: Dense, rows: Ids, columns: Ids, shape: tuple[int, ...]) -> int:
        key = (dense, rows.tobytes(), columns.tobytes())
        if key not in self.made:
            row_form = len(rows) == 1
            x = self.tensor(dense.x[rows], row_form=row_form)
            name = self.name(dense.name)
            own = (1, len(columns)) if row_form else (1, len(rows), len(columns))
            out = self.builder.add(name, own, role=dense.role)
            weight = self.builder.constant(f"{name}/weight", dense.weight[columns].astype(np.float32))
            bias = self.builder.constant(f"{name}/bias", dense.bias[columns].astype(np.float32))
            self.builder.op(
                "FULLY_CONNECTED",
                (x, weight, bias),
                (out,),
                fused_activation_function=dense.activation,
                keep_num_dims=not row_form,
            )
            self.made[key] = out
        return self.reshaped(self.made[key], shape)

    def reshaped(self, index: int, shape: tuple[int, ...]) -> int:
        """The same values in another shape."""
        tensor = self.builder.tensors[index]
        if tensor.shape == shape:
            return index
        key = ("reshape", index, shape)
        if key not in self.made:
            name = self.name(f"{tensor.name}/reshaped")
            out = self.builder.add(name, shape, role=tensor.role)
            wanted = self.builder.constant(f"{name}/shape", np.array(shape, np.int32))
            self.builder.op("RESHAPE", (index, wanted), (out,), new_shape=shape)
            self.made[key] = out
        return self.made[key]

    def _sliced(self, base: Base, rows: Ids, columns: Ids, shape: tuple[int, ...]) -> int:
        assert base.tensor is not None
        source = self.reshaped(base.tensor, (1, base.rows, base.width))
        (first, step), (left, across) = _progression(rows), _progression(columns)
        newest = len(shape) == 2
        name = self.name(f"{self.builder.tensors[source].name}/rows")
        own = shape if newest else (1, len(rows), len(columns))
        out = self.builder.add(name, own, role=base.role)
        # Whole axes have no bounds, nor has a slice that goes backwards to the first row: what is before 0 cannot be written.
        whole = len(columns) == base.width and across == 1
        last, right = first + step * len(rows), left + across * len(columns)
        begins = 0b001 | (0b100 if whole else 0)
        ends = begins | (0b010 if last < 0 else 0) | (0b100 if right < 0 else 0)
        bounds = {
            "begin": [0, first, 0 if whole else left],
            "end": [0, max(last, 0), 0 if whole else max(right, 0)],
            "strides": [1, step, across],
        }
        constants = [
            self.builder.constant(f"{name}/{key}", np.array(v, np.int32)) for key, v in bounds.items()
        ]
        self.builder.op(
            "STRIDED_SLICE",
            (source, *constants),
            (out,),
            begin_mask=begins,
            end_mask=ends,
            shrink_axis_mask=0b010 if newest else 0,
        )
        return out

    def _transposed(self, ids: Ids, shape: tuple[int, ...]) -> int:
        source = self.tensor(np.ascontiguousarray(ids.T))
        name = self.name(f"{self.builder.tensors[source].name}/transposed")
        out = self.builder.add(name, (1, *ids.shape), role=self.builder.tensors[source].role)
        order = self.builder.constant(f"{name}/order", np.array([0, 2, 1], np.int32))
        self.builder.op("TRANSPOSE", (source, order), (out,))
        return self.reshaped(out, shape)

    def _joined(self, ids: Ids, shape: tuple[int, ...]) -> int:
        """Pieces side by side or one below the other, whichever are fewer."""
        columns, rows = self._runs(ids), self._runs(ids, down=True)
        beside = len(columns) > 1 and (len(rows) < 2 or len(columns) <= len(rows))
        cuts = columns if beside else rows
        if not 1 < len(cuts) <= MOST_PIECES:
            raise NotAPatternError(f"{ids.shape[0]} x {ids.shape[1]} elements in {len(cuts)} pieces")
        parts = np.split(ids, cuts[1:], axis=1 if beside else 0)
        row_form = len(shape) == 2
        made = [self.tensor(np.ascontiguousarray(part), row_form=row_form) for part in parts]
        tensors = [self.builder.tensors[index] for index in made]
        name = self.name(f"{tensors[0].name}/joined")
        own = shape if row_form else (1, *ids.shape)
        out = self.builder.add(name, own, role=_role_of_joined([tensor.role for tensor in tensors]))
        axis = (len(own) - 1) if beside else 1
        self.builder.op("CONCATENATION", tuple(made), (out,), axis=axis, fused_activation_function="NONE")
        return out

    def _runs(self, ids: Ids, *, down: bool = False) -> list[int]:
        """First columns (with ``down`` rows) of the pieces that are evenly spaced within the rows of one base."""
        places = np.searchsorted(self.starts, ids, side="right") - 1
        first, width = (np.array([getattr(b, key) for b in self.bases])[places] for key in ("first", "width"))
        rows, columns = np.divmod(ids - first, width)
        fixed, moving = (columns.T, rows.T) if down else (rows, columns)
        places = places.T if down else places
        joined = ((np.diff(places, axis=1) == 0) & (np.diff(fixed, axis=1) == 0)).all(axis=0)
        steps = np.diff(moving, axis=1)
        joined &= (steps == steps[:1]).all(axis=0) & (steps[:1] != 0).all(axis=0)
        cuts, step = [0], 0
        for at in range(1, fixed.shape[1]):
            here = int(steps[0, at - 1])
            if joined[at - 1] and step in (0, here):
                step = here
            else:
                cuts.append(at)
                step = 0
        return cuts


def _grid(local: Ids, width: int) -> tuple[Ids, Ids] | None:
    """Rows and columns, each evenly spaced, of which ``local`` elements of a matrix of ``width`` are the crossings."""
    rows, columns = local // width, local % width
    if (rows != rows[:, :1]).any() or (columns != columns[:1]).any():
        return None
    found = rows[:, 0], columns[0]
    return found if all(_even(each) for each in found) else None


def _even(values: Ids) -> bool:
    steps = np.diff(values)
    return not len(steps) or bool((steps == steps[0]).all() and steps[0] != 0)


def _progression(values: Ids) -> tuple[int, int]:
    return int(values[0]), int(values[1] - values[0]) if len(values) > 1 else 1


def _role_of_joined(roles: list[Role | None]) -> Role | None:
    """That of all parts; where they differ, one that is in 16 bits, into which the others go without loss."""
    known = {role for role in roles if role is not None}
    return known.pop() if len(known) == 1 else Role.HEAD
