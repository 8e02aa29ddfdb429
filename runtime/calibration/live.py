"""A calibration from sources: opens them as the daemon does, and follows the guide until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from firmware_bridge.sources import open_source
from firmware_bridge.sources.base import Source
from firmware_bridge.sources.host import Host
from firmware_bridge.sources.several import SeveralSources
from runtime.calibration.guide import Guide, Progress, Wanted
from runtime.pipeline.input_from import InputFrom
from runtime.pipeline.intake import Intake
from toolkit.calibration import Calibration
from toolkit.contract import SensorContract
from toolkit.errors import ContractError

Show = Callable[[Progress], None]


async def calibrate_sources(
    contract: SensorContract,
    sources: Sequence[str] | Source,
    *,
    inputs: Mapping[str, InputFrom] | None = None,
    person: str = "",
    wanted: Wanted | None = None,
    show: Show | None = None,
) -> Calibration:
    """Guide a person through a calibration for ``contract`` with ``sources`` (URLs), until it is done.

    ``inputs`` says which streams make the model's inputs, as in the daemon's configuration. ``show`` is told of every change.
    Raises LinkError if a source cannot be opened, ContractError for sensors that do not fit the model, RecordingError, which
    says what to do, if a step takes too long or the sources end before all are done.
    """
    guide = Guide(contract, wanted)
    intake = Intake(contract, inputs)
    source = sources if isinstance(sources, Source) else SeveralSources([open_source(url) for url in sources])
    async with source:
        host = Host(source) if source.writable else None
        asking = asyncio.create_task(host.ask()) if host is not None else None
        try:
            await _follow(source, host, intake, guide, show)
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
    nodes = {
        f"{name}/{stream}": intake.session.receiver.name(key) for name, stream, key, _ in intake.streams()
    }
    return guide.result(person, datetime.now(UTC).isoformat(timespec="seconds"), nodes)


async def _follow(source: Source, host: Host | None, intake: Intake, guide: Guide, show: Show | None) -> None:
    async for item in source:
        batch = intake.decode(item)
        if intake.trouble is not None:
            raise ContractError(intake.trouble)
        if host is not None:
            await host.heard(item)
        progress = guide.take(batch) if batch is not None else None
        if progress is not None and show is not None:
            show(progress)
        if guide.step == "done":
            return
