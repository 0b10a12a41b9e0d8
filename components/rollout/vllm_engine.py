"""Rollouts from vLLM servers: those whose addresses are in the params, or ones that this process starts.

The servers batch by themselves and continuously, so what they draw depends on what else is under way: unlike the
transformers engine's, these rollouts are not the same again for the same seed. Everything else of the contract holds
(see RolloutEngine), and a run resumes at its last published step as ever.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
from transformers import GenerationConfig, PreTrainedTokenizerBase

from components.errors import PolyEpoError
from components.manifest import fingerprint, read_manifest
from components.policy.load import load_tokenizer, prompt_ids
from components.records import ROLLOUT, Problem
from components.rollout.engine import Finished
from components.rollout.group_store import GroupStore
from components.rollout.params import RolloutParams, VllmParams
from components.rollout.vllm_client import Completion, GroupRequest
from components.rollout.vllm_managed import managed_servers
from components.rollout.vllm_pool import PoolLimits, Server, sample_groups
from components.rollout.vllm_replica import Replica
from components.rollout.vllm_router import RoutedReplicas
from components.rollout.vllm_sync import Adapter, Load, Policy, load_from_files

__all__ = ["SamplingStats", "VllmEngine"]

log = logging.getLogger(__name__)

ENGINE = "vllm"


@dataclass(frozen=True)
class SamplingStats:
    """What the last call of ``sample`` cost.

    Attributes:
        wall_seconds: from the first request to the finished table.
        client_seconds: processor time of this process therein: asking, checking, decoding, writing.
        sync_seconds: putting the policy into the servers, summed over them.
        completion_tokens: tokens sampled; those of groups found finished are not among them.
        found_groups: groups that an earlier call had finished.
        repeated_requests: requests that had to be asked again.
    """

    wall_seconds: float
    client_seconds: float
    sync_seconds: float
    completion_tokens: int
    found_groups: int
    repeated_requests: int


@dataclass(frozen=True)
class _Loaded:
    policy: Policy
    digest: str
    tokenizer: PreTrainedTokenizerBase
    stop_ids: list[int]


class VllmEngine:
    """See the module.

    Args:
        params: section ``rollout``.
        state: below it lie finished groups (rollouts/), leases of servers, and logs of servers started here.
        owner: whose sampler this is; two owners never share groups.
        base: the policy of version 0, see get_engine.
    """

    def __init__(self, params: RolloutParams, *, state: Path, owner: str, base: Path | None = None) -> None:
        self._params = params
        self._base = base
        self._state = state
        self._scratch = state / "rollouts" / owner
        self._store: GroupStore | None = None
        self._loaded: _Loaded | None = None
        self._replicas: list[Server] = []
        self.stats: SamplingStats | None = None

    def load_policy(self, directory: Path, version: int) -> None:
        """Note the policy; the servers take it in place before the next sampling.

        Raises:
            PolyEpoError: there is no policy in ``directory``, or it lacks the adapter it is to be loaded by.
        """
        tokenizer = load_tokenizer(directory)
        policy = Policy(directory, version, self._adapter(directory, version))
        self._loaded = _Loaded(policy, _digest(directory), tokenizer, _stop_ids(directory, tokenizer))

    def sample(
        self, problems: Sequence[Problem], *, group_size: int, seed: int, finished: Finished | None = None
    ) -> pa.Table:
        """See RolloutEngine.sample; ``seed`` is recorded, and tells one sampling from another.

        Groups that an earlier call for the same policy, problems, group size and seed had finished before it was
        killed are used as they are.

        Raises:
            PolyEpoError: no policy was loaded, a prompt leaves no room, or no server can answer.
        """
        if self._loaded is None:
            raise PolyEpoError("no policy loaded", where="rollout engine", remedy="call load_policy first")
        loaded, begin = self._loaded, time.monotonic()
        requests = self._requests(loaded, problems, group_size)
        with ExitStack() as held:
            store = self._open_store(self._key(loaded, problems, requests, seed))
            held.callback(store.close)
            found = store.finished()
            missing = {number: request for number, request in enumerate(requests) if number not in found}
            counted = _Counted(loaded, problems, requests, seed, store, finished)
            if finished is not None:
                for number in sorted(found):
                    finished(store.group(number))
            repeated, asked_seconds, synced = 0, 0.0, 0.0
            if missing:
                replicas = self._servers()
                synced = -sum(replica.sync_seconds for replica in replicas)
                for replica in replicas:
                    for url in replica.servers:
                        held.enter_context(_lease(url, self._state / "leases"))
                    replica.suspect()
                pool = sample_groups(missing, replicas, loaded.policy, counted, self._limits())
                repeated, asked_seconds = pool.repeated, pool.client_seconds
                synced += sum(replica.sync_seconds for replica in replicas)
            own = time.thread_time()
            table = store.table(len(requests))
            _check(table, group_size, len(requests), loaded.policy.version, self._scratch)
            own = time.thread_time() - own
        self.stats = SamplingStats(
            wall_seconds=time.monotonic() - begin,
            client_seconds=asked_seconds + own,
            sync_seconds=synced,
            completion_tokens=counted.tokens,
            found_groups=len(found),
            repeated_requests=repeated,
        )
        return table

    def _adapter(self, directory: Path, version: int) -> Adapter | None:
        """How the policy goes into servers beside the base policy; None where it goes whole."""
        if self._params.vllm.weights != "adapter" or self._base is None or version == 0:
            return None
        adapter = directory / "adapter"
        if not (adapter / "adapter_config.json").is_file():
            raise PolyEpoError(
                "the policy has no adapter to load",
                where=str(directory),
                remedy="train with training.lora, or set rollout.vllm.weights: files",
            )
        return Adapter(adapter, self._base, _digest(self._base))

    def _requests(self, loaded: _Loaded, problems: Sequence[Problem], group_size: int) -> list[GroupRequest]:
        return [
            GroupRequest(
                prompt_ids(loaded.tokenizer, problem.prompt), group_size, self._params.max_new_tokens, loaded.stop_ids
            )
            for problem in problems
        ]

    def _open_store(self, key: str) -> GroupStore:
        """The store of this sampling. Whoever asked for the last one has published it: its groups go."""
        if self._store is not None and self._store.key != key:
            self._store.remove()
        self._store = GroupStore(self._scratch, key)
        return self._store

    def _servers(self) -> list[Server]:
        vllm = self._params.vllm
        if not self._replicas:
            limit, load = vllm.outage_limit_seconds, _load(vllm)
            addresses = vllm.addresses()
            if addresses:
                replicas = [Replica(url, outage_limit=limit, load=load) for url in addresses]
                self._replicas = [RoutedReplicas(vllm.router.rstrip("/"), replicas)] if vllm.router else [*replicas]
            else:
                self._replicas = [
                    Replica(server.url, outage_limit=limit, starter=server, load=load)
                    for server in managed_servers(vllm, self._state / "logs")
                ]
        return self._replicas

    def _limits(self) -> PoolLimits:
        vllm = self._params.vllm
        return PoolLimits(vllm.max_in_flight, vllm.attempts, vllm.request_limit_seconds)

    def _key(self, loaded: _Loaded, problems: Sequence[Problem], requests: Sequence[GroupRequest], seed: int) -> str:
        prompts = [
            (problem.problem_id, request.prompt_ids) for problem, request in zip(problems, requests, strict=True)
        ]
        group_size = requests[0].group_size if requests else 0
        settings = (self._params.max_new_tokens, self._params.vllm.dtype, loaded.stop_ids, group_size, seed)
        return fingerprint(ENGINE, loaded.digest, loaded.policy.version, settings, prompts)[:24]


class _Counted:
    """Turns delivered completions into rows, keeps them in the store and counts their tokens."""

    def __init__(
        self,
        loaded: _Loaded,
        problems: Sequence[Problem],
        requests: Sequence[GroupRequest],
        seed: int,
        store: GroupStore,
        finished: Finished | None,
    ) -> None:
        self._loaded = loaded
        self._problems = problems
        self._requests = requests
        self._seed = seed
        self._store = store
        self._finished = finished
        self._guard = threading.Lock()
        self.tokens = 0

    def __call__(self, number: int, completions: Sequence[Completion]) -> None:
        """Deliver group ``number``; called from several threads."""
        group = self._table(number, completions)
        self._store.add(number, group)
        if self._finished is not None:
            self._finished(group)
        with self._guard:
            self.tokens += sum(len(completion.ids) for completion in completions)

    def _table(self, number: int, completions: Sequence[Completion]) -> pa.Table:
        size = len(completions)
        ids = [completion.ids for completion in completions]
        texts = self._loaded.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        columns = {
            "problem_id": [self._problems[number].problem_id] * size,
            "sample_index": list(range(size)),
            "prompt_ids": [list(self._requests[number].prompt_ids)] * size,
            "completion_ids": ids,
            "rollout_logprobs": [completion.logprobs for completion in completions],
            "completion": texts,
            "finish_reason": [str(completion.finish_reason) for completion in completions],
            "policy_version": [self._loaded.policy.version] * size,
            "engine": [ENGINE] * size,
            "seed": [self._seed] * size,
        }
        return pa.Table.from_pydict(columns, schema=ROLLOUT)


def _load(params: VllmParams) -> Load:
    """How whole weights get into the servers."""
    if params.weights in ("files", "adapter"):
        return load_from_files
    from components.rollout.vllm_transfer import send_over_ipc, send_over_nccl  # noqa: PLC0415  (needs vLLM, which few have here)

    if params.weights == "ipc":
        return send_over_ipc
    return partial(send_over_nccl, address=params.transfer_address, port=params.transfer_port)


@contextmanager
def _lease(url: str, leases: Path) -> Iterator[None]:
    """Hold the server at ``url`` against the project's other samplers: two policies cannot be in it at once."""
    leases.mkdir(parents=True, exist_ok=True)
    with (leases / f"{urlsplit(url).netloc.replace(':', '-')}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("rollout server %s is in use by another sampler; waiting for it", url)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check(table: pa.Table, group_size: int, groups: int, version: int, scratch: Path) -> None:
    """Every group whole, in order, and made by the policy that was asked for.

    Raises:
        PolyEpoError: what lies in the store is not what was sampled.
    """
    indices = list(range(group_size)) * groups
    versions = set(table["policy_version"].to_pylist())
    if table["sample_index"].to_pylist() != indices or versions - {version}:
        raise PolyEpoError(
            f"finished groups are not {group_size} completions each of policy version {version}",
            where=str(scratch),
            value=sorted(versions),
            remedy="remove this directory and run the same command again",
        )


def _digest(directory: Path) -> str:
    """What tells this policy from every other: its manifest's digest, else its weights' own hash."""
    manifest = read_manifest(directory)
    if manifest is not None:
        return manifest.digest
    hashes = []
    for file in sorted(directory.glob("*.safetensors")):
        with file.open("rb") as stream:
            hashes.append((file.name, hashlib.file_digest(stream, "sha256").hexdigest()))
    return fingerprint(hashes)


def _stop_ids(directory: Path, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a completion, as the transformers engine reads them from the model it opened."""
    try:
        configured = GenerationConfig.from_pretrained(directory).eos_token_id
    except OSError:
        configured = None  # a model without one ends with its tokenizer's token alone
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({int(token) for token in [*ids, tokenizer.eos_token_id] if token is not None})
