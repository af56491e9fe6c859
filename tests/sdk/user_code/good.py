"""What users write, which strict checkers must take as it stands. Checked by test_types.py, not run."""

from array import array
from collections.abc import Sequence
from pathlib import Path

from loopmeter import (
    AsyncLoopmeter,
    Balance,
    Bill,
    Budget,
    BudgetExceeded,
    ChunkReceived,
    HttpRequest,
    InvalidRequest,
    LiveFallback,
    Loop,
    Loopmeter,
    LoopmeterError,
    LoopRequest,
    Preview,
    Progress,
    Quota,
    Quote,
    RateLimited,
    Sound,
    Timeout,
    UsagePage,
    accompany_loop,
    continue_loop,
    midi_base64,
    repaint_loop,
    sound_base64,
    vary_loop,
)
from loopmeter.testing import Cut, FakeGateway, Refuse, make_chunk, make_error, make_loop, make_quote


def bake(client: Loopmeter) -> Loop:
    quote: Quote = client.quote("drums", tempo_bpm=92, bars=4, layers=["drums"])
    balance: Balance = client.balance()
    total: int = quote.tokens + balance.available
    with client.loops.stream(LoopRequest(prompt="drums"), max_tokens=total) as stream:
        for chunk in stream:
            data: bytes = chunk.pcm
            spent: int = chunk.meter.tokens_total
            print(len(data), spent, stream.progress.fraction)
    bill: Bill | None = stream.bill
    print(bill.tokens_charged if bill is not None else 0)
    return client.loops.create("drums", quote=quote, quality="hifi")


def careful(budget: Budget, level: Sequence[LoopRequest | str]) -> int:
    client = Loopmeter(timeout=Timeout(connect_s=1, read_s=None), max_retries=2, budget=budget, proxy=None)
    preview: Preview = client.preview(level, quality="hifi")
    for item in preview:
        client.with_options(max_tokens=item.tokens, timeout=Timeout()).loops.create(item.request, quote=item.quote)
    first: int = preview[0].tokens
    rest: Preview = preview[1:]
    return first + rest.tokens + budget.left


def forms(client: Loopmeter, folder: Path) -> None:
    def show(progress: Progress) -> None:
        print(f"{progress.fraction:.0%} {progress.tokens_charged}")

    with client.loops.stream("drums") as stream:
        bill: Bill = stream.save(folder / "loop.wav", on_progress=show)
    with client.loops.stream("drums") as stream:
        blocks: list[array[float]] = list(stream.floats())
    with client.loops.stream("drums", detach=True) as stream:
        pieces: list[bytes] = list(stream.pcm())
    print(bill.state, len(blocks), len(pieces))


def errors(client: Loopmeter) -> str:
    try:
        client.loops.create("drums")
    except BudgetExceeded as error:
        left: int = error.max_tokens
        return str(left)
    except InvalidRequest as error:
        return error.errors[0].field
    except RateLimited as error:
        quotas: tuple[Quota, ...] = error.quotas
        return str(quotas[0].remaining if quotas else error.retry_after_s)
    except LoopmeterError as error:
        key: str | None = error.idempotency_key
        return f"{error.code} {error.status} {error.request_id} {error.advice} {error.retryable} {key}"
    return ""


def sounds_of_my_own(client: Loopmeter, loop: Loop) -> None:
    sources: list[Sound] = [loop, "take.wav", Path("take.flac"), b"RIFF"]
    requests: list[LoopRequest] = [continue_loop(source, "on", bars=4, tempo_bpm=92) for source in sources]
    requests += [repaint_loop(loop, from_beat=4, to_beat=8.5), vary_loop(loop, strength=0.3, seed=2)]
    requests.append(accompany_loop(loop, "bass", layers=("bass",), negative_prompt="voices"))
    reference: str = sound_base64("take.wav")
    client.loops.create("drums", reference_audio_base64=reference, midi_base64=midi_base64(loop.midi()))
    print(client.preview(requests).tokens)


def with_a_pack(client: Loopmeter) -> None:
    with client.loops.stream("drums", fallback="battle.drums") as stream:
        source: str = stream.source
        error: LoopmeterError | None = stream.rescued_from
        print(source, stream.reason, error)
    with client.live("rain", fallback="calm", max_tokens=500) as session:
        for event in session:
            match event:
                case LiveFallback(name=name, reason=reason):
                    print(name, reason, session.source)
                case ChunkReceived(pcm=pcm):
                    print(len(pcm))
                case _:
                    session.stop()


async def in_asyncio(client: AsyncLoopmeter) -> bytes:
    async with client.loops.stream("drums") as stream:
        async for chunk in stream:
            print(chunk.index)
    async with client.loops.stream("drums") as stream:
        async for block in stream.floats():
            print(max(block))
    preview = await client.preview(["a", "b"])
    page: UsagePage = await client.usage(limit=10)
    print(preview.tokens, page.tokens_charged)
    return await (await client.loops.create("drums")).midi()


def test_my_game() -> None:
    gateway = FakeGateway(tokens=2_000, faults=[Refuse(503), None, Cut(500, reset=True)])
    made: list[ChunkReceived] = []
    with gateway.client(max_tokens=900) as client:
        client.loops.create("drums", on_chunk=made.append)
    requests: list[HttpRequest] = gateway.requests
    chunk: ChunkReceived = make_chunk()
    retryable: bool = make_error(503).retryable
    print(len(requests), chunk.index, retryable, make_loop("drums").sha256, make_quote(bars=2).tokens)
