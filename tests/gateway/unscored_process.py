"""A gateway that is killed after a job has ended and before the job's score is kept.

    python -m tests.gateway.unscored_process DB DATA CUSTOMER

Prints the job's id, then kills itself as ``kill -9`` would.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from tests.gateway.test_sent_sound import REQUEST, Listener

from loopmeter import LoopRequest, StreamEnded
from loopmeter_engine.contract import ScoreSheet
from loopmeter_gateway.accounts.customers import Caller
from loopmeter_gateway.clock import SystemClock
from loopmeter_gateway.gateway import Gateway
from loopmeter_gateway.jobs.records import Order
from loopmeter_gateway.settings import Settings


class Slow(Listener):
    """Makes every sound, and never a score."""

    def score(self, request: LoopRequest) -> ScoreSheet:
        threading.Event().wait()
        raise AssertionError("nobody sets the event")


async def main(db: str, data: str, customer_id: str) -> None:
    gateway = Gateway(Settings(db=db, data=Path(data)), Slow(), SystemClock())
    await gateway.start()
    caller = Caller(key_id="", scope="customer", customer_id=customer_id, plan="standard")
    job = await gateway.order(caller, Order(customer_id, "key", b"", REQUEST, None, runs_by_itself=False))
    live = await gateway.live(job.id, customer_id)
    gateway.attach(live)
    while not isinstance(await gateway.next_event(live, live.record.chunks_delivered), StreamEnded):
        pass
    print(job.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
