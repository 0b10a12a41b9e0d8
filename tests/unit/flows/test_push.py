"""Pushing to DVC's remote never stops a run, and never forgets a stage."""

from pathlib import Path

from components.errors import PolyEpoError
from flows.push import Pushing


class Remote:
    """A project whose remote can be away."""

    def __init__(self, root: Path) -> None:
        self.root, self.away, self.pushed = root, False, []

    def push(self, name: str) -> int:
        if self.away:
            raise PolyEpoError("cannot push: ConnectionError", where="DVC remote 'team'")
        self.pushed.append(name)
        return 1


def test_what_the_remote_missed_is_pushed_at_the_end(tmp_path: Path) -> None:
    remote, told = Remote(tmp_path), []
    pushing = Pushing(remote, told.append)
    remote.away = True
    assert not pushing.push("data")
    assert not pushing.push("base")
    remote.away = False
    pushing.finish()
    assert remote.pushed == ["base", "data"]
    assert [text for text in told if "not in DVC's remote" in text] == []


def test_what_still_waits_is_told_and_pushed_by_the_next_run(tmp_path: Path) -> None:
    remote, told = Remote(tmp_path), []
    remote.away = True
    first = Pushing(remote, told.append)
    first.push("data")
    first.push("base")
    first.finish()
    assert told[-1].startswith("not in DVC's remote yet: base, data")
    remote.away = False
    Pushing(remote, told.append).finish()
    assert remote.pushed == ["base", "data"]
    Pushing(remote, told.append).finish()
    assert remote.pushed == ["base", "data"]
