"""Where changes of a live session take effect."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopmeter import LivePrompt, LiveRequest, LiveSettings
from loopmeter_engine.contract import Applied, LiveChange
from loopmeter_engine.live_grid import spans, spans_within

REQUEST = LiveRequest(prompts=(LivePrompt(text="drums"),), tempo_bpm=120)  # a bar is 2 s, 88,200 frames
CHUNK_FRAMES, RATE_HZ = 32_768, 44_100


def found(*changes: LiveChange) -> list[tuple[int, int, float | None]]:
    return [(s.frame, s.bar, s.request.tempo_bpm) for s in spans(REQUEST, changes, CHUNK_FRAMES, RATE_HZ)]


def test_a_change_waits_for_the_next_bar_line() -> None:
    assert found(LiveChange(3, LiveSettings(tempo_bpm=60))) == [(0, 0, 120), (176_400, 2, 60)]


def test_a_change_before_the_first_chunk_takes_effect_at_once() -> None:
    assert found(LiveChange(0, LiveSettings(tempo_bpm=60))) == [(0, 0, 60)]


def test_bars_are_counted_from_where_their_tempo_began() -> None:
    changes = (LiveChange(1, LiveSettings(tempo_bpm=60)), LiveChange(4, LiveSettings(tempo_bpm=240)))
    assert found(*changes) == [(0, 0, 120), (88_200, 1, 60), (264_600, 2, 240)]


def test_changes_that_wait_for_one_bar_line_apply_in_order() -> None:
    changes = (LiveChange(1, LiveSettings(tempo_bpm=60)), LiveChange(2, LiveSettings(density=0.1)))
    (_, last) = spans(REQUEST, changes, CHUNK_FRAMES, RATE_HZ)
    assert last.applied == (Applied(0, 88_200, 1), Applied(1, 88_200, 1))
    assert (last.request.tempo_bpm, last.request.density) == (60, 0.1)


def test_a_log_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="expected changes in order"):
        found(LiveChange(2, LiveSettings()), LiveChange(1, LiveSettings()))


logs = st.lists(
    st.tuples(st.integers(0, 40), st.floats(40, 240)).map(lambda pair: (pair[0], round(pair[1], 3))), max_size=12
).map(sorted)


@settings(max_examples=200, deadline=None)
@given(log=logs, cut=st.integers(0, 45))
def test_a_longer_log_never_moves_what_lies_before_it(log: list[tuple[int, float]], cut: int) -> None:
    changes = [LiveChange(chunk, LiveSettings(tempo_bpm=tempo)) for chunk, tempo in log]
    whole = spans(REQUEST, changes, CHUNK_FRAMES, RATE_HZ)
    part = spans(REQUEST, [change for change in changes if change.from_chunk < cut], CHUNK_FRAMES, RATE_HZ)
    frame = cut * CHUNK_FRAMES
    assert spans_within(whole, 0, frame) == spans_within(part, 0, frame)
    assert all(place.frame >= changes[place.change].from_chunk * CHUNK_FRAMES for s in whole for place in s.applied)
    assert [place.change for span in whole for place in span.applied] == list(range(len(changes)))
