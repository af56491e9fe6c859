"""Turn a list of music into a pack: ask for all prices first, then make only what is not there yet.

Whatever happens in between, nothing is paid twice. A file that fits the manifest is left alone. The key of an order is
on disk before the order is sent, so a bake that was killed takes its loops up again under the same keys, free for
what is charged already. The manifest grows file by file, and each write is all or nothing.

Reading order: ``bake``, ``_Baker``; what is to be made was decided in ``_plan.py``.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta

from loopmeter._client import Loopmeter
from loopmeter._exceptions import BudgetExceeded, LoopNotCompleted
from loopmeter._loop import Loop
from loopmeter._models import ChunkMeter, Job, ModelInfo, Quote, ResolvedRequest
from loopmeter._wav import write_atomically
from loopmeter.bake._disclosure import DISCLOSURE_NAME, disclosure
from loopmeter.bake._game_wav import game_wav
from loopmeter.bake._journal import Journal
from loopmeter.bake._manifest import MANIFEST_NAME, Manifest, PackFile, PackLoop, StoredFile
from loopmeter.bake._music import BakeItem, MusicLoop
from loopmeter.bake._pack import Pack
from loopmeter.bake._plan import BakePlan, PlannedItem

_QUOTE_MARGIN = timedelta(seconds=30)


def bake(
    client: Loopmeter,
    plan: BakePlan,
    *,
    max_tokens: int | None = None,
    jobs: int = 2,
    prune: bool = False,
    on_chunk: Callable[[PlannedItem, ChunkMeter], None] | None = None,
) -> Pack:
    """Make what the plan says, ``jobs`` loops at a time, and give the pack.

    ``max_tokens`` (default: the plan's own price) is never exceeded, also if a quote ran out and its successor costs
    more. ``prune`` removes the files that the former pack had and this one has no use for. ``on_chunk`` is called
    from the threads that make loops.

    Raises:
        BudgetExceeded: before anything is ordered if the plan costs more; later only if prices rose. What was
            made until then is in the pack, marked as not complete.
        InsufficientTokens, ConnectionFailed, ServerError: as every call. Bake again to go on where it stopped.
        OSError: the folder cannot be written.
    """
    limit = plan.tokens if max_tokens is None else max_tokens
    if plan.tokens > limit:
        raise BudgetExceeded(plan.tokens, limit)
    plan.folder.mkdir(parents=True, exist_ok=True)
    baker = _Baker(client, plan, limit, on_chunk)
    baker.run(jobs)
    if prune:
        for path in plan.orphans:
            (plan.folder / path).unlink(missing_ok=True)
    return Pack(plan.folder)


class _Stopped(Exception):
    """Another loop failed, so this one is left; the gateway keeps it for the next bake."""


class _Baker:
    """One bake under way. The lock guards the budget, the journal and the manifest."""

    def __init__(
        self,
        client: Loopmeter,
        plan: BakePlan,
        max_tokens: int,
        on_chunk: Callable[[PlannedItem, ChunkMeter], None] | None,
    ) -> None:
        self._client = client
        self._plan = plan
        self._tokens_left = max_tokens
        self._on_chunk = on_chunk
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._journal = Journal(plan.folder)
        self._models = {model.name: model for model in client.models()} if plan.tokens else {}
        self._entries = {entry.name: entry for entry in plan.music.loops}
        self._loops = {loop.name: loop for loop in plan.before.loops} if plan.before is not None else {}
        self._files = {one.item.file_stem: one.kept for one in plan.items if one.kept is not None}

    def run(self, jobs: int) -> None:
        work = [planned for planned in self._plan.items if planned.quote is not None]
        with ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="loopmeter-bake") as pool:
            futures = [pool.submit(self._make, planned) for planned in work]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
                for future in futures:
                    future.cancel()
        failures = [future.exception() for future in futures if not future.cancelled()]
        for failure in failures:
            if failure is not None and not isinstance(failure, _Stopped):
                raise failure
        self._write_manifest(complete=True)
        self._journal.clear()

    def _make(self, planned: PlannedItem) -> None:
        if self._stop.is_set():
            raise _Stopped
        quote = self._priced(planned)
        item = planned.item
        try:
            loop = self._order(planned, quote, self._journal.key(item))
        except LoopNotCompleted:
            if not self._journal.is_from_before(item):
                raise
            # An earlier bake broke off here and its job ended with it. What came of it is charged; this is anew.
            loop = self._order(planned, quote, self._journal.key(item, anew=True))
        file = self._stored(item, loop)
        with self._lock:
            self._files[item.file_stem] = file
            self._loops[item.name] = _without_files(self._entries[item.name], loop.job)
            self._write_manifest(complete=False)

    def _order(self, planned: PlannedItem, quote: Quote, key: str) -> Loop:
        # Detached: a bake that breaks off leaves the job to the next one, which asks under the same key.
        stream = self._client.loops.stream(planned.item.request, quote=quote, idempotency_key=key, detach=True)
        with stream:
            loop = stream.collect(lambda chunk: self._progress(planned, chunk.meter))
        if stream.rescued_from is not None:
            raise stream.rescued_from  # What the client has in a pack is not what was ordered.
        return loop

    def _progress(self, planned: PlannedItem, meter: ChunkMeter) -> None:
        if self._stop.is_set():
            raise _Stopped
        if self._on_chunk is not None:
            self._on_chunk(planned, meter)

    def _priced(self, planned: PlannedItem) -> Quote:
        """The plan's quote, or its successor if it is about to run out; taken off the budget."""
        quote = planned.quote
        assert quote is not None
        if quote.expires_at < datetime.now(UTC) + _QUOTE_MARGIN:
            quote = self._client.quote(planned.item.request)
        with self._lock:
            if quote.tokens > self._tokens_left:
                raise BudgetExceeded(quote.tokens, self._tokens_left)
            self._tokens_left -= quote.tokens
        return quote

    def _stored(self, item: BakeItem, loop: Loop) -> PackFile:
        """Write the sound and the notes of a finished loop, whole or not at all."""
        job = loop.job
        music_loop = self._entries[item.name]
        if self._plan.music.pack.format == "ogg":
            audio = self._client.loops.audio(job.id, "ogg")
        else:
            audio = _wav(loop, music_loop)
        model = self._models.get(item.request.model) or ModelInfo(
            name=item.request.model, sample_rate_hz=job.sample_rate_hz, duration_s_max=0
        )
        return PackFile(
            stem=item.stem,
            enters=music_loop.stems[item.stem] if item.stem is not None else 0.0,
            audio=self._write(f"{item.file_stem}.{self._plan.music.pack.format}", audio),
            midi=self._write(f"{item.file_stem}.mid", loop.midi()),
            prompt=item.request.prompt,
            seed=item.request.seed,
            model=model.name,
            model_version=model.version,
            fingerprint=model.fingerprint,
            licence=model.licence,
            job=job.id,
            chunks=job.chunks,
            tokens_charged=job.tokens_charged,
            baked_at=job.created_at,
            request_sha256=item.request_sha256,
            request=ResolvedRequest.model_validate(item.request.model_dump()),
            resolved=job.request,
        )

    def _write(self, name: str, data: bytes) -> StoredFile:
        write_atomically(self._plan.folder / name, data)
        return StoredFile(path=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def _write_manifest(self, *, complete: bool) -> None:
        loops = tuple(loop for entry in self._plan.music.loops if (loop := self._pack_loop(entry)) is not None)
        manifest = Manifest(
            name=self._plan.music.pack.name,
            audio_format=self._plan.music.pack.format,
            complete=complete,
            live=self._plan.music.pack.live,
            tokens_charged=sum(file.tokens_charged for loop in loops for file in loop.files),
            loops=loops,
        )
        text = manifest.model_dump_json(indent=2) + "\n"
        if complete:
            write_atomically(self._plan.folder / DISCLOSURE_NAME, disclosure(manifest).encode())
        write_atomically(self._plan.folder / MANIFEST_NAME, text.encode())

    def _pack_loop(self, entry: MusicLoop) -> PackLoop | None:
        """The loop with those of its files that are made; ``None`` without any."""
        made = [(item, self._files[item.file_stem]) for item in entry.items() if item.file_stem in self._files]
        if not made:
            return None
        files = tuple(
            file if item.stem is None else file.model_copy(update={"enters": entry.stems[item.stem]})
            for item, file in made
        )
        own = {"kind": entry.kind, "phrase_bars": entry.phrase_bars, "files": files}
        return self._loops[entry.name].model_copy(update=own)


def _without_files(entry: MusicLoop, job: Job) -> PackLoop:
    """Length, format and music of a loop as the engine took it; equal for all its stems."""
    return PackLoop(
        name=entry.name,
        kind=entry.kind,
        frames=job.frames,
        sample_rate_hz=job.sample_rate_hz,
        channels=job.channels,
        bits=job.bits,
        tempo_bpm=job.request.tempo_bpm,
        bars=job.request.bars,
        beats_per_bar=job.request.beats_per_bar,
        key=job.request.key,
        phrase_bars=entry.phrase_bars,
        files=(),
    )


def _wav(loop: Loop, entry: MusicLoop) -> bytes:
    job = loop.job
    asked = job.request
    return game_wav(
        loop.pcm,
        job.sample_rate_hz,
        job.channels,
        job.bits,
        loops=entry.kind == "loop",
        tempo_bpm=asked.tempo_bpm,
        beats=asked.bars * asked.beats_per_bar if asked.bars is not None else None,
        beats_per_bar=asked.beats_per_bar,
        key=asked.key,
        title=entry.name,
        comment=asked.prompt,
    )
