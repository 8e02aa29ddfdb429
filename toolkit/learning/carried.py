"""Training and judging on the state that is carried live, not on windows that begin from nothing. Needs torch.

The daemon runs the stream: LSTM states that go on for hours, and attention over the last ``window`` hidden states, each of
which remembers more than the window. A network that only ever saw windows from a zero state meets that for the first time
when it is deployed. Here it learns from sequences of several windows, with a loss at every row that a whole window lies
behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.data.sequences import LabelledSequence
from toolkit.learning.augmentation import Augment
from toolkit.learning.batches import Inputs, in_order
from toolkit.learning.objective import TargetScale
from toolkit.learning.settings import WINDOWS_A_SEQUENCE
from toolkit.model.network import Carried, CrossLSTM

#: Rows of one forward pass where no gradient is needed.
_CHUNK = 512
#: Sequences of the validation part judged at once.
_EVALUATION_BATCH = 64


class Pieces:
    """Sequences of ``length`` rows cut from ``runs``, ``hop`` rows apart; the last are filled up with rows that do not count.

    A row counts if it has a label and a whole ``window`` of its own piece behind it.
    """

    def __init__(self, runs: Sequence[LabelledSequence], length: int, hop: int, window: int) -> None:
        self._runs, self._length, self._window = runs, length, window
        self._places = [
            (number, first)
            for number, run in enumerate(runs)
            for first in range(0, len(run) - window + 1, hop)
            if run.counted[first + window - 1 : first + length].any()
        ]

    def __len__(self) -> int:
        return len(self._places)

    def take(self, items: NDArray[np.int64]) -> tuple[Inputs, NDArray[np.float32], NDArray[np.bool_]]:
        """Inputs {stream: (items, length, channels)}, targets (items, length, outputs) in Nm/kg, and which rows count."""
        chosen = [self._places[item] for item in items]
        cut = [(self._runs[number], slice(first, first + self._length)) for number, first in chosen]
        inputs = {
            name: self._filled([run.inputs[name][rows] for run, rows in cut]) for name in cut[0][0].inputs
        }
        targets = self._filled([np.nan_to_num(run.targets[rows]) for run, rows in cut])
        counted = np.zeros((len(cut), self._length), bool)
        for place, (run, rows) in enumerate(cut):
            own = run.counted[rows]
            counted[place, : len(own)] = own
        counted[:, : self._window - 1] = False
        return inputs, targets, counted

    def _filled(self, parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        result = np.zeros((len(parts), self._length, parts[0].shape[-1]), np.float32)
        for place, part in enumerate(parts):
            result[place, : len(part)] = part
        return result


class CarriedObjective:
    """Mean squared error over all counted rows of sequences of ``windows`` windows; items are the train part's sequences.

    ``stride`` is that of training on windows. ``cell_limit`` bounds LSTM cell states at the end of a sequence (see ``Recipe``);
    ``augment`` changes training batches only.
    """

    def __init__(
        self,
        train: Sequence[LabelledSequence],
        validation: Sequence[LabelledSequence],
        scale: TargetScale,
        cell_limit: float,
        seed: int,
        *,
        window: int,
        windows: int,
        stride: int,
        augment: Augment | None = None,
        device: str = "cpu",
    ) -> None:
        length = windows * window
        self._train = Pieces(train, length, stride * WINDOWS_A_SEQUENCE, window)
        # Each row once, with a window before it.
        self._validation = Pieces(validation, length, length - window + 1, window)
        self._scale, self._cell_limit, self._augment, self._device = scale, cell_limit, augment, device
        self.generator = np.random.default_rng([seed, 1])

    @property
    def items(self) -> int:
        """Sequences of the train part."""
        return len(self._train)

    def loss(self, network: nn.Module, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Mean squared error of the rows of sequences ``items``, and the penalty on cell states beyond the limit."""
        inputs, targets, counted = self._train.take(items)
        if self._augment is not None:
            inputs = self._augment(inputs, self.generator)
        squares, carried = self._squares(network, inputs, targets)
        cells = torch.cat([one.cell for one in carried.values()])
        beyond = torch.relu(cells.abs() - self._cell_limit)
        return squares[torch.from_numpy(counted)].mean(), beyond.square().sum(dim=-1).mean()

    def validate(self, network: nn.Module) -> float:
        """Over all counted rows of the validation part, none changed."""
        total, count = 0.0, 0
        with torch.inference_mode():
            for start in range(0, len(self._validation), _EVALUATION_BATCH):
                items = np.arange(start, min(start + _EVALUATION_BATCH, len(self._validation)))
                inputs, targets, counted = self._validation.take(items)
                squares = self._squares(network, inputs, targets)[0][torch.from_numpy(counted)]
                total, count = total + float(squares.sum(dtype=torch.float64)), count + squares.numel()
        return total / count

    def _squares(
        self, network: nn.Module, inputs: Inputs, targets: NDArray[np.float32]
    ) -> tuple[Tensor, dict[str, Carried]]:
        assert isinstance(network, CrossLSTM)
        moments, carried = network.stream(
            *(torch.from_numpy(rows).to(self._device) for rows in in_order(inputs))
        )
        return (moments - self._scale.standardised(targets).to(self._device)).square(), carried


def stream_moments(network: CrossLSTM, run: LabelledSequence) -> NDArray[np.float32]:
    """Moments (rows, outputs) in Nm/kg after every row of a sequence, the state carried from its first, without gradients."""
    return np.concatenate([*_chunks(network, run)])


def _chunks(network: CrossLSTM, run: LabelledSequence) -> Iterator[NDArray[np.float32]]:
    state: dict[str, Carried] | None = None
    with torch.inference_mode():
        for first in range(0, len(run), _CHUNK):
            rows = {name: table[first : first + _CHUNK] for name, table in run.inputs.items()}
            moments, state = network.stream(*(torch.from_numpy(r)[None] for r in in_order(rows)), state=state)
            yield moments[0].numpy()
