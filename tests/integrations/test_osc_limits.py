from __future__ import annotations

from loopmeter_integrations.osc._limits import MessageRate


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    rate = MessageRate(per_s=10)
    assert sum(rate.admit("a", 0.0) for _ in range(50)) == 20
    assert sum(rate.admit("a", 0.5) for _ in range(50)) == 5
    assert sum(rate.admit("a", 100.0) for _ in range(50)) == 20


def test_clients_do_not_share_a_bucket() -> None:
    rate = MessageRate(per_s=1)
    assert [rate.admit("a", 0.0) for _ in range(3)] == [True, True, False]
    assert rate.admit("b", 0.0)


def test_a_flood_is_complained_about_once_a_second() -> None:
    rate = MessageRate(per_s=1)
    assert [rate.may_complain("a", at_s) for at_s in (0.0, 0.5, 0.99, 1.0, 1.5)] == [True, False, False, True, False]


def test_the_client_heard_longest_ago_is_forgotten() -> None:
    rate = MessageRate(per_s=0.5, clients_max=2)
    assert rate.admit("a", 0.0)
    rate.admit("b", 0.0)
    assert not rate.admit("a", 0.0)
    rate.admit("c", 0.0)
    assert not rate.admit("a", 0.0)
    assert rate.admit("b", 0.0)
