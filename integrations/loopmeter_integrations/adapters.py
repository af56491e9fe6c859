"""Find adapters by name. Listing imports none of them; loading imports exactly one.

An adapter brings loops into one program. Any distribution may name one under the entry-point group
``loopmeter.adapters``: a function that takes the arguments of its command line and gives the exit code, as
``loopmeter adapter NAME ARGUMENTS`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

from loopmeter import LoopmeterError

GROUP = "loopmeter.adapters"

Adapter = Callable[[Sequence[str]], int]


class AdapterUnavailable(LoopmeterError):
    """No adapter of that name can be loaded. The message says what there is, or what failed."""


def adapter_names() -> dict[str, str]:
    """Every installed adapter and its ``module:function``, ordered by name. Imports none of them."""
    return {point.name: point.value for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def load_adapter(name: str) -> Adapter:
    """Import the adapter called ``name``. Raises ``AdapterUnavailable``."""
    points = entry_points(group=GROUP, name=name)
    if not points:
        known = ", ".join(adapter_names()) or "none"
        raise AdapterUnavailable(f"expected one of the installed adapters ({known}), found {name!r}")
    point = next(iter(points))
    try:
        adapter: Adapter = point.load()
    except ImportError as error:
        raise AdapterUnavailable(
            f"adapter {name!r} ({point.value}) did not load: {error}; install it with: pip install 'loopmeter[osc]'"
        ) from error
    return adapter
