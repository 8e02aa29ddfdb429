"""A recording with some of its channels only, as if the other sensors had not been worn."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from toolkit.contract import StreamSpec
from toolkit.errors import UsageError
from toolkit.records import Recording, Signal


def only(recording: Recording, kept: Mapping[str, Collection[str]]) -> Recording:
    """``recording`` with the channels named in ``kept[stream]``, in their order there; a stream of which none is kept goes,
    others stay whole.

    UsageError if a stream has no such channel, or nothing is left.
    """
    signals = dict(recording.signals)
    for stream, names in kept.items():
        signal = recording.signals[stream]
        unknown = sorted(set(names) - set(signal.spec.channel_names))
        if unknown:
            raise UsageError(
                f"recording {recording.name!r}, stream {stream!r}: cannot keep {', '.join(unknown)}; it has "
                f"{', '.join(signal.spec.channel_names)}"
            )
        if not names:
            del signals[stream]
            continue
        places = [i for i, name in enumerate(signal.spec.channel_names) if name in names]
        channels = tuple(signal.spec.channels[i] for i in places)
        spec = StreamSpec(signal.spec.name, signal.spec.rate_hz, channels)
        samples = signal.samples.take(places, axis=1)
        signals[stream] = Signal(spec, signal.start_s, samples)
    if not signals:
        raise UsageError(f"recording {recording.name!r}: no channel of any stream is kept")
    missing = {
        stream: tuple(name for name in names if name in signals[stream].spec.channel_names)
        for stream, names in recording.missing.items()
        if stream in signals
    }
    return dataclasses.replace(
        recording, signals=signals, missing={stream: names for stream, names in missing.items() if names}
    )
