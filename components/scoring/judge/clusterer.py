"""The judge as a clusterer: every group is asked about once, from the cache where it was asked before.

Equal completions of a group are one attempt, empty ones are degenerate unasked, and attempts are put in the order
of their digests: the clusters do not depend on the order of the completions, and no strategy stands first for
having been sampled first.

Questions may begin while a batch is still sampled (``begin``). They go the same way into the same cache, where
``cluster`` finds the answers; what came to nothing is asked again by ``cluster``, which alone counts failures.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.errors import PolyEpoError
from components.manifest import fingerprint
from components.records import DEGENERATE, Problem
from components.scoring.clusters import Clustering, Clusters, Group
from components.scoring.judge.cache import Kept, ReplyCache
from components.scoring.judge.client import ChatClient, NoReplyError, QuestionTooLongError
from components.scoring.judge.params import JudgeParams
from components.scoring.judge.question import Question, ask, defuse
from components.scoring.judge.reply import MalformedReplyError, parse_reply

__all__ = ["JudgeClusterer"]

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0
_SHRINK = 0.6  # room for texts after a server found a question too long
_SECOND_TEMPERATURE = 0.7

Judged = list[tuple[int, str]]  # cluster and description of each distinct completion


@dataclass(frozen=True)
class _Answer:
    """What came of one question; ``judged`` is None after a failure, whose reason ``failure`` tells."""

    judged: Judged | None
    failure: str = ""
    shortened: bool = False
    from_cache: bool = False


class JudgeClusterer:
    """Asks the judge of section ``scoring.judge``; a context manager.

    Args:
        params: the section.
        first_pause: seconds before the second try of a question; doubled for each further one.
    """

    def __init__(self, params: JudgeParams, *, first_pause: float = 0.5) -> None:
        self._params = params
        self._first_pause = first_pause
        self._client = ChatClient(params)
        self._cache = ReplyCache(Path(params.cache))
        self._stop = threading.Event()
        self._checked = False
        self._check_lock = threading.Lock()
        self._ahead = ThreadPoolExecutor(params.concurrency, thread_name_prefix="judge-ahead")
        self._begun: set[Future[None]] = set()
        self._begun_lock = threading.Lock()
        self._useless = threading.Event()  # asking ahead, until the batch is whole

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the questions under way end, ask no more, and close the connections."""
        self._stop.set()
        self._ahead.shutdown(cancel_futures=True)
        self._client.close()

    def begin(self, problem: Problem, completions: Sequence[str]) -> None:
        """See AheadClusterer.begin: put the question about this group in the queue."""
        texts = _distinct(completions)
        if texts and not self._useless.is_set():
            with self._begun_lock:
                self._begun.add(self._ahead.submit(self._answer_ahead, problem.prompt, texts))

    def cluster(self, groups: Sequence[Group]) -> Clustering:
        """Clusters of every group; a group about which the judge failed is degenerate as a whole.

        The counts are ``judge_groups`` (asked about, now or before), ``judge_failures`` and ``judge_shortened``
        (groups with a text that was cut to fit).

        Raises:
            PolyEpoError: more than ``max_failure_share`` of the questions failed, no server, another model, a
                refused key, or a cache that cannot be written.
        """
        begin = time.monotonic()
        self._wait_for_begun()
        distinct = [_distinct(group.completions) for group in groups]
        asked = [place for place, texts in enumerate(distinct) if texts]
        answers = dict(zip(asked, self._ask_all([groups[p] for p in asked], [distinct[p] for p in asked]), strict=True))
        failures = [answer.failure for answer in answers.values() if answer.judged is None]
        fresh = sum(not answer.from_cache for answer in answers.values())
        _log.info(
            "judge: %d groups, %d from the cache, %d failed, %.1f s",
            len(asked), len(asked) - fresh, len(failures), time.monotonic() - begin,
        )  # fmt: skip
        if failures:
            _log.warning("judge failed on %d of %d groups, first: %s", len(failures), len(asked), failures[0])
        clusters = [
            _clusters(group, texts, answers[place].judged if place in answers else None)
            for place, (group, texts) in enumerate(zip(groups, distinct, strict=True))
        ]
        counts = {
            "judge_groups": float(len(asked)),
            "judge_failures": float(len(failures)),
            "judge_shortened": float(sum(answer.shortened for answer in answers.values())),
        }
        return Clustering(clusters, counts)

    def _answer_ahead(self, problem: str, texts: list[str]) -> None:
        if self._useless.is_set():
            return
        try:
            answer = self._answer(problem, texts)
        except PolyEpoError as error:
            # What stops a run is said when the batch is whole, if it is still so.
            _log.info("the judge is not asked before the batch is whole: %s", error)
            self._useless.set()
        else:
            if answer.judged is None:
                _log.info("the judge is asked again when the batch is whole: %s", answer.failure)

    def _wait_for_begun(self) -> None:
        """Return when no question of ``begin`` is under way: none is asked twice, nor too many at once."""
        with self._begun_lock:
            begun, self._begun = self._begun, set()
        wait([future for future in begun if not future.cancel()])
        self._useless.clear()

    def _ask_all(self, groups: Sequence[Group], texts: Sequence[list[str]]) -> list[_Answer]:
        """Answers in the order of the groups; gives up as soon as too many have failed."""
        allowed = int(self._params.max_failure_share * len(groups) + 1e-9)
        failures: list[str] = []
        self._stop.clear()

        def judge(group: Group, distinct: list[str]) -> _Answer:
            try:
                answer = self._answer(group.problem.prompt, distinct)
            except BaseException:
                self._stop.set()
                raise
            if answer.judged is None and not self._stop.is_set():
                failures.append(answer.failure)
                if len(failures) > allowed:
                    self._stop.set()
            return answer

        with ThreadPoolExecutor(self._params.concurrency, thread_name_prefix="judge") as pool:
            try:
                answers = list(pool.map(judge, groups, texts))
            except BaseException:
                self._stop.set()
                raise
        if len(failures) > allowed:
            raise PolyEpoError(
                f"the judge failed on more than {allowed} of {len(groups)} groups, first: {failures[0]}",
                where="scoring.judge.max_failure_share",
                value=self._params.max_failure_share,
                remedy="mend the judge and run the same command again: it resumes, and replies so far are cached",
            )
        return answers

    def _answer(self, problem: str, texts: list[str]) -> _Answer:
        question = ask(problem, texts, self._params)
        if question is None:
            return _Answer(None, f"{len(texts)} completions do not fit {self._params.context_tokens} context tokens")
        key = fingerprint("judge", self._body(question, retry=False))
        cached = self._cache.get(key)
        if cached is not None:
            try:
                judged = parse_reply(cached.reply, len(texts))
                return _Answer(judged, shortened=question.shortened or cached.shortened, from_cache=True)
            except MalformedReplyError:
                _log.warning("a damaged reply of the judge's cache is asked for again: %s", key)
        if self._stop.is_set():
            return _Answer(None, "not asked: the batch was given up")
        self._check()
        return self._ask_patiently(problem, texts, question, key)

    def _ask_patiently(self, problem: str, texts: list[str], first: Question, key: str) -> _Answer:
        """Ask until a reply fits, the tries are used up or the batch is given up."""
        failure, room, retry = "", 1.0, False
        question: Question | None = first
        for attempt in range(self._params.attempts):
            if question is None or self._stop.is_set():
                break
            try:
                reply = self._client.complete(self._body(question, retry=retry))
                judged = parse_reply(reply, len(texts))
            except QuestionTooLongError as error:
                failure, room = f"context overflow: {error}", room * _SHRINK
                question = ask(problem, texts, self._params, room=room)
            except MalformedReplyError as error:
                failure, retry = str(error), True
            except NoReplyError as error:
                failure = str(error)
                self._pause(attempt, error.pause)
            else:
                assert isinstance(reply, str)  # noqa: S101 - parse_reply takes nothing else
                self._cache.put(key, Kept(reply, question.shortened))
                return _Answer(judged, shortened=question.shortened)
        return _Answer(None, failure or "given up")

    def _check(self) -> None:
        """Once before the first question: is there a server with this model at all?"""
        with self._check_lock:
            failure = "given up"
            for attempt in range(self._params.attempts):
                if self._checked or self._stop.is_set():
                    return
                try:
                    self._client.check()
                    self._checked = True
                except NoReplyError as error:
                    failure = str(error)
                    self._pause(attempt, error.pause)
            if not self._checked:
                raise PolyEpoError(
                    f"the judge's endpoint does not answer: {failure}",
                    where="scoring.judge.url",
                    value=self._params.url,
                    remedy="start the judge's server, or mend the URL (docs/strategies.md)",
                )

    def _body(self, question: Question, *, retry: bool) -> dict[str, Any]:
        # A greedy judge would repeat its malformed reply word for word. No seed: it is not known everywhere.
        temperature = self._params.temperature
        return {
            **self._params.request,
            "model": self._params.model,
            "messages": question.messages,
            "temperature": max(temperature, _SECOND_TEMPERATURE) if retry else temperature,
            "max_tokens": question.reply_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "clusters", "strict": True, "schema": question.schema},
            },
        }

    def _pause(self, attempt: int, asked: float) -> None:
        if attempt + 1 < self._params.attempts:
            self._stop.wait(max(asked, min(self._first_pause * 2**attempt, _LONGEST_PAUSE)))


def _distinct(completions: Sequence[str]) -> list[str]:
    """The distinct completions that hold any text, in the order of their digests."""
    texts = {completion for completion in completions if defuse(completion)}
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode("utf-8", "replace")).digest())


def _clusters(group: Group, texts: list[str], judged: Judged | None) -> Clusters:
    """The judge's clusters numbered by first appearance; a cluster is named as its first completion is described."""
    by_text = dict(zip(texts, judged, strict=True)) if judged is not None else {}
    ids: dict[int, int] = {}
    names: list[str] = []
    rows: list[int] = []
    for completion in group.completions:
        cluster, description = by_text.get(completion, (DEGENERATE, ""))
        if cluster != DEGENERATE and cluster not in ids:
            ids[cluster] = len(ids)
            names.append(description or f"strategy {len(names) + 1}")
        rows.append(DEGENERATE if cluster == DEGENERATE else ids[cluster])
    return Clusters(rows, ["" if row == DEGENERATE else names[row] for row in rows])
