"""The price books that are in force: stored when they are first used, and never changed from then on.

A shipped book or a file becomes immutable with its first use, which is when a gateway starts with it or a customer
gets it. The same name and version with another text is refused; write a new version instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from loopmeter import PlanInfo, PriceBook
from loopmeter_gateway.database import insert_if_new
from loopmeter_gateway.money.price_book import book_id, find_plan, parse_price_book, shipped_books, shipped_toml
from loopmeter_gateway.problems import Refused
from loopmeter_gateway.tables import price_books


@dataclass(frozen=True, slots=True)
class StoredBook:
    """A price book that is or was in force, as it is written."""

    id: str
    toml: str
    created_at_ms: int


def store_book(connection: Connection, toml: str, now_ms: int) -> PriceBook:
    """Put a book in force; storing the same text again changes nothing.

    Raises:
        ValueError: as ``parse_price_book``.
        Refused: price_book_used (that version is in force with other content).
    """
    book = parse_price_book(toml)
    values: dict[str, object] = {"id": book_id(book), "toml": toml, "created_at_ms": now_ms}
    if not insert_if_new(connection, price_books, values) and stored_book(connection, book_id(book)) != book:
        raise Refused(
            "price_book_used",
            f"version: expected a new one, found {book_id(book)}, which is in force with other prices; "
            "a book never changes, so write a new version",
        )
    return book


def stored_book(connection: Connection, id_: str) -> PriceBook:
    """A book that is or was in force. Raises ``Refused`` not_found."""
    return parse_price_book(_stored(connection, id_))


def _stored(connection: Connection, id_: str) -> str:
    toml: str | None = connection.execute(select(price_books.c.toml).where(price_books.c.id == id_)).scalar()
    if toml is None:
        raise Refused("not_found", f"expected a price book such as standard-1, found none called {id_!r}")
    return toml


def stored_books(connection: Connection) -> list[StoredBook]:
    """All that are or were in force, oldest first."""
    rows = connection.execute(select(price_books).order_by(price_books.c.created_at_ms, price_books.c.id))
    return [StoredBook(row.id, row.toml, row.created_at_ms) for row in rows]


def take_book(connection: Connection, name: str, now_ms: int) -> PriceBook:
    """A stored book by its id, or a shipped one by its name or id, which is stored by that. Raises ``Refused``."""
    toml = _shipped(name)
    return stored_book(connection, name) if toml is None else store_book(connection, toml, now_ms)


def look_up_book(connection: Connection, name: str) -> PriceBook:
    """As ``take_book``, but nothing is put in force."""
    return parse_price_book(book_toml(connection, name))


def book_toml(connection: Connection, name: str) -> str:
    """A shipped book by its name or id, or one that is or was in force, as it is written. Raises ``Refused``."""
    return _shipped(name) or _stored(connection, name)


def _shipped(name: str) -> str | None:
    texts = {shipped: shipped_toml(shipped) for shipped in shipped_books()}
    return next((toml for key, toml in texts.items() if name in (key, book_id(parse_price_book(toml)))), None)


class Books:
    """The books of one gateway, read once: what is stored never changes."""

    def __init__(self, default: str) -> None:
        """Raises ``ValueError``: ``default`` is not a shipped book; one that is stored has to wait for the database."""
        self._default_name = default
        self._known: dict[str, PriceBook] = {}
        self.default: PriceBook | None = None
        if default in shipped_books():
            self.default = parse_price_book(shipped_toml(default))

    def put_in_force(self, connection: Connection, now_ms: int) -> None:
        """Store the gateway's own book, which is immutable from now on. Raises ``ValueError`` if it was changed."""
        try:
            self.default = take_book(connection, self._default_name, now_ms)
        except Refused as refused:
            raise ValueError(refused.detail) from refused

    def known(self, id_: str | None) -> PriceBook | None:
        """A book that was read before; without an id that of the gateway."""
        return self.default if id_ is None else self._known.get(id_)

    def find(self, connection: Connection, id_: str | None) -> PriceBook:
        """A book, read if need be. Raises ``Refused`` not_found."""
        found = self.known(id_)
        if found is None:
            assert id_ is not None
            found = self._known[id_] = stored_book(connection, id_)
        return found

    def plan(self, connection: Connection, id_: str | None, plan: str) -> PlanInfo:
        """What a plan grants under a book."""
        return find_plan(self.find(connection, id_), plan)
