"""Deliberate mistakes. Each line that ends in ``# wrong`` must be rejected by every checker, and no other line."""

from loopmeter import (
    AsyncLoopmeter,
    Budget,
    Loopmeter,
    LoopRequest,
    PreviewItem,
    StreamInterrupted,
    Timeout,
    continue_loop,
    repaint_loop,
    vary_loop,
)
from loopmeter.testing import Cut, FakeGateway, make_quote

client = Loopmeter()

client.quote("drums", tempo="92")  # wrong
client.loops.create("drums", quality="studio")  # wrong
client.loops.create(bars=4)  # wrong
print(client.balance().availible)  # wrong
client.loops.create("drums", layers=["kazoo"])  # wrong
client.loops.create("drums", quote="quo_1")  # wrong
client.loops.create("drums", 92)  # wrong
client.loops.create("drums", on_chunk=lambda: None)  # wrong
client.loops.create("drums", max_tokens="800")  # wrong
client.loops.stream("drums").save()  # wrong
client.loops.audio("job_1", "mp3")  # wrong
client.loops.resume()  # wrong
client.with_options(retries=3)  # wrong
client.with_options(timeout=3)  # wrong
client.preview([1, 2])  # wrong
Loopmeter(8130)  # wrong
Loopmeter(budget=2_000)  # wrong
Timeout(total_s=3)  # wrong
Budget()  # wrong
Budget(100).left = 5  # wrong
LoopRequest(prompt="drums", tempo="92")  # wrong
item: PreviewItem = client.preview(["a"])  # wrong
tokens: str = client.quote("drums").tokens  # wrong
midi: bytes = client.loops.create("drums").midi  # wrong
FakeGateway(faults=[Cut()])  # wrong
FakeGateway(faults="503")  # wrong
make_quote("drums", tempo=92)  # wrong
vary_loop(12)  # wrong
repaint_loop("take.wav", "fill", from_beat=4)  # wrong
continue_loop("take.wav", "on", bpm=92)  # wrong
client.live("rain", fallback=1)  # wrong

with client.loops.stream("drums") as stream:
    print(stream.bill.tokens_charged)  # wrong
    for chunk in stream:
        print(chunk.samples)  # wrong

try:
    client.loops.create("drums")
except StreamInterrupted as error:
    print(error.job)  # wrong


async def forgotten_await(twin: AsyncLoopmeter) -> None:
    balance = twin.balance()
    print(balance.available)  # wrong
    with twin.loops.stream("drums"):  # wrong
        pass
    for _ in twin.loops.stream("drums"):  # wrong
        pass
