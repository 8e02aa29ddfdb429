"""Live mains hum: the newest seconds of raw EMG, every second, and what a line in them does to the model's input.

Needs no calibration and no walk. A model with a notch among its filters is not troubled by hum that it never sees.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.pipeline.intake import InputRows
from runtime.pipeline.states import LARGEST
from toolkit.contract import VOLTS, FilterStage, ModelInput
from toolkit.filtering.mains import MAINS_HZ, SPECTRUM_S, Hum, find_hum, harmonics_hz, mean_response
from toolkit.plausibility import Doubt

Values = NDArray[np.float32]
Float = NDArray[np.float64]

#: Spectra begin this far apart, s.
_EVERY_S = 1.0
#: Hum matters from where its share of the model's input is this part of that input's standard deviation, and until it is half
#: of it. 0.02 mV, 0.2 of it, costs 9 % of RMSE; 0.1 mV costs 175 % (docs/MODEL.md, docs/STRESS.md).
MATTERS = 0.3
#: More rows than this part of a spectrum's missing or odd, and it says nothing.
_ODD = 0.05


class HumWatch:
    """Takes the raw rows of one EMG input of the model, after ``before`` (a session's calibration) in its filters;
    :attr:`doubts` is what is believed now, by channel."""

    def __init__(self, item: ModelInput, before: tuple[FilterStage, ...] = ()) -> None:
        self._item = item
        self._unit = item.stream.channels[0].unit
        self._rate_hz = item.stream.rate_hz
        self._length, self._step = round(SPECTRUM_S * self._rate_hz), round(_EVERY_S * self._rate_hz)
        stages = (*before, *item.filters)
        std = np.array(item.normaliser.std)
        #: What a line of amplitude 1 adds to each channel of the model's input, by mains, (lines, channels).
        self._response = {
            line_hz: np.stack([mean_response(stages, len(std), hz, self._rate_hz) / std for hz in centres])
            for line_hz in MAINS_HZ
            if (centres := harmonics_hz(line_hz, self._rate_hz))
        }
        self.doubts: Mapping[str, Doubt] = {}
        self.reset()

    def reset(self) -> None:
        """The rows begin anew. What is believed stays until something else is seen."""
        self._rows: list[Values] = []
        self._odd: list[NDArray[np.bool_]] = []
        self._count = 0

    def append(self, rows: InputRows) -> None:
        """Add raw rows; every second of them the newest are looked at."""
        self._rows.append(rows.values)
        self._odd.append(rows.findings != 0)
        self._count += len(rows.values)
        while self._count >= self._length:
            values, odd = np.concatenate(self._rows), np.concatenate(self._odd)
            if np.count_nonzero(odd[: self._length]) <= _ODD * self._length:
                self._look(values[: self._length])
            self._rows, self._odd = [values[self._step :]], [odd[self._step :]]
            self._count -= self._step

    def _look(self, values: Values) -> None:
        good = np.where(np.abs(values) <= LARGEST, values, 0.0).astype(np.float64)
        found = find_hum(good, self._rate_hz)
        sizes = [self._size(hum) for hum in found]
        doubts = {}
        for place, name in enumerate(self._item.stream.channel_names):
            worst = int(np.argmax([size[place] for size in sizes]))
            if sizes[worst][place] >= (MATTERS / 2 if name in self.doubts else MATTERS):
                doubts[name] = self._doubt(name, found[worst], place)
        self.doubts = doubts  # at once: another thread reads it

    def _size(self, hum: Hum) -> Float:
        """What ``hum`` adds to each channel of the model's input, (channels,)."""
        size: Float = np.sqrt(np.sum((self._response[hum.line_hz] * hum.amplitudes) ** 2, axis=0))
        return size

    def _doubt(self, name: str, hum: Hum, place: int) -> Doubt:
        amplitude = float(np.sqrt(np.sum(hum.amplitudes[:, place] ** 2)))
        text = (
            f"electrode {name}: mains hum of {amplitude:.2g} {self._unit} at {hum.line_hz} Hz: check its contact and cable, or "
            f"set notch_hz = {hum.line_hz} in [inputs.{self._item.stream.name}]"
        )
        return Doubt("hum", name, amplitude, text)


def hum_watch_of(item: ModelInput, before: tuple[FilterStage, ...] = ()) -> HumWatch | None:
    """What looks for hum in an input; None for one that is no raw EMG, or sampled too slowly to see a line of mains."""
    raw = all(channel.unit in VOLTS for channel in item.stream.channels)
    return HumWatch(item, before) if raw and harmonics_hz(50.0, item.stream.rate_hz) else None
