"""A day of demo traffic, priced under each shipped book: ``python -m scripts.pricing`` writes docs/pricing.md.

Four customers order through a real gateway, by a clock that is turned through one day. Operations and memory are what
the house model's plan says; the sound is the fake engine's, and takes the time that docs/benchmarks.md measured for
the house model. So the bills are exact, and the cost is as good as that one figure.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from loopmeter import LoopRequest, Quality
from loopmeter_engine.contract import Chunk, Engine, Plan
from loopmeter_engine.fake import FakeEngine
from loopmeter_engine.registry import load_engine
from loopmeter_gateway import admin
from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.clock import ManualClock
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.jobs.records import Order
from loopmeter_gateway.money.price_book import load_price_book, shipped_books
from loopmeter_gateway.money.reports import Rates
from loopmeter_gateway.settings import Settings

DAY = datetime(2026, 1, 5, tzinfo=UTC)
SPEED = 26.1  # Seconds of a loop per second of the device, docs/benchmarks.md.
RATES = Rates(token_micros=500, device_hour_micros=600_000)


@dataclass(frozen=True, slots=True)
class Customer:
    """Who orders what: how often in a day, how many bars, how fast, how often in hifi, how often given up."""

    name: str
    plan: str
    orders: int
    bars: tuple[int, ...]
    tempo_bpm: tuple[int, int]
    hours: tuple[int, int]
    hifi: float = 0.0
    given_up: float = 0.0


CUSTOMERS = (
    Customer("musician", "studio", 40, (2, 4, 8), (80, 140), (9, 23), hifi=0.3, given_up=0.2),
    Customer("game studio", "scale", 60, (1, 2, 4), (90, 160), (0, 24)),
    Customer("film maker", "standard", 6, (30, 60), (80, 100), (8, 18), hifi=0.5),
    Customer("hobbyist", "free", 5, (1, 2), (80, 140), (18, 22)),
)


class Recorded(FakeEngine):
    """The fake engine's sound, with the house model's figures."""

    def __init__(self, model: Engine) -> None:
        super().__init__()
        self._model = model

    def plan(self, request: LoopRequest) -> Plan:
        real = self._model.plan(request)
        return replace(super().plan(request), flops=real.flops, peak_memory_bytes=real.peak_memory_bytes)

    def lease(self, request: LoopRequest, start_chunk: int, count: int, state: bytes | None) -> Iterator[Chunk]:
        plan = self.plan(request)
        for chunk in super().lease(request, start_chunk, count, state):
            seconds = chunk.frames / plan.sample_rate_hz / SPEED
            flops = plan.flops * chunk.frames // plan.frames
            yield replace(chunk, usage=replace(chunk.usage, flops=flops, device_seconds=seconds))


def traffic(seed: int) -> list[tuple[int, Customer, LoopRequest, bool]]:
    """When (seconds of the day), who, what, and whether it is given up: in order of time."""
    dice, found = random.Random(seed), []
    for customer in CUSTOMERS:
        for number in range(customer.orders):
            quality: Quality = "hifi" if dice.random() < customer.hifi else "standard"
            request = LoopRequest(
                prompt="dusty lo-fi drums",
                bars=dice.choice(customer.bars),
                tempo_bpm=dice.randint(*customer.tempo_bpm),
                quality=quality,
                seed=number,
            )
            at_s = dice.randrange(customer.hours[0] * 3600, customer.hours[1] * 3600)
            found.append((at_s, customer, request, dice.random() < customer.given_up))
    return sorted(found, key=lambda order: order[0])


async def record(db: str, folder: Path, engine: Engine, seed: int) -> int:
    """Let the day happen; how many jobs were made."""
    clock = ManualClock(DAY)
    gateway = Gateway(Settings(db=db, data=folder, hold_ttl_s=10**6), Recorded(engine), clock)
    await gateway.start()
    ids = {}
    for customer in CUSTOMERS:
        found = admin.create_customer(db, customer.name, customer.plan)
        ids[customer.name] = str(found["customer_id"])
        admin.grant(db, customer.name, 10**6)
    orders, before_s = traffic(seed), 0
    for number, (at_s, customer, request, given_up) in enumerate(orders):
        clock.advance(at_s - before_s)
        before_s = at_s
        caller = Caller("", "customer", ids[customer.name], customer.plan)
        order = Order(caller.customer_id, f"order-{number}", str(number).encode(), request, None, runs_by_itself=False)
        live = await gateway.live((await gateway.order(caller, order)).id, caller.customer_id)
        gateway.attach(live)
        wanted = live.record.chunk_count // 2 if given_up else live.record.chunk_count
        for index in range(wanted):
            await gateway.next_event(live, index)
        gateway.detach(live)
        if given_up:
            await gateway.cancel(live)
    await gateway.stop()
    return len(orders)


def page(db: str, jobs: int) -> str:
    """The tables of every book beside ``standard``."""
    books = [name for name in shipped_books() if name != "standard"]
    found = {name: admin.simulate(db, name, None, None, RATES) for name in books}
    first = found[books[0]]
    lines = [_HEAD.format(jobs=jobs, token=f"{RATES.token_micros / 1e6:g}", hour=f"{RATES.device_hour_micros / 1e6:g}")]
    for title, groups in (("customer", "customers"), ("length", "lengths")):
        lines += ["", f"| {title} | jobs | seconds | standard | " + " | ".join(f"{b} | change" for b in books) + " |"]
        lines.append("| --- | ---: | ---: | ---: | " + " | ".join("---: | ---:" for _ in books) + " |")
        for index, row in enumerate([*first[groups], first["total"]]):
            rows = [[*found[b][groups], found[b]["total"]][index] for b in books]
            cells = " | ".join(f"{each['tokens_after']:,} | {each['percent']:+.0f} %" for each in rows)
            lines.append(
                f"| {row['name']} | {row['jobs']} | {row['seconds']:,.0f} | {row['tokens_before']:,} | {cells} |"
            )
    lines += [
        "",
        "| | standard | " + " | ".join(books) + " |",
        "| --- | ---: | " + " | ".join("---:" for _ in books) + " |",
    ]
    for what, before, after in (
        ("revenue", "revenue_before_micros", "revenue_after_micros"),
        ("device cost", "cost_micros", "cost_micros"),
        ("margin", "margin_before_micros", "margin_after_micros"),
    ):
        cells = " | ".join(f"{found[b][after] / 1e6:.2f}" for b in books)
        lines.append(f"| {what} | {first[before] / 1e6:.2f} | {cells} |")
    lines += ["", _BOOKS, ""]
    for name in shipped_books():
        lines.append(f"* `{name}`: {load_price_book(name).description}")
    return "\n".join(lines) + "\n"


_HEAD = """# What to charge: one day under three price books

Written by `python -m scripts.pricing`. A day of demo traffic ({jobs} jobs of four made-up customers) went through a
real gateway under the book `standard`; `loopmeter admin simulate` then priced the same jobs again. Operations and
memory are those of the house model's plan; its time on the device is taken from [the benchmarks](benchmarks.md). Tokens
are sold for {token} each here, and an hour of the device costs {hour}, both in any currency: put in your own with
`--token-price` and `--device-hour`. What customers would order at other prices, no simulation knows."""

_BOOKS = """To decide: a customer whose loops are short pays for a minute under `standard`, whatever its length. That is
what the change of short lengths shows. Under `loops` the fixed part covers what every loop costs to begin, and the rest
follows its length; pieces near a minute pay about the same in both. `resource` follows the work itself, so a bigger
model or more steps cost more without a new book."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.pricing", description="Price a day under every book.")
    parser.add_argument("--out", type=Path, default=Path("docs/pricing.md"), help="default: docs/pricing.md")
    parser.add_argument("--seed", type=int, default=1, help="of the day's traffic; default: 1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = f"sqlite:///{folder}/day.db"
        jobs = asyncio.run(record(db, Path(folder), load_engine("loopmeter"), given.seed))
        given.out.write_text(page(db, jobs), encoding="utf-8")
    print(given.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
