"""Tracking beside the run: retried, told once, never in the way."""

import threading

from components.errors import PolyEpoError
from flows.sync import TrackingSync


def test_nothing_is_sent_when_no_stage_ran() -> None:
    sent: list[int] = []

    def send() -> str:
        sent.append(1)
        return "here"

    sync = TrackingSync(send, warn=lambda _: None, interval=0.001)
    sync.finish()
    assert sent == []


def test_the_last_send_comes_after_the_end() -> None:
    state = ["running"]
    seen: list[str] = []

    def send() -> str:
        seen.append(state[0])
        return "here"

    sync = TrackingSync(send, warn=lambda _: None, interval=60)
    sync.wake()
    state[0] = "ended"
    sync.finish()
    assert seen == ["ended"]
    assert sync.address == "here"


def test_a_failing_tracker_is_told_once_and_tried_again() -> None:
    warnings: list[str] = []
    enough = threading.Event()
    attempts: list[int] = []

    def send() -> str:
        attempts.append(1)
        if len(attempts) == 4:
            enough.set()
        if len(attempts) % 2:
            raise PolyEpoError("no answer", where="http://tracker")
        raise OSError("unplugged")

    sync = TrackingSync(send, warn=warnings.append, interval=0.001)
    sync.wake()
    assert enough.wait(10)
    sync.finish()
    assert warnings == ["tracking waits: http://tracker: no answer"]


def test_it_warns_again_after_it_had_recovered() -> None:
    warnings: list[str] = []
    enough = threading.Event()
    attempts: list[int] = []

    def send() -> str:
        attempts.append(1)
        if len(attempts) >= 3:
            enough.set()
        if len(attempts) in (1, 3):
            raise OSError(f"fault {len(attempts)}")
        return "here"

    sync = TrackingSync(send, warn=warnings.append, interval=0.001)
    sync.wake()
    assert enough.wait(10)
    sync.finish()
    assert warnings == ["tracking waits: OSError: fault 1", "tracking waits: OSError: fault 3"]
