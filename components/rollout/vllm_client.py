"""One group of completions from one server: the request, and the checks of what comes back.

Token ids go in and come out, so that no tokenizer stands between sampler and trainer. Of each sampled token the
server gives the log-probability under the full distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.records import FinishReason
from components.rollout.http import Connection, Malformed

__all__ = ["Completion", "GroupRequest", "request_group"]


@dataclass(frozen=True)
class Completion:
    """One sampled completion: T token ids, their T log-probabilities, and why it ended."""

    ids: list[int]
    logprobs: list[float]
    finish_reason: FinishReason


@dataclass(frozen=True)
class GroupRequest:
    """What is asked of a server.

    Attributes:
        prompt_ids: the prompt's token ids.
        group_size: completions wanted.
        max_new_tokens: longest completion.
        stop_ids: tokens that end a completion; the one that did is its last token.
    """

    prompt_ids: Sequence[int]
    group_size: int
    max_new_tokens: int
    stop_ids: Sequence[int]

    def body(self, model: str) -> dict[str, Any]:
        """The JSON of the request. Sampling is spelled out: a server's or a model's defaults may truncate.

        It holds no seed: vLLM's CPU build cannot seed single requests.
        """
        return {
            "model": model,
            "prompt": list(self.prompt_ids),
            "n": self.group_size,
            "max_tokens": self.max_new_tokens,
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "ignore_eos": True,
            "stop_token_ids": list(self.stop_ids),
            "logprobs": 0,
            "return_token_ids": True,
        }


def request_group(connection: Connection, model: str, request: GroupRequest) -> list[Completion]:
    """``group_size`` completions of one prompt, in the order of their index.

    Raises:
        Malformed: an answer with completions missing, doubled or broken.
        Refused, Unreachable: see components.rollout.http.
    """
    answer = connection.post("/v1/completions", request.body(model))
    try:
        if answer["model"] != model:
            raise Malformed(f"answered for model {str(answer['model'])[:80]!r}, not {model!r}")
        choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
        indices = [choice["index"] for choice in choices]
        if indices != list(range(request.group_size)):
            raise Malformed(f"completions {indices[:20]} in place of 0..{request.group_size - 1}")
        return [_completion(choice, request) for choice in choices]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"answer lacks what was asked for: {type(error).__name__} {str(error)[:80]}") from error


def _completion(choice: Mapping[str, Any], request: GroupRequest) -> Completion:
    ids = [int(token) for token in choice["token_ids"]]
    logprobs = [float(value) for value in choice["logprobs"]["token_logprobs"]]
    reason = FinishReason(choice["finish_reason"])
    stopped = reason is FinishReason.STOP
    if list(choice.get("prompt_token_ids") or request.prompt_ids) != list(request.prompt_ids):
        raise Malformed("completion of another prompt")
    if not 0 < len(ids) <= request.max_new_tokens or len(ids) != len(logprobs):
        raise Malformed(f"{len(ids)} tokens with {len(logprobs)} log-probabilities")
    if not all(math.isfinite(value) and value <= 1e-3 for value in logprobs):
        raise Malformed("log-probabilities that are none")
    # A completion that the server cut for another reason than its length would pass for one that is whole.
    if stopped != (ids[-1] in request.stop_ids) or not (stopped or len(ids) == request.max_new_tokens):
        raise Malformed(f"finish_reason {reason} after {len(ids)} tokens, the last of them {ids[-1]}")
    return Completion(ids, logprobs, reason)
