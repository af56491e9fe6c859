"""A live session while it plays: the log of its changes, its credit, and who is connected.

To worker and delivery it is a job like any other (``jobs/live.py``), with two differences: chunks are made only as far
as the client has credit, one ahead, so that a change is heard soon; and what a chunk costs follows ``LiveTerms``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from loopmeter import LiveApplied, LiveEndReason, LiveRequest, LiveSettings, LiveWarning
from loopmeter_engine.contract import Chunk, Engine, LiveChange, LiveChunk, LiveEngine
from loopmeter_engine.live_grid import spans
from loopmeter_gateway.jobs.deliveries import Delivered, Deliveries, Delivery
from loopmeter_gateway.jobs.live import Lease, LiveJob
from loopmeter_gateway.jobs.records import Ended, JobRecord
from loopmeter_gateway.live import records
from loopmeter_gateway.live.records import LogEntry, SessionRecord
from loopmeter_gateway.live.terms import LiveTerms
from loopmeter_gateway.problems import Refused


class LiveSession(LiveJob):
    """One session in memory. ``connection`` is whoever plays it now; a later one takes over from an earlier."""

    kind = "live"

    def __init__(self, found: SessionRecord, now: datetime) -> None:
        super().__init__(found.job, now, *found.made)
        self.session = found.session
        self.request: LiveRequest = found.request
        self.terms: LiveTerms = found.terms
        self.log: list[LogEntry] = found.log
        self.reason: LiveEndReason | None = found.reason
        self.connection: object | None = None
        self.credit = 0
        self.paused_since: datetime | None = None
        self.warning: LiveWarning | None = None
        self.said_ends_at_ms = found.ends_at_ms  # What the database says of its end; see ``sessions.py``.
        self.saying = False
        self._kept = len(found.log)
        self._lease_stop = 0
        self._applied = self._places()

    @property
    def wanted(self) -> bool:
        return super().wanted and self.paused_since is None

    @property
    def refs(self) -> tuple[str, ...]:
        """The references of all changes, in order."""
        return tuple(ref for entry in self.log for ref in entry.refs)

    def lease_count(self, lease_chunks: int) -> int:
        return 1 if self.wanted and not self.ahead else 0

    def chunk_bytes(self, index: int) -> tuple[int, int]:
        frames = self.terms.chunk_frames
        return frames, frames * self.terms.channels * self.terms.bits // 8

    def begin_lease(self, engine: Engine, count: int) -> Lease:
        assert isinstance(engine, LiveEngine)
        self._lease_stop = self.made_index + count
        changes = tuple(entry.change for entry in self.log)
        return functools.partial(engine.lease_live, self.request, changes, self.made_index, count, self.engine_state)

    def steered(self, settings: LiveSettings) -> LiveRequest:
        """The request as it would be after all changes so far and this one."""
        request = self.request
        for entry in self.log:
            request = request.with_settings(entry.change.settings)
        return request.with_settings(settings)

    def steer(self, ref: str, settings: LiveSettings) -> None:
        """Log a change for the next chunk that no lease has begun. What comes before one chunk is one change."""
        from_chunk = max(self.made_index, self._lease_stop, self.record.chunks_delivered)
        last = self.log[-1] if self.log else None
        if last is not None and last.change.from_chunk == from_chunk and len(self.log) > self._kept:
            merged = last.change.settings.model_copy(update=settings.model_dump(exclude_none=True))
            merged = LiveSettings.model_validate(merged.model_dump())
            last.change = LiveChange(from_chunk, merged)
            last.refs.append(ref)
        else:
            self.log.append(LogEntry(LiveChange(from_chunk, settings), [ref]))

    def push(self, chunk: Chunk) -> None:
        assert isinstance(chunk, LiveChunk)
        for place in chunk.applied if chunk.index >= self.record.chunks_delivered else ():
            refs = self.log[place.change].refs
            self._applied.setdefault(chunk.index, []).extend(
                LiveApplied(ref=ref, chunk=chunk.index, frame=place.frame, bar=place.bar) for ref in refs
            )
        super().push(chunk)

    def applied_in(self, index: int) -> Iterable[LiveApplied]:
        """What took effect inside chunk ``index``, in order."""
        return self._applied.get(index, ())

    async def deliver(self, deliveries: Deliveries, delivery: Delivery) -> Delivered:
        new = [
            (number, self.log[number])
            for number in range(self._kept, len(self.log))
            if self.log[number].change.from_chunk <= delivery.chunk.index
        ]
        found = await deliveries.database.write(lambda c: records.deliver(c, delivery, self.terms, new))
        self.warning, self.reason = found.warning, found.reason
        return Delivered(found.record, found.received)

    def update(self, record: JobRecord) -> None:
        while self._kept < len(self.log) and self.log[self._kept].change.from_chunk < record.chunks_delivered:
            self._kept += 1
        super().update(record)

    def end(self, connection: Connection, state: Ended, now_ms: int, refused: Refused | None) -> JobRecord:
        record = super().end(connection, state, now_ms, refused)
        return records.end(connection, record.id, self.reason, now_ms) if self.reason else record

    def _places(self) -> dict[int, list[LiveApplied]]:
        """Where the changes of a restored log took effect, by chunk."""
        found: dict[int, list[LiveApplied]] = {}
        changes = [entry.change for entry in self.log]
        frames = self.terms.chunk_frames
        for span in spans(self.request, changes, frames, self.terms.sample_rate_hz):
            for place in span.applied:
                chunk = place.frame // frames
                if chunk < self.record.chunks_delivered:
                    found.setdefault(chunk, []).extend(
                        LiveApplied(ref=ref, chunk=chunk, frame=place.frame, bar=place.bar)
                        for ref in self.log[place.change].refs
                    )
        return found
