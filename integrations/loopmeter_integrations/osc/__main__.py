"""Print the tables of docs/integrations/osc.md."""

from loopmeter_integrations.osc._addresses import markdown_tables

print(markdown_tables(), end="")
