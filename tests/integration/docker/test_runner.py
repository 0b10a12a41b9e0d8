"""The runner `docker` on the real engine: what a container sees and may do, how it ends, and that it always ends."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from components.errors import PolyEpoError
from flows.runners.base import StageFailed, StageKilled, get_runner
from flows.runners.docker import DockerRunner
from flows.runners.engine import ROOT_LABEL, RUN_LABEL, RunMark
from tests.integration.docker.conftest import docker

pytestmark = pytest.mark.services
Run = Callable[..., tuple[int, list[str]]]

PARAMS = Path(__file__).resolve().parents[3] / "params.yaml"


def write_params(project: Path, image: str, network: str = "none", **limits: float) -> None:
    document = yaml.safe_load(PARAMS.read_text())
    cpu = {"image": image, **limits}
    document["runner"] = {"network": network, "cpu": cpu, "train": {"image": "poly-epo/absent"}}
    (project / "params.yaml").write_text(yaml.safe_dump(document))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_image: str) -> Path:
    write_params(tmp_path, base_image)
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


@pytest.fixture
def run(project: Path) -> Run:
    def run(script: str, stage: str = "data", **env: str) -> tuple[int, list[str]]:
        lines: list[str] = []
        variables = {"PATH": os.environ["PATH"], "DVC_STAGE": stage, **env}
        code = get_runner("docker").run(
            [sys.executable, "-c", script], cwd=project, env=variables, on_line=lines.append, log=project / "log"
        )
        return code, lines

    return run


def containers(project: Path) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"label={ROOT_LABEL}={project}").split()


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_project_is_at_its_own_path_and_its_owner_owns_what_is_made(run: Run, project: Path) -> None:
    os.chown(project, 1234, 4321)
    code, lines = run("import os; print(os.getcwd()); open('made', 'w').write('x'); print(os.getuid())")
    assert (code, lines) == (0, [str(project), "1234"])
    assert ((project / "made").stat().st_uid, (project / "made").stat().st_gid) == (1234, 4321)
    assert containers(project) == []


def test_lines_come_one_by_one_with_both_outputs_merged_and_the_exit_code(run: Run, project: Path) -> None:
    code, lines = run("import sys; print('one'); sys.stderr.write('two\\n'); sys.exit(7)")
    assert (code, lines) == (7, ["one", "two"])
    assert (project / "log").read_text() == "one\ntwo\n"


def test_only_the_projects_own_variables_are_passed_and_none_on_the_command_line(run: Run) -> None:
    shown = "import os; print(os.environ.get('AWS_SECRET_ACCESS_KEY'), os.environ.get('UNRELATED'))"
    assert run(shown, AWS_SECRET_ACCESS_KEY="hidden", UNRELATED="no") == (0, ["hidden None"])


def test_a_container_has_no_capability_no_writable_root_and_no_network(run: Run) -> None:
    code, lines = run(
        "import socket\n"
        "print([line for line in open('/proc/self/status') if line.startswith('CapEff')][0].split()[1])\n"
        "print([name for _, name in socket.if_nameindex()])\n"
        "open('/etc/made', 'w')"
    )
    assert code == 1
    assert int(lines[0], 16) == 0
    assert lines[1] == "['lo']"
    assert "Read-only file system" in lines[-1]


def test_a_container_that_needs_more_memory_than_its_limit_says_so(project: Path, run: Run, base_image: str) -> None:
    write_params(project, base_image, memory_gib=0.0625)
    with pytest.raises(
        StageKilled, match=r"out of memory: its container may use 0\.0625 GiB -> raise runner\.cpu\.memory_gib"
    ):
        run("held = bytearray(200 << 20)")
    assert containers(project) == []


def test_limits_of_cpus_and_shared_memory_hold(project: Path, run: Run, base_image: str) -> None:
    write_params(project, base_image, cpus=0.5, shared_memory_gib=0.0625)
    code, lines = run(
        "import os, pathlib\n"
        "quotas = [pathlib.Path('/sys/fs/cgroup', name) for name in ('cpu.max', 'cpu/cpu.cfs_quota_us')]\n"
        "print(next(path for path in quotas if path.exists()).read_text().split()[0])\n"
        "shm = os.statvfs('/dev/shm'); print(shm.f_blocks * shm.f_frsize)"
    )
    assert (code, lines) == (0, ["50000", str(64 << 20)])


def test_a_killed_command_ends_with_the_signals_code(run: Run) -> None:
    assert run("import os; os.kill(os.getpid(), 9)")[0] == 128 + signal.SIGKILL


@pytest.mark.parametrize("victim", ["run", "client"])
def test_a_container_ends_with_its_run_and_with_its_client(project: Path, victim: str) -> None:
    program = (
        "import os, sys; from pathlib import Path; from flows.runners.docker import DockerRunner\n"
        "sleep = [sys.executable, '-c', 'import time; print(1); time.sleep(600)']\n"
        "env = dict(os.environ, DVC_STAGE='data')\n"
        "DockerRunner().run(sleep, cwd=Path.cwd(), env=env, on_line=print, log=Path('log'))"
    )
    source = str(Path(__file__).resolve().parents[3])
    child = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": source})
    try:
        wait_until(lambda: (project / "log").exists() and (project / "log").read_text() == "1\n", 60)
        assert len(containers(project)) == 1
        if victim == "run":
            child.kill()
        else:
            os.kill(client_of(child.pid), signal.SIGKILL)
        wait_until(lambda: containers(project) == [])
    finally:
        child.kill()
        child.wait()


def client_of(pid: int) -> int:
    """The docker client below process ``pid``: its guard's child."""
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return pid


def test_what_a_dead_run_left_is_removed_and_what_a_living_one_has_is_not(project: Path, base_image: str) -> None:
    living = RunMark(project / ".poly-epo" / "containers")

    def start(run: str) -> str:
        labels = ["--label", f"{ROOT_LABEL}={project}", "--label", f"{RUN_LABEL}={run}"]
        return docker("run", "--detach", *labels, base_image, "sleep", "600")

    left, at_work = start("dead"), start(living.name)
    try:
        DockerRunner()
        assert [name for name in (left, at_work) if name[:12] in containers(project)] == [at_work]
    finally:
        docker("rm", "--force", at_work)


def test_an_image_that_is_not_there_is_one_line_with_the_remedy(run: Run) -> None:
    with pytest.raises(PolyEpoError) as error:
        run("", stage="improve@grpo")
    assert error.value.line() == "runner docker: no such image (got 'poly-epo/absent') -> make images"


def test_an_image_of_other_pins_is_refused(project: Path, run: Run, base_image: str) -> None:
    (project / "constraints.txt").write_text("numpy==2\n")
    digest = hashlib.sha256(b"numpy==1\n").hexdigest()
    container = docker("create", base_image, "true")
    try:
        docker("commit", "--change", f"LABEL poly-epo.lock={digest}", container, "poly-epo/test-pins")
        write_params(project, "poly-epo/test-pins")
        with pytest.raises(PolyEpoError, match=r"other packages than constraints\.txt pins"):
            run("")
        (project / "constraints.txt").write_text("numpy==1\n")
        assert run("print('fits')") == (0, ["fits"])
    finally:
        docker("rm", container)
        docker("rmi", "--force", "poly-epo/test-pins")


def test_a_container_that_the_engine_refuses_is_a_failed_stage(project: Path, run: Run, base_image: str) -> None:
    write_params(project, base_image, network="not-there")
    with pytest.raises(StageFailed, match=r"the container did not start: .*not-there"):
        run("")
