"""Line mode's commands about red flags: those of this chat, the groups of rules, the emergency number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgemed.chat.service import failure_of
from edgemed.chat.visible import visible
from edgemed.clinical.flags.rules import reviewed_by, rules_version
from edgemed.clinical.watch import GROUPS
from edgemed.errors import EdgemedError
from edgemed.tui.clinical_lines import failed_line, listed_lines, review_line
from edgemed.tui.strings.clinical import clinical_strings
from edgemed.tui.watching import SCALES

if TYPE_CHECKING:
    from edgemed.tui.plain.chat import PlainChat


class PlainClinical:
    """The part of `PlainCommands` that is about the rules."""

    _chat: PlainChat

    def _run_flags(self) -> None:
        """All flags of this chat, with rule, evidence and source."""
        words = clinical_strings(self._chat.session.language)
        seen = asyncio.run(self._chat.watching.all_flags(self._chat.conversation))
        failed = [failed_line(seen.failed, words)] if seen.failed else []
        for line in (words.found_in_chat, *listed_lines(seen.flags, words), *failed, self._review()):
            self._chat.say(line)

    def _run_rules(self, group: str = "") -> None:
        """List the groups, or switch the one that is named."""
        words, watching = clinical_strings(self._chat.session.language), self._chat.watching
        if not group:
            switches = asyncio.run(watching.switches())
            for each in GROUPS:
                self._chat.say(f"{each}: {words.on if getattr(switches, each) else words.off}. {words.groups[each]}.")
            self._chat.say(words.rules_plain)
            self._chat.say(self._review())
        elif group not in GROUPS:
            self._chat.say(words.no_group.format(word=visible(group)))
        else:
            try:
                on = asyncio.run(watching.switch(group, self._chat.conversation))
            except EdgemedError as error:
                self._chat.say(failure_of(error))
            else:
                self._chat.say((words.turned_on if on else words.turned_off).format(group=words.groups[group]))

    def _run_scale(self, scale: str = "") -> None:
        """Choose the SpO2 scale of the case, and read the last question again with it."""
        chat, words = self._chat, clinical_strings(self._chat.session.language)
        chat.say(asyncio.run(chat.watching.take_scale(chat.conversation, scale, words)))
        if scale in SCALES and chat.conversation.turns:
            chat.say_flags(chat.conversation.turns[-1])

    def _run_emergency(self, number: str = "") -> None:
        """Set the emergency number, or say which it is."""
        self._chat.say(self._chat.watching.take_emergency(number, clinical_strings(self._chat.session.language)))

    def _review(self) -> str:
        return review_line(rules_version(), reviewed_by(), clinical_strings(self._chat.session.language))
