"""A process that fills and reads a shared cache, and says ``wrong`` as soon as it reads what nobody wrote.

``python -m tests.sdk.cache_worker FOLDER BYTES_MAX REQUESTS SEED ROUNDS [FILE_BYTES_MAX]``: one line per round, or
until it is killed if ROUNDS is 0.
"""

from __future__ import annotations

import itertools
import random
import resource
import sys

from tests.sdk.finished import finished

from loopmeter import LoopCache, LoopRequest

FRAMES = 150_000


def main(folder: str, bytes_max: int, requests: int, seed: int, rounds: int, file_bytes_max: int = 0) -> None:
    if file_bytes_max:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
    cache = LoopCache(folder, bytes_max=bytes_max)
    chance = random.Random(seed)
    for number in itertools.count() if rounds == 0 else range(rounds):
        request = LoopRequest(prompt="drums", seed=chance.randrange(requests))
        right = finished(request, FRAMES)
        found = cache.get(request)
        if found is not None and found != right:
            print("wrong", flush=True)
            sys.exit(3)
        kept = cache.put(request, right)
        print("round", number, "hit" if found else "miss", "kept" if kept else "refused", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
