"""Loops for anything that speaks OSC: one message in, a WAV and a MIDI file out.

``run`` is the program behind ``loopmeter bridge``; ``serve_osc`` runs the same inside an event loop. The protocol is
``_table.py``; ``_codec.py`` reads packets, ``_schedule.py`` keeps time, ``_bridge.py`` dispatches, ``_work.py`` makes
loops over the SDK, and ``_server.py`` has the sockets.
"""

from loopmeter_integrations.osc._instruments import Instruments
from loopmeter_integrations.osc._server import (
    BridgeError,
    BridgeSettings,
    parse_listen,
    parse_networks,
    run,
    serve_osc,
)

__all__ = ["BridgeError", "BridgeSettings", "Instruments", "parse_listen", "parse_networks", "run", "serve_osc"]
