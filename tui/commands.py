"""The table of the chat's commands: what the palette, the slash menu, the help page and line mode offer.

The order of the table is the order in which they are shown, in every language. A command's action is the method
`action_NAME` of the chat's screen or of the application; line mode has `PlainChat`'s handlers. Titles and explanations
are in `edgemed.tui.strings.commands`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgemed.clinical import Language
from edgemed.tui.strings.commands import TITLES


@dataclass(frozen=True, slots=True)
class Command:
    """`word` calls it from the box and in line mode. `keys` are Textual's names, the first one is shown.

    `bound`: whether the chat's screen binds the keys to it; otherwise the application or the screen binds them itself.
    `on_turn`: whether it is offered for a chosen answer. `typed`: a character that calls it when it is typed into an
    empty box. `takes`: whether its action takes what is typed after the word.
    """

    name: str
    word: str
    keys: tuple[str, ...] = ()
    bound: bool = True
    on_turn: bool = False
    typed: str = ""
    takes: bool = False

    @property
    def key(self) -> str:
        """The first key as people write it: `Ctrl+N`, or the typed character if there is no key."""
        return shown_key(self.keys[0]) if self.keys else self.typed

    def title(self, language: Language) -> str:
        return TITLES[language][self.name][0]

    def explanation(self, language: Language) -> str:
        return TITLES[language][self.name][1]


COMMANDS = (
    Command("new_chat", "/new", ("ctrl+n",)),
    Command("case", "/case", ("ctrl+t", "alt+h")),
    Command("with_case", "/samecase", ("alt+n",)),
    Command("new_case", "/newcase", ("alt+m",)),
    Command("bring_back", "/back"),
    Command("chats", "/chats", ("ctrl+o",), bound=False),
    Command("open", "/open"),
    Command("find", "/find"),
    Command("unsaved_chat", "/unsaved"),
    Command("resume", "/resume", ("f6",), on_turn=True),
    Command("copy_answer", "/copy", ("f2", "ctrl+g"), on_turn=True),
    Command("copy_both", "/copyboth", ("alt+c",), on_turn=True),
    Command("again", "/again", ("f5",), on_turn=True),
    Command("edit", "/edit", ("f4",), on_turn=True),
    Command("again_brief", "/shorter", on_turn=True),
    Command("again_full", "/longer", on_turn=True),
    Command("earlier", "/earlier", ("alt+left",), on_turn=True),
    Command("later", "/later", ("alt+right",), on_turn=True),
    Command("note", "/note", takes=True),
    Command("edit_note", "/editnote", ("alt+d",), on_turn=True, takes=True),
    Command("templates", "/templates"),
    Command("export", "/export", ("alt+e",), on_turn=True, takes=True),
    Command("stop", "/stop", ("escape",), bound=False),
    Command("undo_send", "/undo", ("f8",)),
    Command("previous", "/previous", ("alt+up",)),
    Command("next", "/next", ("alt+down",)),
    Command("last", "/last", ("alt+end",)),
    Command("brief", "/brief"),
    Command("standard", "/standard"),
    Command("full", "/full"),
    Command("length", "/length", ("f7",)),
    Command("where", "/where"),
    Command("seen", "/seen", ("f9",), on_turn=True),
    Command("audit", "/audit"),
    Command("experts", "/experts", ("f3",)),
    Command("flags", "/flags"),
    Command("rules", "/rules", takes=True),
    Command("scale", "/scale", takes=True),
    Command("emergency", "/emergency", takes=True),
    Command("units", "/units"),
    Command("drug_names", "/drugnames"),
    Command("answers_in", "/answersin"),
    Command("restart_engine", "/restart", ("ctrl+r",)),
    Command("hide", "/hide", ("f12", "ctrl+l"), bound=False),
    Command("lock", "/lock"),
    Command("set_pin", "/pin"),
    Command("hide_after", "/hideafter"),
    Command("help", "/help", ("f1",), bound=False, typed="?"),
    Command("theme_dark", "/dark"),
    Command("theme_light", "/light"),
    Command("theme_contrast", "/contrast"),
    Command("quit", "/quit", ("ctrl+q",), bound=False),
)
BY_NAME = {command.name: command for command in COMMANDS}
BY_WORD = {command.word: command for command in COMMANDS}
TYPED = {command.typed: command for command in COMMANDS if command.typed}

_KEY_NAMES = {"escape": "Esc", "left": "←", "right": "→", "up": "↑", "down": "↓"}


def shown_key(key: str) -> str:
    """A key as people write it: `Ctrl+N`, `Alt+←`."""
    return "+".join(_KEY_NAMES.get(part, part.capitalize()) for part in key.split("+"))


def is_command(text: str) -> bool:
    """Whether a typed text is meant as a command: a slash and a word come first. It is never sent to the model."""
    word = text.split(maxsplit=1)[0] if text.strip() else ""
    return text.startswith("/") and len(word) > 1 and word[1:].isascii() and word[1:].isalpha()


def matching(typed: str, among: Iterable[Command]) -> list[Command]:
    """The commands whose word begins with what is typed."""
    return [command for command in among if command.word.startswith(typed.lower())]


def listed(language: Language, commands: Iterable[Command]) -> str:
    """Commands as a list in Markdown, for the help page."""
    comma, colon, stop = ("、", "：", "。") if language == "zh-CN" else (", ", ": ", ". ")
    lines = []
    for command in commands:
        keys = comma.join(filter(None, [*map(shown_key, command.keys), command.typed]))
        called = f"**{command.word}**{comma}**{keys}**" if keys else f"**{command.word}**"
        lines.append(f"- {called}{colon}{command.title(language)}{stop}{command.explanation(language)}")
    return "\n".join(lines)
