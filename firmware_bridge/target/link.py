"""The host's end of on-target inference (PROTOCOL.md section 9): one request, its reply, over any port that pyserial opens.

A reply that is lost or damaged is asked for again with the same frames; the target carries a request out once. What cannot be
mended is a LinkError: a value that is returned was computed by the model that was asked for, from the values that were sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.protocol.decoder import LinkDecoder, Received
from firmware_bridge.protocol.framing import FrameWriter
from firmware_bridge.protocol.table import (
    ANY_NODE,
    MAX_TENSOR_BYTES,
    MODEL_PREFIX_BYTES,
    CounterKind,
    Operation,
    TargetError,
    ValueFormat,
)
from firmware_bridge.protocol.target_packets import (
    Identity,
    Reply,
    Request,
    SelfTestResult,
    StackUse,
    pack_values,
)
from toolkit.errors import ContractError, LinkError

BAUD = 921_600
#: The target did not read the request as it was sent: the same frames may be sent again.
_AGAIN = (TargetError.BAD_FRAGMENT, TargetError.BUSY)
#: A resent request ends what noise had begun.
_DELIMITER = b"\0"


class TargetResetError(LinkError):
    """The target has started anew in the middle of a session: what it carried is lost."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Outputs of one inference, shape (outputs,), in the format that the target's reply names, and the counter's ticks."""

    values: NDArray[np.generic]
    ticks: int


def open_port(url: str) -> Any:
    """A pyserial port; LinkError says why it cannot be opened. ``url`` is a device, or what pyserial's URL handlers take."""
    import serial

    try:
        port = serial.serial_for_url(url, BAUD, timeout=0.05, write_timeout=5, do_not_open=True)
        if "://" not in url:
            port.exclusive = True
        port.open()
    except (serial.SerialException, OSError, ValueError) as error:
        # pyserial's own text says port and reason twice.
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else error
        raise LinkError(
            f"{url} cannot be opened: {reason}; is the board plugged in, is the port free, and may you read it?"
        ) from None
    return port


class TargetLink:
    """A context around an open port. ``attempts``: how often a request is sent; ``timeout_s``: the wait for each reply."""

    def __init__(
        self,
        port: Any,
        name: str,
        *,
        timeout_s: float = 3.0,
        attempts: int = 4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        #: Requests that were sent again.
        self.resent = 0
        self._port = port
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._clock = clock
        random = os.urandom(5)
        self._writer = FrameWriter(ANY_NODE, random[0], sequence=int.from_bytes(random[1:], "little"))
        self._decoder = LinkDecoder()
        self._boot_session: int | None = None
        self._device_us = 0
        self._model = bytes(MODEL_PREFIX_BYTES)
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.close()

    @property
    def damaged(self) -> int:
        """Blocks received that were no frames."""
        return self._decoder.damaged

    def await_start(self, seconds: float) -> bool:
        """Whether a target that is just starting has greeted within that time. Nothing is sent, so that nothing disturbs it."""
        until = self._clock() + seconds
        while self._clock() < until:
            for received in self._read():
                if isinstance(received.packet, Reply) and received.packet.unasked:
                    return True
        return False

    def identify(self) -> Identity:
        """Who answers. Starts the session: from now on another boot session of the target is a TargetResetError."""
        self._boot_session, self._model = None, bytes(MODEL_PREFIX_BYTES)
        received = self._ask(Request(Operation.IDENTIFY))
        self._boot_session = received.boot
        return Identity.from_bytes(_reply(received).body)

    def require(self, identity: Identity, model_hash: str, contract_hash: str) -> None:
        """ContractError, both sides named, unless the target runs this model under this contract.

        Later requests name the model, so that a board flashed in between refuses them.
        """
        for what, wanted, there in (
            ("sensor contract", contract_hash, identity.contract_hash.hex()),
            ("model", model_hash, identity.model_hash.hex()),
        ):
            if wanted != there:
                raise ContractError(
                    f"{self.name} ({identity.board}) runs {what} {there[:12]} and the bundle holds {wanted[:12]}: "
                    "build and flash the image of this bundle (docs/FIRMWARE.md)"
                )
        self._model = identity.model_hash[:MODEL_PREFIX_BYTES]

    def reset(self) -> None:
        """Zero stream state."""
        self._ask(Request(Operation.RESET, model=self._model))

    def step(self, form: ValueFormat, rows: Sequence[ArrayLike]) -> Answer:
        """One row of every stream, in the contract's order."""
        return self._infer(Operation.STEP, form, rows)

    def window(self, form: ValueFormat, streams: Sequence[ArrayLike]) -> Answer:
        """A window (T, channels) of every stream, in the contract's order."""
        return self._infer(Operation.WINDOW, form, streams)

    def self_test(self) -> SelfTestResult:
        """Run the golden vectors."""
        received = self._ask(Request(Operation.SELF_TEST, model=self._model))
        return SelfTestResult.from_bytes(_reply(received).body)

    def stack(self) -> StackUse:
        """The stack's size and its high-water mark since boot."""
        return StackUse.from_bytes(_reply(self._ask(Request(Operation.STACK, model=self._model))).body)

    def tensor(self, index: int, size: int) -> bytes | None:
        """``size`` bytes of a tensor of the last inference; None if the image does not keep it (only a probing one does)."""
        parts = []
        for offset in range(0, size, MAX_TENSOR_BYTES):
            length = min(MAX_TENSOR_BYTES, size - offset)
            received = self._ask(
                Request.tensor(index, offset, length, self._model), (TargetError.UNSUPPORTED,)
            )
            if _reply(received).error != TargetError.NONE:
                return None
            parts.append(_reply(received).body)
        return b"".join(parts)

    def _infer(self, operation: Operation, form: ValueFormat, arrays: Sequence[ArrayLike]) -> Answer:
        request = Request(operation, form, pack_values(form, arrays), self._model)
        reply = _reply(self._ask(request))
        return Answer(reply.values(), reply.count)

    def _ask(self, request: Request, expected: Sequence[TargetError] = ()) -> Received:
        """Send until the target has answered this request.

        LinkError after the last attempt, or on a refusal of the target that is not one of ``expected``.
        """
        boot, sequence = self._writer.boot, self._writer.sequence
        wire = b"".join(self._writer.frames(request, 0))
        heard = self._bytes
        for attempt in range(self._attempts):
            if attempt:
                self.resent += 1
            self._write(_DELIMITER + wire)
            received = self._await(boot, sequence)
            if received is None:
                continue
            reply = _reply(received)
            if reply.error in _AGAIN:
                continue
            if reply.error != TargetError.NONE and reply.error not in expected:
                raise LinkError(
                    f"{self.name} refused {request.operation.name.lower()}: "
                    f"{reply.error.name.lower().replace('_', ' ')}"
                )
            if reply.operation != request.operation:
                raise LinkError(
                    f"{self.name} answered {reply.operation.name.lower()} to {request.operation.name.lower()}"
                )
            return received
        raise LinkError(
            f"{self.name} did not answer {request.operation.name.lower()} in {self._attempts} attempts of "
            f"{self._timeout_s:g} s: {self._heard(heard)}; check cable, baud rate and that the image runs"
        )

    def _heard(self, before: int) -> str:
        """What came instead of an answer since ``before`` bytes: it tells a dead line from a wrong rate or another device."""
        count = self._bytes - before
        return f"{count} bytes came, but no answer" if count else "nothing came"

    def _await(self, boot: int, sequence: int) -> Received | None:
        """The reply to that request, or None in time."""
        until = self._clock() + self._timeout_s
        while self._clock() < until:
            for received in self._read():
                # What comes out of order is old, or of a boot session with the same number: it can be asked for again.
                if not isinstance(received.packet, Reply) or received.late:
                    continue
                if self._boot_session is not None and self._is_another_boot_session(received):
                    raise TargetResetError(
                        f"{self.name} was reset in the middle of the run; its state is lost: start the run again"
                    )
                self._device_us = received.device_us
                if received.packet.answers(boot, sequence) and not received.packet.unasked:
                    return received
        return None

    def _is_another_boot_session(self, received: Received) -> bool:
        """Another boot number; or, where chance gave the same one, a clock that went back or a greeting."""
        back = (received.device_us - self._device_us) & 0xFFFF_FFFF >= 0x8000_0000
        return received.boot != self._boot_session or back or _reply(received).unasked

    def _read(self) -> list[Received]:
        import serial

        try:
            data = self._port.read(max(1, self._port.in_waiting))
        except (serial.SerialException, OSError) as error:
            raise LinkError(
                f"{self.name} was unplugged: {error}; plug it in and start the run again"
            ) from None
        self._bytes += len(data)
        return self._decoder.feed(data, time.monotonic_ns()) if data else []

    def _write(self, data: bytes) -> None:
        import serial

        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise LinkError(
                f"{self.name} accepts no bytes: {error}; plug it in and start the run again"
            ) from None


def _reply(received: Received) -> Reply:
    assert isinstance(received.packet, Reply)
    return received.packet


def seconds(ticks: int, identity: Identity) -> float | None:
    """Time of an operation on a target that counts core cycles; None where cycles are not counted."""
    if identity.counter != CounterKind.CYCLES or not identity.clock_hz:
        return None
    return ticks * identity.counter_step / identity.clock_hz


def counted(ticks: int, identity: Identity) -> int | None:
    """Cycles or instructions (``identity.counter`` says which) of an operation; None without a counter."""
    return None if identity.counter == CounterKind.NONE else round(ticks * identity.counter_step)
