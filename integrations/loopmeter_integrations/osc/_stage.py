"""Playing loops in time: ``/loopmeter/play``, ``swap``, ``stop``, ``gain``, ``clock`` and ``tempo``.

A change waits for its loop, then for its boundary; a deck has one change waiting at most, and the last one counts.
Sound and time come from the player; without an output there is only the clock.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from loopmeter_integrations.clocks import Clock, ClockError
from loopmeter_integrations.osc._addresses import BadArguments, Value
from loopmeter_integrations.osc._clients import Client, Topic
from loopmeter_integrations.osc._library import Library, MadeLoop
from loopmeter_integrations.osc._refusals import Refusal, explain

if TYPE_CHECKING:  # numpy, which a bridge without an output does without.
    from loopmeter_integrations.playback import Event, OnOutput, OutputState, Player, Sound

BARS_MAX = 64
SOUND_BYTES_MAX = 2**28
_WHEN = re.compile(r"([1-9]\d?)(?: ?bars?)?")
Values = dict[str, Value]


class Told(Protocol):
    """How the stage speaks: to one client, to all who subscribed, or of a mistake; and how it works on its own."""

    def reply(self, client: Client, own_id: str, address: str, *values: Value) -> None: ...
    def tell(self, topic: Topic, address: str, *values: Value) -> None: ...
    def error(self, client: Client, own_id: str, code: str, message: str) -> None: ...
    def is_making(self, client: Client, own_id: str) -> bool: ...
    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants to hear: ``loop`` on ``deck`` from the next multiple of ``quantum_beats``."""

    client: Client
    own_id: str
    deck: int
    loop: str
    quantum_beats: float
    fade_s: float


class Stage:
    """The decks of one bridge."""

    def __init__(
        self,
        told: Told,
        clock: Clock,
        beats_per_bar: int,
        player: Callable[[Callable[[Event], None], OnOutput], Player] | None = None,
    ) -> None:
        self._told = told
        self._clock = clock
        self._beats_per_bar = beats_per_bar
        self._player = player(self._on_event, self._on_output) if player is not None else None
        self._library = Library()
        self._waiting: dict[int, Wish] = {}
        self._latest: dict[int, Wish] = {}
        self._playing: dict[int, str] = {}
        self._sounds: OrderedDict[MadeLoop, Sound] = OrderedDict()
        self.at_once: dict[str, Callable[[Client, str, Values], None]] = {
            "/loopmeter/play": self._play,
            "/loopmeter/swap": self._swap,
            "/loopmeter/stop": self._stop,
            "/loopmeter/gain": self._gain,
            "/loopmeter/clock": self._tell_clock,
            "/loopmeter/tempo": self._tempo,
            "/loopmeter/output": self._tell_output,
        }

    def start(self) -> None:
        """Begin to sound. Raises ``OutputError``."""
        if self._player is not None:
            self._player.start()

    def close(self) -> None:
        if self._player is not None:
            self._player.close()
        else:
            self._clock.close()

    def find(self, client: Client, name: str) -> MadeLoop | None:
        """The client's loop of this id, or anybody's whose WAV file has this name."""
        return self._library.find(client, name)

    def made(self, client: Client, own_id: str, made: MadeLoop) -> None:
        """A loop is ready: begin what waited for it."""
        self._library.add(client, own_id, made)
        for wish in self._waiting_for(client, own_id):
            self._told.spawn(self._begin(wish, made))

    def not_made(self, client: Client, own_id: str) -> None:
        """A loop will not come: what waited for it waits in vain."""
        for wish in self._waiting_for(client, own_id):
            message = f"expected the loop {own_id!r}, which was not finished; deck {wish.deck + 1} plays on as it did"
            self._told.error(wish.client, wish.own_id, "unknown_id", message)

    async def beat(self) -> None:
        """Tell every beat to those who subscribed. Runs until it is cancelled."""
        told = None
        while True:
            now_s = time.monotonic()
            line = self._clock.timeline(now_s)
            beat = line.beat_at(now_s)
            if told != (told := int(beat + 1e-3)) and line.tempo_bpm:
                bar, of_bar = divmod(told, self._beats_per_bar)
                self._told.tell("beat", "/loopmeter/beat", bar, of_bar, line.tempo_bpm)
            wait_s = line.time_at(told + 1) - now_s
            await asyncio.sleep(max(0.001, min(wait_s, 0.25)))

    def _waiting_for(self, client: Client, own_id: str) -> list[Wish]:
        found = [wish for wish in self._waiting.values() if (wish.client, wish.loop) == (client, own_id)]
        for wish in found:
            del self._waiting[wish.deck]
        return found

    # What clients ask for.

    def _play(self, client: Client, own_id: str, values: Values) -> None:
        wish = self._wish(client, own_id, values)
        made = self._library.find(client, wish.loop)
        running = self._told.is_making(client, wish.loop)
        if made is None and not running:
            raise Refusal(
                "unknown_id",
                f"expected the id of a loop of yours, or the name of a WAV file that this bridge made, "
                f"found {wish.loop[:80]!r}",
            )
        self._replace(wish)
        if running:  # The id was used again: its new loop is meant.
            self._waiting[wish.deck] = wish
            self._told.reply(client, own_id, "/loopmeter/waiting", wish.deck + 1, wish.loop)
        elif made is not None:
            self._told.spawn(self._begin(wish, made))

    def _swap(self, client: Client, own_id: str, values: Values) -> None:
        deck = self._deck(values)
        if deck not in self._playing:
            raise Refusal(
                "nothing_plays", f"expected a loop on deck {deck + 1} to swap, found none; use /loopmeter/play"
            )
        self._play(client, own_id, values)

    def _stop(self, client: Client, own_id: str, values: Values) -> None:
        from loopmeter_integrations.playback import Stop

        wish = self._wish(client, own_id, values)
        if wish.deck not in self._playing and wish.deck not in self._latest:
            raise Refusal("nothing_plays", f"expected a loop on deck {wish.deck + 1} to stop, found none")
        self._replace(wish)
        self._sounding().do(Stop(wish.deck, wish.quantum_beats, wish.fade_s, wish))

    def _gain(self, client: Client, own_id: str, values: Values) -> None:
        player, deck = self._sounding(), self._deck(values)
        from loopmeter_integrations.playback import FADE_S_MAX, GAIN_MAX, Gain

        gain, ramp_s = float(values["gain"]), float(values["ramp_s"])
        _check("gain", gain, GAIN_MAX)
        _check("ramp_s", ramp_s, FADE_S_MAX)
        player.do(Gain(deck, gain, ramp_s))
        self._told.reply(client, own_id, "/loopmeter/gain", deck, gain)

    def _tell_clock(self, client: Client, own_id: str, _: Values) -> None:
        now_s = time.monotonic()
        line = self._clock.timeline(now_s)
        self._told.reply(
            client,
            own_id,
            "/loopmeter/clock",
            self._clock.source,
            line.tempo_bpm,
            line.beat_at(now_s),
            self._clock.peers,
        )

    def _tempo(self, client: Client, own_id: str, values: Values) -> None:
        try:
            self._clock.set_tempo(float(values["bpm"]), time.monotonic())
        except ClockError as error:
            raise Refusal("bad_arguments", error.message) from error
        self._tell_clock(client, own_id, values)

    def _tell_output(self, client: Client, own_id: str, _: Values) -> None:
        self._told.reply(client, own_id, "/loopmeter/output", *self._output())

    # How it comes about.

    def _wish(self, client: Client, own_id: str, values: Values) -> Wish:
        self._sounding()
        from loopmeter_integrations.playback import FADE_S, FADE_S_MAX

        fade_s = float(values.get("fade_s", FADE_S))
        _check("fade_s", fade_s, FADE_S_MAX)
        quantum = self._quantum(str(values["when"]))
        return Wish(client, own_id, self._deck(values), str(values.get("loop", "")), quantum, fade_s)

    def _deck(self, values: Values) -> int:
        from loopmeter_integrations.playback import DECKS_MAX

        deck = int(values["deck"])
        if not 1 <= deck <= DECKS_MAX:
            raise BadArguments(f"deck: expected 1 to {DECKS_MAX}, found the number {deck}")
        return deck - 1

    def _quantum(self, when: str) -> float:
        if when in ("now", "beat", "bar"):
            return {"now": 0.0, "beat": 1.0, "bar": float(self._beats_per_bar)}[when]
        bars = _WHEN.fullmatch(when)
        if bars is None or int(bars[1]) > BARS_MAX:
            raise BadArguments(
                f"when: expected now, beat, bar, or a number of bars up to {BARS_MAX} such as '4 bars', "
                f"found the string {when[:40]!r}"
            )
        return float(int(bars[1]) * self._beats_per_bar)

    def _sounding(self) -> Player:
        if self._player is None:
            raise Refusal("no_output", "expected a bridge with an output, found none; start it with --play jack")
        return self._player

    def _replace(self, wish: Wish) -> None:
        """The last wish for a deck counts."""
        waiting = self._waiting.pop(wish.deck, None)
        if waiting is not None:
            self._told.reply(waiting.client, waiting.own_id, "/loopmeter/replaced", waiting.deck + 1)
        self._latest[wish.deck] = wish

    async def _begin(self, wish: Wish, made: MadeLoop) -> None:
        from loopmeter_integrations.playback import Play

        try:
            sound = await self._sound(made)
        # Whatever is wrong with the file, the client hears of it, and the deck plays on.
        except Exception as error:
            self._told.error(wish.client, wish.own_id, *explain(error))
            return
        if self._latest.get(wish.deck) is wish:
            self._sounding().do(Play(wish.deck, sound, wish.quantum_beats, wish.fade_s, wish))

    async def _sound(self, made: MadeLoop) -> Sound:
        from loopmeter_integrations.playback import read_sound

        if made in self._sounds:
            self._sounds.move_to_end(made)
            return self._sounds[made]
        sound = await asyncio.to_thread(read_sound, made.path, made.beats, self._sounding().rate_hz)
        self._sounds[made] = sound
        while len(self._sounds) > 1 and sum(kept.frames.nbytes for kept in self._sounds.values()) > SOUND_BYTES_MAX:
            self._sounds.popitem(last=False)
        return sound

    def _on_event(self, event: Event) -> None:
        from loopmeter_integrations.playback import Happened, Play, Scheduled

        wish = event.change.token
        assert isinstance(wish, Wish)
        deck = wish.deck + 1
        if isinstance(event, Scheduled):
            now_s = time.monotonic()
            in_s = max(0.0, self._clock.timeline(now_s).time_at(event.beat) - now_s)
            self._told.reply(wish.client, wish.own_id, "/loopmeter/scheduled", deck, event.beat, in_s)
        elif not isinstance(event, Happened):
            self._told.reply(wish.client, wish.own_id, "/loopmeter/replaced", deck)
        elif isinstance(event.change, Play):
            self._playing[wish.deck] = event.change.sound.name
            self._happened(wish, "/loopmeter/started", deck, event.beat, event.change.sound.name)
        else:
            self._playing.pop(wish.deck, None)
            self._happened(wish, "/loopmeter/stopped", deck, event.beat)

    def _on_output(self, _state: OutputState, _why: str) -> None:
        self._told.tell("decks", "/loopmeter/output", *self._output())

    def _output(self) -> tuple[Value, ...]:
        player = self._player
        if player is None:
            return "none", "", 0, 0, "expected a bridge with an output, found none; start it with --play jack"
        return player.state, player.output.name, player.rate_hz, player.output.xruns, player.why

    def _happened(self, wish: Wish, address: str, *values: Value) -> None:
        self._told.reply(wish.client, wish.own_id, address, *values)
        self._told.tell("decks", address, *values)


def _check(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise BadArguments(f"{name}: expected 0 to {most:g}, found the number {value:g}")
