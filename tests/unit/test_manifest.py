"""Publishing: complete or absent, under errors, a full disk and a kill at every single step on the file system."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME, is_published, publish, read_manifest, write_json

OLD = {"a.txt": "old", "deep/b.txt": "old b"}
NEW = {"a.txt": "new content", "deep/c.txt": "c"}


def put(target: Path, content: dict[str, str], fingerprint: str = "f") -> None:
    with publish(target, fingerprint=fingerprint, facts={"files": len(content)}) as directory:
        for name, text in content.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(text)


def content_of(target: Path) -> dict[str, str]:
    files = (path for path in target.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    return {path.relative_to(target).as_posix(): path.read_text() for path in files}


def test_what_is_published_is_listed_and_replaces_what_stood_there(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "target"
    assert read_manifest(target) is None
    put(target, OLD, "one")
    assert is_published(target, "one")
    assert not is_published(target, "two")
    first = read_manifest(target, verify=True)
    put(target, NEW, "two")
    second = read_manifest(target, verify=True)
    assert first is not None
    assert second is not None
    assert set(second.files) == set(NEW)
    assert second.facts == {"files": 2}
    assert first.digest != second.digest
    assert content_of(target) == NEW
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_facts_may_be_filled_while_the_block_runs(tmp_path: Path) -> None:
    facts: dict[str, int] = {}
    with publish(tmp_path / "t", fingerprint="f", facts=facts) as directory:
        (directory / "a").write_text("a")
        facts["rows"] = 3
    manifest = read_manifest(tmp_path / "t")
    assert manifest is not None
    assert manifest.facts == {"rows": 3}


def test_an_error_in_the_block_leaves_the_old_content(tmp_path: Path) -> None:
    put(tmp_path / "t", OLD)
    with pytest.raises(TypeError):
        put(tmp_path / "t", {"a.txt": "half", "b.txt": None})  # type: ignore[dict-item]
    assert content_of(tmp_path / "t") == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize("full_at", range(5))
def test_a_full_disk_is_one_line_and_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int
) -> None:
    put(tmp_path / "t", OLD)
    real, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(PolyEpoError, match=r"t: could not publish: No space left on device -> free disk space"):
        put(tmp_path / "t", NEW)
    assert content_of(tmp_path / "t") == OLD
    assert read_manifest(tmp_path / "t", verify=True) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_disk_that_fills_while_the_block_writes_is_the_same_line(tmp_path: Path) -> None:
    with pytest.raises(PolyEpoError, match="No space left"), publish(tmp_path / "t", fingerprint="f"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_cannot_be_made_is_the_same_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PolyEpoError, match="could not publish: File exists"):
        put(tmp_path / "file" / "t", NEW)


def damage_size(target: Path) -> None:
    (target / "a.txt").write_text("longer than before")


def damage_bytes(target: Path) -> None:
    (target / "a.txt").write_text("OLD")


def remove(target: Path) -> None:
    (target / "a.txt").unlink()


@pytest.mark.parametrize(("damage", "verify"), [(damage_size, False), (remove, False), (damage_bytes, True)])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, damage, verify: bool) -> None:
    put(tmp_path / "t", OLD)
    damage(tmp_path / "t")
    with pytest.raises(
        PolyEpoError, match=r"a.txt: file is missing or differs from its manifest -> remove .*t and run"
    ):
        read_manifest(tmp_path / "t", verify=verify)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fingerprint": "f"}', "\x00"])
def test_an_unreadable_manifest_is_one_line(tmp_path: Path, text: str) -> None:
    put(tmp_path / "t", OLD)
    (tmp_path / "t" / MANIFEST_NAME).write_text(text)
    with pytest.raises(PolyEpoError, match="unreadable manifest"):
        read_manifest(tmp_path / "t")


def test_json_is_replaced_whole_and_refuses_what_json_has_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [None]})
    write_json(path, {"b": 2, "a": []})
    assert json.loads(path.read_text()) == {"b": 2, "a": []}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text()) == {"b": 2, "a": []}


KILLED_EVERYWHERE = """
import json, os, signal, sys
from pathlib import Path
from components.manifest import publish, read_manifest
from tests.unit.test_manifest import NEW, OLD, content_of, put

# Every call that changes the file system or makes a change last; python announces each to audit hooks.
WATCHED = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"}
root = Path(sys.argv[1])
seen = []
for kill_at in range(1, 1000):
    target = root / str(kill_at) / "t"
    put(target, OLD)
    child = os.fork()
    if child == 0:
        count = 0
        def hook(event, arguments):
            global count
            if event in WATCHED:
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        put(target, NEW)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    manifest = read_manifest(target, verify=True)
    state = "nothing"
    if manifest is not None:
        assert set(manifest.files) == set(content_of(target)), (kill_at, manifest.files, content_of(target))
        state = {True: "old", False: "new"}[content_of(target) == OLD]
        assert state == "old" or content_of(target) == NEW
    seen.append(state)
    put(target, NEW)
    assert content_of(target) == NEW and [path.name for path in target.parent.iterdir()] == ["t"]
    if not killed:
        break
print(json.dumps(seen))
"""


def test_killed_at_every_step_there_is_the_old_content_or_the_new_or_none(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    states = json.loads(result.stdout)
    assert len(states) > 15
    # In this order, each without a gap; only the removal of the old directory leaves none for a moment.
    changes = [state for place, state in enumerate(states) if place == 0 or states[place - 1] != state]
    assert changes == ["old", "nothing", "new"]
