"""Many messages in the order of their keys, of which only some are in memory at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smsclick._enqueue.key_sorter import KeySorter
from smsclick._enqueue.message import NewMessage


def new(key: str, text: str = "x") -> NewMessage:
    return NewMessage.of(phone="5551402211", text=text, key=key)


def sort(messages: list[NewMessage], size: int) -> list[tuple[list[int], list[NewMessage]]]:
    with KeySorter(size) as sorter:
        for message in messages:
            if sorter.is_full:
                sorter.spill()
            sorter.add(message)
        assert len(sorter) == len(messages)
        return [(list(places), list(batch)) for places, batch in sorter.batches()]


@given(st.lists(st.text("abcñ", min_size=1, max_size=3), max_size=60), st.integers(1, 20))
def test_batches_hold_every_message_once_at_its_place_and_go_by_key(keys: list[str], size: int) -> None:
    messages = [new(key, f"text {place}") for place, key in enumerate(keys)]
    batches = sort(messages, size)
    assert all(len(batch) <= size for _, batch in batches)
    found = {place: message for places, batch in batches for place, message in zip(places, batch, strict=True)}
    assert found == dict(enumerate(messages))
    if len(keys) > size:
        order = [message.key for _, batch in batches for message in batch]
        assert order == sorted(keys)


def test_what_fits_in_memory_stays_as_it_came() -> None:
    messages = [new("b"), new("a")]
    assert sort(messages, 2) == [([0, 1], messages)]
    assert sort([], 2) == []
