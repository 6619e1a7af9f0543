from concurrent.futures import ThreadPoolExecutor

import pytest

from example_policy.audit import AuditLog


def event(event_id):
    return {"event": "AfterRemoveBlack", "event_id": event_id, "owner_user_id": "é\n"}


def test_an_event_is_written_once(tmp_path):
    path = tmp_path / "audit"
    with open(path, "ab", buffering=0) as file, ThreadPoolExecutor() as threads:
        list(threads.map(AuditLog(file).append, [event("1"), event("2")] * 50))
    assert sorted(path.read_text("utf-8").splitlines()) == [
        '{"event":"AfterRemoveBlack","event_id":"1","owner_user_id":"é\\n"}',
        '{"event":"AfterRemoveBlack","event_id":"2","owner_user_id":"é\\n"}',
    ]


def test_an_event_without_id_is_written_each_time(tmp_path):
    path = tmp_path / "audit"
    with open(path, "ab", buffering=0) as file:
        audit = AuditLog(file)
        audit.append(event(""))
        audit.append(event(""))
    assert len(path.read_bytes().splitlines()) == 2


class FillingDisk:
    """Takes so many bytes, then none."""

    def __init__(self, room):
        self.room = room
        self.content = b""

    def write(self, data):
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.content += taken
        return len(taken)


@pytest.mark.parametrize("room", [0, 10])
def test_an_event_that_was_not_written_is_not_remembered(room):
    disk = FillingDisk(room)
    audit = AuditLog(disk)
    with pytest.raises(OSError, match="No space"):
        audit.append(event("1"))
    disk.room = 1000
    audit.append(event("1"))
    audit.append(event("1"))
    *torn, line = disk.content.decode().splitlines()
    assert line == '{"event":"AfterRemoveBlack","event_id":"1","owner_user_id":"é\\n"}'
    assert "".join(torn) == line[:room]
