"""The control surface: hears OSC on a port of its own, asks the bridge, and makes clips of what comes back.

Live calls ``update_display`` about ten times a second in its main thread, the only place where its objects may be
touched; the socket is read there, without waiting.
"""

import os
import socket
import time

from . import clips, midi, osc

PORT = 9140
BRIDGE = ("127.0.0.1", 9130)
SAMPLE_RATE_HZ = 44100
READS_MAX = 64


class LoopmeterSurface:
    """``/live/loopmeter/make s:prompt i:bars s:key`` makes a loop at the set's tempo, and clips of it.

    It listens on loopback only, at 9140: AbletonOSC has 11000 and 11001, so both work side by side. Whoever asked hears
    ``/live/loopmeter/placed s:name`` or ``/live/loopmeter/error s:message``.
    """

    def __init__(self, c_instance, port=PORT, bridge=None):
        self._instance = c_instance
        self._bridge = bridge or (BRIDGE[0], int(os.environ.get("LOOPMETER_BRIDGE_PORT", BRIDGE[1])))
        self._asked = {}
        self._numbers = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self._say(f"Loopmeter hears OSC at port {self.port}")

    def update_display(self):
        """Read what came. Called by Live."""
        for _ in range(READS_MAX):
            try:
                datagram, sender = self._socket.recvfrom(65535)
            except (BlockingIOError, ConnectionError):
                return
            message = osc.decode(datagram)
            if message is None:
                continue
            try:
                self._hear(message[0], message[1], sender)
            # Whatever goes wrong with one message, Live goes on, and the one who asked is told.
            except Exception as error:
                self._fail(sender, f"{type(error).__name__}: {error}")

    def disconnect(self):
        """Called by Live when the script is switched off."""
        self._socket.close()

    def refresh_state(self):
        pass

    def build_midi_map(self, midi_map_handle):
        pass

    def connect_script_instances(self, instances):
        pass

    def can_lock_to_devices(self):
        return False

    def suggest_input_port(self):
        return ""

    def suggest_output_port(self):
        return ""

    def suggest_map_mode(self, *arguments):
        return 0

    def receive_midi(self, midi_bytes):
        pass

    def _hear(self, address, values, sender):
        if address == "/live/loopmeter/make":
            self._make(values, sender)
        elif address.startswith("/loopmeter/") and values and values[0] in self._asked:
            self._answer(address, values)

    def _make(self, values, sender):
        expected = "expected /live/loopmeter/make s:prompt i:bars s:key, then pairs of a name and a value"
        if len(values) < 3 or not isinstance(values[0], str) or len(values) % 2 == 0:
            self._fail(sender, expected + f", found {values!r}")
            return
        song = self._instance.song()
        if song.signature_denominator != 4 or not 2 <= song.signature_numerator <= 6:
            self._fail(
                sender,
                "expected a time signature of 2/4 to 6/4, "
                f"found {song.signature_numerator}/{song.signature_denominator}",
            )
            return
        self._numbers += 1
        own_id = f"live-{int(time.time())}-{self._numbers}"
        prompt, bars, key = values[0], int(values[1]), str(values[2])
        self._asked[own_id] = (sender, prompt)
        self._socket.sendto(
            osc.encode(
                "/loopmeter/loop",
                own_id,
                prompt,
                float(song.tempo),
                bars,
                key,
                "standard",
                "beats_per_bar",
                int(song.signature_numerator),
                *values[3:],
            ),
            self._bridge,
        )

    def _answer(self, address, values):
        own_id = values[0]
        sender, prompt = self._asked[own_id]
        if address == "/loopmeter/ready":
            del self._asked[own_id]
            self._place(sender, prompt, values)
        elif address in ("/loopmeter/error", "/loopmeter/cancelled"):
            del self._asked[own_id]
            self._fail(sender, " ".join(str(value) for value in values[1:]))
        elif address == "/loopmeter/progress":
            self._say("Loopmeter: chunk {} of {}, {} tokens".format(*tuple(values[1:4])))

    def _place(self, sender, prompt, values):
        _, wav_path, midi_path, frames, tempo_bpm, tokens = values
        beats = clips.beats_of(frames, SAMPLE_RATE_HZ, tempo_bpm)
        song = self._instance.song()
        try:
            clips.place_audio(song, wav_path, prompt, tempo_bpm, beats)
        except clips.CannotPlace as error:
            self._fail(sender, str(error))
            return
        with open(midi_path, "rb") as file:
            clips.place_midi(song, midi.notes_of(file.read()), prompt, beats)
        self._say(f"Loopmeter: {prompt}, {tokens} tokens")
        self._socket.sendto(osc.encode("/live/loopmeter/placed", prompt), sender)

    def _fail(self, sender, message):
        self._say("Loopmeter: " + message)
        self._socket.sendto(osc.encode("/live/loopmeter/error", message[:1000]), sender)

    def _say(self, message):
        self._instance.log_message(message)
        self._instance.show_message(message)
