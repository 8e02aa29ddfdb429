"""``[inputs.NAME]`` of the daemon's configuration as a record: what a sensor sends, mapped to the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from runtime.pipeline.input_from import KINDS, Axes, ChannelFrom, InputFrom, require_scale, require_unit
from toolkit.errors import UsageError

T = TypeVar("T")
#: Runs the second argument; its complaint gets the line of the first, keys below the table.
Checked = Callable[[tuple[str, ...], Callable[[], Any]], Any]
_CHANNEL = ("channel", "unit", "scale")


def read_input(table: Mapping[str, Any], checked: Checked) -> InputFrom:
    """The record of a table whose keys are known and whose ``from``, ``check_names`` and ``resample`` are of their kinds."""
    return InputFrom(
        tuple(table["from"]),
        table.get("check_names", True),
        _by_kind("unit", table, require_unit, checked),
        _by_kind("scale", table, require_scale, checked),
        _axes(table.get("axes", {}), checked),
        _channels(table.get("channels", {}), checked),
        table.get("resample", False),
        checked(("notch_hz",), partial(_mains, table.get("notch_hz", 0))),
    )


def _mains(value: Any) -> int:
    return InputFrom((), notch_hz=value).notch_hz


def _by_kind(key: str, table: Mapping[str, Any], make: Callable[[Any], T], checked: Checked) -> dict[str, T]:
    """One value for all channels, or a table of one for accelerometers and one for gyroscopes."""
    if key not in table:
        return {}
    value = table[key]
    if not isinstance(value, Mapping):
        return {"": checked((key,), partial(make, value))}
    return {
        kind: checked((key, kind), partial(_of_kind, key, kind, make, one)) for kind, one in value.items()
    }


def _of_kind(key: str, kind: str, make: Callable[[Any], T], value: Any) -> T:
    if kind not in KINDS:
        raise UsageError(f"{key} has no key {kind!r}; allowed: {', '.join(KINDS)}")
    return make(value)


def _axes(value: Any, checked: Checked) -> dict[str, Axes]:
    """Three words for all IMUs, or a table of three for each segment."""
    if not isinstance(value, Mapping):
        return {"": checked(("axes",), partial(Axes.of, value))}
    return {segment: checked(("axes", segment), partial(Axes.of, words)) for segment, words in value.items()}


def _channels(value: Any, checked: Checked) -> dict[str, ChannelFrom]:
    if not isinstance(value, Mapping):
        return dict(checked(("channels",), _not_a_table))
    return {name: checked(("channels", name), partial(_channel, one)) for name, one in value.items()}


def _not_a_table() -> dict[str, ChannelFrom]:
    raise UsageError(
        "channels must be a table: soleus = \"ch 1\" says that the model's soleus is the sensor's ch 1"
    )


def _channel(value: Any) -> ChannelFrom:
    if isinstance(value, str):
        value = {"channel": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("channel"), str):
        raise UsageError(
            f'{value!r} is not a channel; it must be "NAME" or {{ channel = "NAME", unit, scale }}'
        )
    strange = next((key for key in value if key not in _CHANNEL), None)
    if strange is not None:
        raise UsageError(f"a channel has no key {strange!r}; allowed: {', '.join(_CHANNEL)}")
    return ChannelFrom(value["channel"], value.get("unit"), value.get("scale", 1.0))
