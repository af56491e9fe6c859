"""The real server with a FakeEngine of a chosen pace, and a grace time of its own.

    python -m tests.gateway.paced_server DB DATA PORT FAST SLOW_S GRACE_S

The first FAST chunks of the process come at once, every later one after SLOW_S seconds. Prices have no peak hours.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from tests.gateway.level_prices import put_level_prices_in_force

from loopmeter_engine.fake import FakeEngine
from loopmeter_gateway.server import serve_engine
from loopmeter_gateway.settings import Settings


def main() -> None:
    db, data, port, fast, slow_s, grace_s = sys.argv[1:]
    made = itertools.count()

    def sleep(seconds: float) -> None:
        if next(made) >= int(fast):
            time.sleep(seconds)

    prices = put_level_prices_in_force(db)
    settings = Settings(db=db, data=Path(data), price_book=prices, grace_s=float(grace_s), sweep_every_s=0.05)
    serve_engine(FakeEngine(chunk_delay_s=float(slow_s) or 1e-9, sleep=sleep), settings, "127.0.0.1", int(port))


if __name__ == "__main__":
    main()
