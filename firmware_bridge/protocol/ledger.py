"""What became of every frame (PROTOCOL.md section 11).

    sent = delivered + crc_failed + gap + duplicate + reordered + dropped_in_host

``sent`` is derived from the sequence numbers alone, the right side from what was seen of each; so the sum is a check.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from firmware_bridge.protocol.table import LEDGER_DAMAGE_FRAMES, LEDGER_MAX_JUMP, LEDGER_WINDOW

_SPAN = 1 << 32
_HALF = 1 << 31
#: Boot sessions of a node that late frames may still belong to.
_EARLIER_BOOT_SESSIONS = 4


class Verdict(Enum):
    """What a frame's number says: hand it on (IN_ORDER, LATE) or not (DUPLICATE)."""

    IN_ORDER = "in order"
    LATE = "late"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Balance:
    """The ledger of one node, or a sum of several."""

    sent: int = 0
    delivered: int = 0
    crc_failed: int = 0
    gap: int = 0
    duplicate: int = 0
    reordered: int = 0
    dropped_in_host: int = 0
    reboots: int = 0

    @property
    def balances(self) -> bool:
        """Whether the equation holds and no term is negative."""
        terms = (
            self.delivered,
            self.crc_failed,
            self.gap,
            self.duplicate,
            self.reordered,
            self.dropped_in_host,
        )
        return self.sent == sum(terms) and min(terms) >= 0

    def __add__(self, other: Balance) -> Balance:
        names = self.__dataclass_fields__
        return Balance(**{name: getattr(self, name) + getattr(other, name) for name in names})


class DamagePool:
    """Damaged blocks of one link that no gap has claimed yet. Memory is bounded: one entry a good frame of late."""

    def __init__(self) -> None:
        #: All damaged blocks so far.
        self.damaged = 0
        #: Those that were noise: no missing frame was claimed for them (so far).
        self.noise = 0
        self._good = 0
        self._open: deque[list[int]] = deque()  # [good frames before it, how many blocks]

    def add(self) -> None:
        """A damaged block was seen."""
        self.damaged += 1
        self.noise += 1
        if self._open and self._open[-1][0] == self._good:
            self._open[-1][1] += 1
        else:
            self._open.append([self._good, 1])

    def good(self) -> None:
        """A good frame was seen."""
        self._good += 1
        while self._open and self._open[0][0] < self._good - LEDGER_DAMAGE_FRAMES:
            self._open.popleft()

    def claim(self, missing: int) -> int:
        """Explain up to ``missing`` missing numbers; return how many."""
        claimed = 0
        while self._open and claimed < missing:
            taken = min(self._open[0][1], missing - claimed)
            claimed += taken
            self._open[0][1] -= taken
            if not self._open[0][1]:
                self._open.popleft()
        self.noise -= claimed
        return claimed

    def give_back(self) -> None:
        """A missing number that had been explained came after all: the block was noise."""
        self.noise += 1


@dataclass
class _Missing:
    """Numbers ``low`` up to ``high`` (not included) have not come; ``claimed`` of them were damaged."""

    low: int
    high: int
    claimed: int


@dataclass(eq=False)
class BootSession:
    """One boot session of one node: numbers unwrapped, from ``first`` up to ``next`` (not included)."""

    boot: int
    first: int
    next: int
    copies: int = 0
    delivered: int = 0
    crc_failed: int = 0
    gap: int = 0
    duplicate: int = 0
    reordered: int = 0
    dropped_in_host: int = 0
    _missing: list[_Missing] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Numbers from the first known to the highest seen, and extra copies."""
        return self.next - self.first + self.copies

    def ahead(self, sequence: int) -> int:
        """How far ``sequence`` is ahead of the next number; negative if behind."""
        distance = (sequence - self.next) & (_SPAN - 1)
        return distance if distance < _HALF else distance - _SPAN

    def book(self, ahead: int, pool: DamagePool) -> Verdict:
        """Book a frame whose number is ``next + ahead``."""
        if ahead >= 0:
            if ahead:
                self._lose(self.next, self.next + ahead, pool)
            self.next += ahead + 1
            self.delivered += 1
            return Verdict.IN_ORDER
        number = self.next + ahead
        if ahead >= -LEDGER_WINDOW and self._late(number, pool):
            self.reordered += 1
            return Verdict.LATE
        self.copies += 1
        self.duplicate += 1
        return Verdict.DUPLICATE

    def _lose(self, low: int, high: int, pool: DamagePool) -> None:
        claimed = pool.claim(high - low)
        self.crc_failed += claimed
        self.gap += high - low - claimed
        oldest = high - LEDGER_WINDOW
        self._missing = [each for each in self._missing if each.high > oldest]
        self._missing.append(_Missing(low, high, claimed))

    def _late(self, number: int, pool: DamagePool) -> bool:
        """Take ``number`` out of what is missing; False if it is not missing."""
        if number < self.first:
            return self._extend_back(number)
        place = next((i for i, each in enumerate(self._missing) if each.low <= number < each.high), None)
        if place is None:
            return False
        each = self._missing[place]
        if each.high - each.low > each.claimed:
            self.gap -= 1
        else:
            self.crc_failed -= 1
            each.claimed -= 1
            pool.give_back()
        below = min(each.claimed, number - each.low)
        parts = (
            _Missing(each.low, number, below),
            _Missing(number + 1, each.high, each.claimed - below),
        )
        self._missing[place : place + 1] = [part for part in parts if part.low < part.high]
        return True

    def _extend_back(self, number: int) -> bool:
        """A late frame from before the first that was heard: the host knows of more now."""
        if number < 0:
            return False
        if number + 1 < self.first:
            self._missing.insert(0, _Missing(number + 1, self.first, 0))
        self.gap += self.first - number - 1
        self.first = number
        return True

    def balance(self) -> Balance:
        """The sums so far."""
        return Balance(
            self.sent,
            self.delivered,
            self.crc_failed,
            self.gap,
            self.duplicate,
            self.reordered,
            self.dropped_in_host,
        )


class NodeLedger:
    """All boot sessions of one node on one link. A few are kept open for their late frames, older ones are only sums."""

    def __init__(self, pool: DamagePool) -> None:
        self._pool = pool
        self._settled = Balance()
        #: Boot sessions before this one, newest last, with the frames booked when each ended.
        self._earlier: deque[tuple[BootSession, int]] = deque()
        self._booked = 0
        self.boot_session: BootSession | None = None

    def book(self, boot: int, sequence: int) -> tuple[Verdict, BootSession]:
        """Book an intact frame; the boot session it was booked to is needed to :func:`drop` it."""
        self._booked += 1
        boot_session = self.boot_session
        if boot_session is None:
            boot_session = self.boot_session = BootSession(boot, sequence, sequence)
            ahead = 0
        elif boot == boot_session.boot:
            ahead = boot_session.ahead(sequence)
            if ahead > LEDGER_MAX_JUMP or (ahead < -LEDGER_WINDOW and sequence < LEDGER_WINDOW):
                boot_session, ahead = self._reborn(boot_session, boot, sequence)
        else:
            earlier = self._earlier_boot_session(boot)
            if earlier is None:
                boot_session, ahead = self._reborn(boot_session, boot, sequence)
            else:
                boot_session, ahead = earlier, earlier.ahead(sequence)
        return boot_session.book(ahead, self._pool), boot_session

    def _earlier_boot_session(self, boot: int) -> BootSession | None:
        """The boot session of that number, if it ended so lately that a late frame of it is likelier than a new one."""
        oldest = self._booked - LEDGER_DAMAGE_FRAMES
        return next(
            (
                boot_session
                for boot_session, ended in self._earlier
                if boot_session.boot == boot and ended >= oldest
            ),
            None,
        )

    def _reborn(self, boot_session: BootSession, boot: int, sequence: int) -> tuple[BootSession, int]:
        self._settled += Balance(reboots=1)
        self._earlier.append((boot_session, self._booked))
        if len(self._earlier) > _EARLIER_BOOT_SESSIONS:
            self._settled += self._earlier.popleft()[0].balance()
        first = sequence if sequence > LEDGER_MAX_JUMP else 0
        self.boot_session = BootSession(boot, first, first)
        return self.boot_session, sequence - first

    def dropped(self, boot: int, late: bool) -> None:
        """A frame of that boot session that had been handed on was dropped behind the decoder (a full queue)."""
        boot_sessions = [boot_session for boot_session, _ in self._earlier if boot_session.boot == boot]
        if self.boot_session is not None and self.boot_session.boot == boot:
            boot_sessions.append(self.boot_session)
        if boot_sessions:
            drop(boot_sessions[-1], Verdict.LATE if late else Verdict.IN_ORDER)

    def balance(self) -> Balance:
        """All boot sessions together."""
        boot_sessions = [boot_session for boot_session, _ in self._earlier]
        if self.boot_session is not None:
            boot_sessions.append(self.boot_session)
        return sum((boot_session.balance() for boot_session in boot_sessions), self._settled)


def drop(boot_session: BootSession, verdict: Verdict) -> None:
    """A frame that had been booked as handed on was not: move it to ``dropped_in_host``."""
    if verdict is Verdict.IN_ORDER:
        boot_session.delivered -= 1
    elif verdict is Verdict.LATE:
        boot_session.reordered -= 1
    else:
        return
    boot_session.dropped_in_host += 1
