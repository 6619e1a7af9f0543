"""Looks up whether a message holds a blocked word."""

import asyncio
from collections.abc import Iterable

from example_policy import content


class Lookup:
    """The blocked words, which are in memory here.

    ``delay`` stands for the seconds that a moderation service would take: ask it here, and it is cancelled in time too.
    """

    def __init__(self, words: Iterable[str], delay: float = 0) -> None:
        self._lower_words = {word.lower() for word in words}
        self._delay = delay

    async def find(self, message_content: str) -> bool:
        """Returns true if a client could show one of the words."""
        if self._delay:
            await asyncio.sleep(self._delay)
        return content.holds_word(message_content, self._lower_words)
