"""An OpenAI-compatible chat endpoint in this process, with every fault a judge can have."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from components.scoring.judge.params import JudgeParams

MODEL = "fake-judge"

Answer = Callable[[list[str]], Any]
"""From the attempts of a question, in their order, to the content of the reply (text, None or a JSON value)."""


@dataclass
class Http:
    """A reply that is no chat completion: what the endpoint sends instead."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str | None = None


def by_first_word(attempts: list[str]) -> dict[str, Any]:
    """The judge that a test can predict: the first word is the strategy, ``spam`` is degenerate."""
    words: dict[str, int] = {}
    reply = {}
    for number, text in enumerate(attempts, start=1):
        word = text.split()[0]
        cluster = -1 if word == "spam" else words.setdefault(word, len(words) + 1)
        reply[str(number)] = {"strategy": word, "cluster": cluster}
    return reply


@dataclass
class FakeJudge:
    """What the endpoint was asked, and what it answers next."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)  # used up first: contents, Http replies or functions
    otherwise: Answer = by_first_word
    models: Any = field(default_factory=lambda: {"data": [{"id": MODEL, "max_model_len": 32_768}]})
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    delay: float = 0.0
    most_at_once: int = 0
    _now: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def params(self, directory: Path, **changes: Any) -> JudgeParams:
        """Params that ask this endpoint."""
        values = {"url": self.url, "model": MODEL, "cache": str(directory / "cache"), "timeout_seconds": 20.0}
        return JudgeParams(**{**values, **changes})

    def chat(self, body: dict[str, Any], headers: dict[str, str]) -> Http:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.bodies.append(body)
            self.headers.append(headers)
            answer = self.answers.pop(0) if self.answers else self.otherwise
        time.sleep(self.delay)
        with self._lock:
            self._now -= 1
        content = answer(attempts_of(body)) if callable(answer) else answer
        if isinstance(content, Http) and content.finish_reason is None:
            return content
        reason = content.finish_reason if isinstance(content, Http) else "stop"
        text = content.text if isinstance(content, Http) else content
        text = text if text is None or isinstance(text, str) else json.dumps(text)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
        return Http(200, json.dumps({"choices": [choice]}))


def attempts_of(body: dict[str, Any]) -> list[str]:
    """The attempts that a question holds, in their order."""
    text = body["messages"][-1]["content"]
    fence = re.match(r"=== problem (\w+) ===", text)
    assert fence is not None
    parts = re.split(rf"^=== (?:attempt \d+|end) {fence.group(1)} ===$", text, flags=re.MULTILINE)
    return [part.strip("\n") for part in parts[1:-1]]


@contextmanager
def fake_judge() -> Iterator[FakeJudge]:
    """A running endpoint."""
    judge = FakeJudge()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            found = self.path == "/v1/models" and judge.models is not None
            if isinstance(judge.models, Http):
                self._reply(judge.models)
            else:
                self._reply(Http(200, json.dumps(judge.models)) if found else Http(404))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            found = self.path == "/v1/chat/completions"
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._reply(judge.chat(json.loads(raw), headers) if found else Http(404))

        def _reply(self, reply: Http) -> None:
            raw = reply.text.encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    judge.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
