"""The graph of stages as DVC reads it from dvc.yaml, and the DVC half of running one stage.

dvc.yaml is the only list of stages. This module does with a stage what `dvc repro` does around its command: decide
whether it is up to date, remove the outputs that are not persistent, restore a known result from the run cache,
and record the outcome (hashes, cache, dvc.lock). The command itself is run by a runner in between, so that DVC's
lock is free while it works and independent stages run side by side.

    project = Project(Path("."))
    for stage in project.plan():
        if project.begin(stage.name) is Begin.RUN:
            ...  # run stage.cmd
            project.record(stage.name)
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.lock import make_lock
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, rwlock
from dvc.stage import PipelineStage, Stage
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import load_yaml

from components.errors import PolyEpoError
from flows.lockfile import record_stage

__all__ = ["Begin", "Project", "StageInfo"]


class Begin(StrEnum):
    """What DVC says about a stage before its command runs."""

    UP_TO_DATE = "up to date"
    RESTORED = "restored from the run cache"
    RUN = "run"


@dataclass(frozen=True)
class StageInfo:
    """One stage of dvc.yaml, matrix expanded.

    Attributes:
        name: as DVC addresses it, e.g. ``improve@grpo``.
        commands: its shell commands, run one after the other.
        directory: where they run.
        parents: names of the stages whose outputs it reads.
    """

    name: str
    commands: tuple[str, ...]
    directory: Path
    parents: tuple[str, ...]


class Project:
    """The DVC project at ``root``. Safe to use from several threads: one lock serialises every use of DVC.

    The process must work in ``root``: DVC resolves paths from the current directory.

    Raises:
        PolyEpoError: ``root`` is no DVC project or not the current directory, or dvc.yaml cannot be read.
    """

    def __init__(self, root: Path) -> None:

        self.root = root.resolve()
        self._mutex = threading.RLock()
        if self.root != Path.cwd():
            raise PolyEpoError("not in the project's root", where=str(Path.cwd()), remedy=f"cd {self.root}")
        try:
            self._repo = Repo(str(self.root), _wait_for_lock=True)
        except DvcException as error:
            raise PolyEpoError(
                f"no DVC project: {error}", where=str(root), remedy="run from the project's root, or `dvc init` there"
            ) from error
        _mend_rwlock(self._repo)
        self._known_before = self._names_in_lockfile()
        self._plan = self._read_plan()

    def plan(self) -> list[StageInfo]:
        """All stages in the order in which `dvc repro` would run them."""
        return list(self._plan)

    def stale(self) -> list[str]:
        """Names of the stages that are not up to date by themselves, in order; what follows from them is not listed."""
        names = []
        for info in self._plan:
            with self._stage(info.name) as stage:
                if stage.changed():
                    names.append(info.name)
        return names

    def begin(self, name: str, *, force: bool = False) -> Begin:
        """Make ``name`` ready to run, or find that it need not.

        A stage that is up to date is left alone. Otherwise its outputs are removed (persistent ones stay) and, unless
        ``force``, a result of the same command on the same inputs is taken from DVC's run cache when it is there.
        """

        with self._stage(name) as stage:
            if not force and not stage.changed():
                return Begin.UP_TO_DATE
            stage.remove_outs(ignore_remove=False, force=False)
            if force:
                return Begin.RUN
            try:
                self._repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                return Begin.RUN
            self._save(stage)
            return Begin.RESTORED

    def record(self, name: str) -> None:
        """Record the outputs that ``name``'s command has made: hashes, cache, run cache, dvc.lock.

        Raises:
            PolyEpoError: an output that dvc.yaml declares was not made.
        """

        with self._stage(name) as stage:
            try:
                self._save(stage)
            except DvcException as error:
                raise PolyEpoError(f"cannot record the stage: {error}", where=f"stage {name}") from error

    def push(self, name: str) -> int:
        """Push the outputs of ``name`` to the default remote; the number of files sent, 0 without a remote.

        Raises:
            PolyEpoError: the remote cannot be reached or refuses.
        """
        remote = self._repo.config["core"].get("remote")
        if not remote:
            return 0
        try:
            with self._mutex:
                return int(self._repo.push(targets=[name], run_cache=True))
        except Exception as error:  # the remotes' libraries (S3, SSH, HTTP) share no narrower base
            first_line = (str(error).splitlines() or [""])[0]
            raise PolyEpoError(
                f"cannot push: {type(error).__name__}: {first_line[:300]}",
                where=f"DVC remote {remote!r}",
                remedy="check the remote's address and credentials: `poly-epo doctor`",
            ) from error

    @contextmanager
    def busy(self, name: str) -> Iterator[None]:
        """Tell other DVC processes that ``name``'s outputs are being written, as `dvc repro` does while it runs one."""

        with self._stage(name) as stage:
            read = [dep.fs_path for dep in stage.deps]
            write = [out.fs_path for out in stage.outs]
        repo = self._repo
        hardlink = repo.config["core"].get("hardlink_lock", False)
        held = ExitStack()
        with self._mutex:
            held.enter_context(rwlock(repo.tmp_dir, repo.fs, f"poly-epo run {name}", read, write, hardlink))
        try:
            yield
        finally:
            with self._mutex:
                held.close()

    @contextmanager
    def _stage(self, name: str) -> Iterator[PipelineStage]:

        with self._mutex, lock_repo(self._repo), self._repo.scm_context(quiet=True):
            yield self._repo.stage.load_one(str(self.root / "dvc.yaml"), name)

    def _save(self, stage: PipelineStage) -> None:

        uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
        stage.save(run_cache=not uncached)  # the same rule as `dvc repro`
        stage.commit()
        names = [info.name for info in self._plan]
        record_stage(self.root / "dvc.lock", to_lockfile(stage), self._known_before, names)

    def _read_plan(self) -> list[StageInfo]:

        try:
            with self._mutex, lock_repo(self._repo):
                targets = collect_stages(self._repo, [str(self.root / "dvc.yaml")])
                graph = get_active_graph(self._repo.index.graph)
                stages = plan_repro(graph, targets)
                return [_info(stage, graph.successors(stage)) for stage in stages if isinstance(stage, PipelineStage)]
        except DvcException as error:
            raise PolyEpoError(f"cannot read the stages: {error}", where=str(self.root / "dvc.yaml")) from error

    def _names_in_lockfile(self) -> list[str]:

        path = self.root / "dvc.lock"
        return list((load_yaml(str(path)) or {}).get("stages", {})) if path.exists() else []


def _info(stage: PipelineStage, upstream: Iterable[Stage]) -> StageInfo:
    commands = stage.cmd if isinstance(stage.cmd, list) else str(stage.cmd).splitlines()
    parents = tuple(sorted(parent.name for parent in upstream if isinstance(parent, PipelineStage)))
    return StageInfo(stage.name, tuple(commands), Path(stage.wdir), parents)


def _mend_rwlock(repo: Repo) -> None:
    """Remove DVC's list of the paths in use where it is no JSON: a disk that was full while it was written cut it off.

    DVC refuses every command then, and nobody's entry can be read any more. Its guard is held: nobody writes it now.
    """
    path = Path(repo.tmp_dir) / RWLOCK_FILE
    hardlink = repo.config["core"].get("hardlink_lock", False)
    with make_lock(str(path.with_name(RWLOCK_LOCK)), tmp_dir=repo.tmp_dir, hardlink_lock=hardlink, wait=True):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            path.unlink()
