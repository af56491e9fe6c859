"""Loops in Ardour: follow its tempo over OSC, and bring a loop into its session on a bar, exact to the frame.

``_session.py`` reads and writes the session file, ``_control.py`` talks to a running Ardour, ``_program.py`` is
``loopmeter adapter ardour``. Tried with Ardour 7.3; session files of version 7000 and later are taken.
"""

from loopmeter_integrations.ardour._control import ArdourControl, ArdourSilent
from loopmeter_integrations.ardour._session import ArdourSession, SessionError

__all__ = ["ArdourControl", "ArdourSession", "ArdourSilent", "SessionError"]
