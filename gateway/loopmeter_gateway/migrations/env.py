"""What alembic runs to take its steps, on the connection that ``bring_up_to_date`` gives it."""

from alembic import context

from loopmeter_gateway.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
