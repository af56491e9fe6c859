"""What the house earned, and what it would have earned under another price book."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from loopmeter import PriceBook
from loopmeter_gateway.clock import from_ms
from loopmeter_gateway.money.price_book import Work, book_id, charge_due, find_plan, price, round_half_up
from loopmeter_gateway.money.usage_records import EndedJob, UsageRecord

LENGTHS_S = (4, 8, 16, 30, 60)


@dataclass(frozen=True, slots=True)
class Rates:
    """What tokens are sold for and what a device costs, in millionths of whatever money the operator counts in."""

    token_micros: int = 0
    device_hour_micros: int = 0


@dataclass(frozen=True, slots=True)
class MarginRow:
    """One model, plan and customer; or the sum over those that are named ``*``."""

    model: str
    plan: str
    customer: str
    jobs: int
    tokens_sold: int
    tokens_refunded: int
    device_seconds: float
    flops: int
    revenue_micros: int
    cost_micros: int
    margin_micros: int


def margin(jobs: Iterable[EndedJob], rates: Rates) -> list[MarginRow]:
    """Tokens sold against device seconds, per model, plan and customer; then per each alone; the sum comes last."""
    groups: dict[tuple[str, str, str], list[UsageRecord]] = defaultdict(list)
    for job in jobs:
        usage = job.usage
        for key in (
            (usage.model, usage.plan, usage.customer),
            *((usage.model, "*", "*"), ("*", usage.plan, "*"), ("*", "*", usage.customer), ("*", "*", "*")),
        ):
            groups[key].append(usage)
    groups.setdefault(("*", "*", "*"), [])
    ordered = sorted(groups, key=lambda key: (key.count("*"), key))
    return [_row(key, groups[key], rates) for key in ordered]


def _row(key: tuple[str, str, str], usages: list[UsageRecord], rates: Rates) -> MarginRow:
    sold = sum(usage.tokens_charged for usage in usages)
    refunded = sum(usage.tokens_refunded for usage in usages)
    seconds = sum(usage.device_seconds for usage in usages)
    revenue = (sold - refunded) * rates.token_micros
    cost = round_half_up(Fraction(seconds) * rates.device_hour_micros / 3600)
    return MarginRow(
        *key,
        jobs=len(usages),
        tokens_sold=sold,
        tokens_refunded=refunded,
        device_seconds=round(seconds, 3),
        flops=sum(usage.flops for usage in usages),
        revenue_micros=revenue,
        cost_micros=cost,
        margin_micros=revenue - cost,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What a group of jobs was charged, and what it would have been charged."""

    name: str
    jobs: int
    seconds: float
    tokens_before: int
    tokens_after: int
    percent: float | None


@dataclass(frozen=True, slots=True)
class Simulation:
    """The usage of a period under another price book. Money is in the millionths of ``Rates``."""

    price_book: str
    since: str
    until: str
    total: Change
    revenue_before_micros: int
    revenue_after_micros: int
    cost_micros: int
    margin_before_micros: int
    margin_after_micros: int
    customers: tuple[Change, ...]
    lengths: tuple[Change, ...]


def simulate(jobs: Iterable[EndedJob], book: PriceBook, rates: Rates, since_ms: int, until_ms: int) -> Simulation:
    """Price again what was made: the same requests at the same times under the same plans, as far as delivered.

    Refunds are left out on both sides. What customers would have ordered at other prices, nobody knows.
    """
    before: list[tuple[EndedJob, int]] = [(job, repriced(job, book)) for job in jobs]
    total = _change("total", before)
    cost = round_half_up(Fraction(sum(job.usage.device_seconds for job, _ in before)) * rates.device_hour_micros / 3600)
    revenue = [tokens * rates.token_micros for tokens in (total.tokens_before, total.tokens_after)]
    return Simulation(
        price_book=book_id(book),
        since=from_ms(since_ms).isoformat(),
        until=from_ms(until_ms).isoformat(),
        total=total,
        revenue_before_micros=revenue[0],
        revenue_after_micros=revenue[1],
        cost_micros=cost,
        margin_before_micros=revenue[0] - cost,
        margin_after_micros=revenue[1] - cost,
        customers=_changes(before, lambda job: job.usage.customer),
        lengths=_changes(before, _length, [_length_name(index) for index in range(len(LENGTHS_S) + 1)]),
    )


def repriced(job: EndedJob, book: PriceBook) -> int:
    """What a job would have been charged under ``book``: its new price, as far as it was delivered."""
    offer, usage = job.offer, job.usage
    cost = price(
        book,
        frames=offer.frames,
        sample_rate_hz=offer.sample_rate_hz,
        quality=offer.request.quality,
        at=from_ms(job.created_at_ms),
        plan=find_plan(book, usage.plan),
        work=Work(offer.flops, offer.peak_memory_bytes),
    )
    return charge_due(cost.tokens, usage.frames_delivered, offer.frames)


def _changes(
    jobs: list[tuple[EndedJob, int]], group: Callable[[EndedJob], str], order: list[str] | None = None
) -> tuple[Change, ...]:
    groups: dict[str, list[tuple[EndedJob, int]]] = defaultdict(list)
    for job, tokens in jobs:
        groups[group(job)].append((job, tokens))
    names = sorted(groups) if order is None else [name for name in order if name in groups]
    return tuple(_change(name, groups[name]) for name in names)


def _change(name: str, jobs: list[tuple[EndedJob, int]]) -> Change:
    before = sum(job.usage.tokens_charged for job, _ in jobs)
    after = sum(tokens for _, tokens in jobs)
    seconds = sum(job.usage.frames_delivered / job.usage.sample_rate_hz for job, _ in jobs)
    percent = round(100 * (after - before) / before, 1) if before else None
    return Change(name, len(jobs), round(seconds, 1), before, after, percent)


def _length(job: EndedJob) -> str:
    seconds = job.offer.frames / job.offer.sample_rate_hz
    return _length_name(sum(seconds > edge for edge in LENGTHS_S))


def _length_name(index: int) -> str:
    if index == len(LENGTHS_S):
        return f"above {LENGTHS_S[-1]} s"
    return f"up to {LENGTHS_S[0]} s" if index == 0 else f"{LENGTHS_S[index - 1]} to {LENGTHS_S[index]} s"
