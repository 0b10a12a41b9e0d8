"""Replies on disk, one file per question: the same question is never asked twice.

A file is named by the digest of everything that decides the reply (model, rubric, problem, completions as sent,
schema, sampling) and appears whole or not at all, whoever else writes at the same time. It holds the reply as it
came: what is read is checked again like a fresh one, so that a damaged file is asked for anew.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from components.errors import PolyEpoError

__all__ = ["Kept", "ReplyCache"]


@dataclass(frozen=True)
class Kept:
    """A reply as it came, and whether a text had been cut in the question that it answers."""

    reply: str
    shortened: bool


class ReplyCache:
    """Replies below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, key: str) -> Kept | None:
        """What is kept under the hex digest ``key``, or None where there is none that can be read."""
        try:
            document = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(document, dict) or document.get("key") != key or not isinstance(document.get("reply"), str):
            return None
        return Kept(document["reply"], shortened=document.get("shortened") is True)

    def put(self, key: str, kept: Kept) -> None:
        """Keep a reply under ``key``.

        Raises:
            PolyEpoError: the directory cannot be written.
        """
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, json.dumps({"key": key, "reply": kept.reply, "shortened": kept.shortened}))
        except OSError as error:
            raise PolyEpoError(
                f"cannot keep the judge's replies: {error.strerror or error}",
                where=str(self._directory),
                remedy="free disk space or mend the permissions, or name another scoring.judge.cache",
            ) from error

    def _path(self, key: str) -> Path:
        return self._directory / key[:2] / f"{key}.json"


def _write(path: Path, text: str) -> None:
    """A temporary name of its own for every writer, then one rename."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".reply-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
