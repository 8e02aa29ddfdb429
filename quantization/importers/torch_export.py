"""Reads the ``.pt2`` of ``torch.export.save``: a zip of JSON and raw weights. No torch, and nothing is ever unpickled.

The one pickle in such a file, its sample inputs, is not opened. Names, sizes and JSON of the file are hostile: entries are
bounded before they are read, and every index and shape is checked. What cannot be imported is told in one go, each with the
author's source line.

Format: ``torch/_export/serde/schema.py`` and ``torch/export/pt2_archive`` of PyTorch 2.8 to 2.13 (schema 8).
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantization.importers.evaluate import ELEMENTS, TARGETS
from quantization.importers.program import Node, Program, Ref, listed, references
from toolkit.errors import CheckpointError
from toolkit.printable import terminal_text
from toolkit.reading import DOCUMENT_BYTES, parse_json_object, reading

EXPECTED = "a network as torch.export.save writes it"
#: Major version of the schema; minor ones only add what may be left out.
SCHEMA = 8
#: Entries of the zip and nodes of the graph. An LSTM of 64 steps, unrolled by hand, has 64 times 10.
ENTRIES, NODES = 4_096, 20_000

#: ScalarType of the schema -> how its raw bytes are read.
_TYPES = {4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?"}
#: Kinds of arguments whose value is taken as it is.
_AS_IS = frozenset(
    f"as_{kind}"
    for kind in (
        *("int", "ints", "float", "floats", "bool", "bools", "string", "strings"),
        *("scalar_type", "memory_format", "layout"),
    )
)
_FRAME = re.compile(r'File "([^"\n]*)", line (\d+), in [^\n]*\n([^\n]*)')


def looks_like_export(content: bytes) -> bool:
    """Whether a file's bytes are such a zip, by the entries that it names; never raises."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.endswith("archive_format") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError):
        return False


def parse_network(content: bytes, what: str) -> Program:
    """The network in a file's bytes; CheckpointError says all that cannot be imported, each with its source line.

    ``what`` names the file in messages.
    """
    with reading(what, EXPECTED, CheckpointError):
        entries = _Entries(content, what)
        model = entries.json("models/model.json")
        _require_version(model, entries, what)
        return _Reader(model["graph_module"], entries, what).program()


class _Entries:
    """The zip's entries by their path below its folder, read only after their sizes were bounded."""

    def __init__(self, content: bytes, what: str) -> None:
        self.what, self.size = what, len(content)
        self.archive = zipfile.ZipFile(io.BytesIO(content))
        infos = self.archive.infolist()
        if len(infos) > ENTRIES:
            raise ValueError(f"it has {len(infos):,} entries; at most {ENTRIES:,} are allowed")
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise ValueError("an entry is compressed, which torch.export.save never does")
        if sum(info.file_size for info in infos) > len(content):
            raise ValueError("its entries claim more bytes than it has")
        if any(info.filename.endswith("serialized_exported_program.json") for info in infos):
            raise CheckpointError(
                f"{what} was written by PyTorch below 2.8, whose weights are a pickle: save it again with 2.8 or newer"
            )
        self.folder = _folder([info.filename for info in infos])
        self.infos = {info.filename: info for info in infos}

    def read(self, name: str) -> bytes:
        info = self.infos.get(self.folder + name)
        if info is None:
            raise ValueError(f"it has no entry {name}")
        return self.archive.read(info)

    def json(self, name: str) -> dict[str, Any]:
        info = self.infos.get(self.folder + name)
        if info is not None and info.file_size > DOCUMENT_BYTES:
            raise ValueError(
                f"its {name} has {info.file_size:,} bytes; at most {DOCUMENT_BYTES:,} are allowed"
            )
        return parse_json_object(self.read(name), f"{name} of {self.what}", EXPECTED, CheckpointError)


def _folder(names: list[str]) -> str:
    models = [name for name in names if name.endswith("models/model.json")]
    if len(models) != 1:
        others = [n for n in names if "/models/" in n and n.endswith(".json")]
        raise ValueError(
            f"it has {len(models)} entries models/model.json, and needs one"
            + (f" (it has {terminal_text(others[0])}: save one program per file)" if others else "")
        )
    return models[0].removesuffix("models/model.json")


def _require_version(model: Mapping[str, Any], entries: _Entries, what: str) -> None:
    version = model["schema_version"]
    if version["major"] != SCHEMA:
        raise CheckpointError(
            f"{what} has schema version {version['major']!r}.{version['minor']!r} (PyTorch {model.get('torch_version')!r}); "
            f"this version of edgetool reads {SCHEMA}: save it again with PyTorch 2.8 to 2.13"
        )
    order = entries.read("byteorder").strip() if entries.folder + "byteorder" in entries.infos else b"little"
    if order != b"little":
        raise ValueError(f"its weights are {order[:16]!r}-endian; little-endian ones are read")


class _Reader:
    """One graph in the making; ``problems`` collects all that cannot be imported."""

    def __init__(self, module: Mapping[str, Any], entries: _Entries, what: str) -> None:
        self.graph, self.signature = module["graph"], module["signature"]
        self.entries, self.what = entries, what
        self.problems: list[str] = []
        self.shapes = {
            str(name): self._sizes(str(name), meta) for name, meta in self.graph["tensor_values"].items()
        }

    def program(self) -> Program:
        """The program, if there is no problem."""
        nodes = self.graph["nodes"]
        if len(nodes) > NODES:
            raise ValueError(f"it has {len(nodes):,} nodes; at most {NODES:,} are allowed")
        inputs = self._inputs()
        read = [self._node(node) for node in nodes]
        weights = self._weights()
        output = self._output()
        if self.problems:
            raise CheckpointError(
                f"{self.what} cannot be imported: {listed(self.problems)}; docs/IMPORT.md lists the ops that are supported"
            )
        needed = _needed(read, output)
        used = {name for node in needed for name in references(dict(node.arguments))}
        program = Program(
            inputs,
            {name: values for name, values in weights.items() if name in used},
            tuple(needed),
            output,
            self.shapes,
        )
        program.require_whole()
        return program

    def _sizes(self, name: str, meta: Mapping[str, Any]) -> tuple[int, ...]:
        sizes = meta["sizes"]
        if any("as_int" not in size for size in sizes):
            self.problems.append(f"value {name} has a dynamic shape: export without dynamic_shapes")
            return ()
        found = tuple(_whole(size["as_int"]) for size in sizes)
        if any(n < 0 for n in found) or math.prod(found) > ELEMENTS:
            raise ValueError(f"value {name!r} has shape {found}; at most {ELEMENTS:,} elements are allowed")
        return found

    # -- inputs and the output ----------------------------------------------------------------------------------------

    def _inputs(self) -> dict[str, tuple[int, ...]]:
        inputs: dict[str, tuple[int, ...]] = {}
        for spec in self.signature["input_specs"]:
            if "user_input" not in spec:
                continue
            argument = spec["user_input"]["arg"]
            if "as_tensor" not in argument:
                self.problems.append(f"an input is {next(iter(argument))}, not a tensor")
                continue
            name = str(argument["as_tensor"]["name"])
            shape = self.shapes[name]
            if len(shape) != 3:
                self.problems.append(f"input {name} has shape {list(shape)}; it must be [1, time, channels]")
            elif shape[0] != 1:
                self.problems.append(f"input {name} has a batch of {shape[0]}: export with a batch of 1")
            elif self.graph["tensor_values"][name]["dtype"] != 7:
                self.problems.append(f"input {name} is not float32")
            inputs[name] = shape
        if not inputs:
            self.problems.append("it takes no input")
        return inputs

    def _output(self) -> str:
        specs = self.signature["output_specs"]
        outputs = [spec["user_output"]["arg"] for spec in specs if "user_output" in spec]
        if len(outputs) != len(specs):
            self.problems.append("it changes its own buffers when it runs: export it in eval mode")
        if len(outputs) != 1 or "as_tensor" not in outputs[0]:
            self.problems.append(f"it has {len(outputs)} outputs: return the moments alone")
            return ""
        name = str(outputs[0]["as_tensor"]["name"])
        shape = self.shapes[name]
        if math.prod(shape) != (max(shape) if shape else 1):
            self.problems.append(
                f"its output has shape {list(shape)}; it must be the newest moments alone, [1, outputs]"
            )
        return name

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _node(self, node: Mapping[str, Any]) -> Node:
        target = str(node["target"]).removeprefix("torch.ops.aten.")
        where = source_line(str(node.get("metadata", {}).get("stack_trace") or ""))
        arguments = {str(one["name"]): self._argument(one["arg"], where) for one in node["inputs"]}
        if target not in TARGETS:
            self.problems.append(f"op {terminal_text(target)[:80]}{_at(where)}")
        elif arguments.get("train") is True or arguments.get("training") is True:
            self.problems.append(f"op {target} in training mode{_at(where)}: call eval() before the export")
        outputs = tuple(name for one in node["outputs"] for name in _names(one))
        return Node(target, arguments, outputs, where)

    def _argument(self, value: Mapping[str, Any], where: str) -> Any:
        if len(value) != 1:
            raise ValueError(f"an argument has {len(value)} kinds")
        kind, content = next(iter(value.items()))
        if kind == "as_tensor":
            return Ref(str(content["name"]))
        if kind == "as_tensors":
            return [Ref(str(one["name"])) for one in content]
        if kind == "as_optional_tensors":
            return [self._argument(one, where) for one in content]
        if kind in ("as_none", "as_device"):
            return None
        if kind not in _AS_IS:
            reason = "dynamic shapes" if "sym" in kind else f"an argument {terminal_text(kind)[:40]}"
            self.problems.append(f"{reason}{_at(where)}")
            return None
        return content

    # -- weights ------------------------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, NDArray[np.float32]]:
        stored = {
            part: self.entries.json(f"data/{part}/model_{part}_config.json")["config"]
            for part in ("weights", "constants")
        }
        weights: dict[str, NDArray[np.float32]] = {}
        values = 0
        for spec in self.signature["input_specs"]:
            kind, inner = next(iter(spec.items()))
            if kind in ("parameter", "buffer"):
                name, key = str(inner["arg"]["name"]), str(inner[f"{kind}_name"])
                part = "weights" if key in stored["weights"] else "constants"
            elif kind == "tensor_constant":
                name, key, part = (
                    str(inner["arg"]["name"]),
                    str(inner["tensor_constant_name"]),
                    "constants",
                )
            elif kind == "user_input":
                continue
            else:
                self.problems.append(f"it takes a {terminal_text(kind)[:40]}, which is not a tensor")
                continue
            found = stored[part].get(key)
            if found is None:
                raise ValueError(f"weight {key!r} is not in it")
            weight = self._weight(key, found, part)
            if weight is not None:
                if weight.shape != self.shapes[name]:
                    raise ValueError(
                        f"weight {key!r} has shape {weight.shape} and the graph {self.shapes[name]}"
                    )
                weights[name] = weight
                values += weight.size
                if values > self.entries.size:
                    raise ValueError("its weights claim more values than it has bytes")
        return weights

    def _weight(self, key: str, stored: Mapping[str, Any], part: str) -> NDArray[np.float32] | None:
        if stored["use_pickle"] is not False:
            self.problems.append(
                f"weight {terminal_text(key)[:80]} is a pickle, which is never read: make it a plain parameter or buffer"
            )
            return None
        meta = stored["tensor_meta"]
        shape = self._sizes(key, meta)
        kind = _TYPES.get(meta["dtype"])
        if kind is None:
            self.problems.append(
                f"weight {terminal_text(key)[:80]} has type {meta['dtype']!r}; float types are read"
            )
            return None
        path = str(stored["path_name"])
        if "/" in path or ".." in path:
            raise ValueError(f"weight {key!r} lies at {path!r}")
        values = np.frombuffer(self.entries.read(f"data/{part}/{path}"), np.dtype(kind))
        strides = tuple(_whole(one["as_int"]) for one in meta["strides"])
        offset = _whole(meta["storage_offset"]["as_int"])
        result = _strided(key, values, shape, strides, offset).astype(np.float32)
        if not np.isfinite(result).all():
            self.problems.append(f"weight {terminal_text(key)[:80]} holds values that are NaN or infinite")
        return result


def _strided(
    key: str, values: NDArray[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> NDArray[Any]:
    """A tensor of ``values`` by its strides in elements; ValueError if it reaches beyond them."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides))
    if len(shape) != len(strides) or offset < 0 or any(step < 0 for step in strides):
        raise ValueError(f"weight {key!r} has strides {strides} for shape {shape}")
    if math.prod(shape) == 0:
        return np.zeros(shape, values.dtype)
    if last >= len(values):
        raise ValueError(f"weight {key!r} reaches element {last} of {len(values)}")
    step = values.dtype.itemsize
    return np.array(np.lib.stride_tricks.as_strided(values[offset:], shape, [n * step for n in strides]))


def _needed(nodes: list[Node], output: str) -> list[Node]:
    """The nodes that the output depends on, in order."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            kept.append(node)
            wanted.update(references(dict(node.arguments)))
    return kept[::-1]


def _names(output: Mapping[str, Any]) -> list[str]:
    kind, content = next(iter(output.items()))
    if kind == "as_tensors":
        return [str(one["name"]) for one in content]
    return [str(content["name"])] if kind == "as_tensor" else []


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def source_line(stack_trace: str) -> str:
    """``file.py:12 (code)`` of the innermost frame that is not PyTorch's; empty if there is none."""
    frames = [f for f in _FRAME.findall(stack_trace) if not re.search(r"[/\\]torch[/\\]", f[0])]
    if not frames:
        return ""
    file, line, code = frames[-1]
    name = re.split(r"[/\\]", file)[-1]
    return terminal_text(f"{name}:{line} ({code.strip()[:120]})")


def _at(where: str) -> str:
    return f" at {where}" if where else ""
