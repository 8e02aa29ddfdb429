"""Every number of PROTOCOL.md, once: the Python codec uses it, and the C header is generated from it."""

from __future__ import annotations

from enum import IntEnum

VERSION = 1

HEADER_BYTES = 12
CRC_BYTES = 2
#: Header, payload and CRC of the largest frame.
MAX_BODY_BYTES = 508
#: The largest frame on the wire: COBS adds at most 3 bytes to 508, the delimiter 1.
MAX_FRAME_BYTES = 512
#: What every link must be able to carry, COBS and delimiter included.
MIN_FRAME_BYTES = 64
MAX_PAYLOAD_BYTES = MAX_BODY_BYTES - HEADER_BYTES - CRC_BYTES
MAX_MESSAGE_BYTES = 16_384
FRAGMENT_BIT = 0x80
FRAGMENT_HEADER_BYTES = 2
#: Younger messages of a node that may be begun before an incomplete one is given up.
MAX_OPEN_MESSAGES = 8

CRC_INITIAL = 0xFFFF
CRC_POLYNOMIAL = 0x1021
#: CRC of the ASCII digits 1 to 9, as the catalogue of CRC algorithms gives it.
CRC_CHECK = 0x29B1

ANY_NODE = 255
MAX_NODE = 254

MAX_TEXT_BYTES = 63
MAX_STREAMS = 16
MAX_CHANNELS = 64
MAX_SAMPLES = 255
MAX_OUTPUTS = 64

DESCRIPTOR_FIXED_BYTES = 12
DATA_HEADER_BYTES = 8
SYNC_REQUEST_BYTES = 8
SYNC_REPLY_BYTES = 12
STATUS_BYTES = 20
COMMAND_BYTES = 4
REQUEST_HEADER_BYTES = 8
REPLY_HEADER_BYTES = 12
IDENTIFY_FIXED_BYTES = 88
MAX_TENSOR_BYTES = 480
HASH_BYTES = 32
CONTRACT_PREFIX_BYTES = 8
MODEL_PREFIX_BYTES = 4
#: request_sequence of the identify reply that a node sends unasked after boot.
UNASKED_SEQUENCE = 0xFFFFFFFF
NO_FAILURE = 0xFFFFFFFF
BATTERY_UNKNOWN = 255

#: Numbers behind the highest within which a missing number may still come.
LEDGER_WINDOW = 1_024
#: Good frames of a link after which an unexplained damaged block is noise.
LEDGER_DAMAGE_FRAMES = 64
#: A jump ahead by more than this is a new boot session, not a gap.
LEDGER_MAX_JUMP = 1 << 24


class PacketType(IntEnum):
    """What a frame carries (section 3)."""

    DESCRIPTOR = 0x01
    DATA = 0x02
    SYNC_REQUEST = 0x03
    SYNC_REPLY = 0x04
    STATUS = 0x05
    COMMAND = 0x06
    REQUEST = 0x10
    REPLY = 0x11


class Format(IntEnum):
    """How DATA holds values (section 5)."""

    INT16 = 1
    INT24 = 2
    FLOAT32 = 3


class ValueFormat(IntEnum):
    """How REQUEST and REPLY hold values (section 9)."""

    NONE = 0
    INT8 = 1
    INT16 = 2
    FLOAT32 = 3


class CommandCode(IntEnum):
    """What a COMMAND asks for (section 8)."""

    DESCRIBE = 1
    START = 2
    STOP = 3
    REPORT = 4


class Operation(IntEnum):
    """Operations of on-target inference (section 9)."""

    IDENTIFY = 1
    RESET = 2
    STEP = 3
    WINDOW = 4
    SELF_TEST = 5
    STACK = 6
    TENSOR = 7


class TargetError(IntEnum):
    """Why a request was not carried out (section 9)."""

    NONE = 0
    UNKNOWN_OPERATION = 1
    BAD_LENGTH = 2
    BAD_FORMAT = 3
    BAD_FRAGMENT = 4
    TOO_LARGE = 5
    BUSY = 6
    UNSUPPORTED = 7
    NOT_FINITE = 8
    OTHER_MODEL = 9
    INTERNAL = 10


class CounterKind(IntEnum):
    """What the counter of a target counts (section 9)."""

    NONE = 0
    CYCLES = 1
    INSTRUCTIONS = 2


class SelfTest(IntEnum):
    """Result of the self-test at boot (section 9)."""

    NOT_RUN = 0
    PASSED = 1
    FAILED = 2


class StatusFlag(IntEnum):
    """Bits of STATUS.flags (section 7)."""

    CHARGING = 1
    STREAMING = 2
    SENSOR_FAILED = 4


class Graph(IntEnum):
    """Bits of the identify reply's graphs (section 9)."""

    WINDOW = 1
    STEP = 2


class FormatBit(IntEnum):
    """Bits of the identify reply's formats (section 9)."""

    INT8 = 1
    INT16 = 2
    FLOAT32 = 4


#: Unit codes of the descriptor; the units are those of toolkit.contract.UNITS.
UNIT_CODES = {
    "m/s^2": 1,
    "rad/s": 2,
    "V": 3,
    "mV": 4,
    "uV": 5,
    "1": 6,
    "Nm/kg": 7,
    "Nm": 8,
    "rad": 9,
    "deg": 10,
    "g": 11,
    "deg/s": 12,
}
UNIT_OF_CODE = {code: unit for unit, code in UNIT_CODES.items()}

FORMAT_BYTES = {Format.INT16: 2, Format.INT24: 3, Format.FLOAT32: 4}
VALUE_BYTES = {ValueFormat.INT8: 1, ValueFormat.INT16: 2, ValueFormat.FLOAT32: 4}

#: BLE (section 10).
SERVICE_UUID = "ed6e0001-8c5a-4b0e-9d3f-7a41c2b65e10"
NOTIFY_UUID = "ed6e0002-8c5a-4b0e-9d3f-7a41c2b65e10"
WRITE_UUID = "ed6e0003-8c5a-4b0e-9d3f-7a41c2b65e10"
DEFAULT_BAUD = 921_600
