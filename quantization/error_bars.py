"""The error bars of a conversion: found on the stream graph that will run, or what the checkpoint brought."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantization.graph.graph_file import GraphFile
from quantization.tflite.run import run_litert_stream
from toolkit.contract import SensorContract
from toolkit.data.sequences import LabelledSequence, sequences
from toolkit.data.splits import Segment, Split, select
from toolkit.errors import RecordingError
from toolkit.model.float_model import FloatModel
from toolkit.records import Recording
from toolkit.uncertainty import LEVEL, ErrorBars, Judged, fit_error_bars
from toolkit.uncertainty.conformal import LEAST_PEOPLE

#: Rows that the graph is run on at most, over all recordings: about 2 s of work.
_ROWS = 20_000
#: Of each recording as many windows at least, so that a state is carried for a while.
_LEAST_WINDOWS = 6
#: Parts that the validation part of one person is taken as, where there is only one.
_PARTS = 4


def error_bars_of(
    checkpoint: FloatModel,
    graphs: Sequence[GraphFile],
    recordings: Sequence[Recording],
    level: float = LEVEL,
) -> tuple[ErrorBars | None, str]:
    """Error bars, or None, and a line that says why there are none or where they come from if not from these data.

    The validation part of the checkpoint's split is run through the int8 stream graph (the float one of a float bundle), a
    state carried over each recording. Data without that part leave the checkpoint's own.
    """
    graph = _stream_graph(graphs)
    segments = _validation(checkpoint, recordings)
    if graph is None or not segments:
        return _from_checkpoint(checkpoint, graph is not None)
    runs = sequences(_shortened(segments, checkpoint.contract), checkpoint.contract)
    judged = [one for run in runs for one in _judged(run, graph, checkpoint)]
    people = {run.segment.recording.person for run in runs}
    whose = f"{len(people)} people of the validation part of the split"
    if len(people) < LEAST_PEOPLE:
        judged = list(itertools.chain.from_iterable(map(_in_parts, judged)))
        whose = "the validation part of one person, in parts of its time: it says nothing of other people"
    basis = f"{graph.scheme} stream on {whose}"
    outputs = [channel.name for channel in checkpoint.contract.outputs]
    try:
        found = fit_error_bars(judged, outputs, basis, level)
    except RecordingError as error:
        return None, f"no error bars: {error}"
    return replace(found, people=len(people)), ""


def _from_checkpoint(checkpoint: FloatModel, has_stream: bool) -> tuple[ErrorBars | None, str]:
    why = (
        "none of the people of the validation part are in the data"
        if has_stream
        else "there is no stream graph to judge"
    )
    if checkpoint.error_bars is None:
        return None, f"no error bars: {why}, and the checkpoint has none"
    return (
        ErrorBars.from_json(checkpoint.error_bars),
        f"the error bars are the checkpoint's own, those of the float model: {why}",
    )


def _stream_graph(graphs: Sequence[GraphFile]) -> GraphFile | None:
    streams = [graph for graph in graphs if graph.graph == "stream" and graph.state is not None]
    return next((graph for graph in streams if graph.scheme == "int8"), streams[0] if streams else None)


def _validation(checkpoint: FloatModel, recordings: Sequence[Recording]) -> list[Segment]:
    """Segments that have labels; none if the split is not known or names nobody of these recordings."""
    if checkpoint.split is None or not recordings:
        return []
    try:
        chosen = select(recordings, Split.from_json(checkpoint.split), "validation")
    except RecordingError:
        return []
    return [segment for segment in chosen if segment.recording.moments is not None]


def _shortened(segments: Sequence[Segment], contract: SensorContract) -> list[Segment]:
    """The beginning of each, so that all together have about :data:`_ROWS` rows."""
    rows = max(_ROWS / len(segments), _LEAST_WINDOWS * contract.window)
    each_s = rows / contract.grid_rate_hz
    return [replace(one, stop_s=min(one.stop_s, one.start_s + each_s)) for one in segments]


def _judged(run: LabelledSequence, graph: GraphFile, checkpoint: FloatModel) -> list[Judged]:
    """The rows that have a label, once the model has seen a whole window; none of a recording that is too short."""
    counted = run.counted.copy()
    counted[: checkpoint.contract.window - 1] = False
    if not counted.any():
        return []
    moments = run_litert_stream(graph, {name: table[:] for name, table in run.inputs.items()})
    recording = run.segment.recording
    return [
        Judged(recording.person, recording.task, _float64(moments[counted]), _float64(run.targets[counted]))
    ]


def _in_parts(one: Judged) -> list[Judged]:
    """The same in parts of equal length, each taken as a unit of its own."""
    edges = np.linspace(0, len(one.estimates), _PARTS + 1).astype(int)
    return [
        Judged(f"{one.person} part {number}", one.task, one.estimates[a:b], one.targets[a:b])
        for number, (a, b) in enumerate(itertools.pairwise(edges), 1)
    ]


def _float64(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return values.astype(np.float64)
