"""Child processes: streamed, their exit code told, gone when their parent goes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components import process_guard
from components.errors import PolyEpoError
from flows.locking import exclusive
from flows.runners.base import error_line, get_runner
from flows.runners.process import stream


def run_python(tmp_path: Path, code: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    log = tmp_path / "logs" / "x.log"
    exit_code = stream([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, on_line=lines.append, log=log)
    assert log.read_text().splitlines() == lines
    return exit_code, lines


def test_lines_of_both_outputs_in_order_and_the_exit_code(tmp_path: Path) -> None:
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr); sys.exit(3)"
    assert run_python(tmp_path, code) == (3, ["one", "two"])


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfe ok\\n')"
    exit_code, lines = run_python(tmp_path, code)
    assert exit_code == 0
    assert lines[0].endswith(" ok")


def test_a_command_ended_by_a_signal_is_told_from_one_that_failed(tmp_path: Path) -> None:
    assert run_python(tmp_path, "import os; os.kill(os.getpid(), 9)")[0] == 128 + signal.SIGKILL


def test_the_whole_group_ends_on_sigterm(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid()), sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 2
    process.terminate()
    process.wait(20)
    assert not psutil.wait_procs(family, timeout=10)[1]


def test_nothing_starts_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    target = tmp_path / "made"
    done = subprocess.run([sys.executable, "-I", "-S", process_guard.__file__, "1", "touch", str(target)])
    assert done.returncode != 0
    assert not target.exists()


@pytest.mark.parametrize(
    ("lines", "best"),
    [
        (["error: where: what -> remedy", "bye"], "where: what -> remedy"),
        (["Traceback", "ValueError: no", "", "  "], "ValueError: no"),
        ([], "no output"),
    ],
)
def test_error_line(lines: list[str], best: str) -> None:
    assert error_line(lines) == best


def test_unknown_runner_names_the_known_ones() -> None:
    assert get_runner("local").name == "local"
    with pytest.raises(PolyEpoError, match="known: local"):
        get_runner("moon")


def test_a_lock_file_keeps_others_out_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    said = rf"\(pid {os.getpid()}\) is at work on the arm"
    with (
        exclusive(path, "the arm"),
        pytest.raises(PolyEpoError, match=said),
        exclusive(path, "the arm", wait_seconds=0),
    ):
        pytest.fail("two holders")
    with exclusive(path, "the arm", wait_seconds=0):
        pass


def test_a_lock_is_free_as_soon_as_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    code = (
        "import sys, time; from pathlib import Path; from flows.locking import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"
    )
    repository = Path(__file__).resolve().parents[3]
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=repository) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
        start = time.monotonic()
        with exclusive(path, "x", wait_seconds=10):
            assert time.monotonic() - start < 5
