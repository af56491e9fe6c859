"""The shipped prices without peak hours, so that what a test pays a server process does not depend on when it runs."""

from __future__ import annotations

from loopmeter_gateway import admin
from loopmeter_gateway.money.price_book import shipped_toml


def put_level_prices_in_force(db: str) -> str:
    """The name to give a gateway on ``db``."""
    text = shipped_toml("standard").replace('name = "standard"', 'name = "level"', 1)
    text = text[: text.index("[[peaks]]")] + text[text.index("[[plans]]") :]
    return str(admin.add_book(db, text)["price_book"])
