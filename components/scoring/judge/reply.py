"""What the judge replied, taken at its word only where all of it is in order.

A reply is hostile text. One wrong number, one key too many or one missing completion makes the whole reply
worthless: the group is then degenerate and counted, never clustered by the half that could be read.
"""

from __future__ import annotations

import json
from typing import Any

from components.records import DEGENERATE

__all__ = ["MAX_REPLY_CHARACTERS", "MalformedReplyError", "parse_reply"]

MAX_REPLY_CHARACTERS = 1_000_000
_MAX_DESCRIPTION = 120


class MalformedReplyError(ValueError):
    """The reply is not one cluster for each completion; the message says why, without quoting it at length."""


def parse_reply(text: object, count: int) -> list[tuple[int, str]]:
    """Cluster and description of completions 1..``count``, in this order; cluster -1 is degenerate, others 1..count.

    Raises:
        MalformedReplyError: prose, wrong, missing or repeated keys, a cluster out of range, a wrong type, or nothing.
    """
    if not isinstance(text, str) or not text.strip():
        raise MalformedReplyError("the reply is empty")
    if len(text) > MAX_REPLY_CHARACTERS:
        raise MalformedReplyError(f"the reply is longer than {MAX_REPLY_CHARACTERS} characters")
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, MalformedReplyError):
            raise
        raise MalformedReplyError("the reply is not JSON") from error
    if not isinstance(document, dict):
        raise MalformedReplyError("the reply is no JSON object")
    expected = {str(number) for number in range(1, count + 1)}
    if document.keys() != expected:
        missing, unknown = len(expected - document.keys()), len(document.keys() - expected)
        raise MalformedReplyError(f"the reply lacks {missing} of {count} attempts and names {unknown} unknown ones")
    return [_entry(document[str(number)], number, count) for number in range(1, count + 1)]


def _entry(entry: object, number: int, count: int) -> tuple[int, str]:
    if not isinstance(entry, dict) or entry.keys() != {"strategy", "cluster"}:
        raise MalformedReplyError(f"attempt {number} has not exactly the keys strategy and cluster")
    cluster, strategy = entry["cluster"], entry["strategy"]
    if type(cluster) is not int or not (cluster == DEGENERATE or 1 <= cluster <= count):
        raise MalformedReplyError(f"attempt {number} has no cluster from 1 to {count}, nor -1")
    if not isinstance(strategy, str):
        raise MalformedReplyError(f"attempt {number} has a description that is no text")
    shown = "".join(character if character.isprintable() else " " for character in strategy[:_MAX_DESCRIPTION])
    return cluster, " ".join(shown.split())


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise MalformedReplyError("the reply repeats a key")
    return document
