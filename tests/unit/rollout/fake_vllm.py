"""A server that speaks vLLM's interface from memory and misbehaves on request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeVllm:
    """State of the fake: what it holds, what it was asked, and which faults its next completions have.

    ``faults`` is used up from the front, one a completion request: ``500``, ``429``, ``400``, ``truncated`` (half of
    the JSON), ``prose`` (no JSON), ``drop`` (the connection closes), ``duplicated``, ``missing``, ``other-model``,
    ``other-prompt``, ``short-logprobs``, ``nan``, ``cut`` (an end that is none), ``restart`` (answers, but has
    forgotten its policy), ``stolen`` (answers, but somebody put other weights in), ``late`` (after 0.3 s), ``outage``
    (no answers for 0.2 s, then one that has forgotten its policy).
    """

    def __init__(self) -> None:
        self.version = "0.32.0"
        self.max_model_len = 512
        self.root = "/nowhere"
        self.label = "default"
        self.loaded: list[str] = []
        self.faults: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.refuse_loading = False
        self.forget_labels = False
        self.adapters: dict[str, str] = {}
        self.control: list[tuple[str, Any]] = []
        self.down_until = 0.0
        self.most_at_once = 0
        self.before_answer: Callable[[int], None] = lambda number: None
        """Is called with a completion request's number (from 0) before it is answered."""
        self._at_once = 0
        self._guard = threading.Lock()

    def get(self, path: str) -> tuple[int, Any]:
        answers = {
            "/health": None,
            "/version": {"version": self.version},
            "/weight_info": {"weight_version": self.label},
            "/get_world_size": {"world_size": 2},
            "/v1/models": {
                "data": [
                    {"id": "policy", "parent": None, "max_model_len": self.max_model_len, "root": self.root},
                    *({"id": name, "parent": "policy", "root": path} for name, path in self.adapters.items()),
                ]
            },
        }
        return (200, answers[path]) if path in answers else (404, {"error": {"message": "Not Found"}})

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        self.control.append((path, body))
        if path == "/v1/load_lora_adapter":
            if self.refuse_loading:
                return 500, {"error": {"message": "LoRA rank 32 is greater than max_lora_rank 16."}}
            self.adapters[body["lora_name"]] = body["lora_path"]
            return 200, "Success: plain text, as vLLM answers"
        if path == "/v1/unload_lora_adapter":
            return (200, "Success") if self.adapters.pop(body["lora_name"], None) else (404, {"error": "unknown"})
        if path == "/collective_rpc":
            if self.refuse_loading:
                return 500, {"error": {"message": "Worker failed"}}
            self.loaded.append(body["kwargs"]["directory"])
        elif path == "/update_weight_version" and not self.forget_labels:
            self.label = body["new_version"]
        return 200, {}

    def complete(self, body: dict[str, Any]) -> tuple[int, bytes] | None:
        with self._guard:
            number = len(self.requests)
            self.requests.append(body)
            fault = self.faults.pop(0) if self.faults else ""
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            time.sleep(0.3 if fault == "late" else 0.005)
            self.before_answer(number)
            return self._answer(body, fault)
        finally:
            with self._guard:
                self._at_once -= 1

    def _answer(self, body: dict[str, Any], fault: str) -> tuple[int, bytes] | None:
        if fault == "outage":
            self.label, self.adapters = "default", {}
            self.down_until = time.monotonic() + 0.2
        if fault in ("drop", "outage"):
            return None
        if fault.isdigit():
            return int(fault), b'{"error": {"message": "out\\nof sorts"}}'
        if fault == "prose":
            return 200, b"I cannot do that."
        if fault == "restart":
            self.label, self.adapters = "default", {}
        if body["model"] != "policy" and body["model"] not in self.adapters:
            return 404, b'{"error": {"message": "The model does not exist."}}'
        if fault == "stolen":
            self.label = "9-somebody"
        answer = json.dumps({"model": body["model"], "choices": self._choices(body, fault)}).encode()
        if fault == "other-model":
            answer = answer.replace(b'"policy"', b'"else"')
        return 200, answer[: len(answer) // 2] if fault == "truncated" else answer

    def _choices(self, body: dict[str, Any], fault: str) -> list[dict[str, Any]]:
        indices = list(range(body["n"]))
        if fault == "duplicated":
            indices[-1] = 0
        if fault == "missing":
            indices.pop()
        choices = [_choice(index, body) for index in indices]
        if fault == "other-prompt":
            choices[0]["prompt_token_ids"] = [1, 1]
        if fault == "short-logprobs":
            choices[0]["logprobs"]["token_logprobs"].pop()
        if fault == "nan":
            choices[0]["logprobs"]["token_logprobs"][0] = float("nan")
        if fault == "cut":
            choices[0]["token_ids"][-1] = 3
        return choices


def _choice(index: int, body: dict[str, Any]) -> dict[str, Any]:
    """Completion ``index``: its own number in digits of base 5, then the first stop token."""
    ids = [3 + index // 5, 3 + index % 5, body["stop_token_ids"][0]]
    return {
        "index": index,
        "token_ids": ids,
        "logprobs": {"token_logprobs": [-0.5 - index, -0.25, -0.125]},
        "finish_reason": "stop",
        "prompt_token_ids": body["prompt"],
    }


@contextmanager
def fake_vllm() -> Iterator[tuple[FakeVllm, str]]:
    """A running fake and its address."""
    fake = FakeVllm()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(lambda: _encoded(fake.get(self.path)))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
            fake.keys.add(self.headers.get("Authorization"))
            if self.path == "/v1/completions":
                self._answer(lambda: fake.complete(body))
            else:
                self._answer(lambda: _encoded(fake.post(self.path.partition("?")[0], body)))

        def _answer(self, answer: Any) -> None:
            made = None if time.monotonic() < fake.down_until else answer()
            if made is None:
                self.close_connection = True
                return
            status, content = made
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _encoded(answer: tuple[int, Any]) -> tuple[int, bytes]:
    status, document = answer
    if isinstance(document, str):
        return status, document.encode()
    return status, b"" if document is None else json.dumps(document).encode()
