"""The audit file: one JSON object a line, each event once for as long as the process runs.

After a restart, or in another replica, an event can be written again. A service that keeps events in a database has it
refuse the second one, in the transaction of the effect: INSERT … ON CONFLICT (event_id) DO NOTHING.
"""

import errno
import json
import threading
from collections import OrderedDict
from typing import Any, BinaryIO

_REMEMBERED_IDS = 10_000


class AuditLog:
    """Appends events to a file that is opened without a buffer, so that a failed write leaves nothing behind.

    May be used from many threads.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._torn = False
        self._written_ids: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def append(self, event: dict[str, Any]) -> None:
        """Writes the event, unless it was written before; raises OSError if it cannot be written.

        hookgate delivers an event again whose answer it did not get. One that could not be written is not remembered,
        so that the next delivery writes it.
        """
        event_id = event["event_id"]
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._lock:  # Held while writing: two deliveries of one event may come at the same time.
            if event_id in self._written_ids:
                return
            self._write(line.encode())
            if event_id:
                self._written_ids[event_id] = None
                if len(self._written_ids) > _REMEMBERED_IDS:
                    self._written_ids.popitem(last=False)

    def _write(self, line: bytes) -> None:
        # After a write that failed half-way (a full disk), a new line keeps the two apart.
        rest = memoryview(b"\n" + line if self._torn else line)
        while rest:
            count = self._file.write(rest)
            if not count:
                raise BlockingIOError(errno.EAGAIN, "the audit file takes nothing at the moment")
            rest = rest[count:]
            self._torn = bool(rest)
