"""The hide keys are found in every encoding, however the terminal's input is cut into reads."""

from __future__ import annotations

import pytest
from textual.events import Key, Paste

from edgemed.tui.hiding.hide_key import EarlierPaste, HideKeyFinder, HidingParser

PASTE, END = "\x1b[200~", "\x1b[201~"
HIDES = ["\x1b[24~", "\x1b[24;1~", "\x1b[24;129~", "\x1b[24;65:1~", "\x0c", "\x1b[108;5u", "\x1b[108:76;133u"]
"""Legacy and kitty encodings, also with Num Lock (128) and Caps Lock (64)."""
OTHERS = ["l", "\x1b[23~", "\x1b[24;2~", "\x1b[24;5~", "\x1b[108;1u", "\x1b[108;6u", "\x1b[108;3u", "24~", "\x1b[2", ""]


@pytest.mark.parametrize("key", HIDES)
def test_a_hide_key_is_found_wherever_the_reads_are_cut(key: str) -> None:
    text = f"abc{key}d"
    for cut in range(len(text) + 1):
        finder = HideKeyFinder()
        assert [bool(finder.find(part)) for part in (text[:cut], text[cut:])].count(True) == 1, cut


@pytest.mark.parametrize("key", OTHERS)
def test_other_keys_are_not(key: str) -> None:
    assert not HideKeyFinder().find(f"abc{key}d")


def test_a_form_feed_in_a_paste_is_text_and_f12_is_a_key_everywhere() -> None:
    finder = HideKeyFinder()
    assert not finder.find(f"{PASTE}page one\x0cpage two")
    assert finder.find("more\x1b[24~") == "in paste"
    assert not finder.find(f"and\x0cmore{END}")
    assert finder.find("\x0c") == "key"


def test_the_parser_blanks_before_it_delivers_and_once_for_each_key() -> None:
    happened: list[str] = []
    parser = HidingParser(lambda: happened.append("blank"))
    for event in parser.feed("a\x1b[24~b"):
        assert isinstance(event, Key)
        happened.append(event.key)
    assert happened == ["blank", "a", "f12", "b"]


def test_a_key_in_a_paste_comes_first_and_the_paste_is_whole() -> None:
    blanks: list[int] = []
    parser = HidingParser(lambda: blanks.append(1))
    events = [event for part in (f"{PASTE}one ", "two \x1b[24~three", f" four{END}x") for event in parser.feed(part)]
    assert [type(event) for event in events] == [Key, EarlierPaste, Key]
    key, paste, _ = events
    assert isinstance(key, Key)
    assert key.key == "f12"
    assert isinstance(paste, Paste)
    assert paste.text == "one two three four"
    assert len(blanks) == 1
    assert type(next(iter(parser.feed(f"{PASTE}later{END}")))) is Paste
