"""Money safety: the price before the call, a budget that holds, one key per intent, and the bill of what came."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopmeter import (
    Bill,
    Budget,
    BudgetExceeded,
    ConnectionFailed,
    InsufficientTokens,
    InvalidRequest,
    LoopmeterError,
    LoopNotCompleted,
    LoopRequest,
    RateLimited,
)
from loopmeter.testing import Cut, End, FakeGateway, Fault, Lose, Refuse, Unreachable


def orders(gateway: FakeGateway) -> int:
    return sum(request.path == "/v1/loops" for request in gateway.requests)


def test_a_budget_refuses_before_anything_is_ordered() -> None:
    gateway = FakeGateway()
    budget = Budget(2_000)
    client = gateway.client(budget=budget)

    client.loops.create("drums"), client.loops.create("bass")
    with pytest.raises(BudgetExceeded, match=r"at most 400 tokens \(what is left of 2000\), found 800") as caught:
        client.loops.create("pads")

    assert (budget.spent, budget.reserved, budget.left) == (1_600, 0, 400)
    assert (caught.value.tokens, caught.value.max_tokens, caught.value.budget) == (800, 400, 2_000)
    assert orders(gateway) == 2


def test_a_cap_takes_one_call_at_a_gateway_that_heeds_it() -> None:
    gateway = FakeGateway()
    client = gateway.client()
    client.balance()  # Any answer says what the gateway heeds.

    loop = client.loops.create("drums", max_tokens=800)
    with pytest.raises(BudgetExceeded, match="at most 799 tokens, found 800") as caught:
        client.loops.create("drums", seed=2, max_tokens=799)

    assert [request.path for request in gateway.requests if request.method == "POST"] == ["/v1/loops"] * 2
    assert (caught.value.tokens, caught.value.max_tokens, caught.value.code) == (800, 799, "budget_exceeded")
    assert loop.tokens_charged == 800 and len(gateway.jobs) == 1 and gateway.balance().held == 0


def test_a_cap_asks_for_the_price_first_until_the_gateway_has_said_that_it_heeds_it() -> None:
    gateway = FakeGateway()

    with pytest.raises(BudgetExceeded):
        gateway.client(max_tokens=799).loops.create("drums")

    assert [request.path for request in gateway.requests] == ["/v1/quotes"]


def test_a_cap_beside_a_budget_still_asks_for_the_price_to_reserve_it() -> None:
    gateway, budget = FakeGateway(), Budget(1_000)
    client = gateway.client(budget=budget, max_tokens=900)
    client.balance()

    client.loops.create("drums")

    assert [request.path for request in gateway.requests if request.method == "POST"] == ["/v1/quotes", "/v1/loops"]
    assert budget.spent == 800


def test_a_job_of_before_is_not_taken_above_the_cap_of_now() -> None:
    gateway = FakeGateway()
    client = gateway.client()
    client.loops.create("drums", idempotency_key="level-1")

    with pytest.raises(BudgetExceeded, match="at most 799 tokens, found 800"):
        client.loops.create("drums", idempotency_key="level-1", max_tokens=799)

    assert len(gateway.jobs) == 1 and gateway.balance().posted == 100_000 - 800


def test_a_stream_that_is_left_costs_the_budget_what_came() -> None:
    gateway = FakeGateway(tokens=5_000)
    budget = Budget(1_000)

    with gateway.client(budget=budget).loops.stream("drums", bars=8) as stream:
        next(stream)
        assert (budget.spent, budget.reserved) == (0, 800)

    assert budget.spent == gateway.jobs[0].tokens_charged == 5_000 - gateway.balance().posted
    assert budget.reserved == 0


def test_what_may_have_been_charged_stays_reserved_until_the_same_key_settles_it() -> None:
    gateway = FakeGateway(faults=[Lose(), *[Unreachable()] * 4])
    budget = Budget(1_000)
    client = gateway.client(budget=budget)

    with pytest.raises(ConnectionFailed) as caught:
        client.loops.create("drums", idempotency_key="level-1")
    unsure = (budget.spent, budget.reserved)
    loop = client.loops.create("drums", idempotency_key=caught.value.idempotency_key)

    assert unsure == (0, 800)
    assert (budget.spent, budget.reserved) == (800, 0)
    assert loop.idempotency_key == "level-1" and len(gateway.jobs) == 1


@pytest.mark.parametrize(
    ("gateway", "error"),
    [
        (FakeGateway(tokens=10), InsufficientTokens),
        (FakeGateway(faults=[Refuse(403, "forbidden")]), LoopmeterError),
    ],
    ids=["402", "403"],
)
def test_a_refused_order_gives_its_reservation_back(gateway: FakeGateway, error: type[LoopmeterError]) -> None:
    budget = Budget(1_000)

    with pytest.raises(error):
        gateway.client(budget=budget).loops.create("drums")

    assert (budget.spent, budget.reserved) == (0, 0)


def test_a_failed_job_settles_for_what_it_delivered() -> None:
    budget = Budget(1_000)
    gateway = FakeGateway(faults=[End("failed", 1)])

    with pytest.raises(LoopNotCompleted) as caught:
        gateway.client(budget=budget).loops.create("drums")

    assert budget.spent == caught.value.tokens_charged > 0
    assert budget.reserved == 0


def test_the_same_key_ordered_twice_counts_once() -> None:
    budget = Budget(1_000)
    client = FakeGateway().client(budget=budget)

    first, again = (client.loops.create("drums", idempotency_key="intro") for _ in range(2))

    assert (again.pcm, budget.spent, budget.left) == (first.pcm, 800, 200)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_a_budget_never_promises_more_than_it_has(steps: list[tuple[str, int, int]]) -> None:
    budget = Budget(100)

    for key, price, charged in steps:
        try:
            budget.reserve(key, price)
        except BudgetExceeded:
            continue
        assert budget.spent + budget.reserved <= 100 and budget.left >= 0
        budget.settle(key, min(price, charged))

    assert budget.spent + budget.left == 100


def test_threads_share_a_budget_to_the_token() -> None:
    gateway = FakeGateway(tokens=10**6)
    budget = Budget(10 * 800)
    refused: list[BudgetExceeded] = []

    def order(number: int) -> None:
        try:
            gateway.client(budget=budget).loops.create("drums", bars=1, seed=number)
        except BudgetExceeded as error:
            refused.append(error)

    threads = [threading.Thread(target=order, args=(number,)) for number in range(25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(gateway.jobs), len(refused), budget.spent) == (10, 15, 8_000)


def test_a_quote_id_does_not_say_its_price_to_a_budget() -> None:
    with pytest.raises(ValueError, match="expected a Quote beside a budget"):
        FakeGateway().client(budget=Budget(1)).loops.stream("drums", quote_id="quo_1")


@pytest.mark.parametrize("tokens", [-1])
def test_a_budget_cannot_be_negative(tokens: int) -> None:
    with pytest.raises(ValueError, match="expected a budget of 0 tokens or more, found -1"):
        Budget(tokens)


def test_a_preview_shows_every_price_and_the_totals_and_holds_nothing() -> None:
    gateway = FakeGateway()
    client = gateway.client()

    preview = client.preview(["calm pads", LoopRequest(prompt="battle\ndrums", bars=60, quality="hifi")], tempo_bpm=120)

    assert [item.tokens for item in preview] == [800, 1820]
    assert (preview.tokens, preview.frames, preview.duration_s) == (2620, 44_100 * 128, 128.0)
    assert str(preview).splitlines() == [
        "prompt        quality   seconds  tokens",
        "calm pads     standard    8.000     800",
        "battle drums  hifi      120.000    1820",
        "2 in all                128.000    2620",
    ]
    assert gateway.balance().held == 0 and gateway.jobs == ()


def test_a_previewed_loop_costs_what_the_preview_said() -> None:
    gateway = FakeGateway()
    client = gateway.client()
    preview = client.preview(["a", "b", "c"], bars=1)

    bills = [client.loops.create(item.request, quote=item.quote).tokens_charged for item in preview]

    assert bills == [item.tokens for item in preview[:3]]
    assert 100_000 - gateway.balance().posted == preview.tokens


def test_one_request_is_previewed_as_a_list_of_one() -> None:
    async def scenario() -> int:
        async with FakeGateway().async_client() as client:
            return (await client.preview("drums")).tokens

    assert asyncio.run(scenario()) == 800


def test_a_wrong_request_in_a_list_is_named() -> None:
    requests = [LoopRequest(prompt="fine"), LoopRequest(prompt="much too long", bars=256, tempo_bpm=40)]

    with pytest.raises(InvalidRequest) as caught:
        FakeGateway().client().preview(requests)

    assert caught.value.__notes__ == ["This was request 2 of 2: 'much too long'"]


def test_the_bill_of_a_left_stream_is_on_the_stream() -> None:
    gateway = FakeGateway()

    with gateway.client().loops.stream("drums", bars=8) as stream:
        next(stream), next(stream)
        assert stream.bill is None

    job = gateway.jobs[0]
    assert stream.bill == Bill(job.id, "cancelled", job.tokens_charged, 2, 800)
    assert stream.bill.tokens_charged == stream.tokens_charged > 0


@pytest.mark.parametrize(
    ("faults", "state", "chunks"),
    [([], "completed", 4), ([End("failed", 2)], "failed", 2), ([Cut(9_000)], "completed", 4)],
    ids=["whole", "failed", "broken"],
)
def test_the_bill_says_how_it_ended(faults: list[Fault], state: str, chunks: int) -> None:
    gateway = FakeGateway(faults=faults)

    with gateway.client().loops.stream("drums", bars=1) as stream, contextlib.suppress(LoopNotCompleted):
        list(stream)

    assert stream.bill is not None
    assert (stream.bill.state, stream.bill.chunks) == (state, chunks)
    assert stream.bill.tokens_charged == gateway.jobs[0].tokens_charged


def test_402_is_never_retried_and_429_is_obeyed_to_the_second() -> None:
    poor = FakeGateway(tokens=1)
    busy = FakeGateway(faults=[Refuse(429, "rate_limited", {"Retry-After": "7"})])

    with pytest.raises(InsufficientTokens):
        poor.client().loops.create("drums")
    busy.client().loops.create("drums", bars=1)

    assert orders(poor) == 1 and poor.clock.sleeps == []
    assert busy.clock.sleeps == [7.0]


def test_a_rate_limit_tells_its_quota() -> None:
    headers = {
        "Retry-After": "60",
        "RateLimit-Policy": '"orders";q=60;w=60, "tokens";q=1000',
        "RateLimit": '"orders";r=0;t=35, "tokens";r=12',
    }
    client = FakeGateway(faults=[Refuse(429, "rate_limited", headers)], faults_on="/").client()

    with pytest.raises(RateLimited) as caught:
        client.balance()

    orders_left, tokens_left = caught.value.quotas
    assert (orders_left.name, orders_left.remaining, orders_left.limit) == ("orders", 0, 60)
    assert (orders_left.window_s, orders_left.resets_in_s) == (60, 35)
    assert (tokens_left.remaining, tokens_left.limit, tokens_left.resets_in_s) == (12, 1000, None)
    assert client.quotas == caught.value.quotas
