"""How the database of an earlier release becomes that of this one: ``bring_up_to_date`` is all that others call.

An empty database gets today's tables at once. Any other one is taken, step by step, through ``versions/``, inside one
transaction. Databases made before there were steps say so by SQLite's ``user_version`` and count as step one.
"""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from loopmeter_gateway.tables import metadata

HEAD = "v0010"
_BEFORE_STEPS = "v0001"
_START_LOCK = 0x6C6F6F70  # Any number will do, as long as all gateways take the same one.


def bring_up_to_date(connection: Connection) -> None:
    """Create or change the tables, so that they are those of this release. Safe while other processes do the same.

    Raises:
        ValueError: the database was written by a later release.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _START_LOCK})
    found = _version(connection)
    if found == HEAD:
        return
    if found is None:
        metadata.create_all(connection)
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
        return
    _upgrade(connection, found)


def _version(connection: Connection) -> str | None:
    """The last step that was taken; ``None`` for an empty database."""
    names = inspect(connection).get_table_names()
    if "alembic_version" in names:
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found not in (0, 1):
            raise ValueError(f"expected a database of this release, found {found}; use the release that wrote it")
    return _BEFORE_STEPS if "accounts" in names else None


def _upgrade(connection: Connection, found: str) -> None:
    # Imported here, because alembic takes a quarter of a second that most starts can do without.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(files("loopmeter_gateway.migrations")))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found not in known:
        raise ValueError(f"expected a database of this release, found step {found}; use the release that wrote it")
    if "alembic_version" not in inspect(connection).get_table_names():
        command.stamp(config, found)
    command.upgrade(config, "head")
