from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import huggingface_hub
import pytest

from components.errors import PolyEpoError
from components.evaluation.model_source import find_policy
from components.manifest import publish, read_manifest
from components.params import Params, load_params
from components.registry import aliases
from components.registry.store import Version

RUN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(Path(__file__).parents[3] / "params.yaml")


@dataclass
class Registry:
    """Two versions of one policy directory each; counts what is fetched."""

    root: Path
    fetched: list[int] = field(default_factory=list)
    gone: bool = False

    def policy(self, number: int) -> Path:
        return self.root / "artifacts" / str(number)

    def versions(self) -> list[Version]:
        return [self._version(1, ["previous"]), self._version(2, ["champion"], run_id=RUN)]

    def get(self, wanted: int | str) -> Version:
        for version in self.versions():
            if str(wanted) == str(version.number) or wanted in version.aliases:
                return version
        raise PolyEpoError("model 'poly-epo' has no such version", where="registry", value=wanted)

    def fetch(self, version: Version, target: Path) -> None:
        if self.gone:
            raise PolyEpoError(f"the files of version {version.number} are gone", where=version.source)
        self.fetched.append(version.number)
        target.mkdir(parents=True)
        for file in self.policy(version.number).iterdir():
            (target / file.name).write_bytes(file.read_bytes())

    def _version(self, number: int, names: list[str], run_id: str | None = None) -> Version:
        manifest = read_manifest(self.policy(number))
        assert manifest is not None
        return Version(number, manifest.digest, str(self.policy(number)), run_id, names)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry(tmp_path)
    for number in (1, 2):
        with publish(made.policy(number), fingerprint=str(number)) as directory:
            (directory / "config.json").write_text(f'{{"version": {number}}}')
    monkeypatch.setattr(aliases, "open_registry", lambda _: made)
    return made


def test_a_directory_is_taken_as_it_is(tmp_path: Path, params: Params) -> None:
    assert find_policy(str(tmp_path), params, tmp_path / "cache") == tmp_path


@pytest.mark.parametrize(
    ("model", "number"),
    [
        ("champion", 2),
        ("previous", 1),
        ("1", 1),
        ("models:/poly-epo@champion", 2),
        ("models:/poly-epo/1", 1),
        (RUN, 2),
    ],
)
def test_every_name_of_a_registered_version(
    model: str, number: int, registry: Registry, tmp_path: Path, params: Params
) -> None:
    found = find_policy(model, params, tmp_path / "cache")
    assert (found / "config.json").read_text() == f'{{"version": {number}}}'
    assert found.is_relative_to(tmp_path / "cache")
    # Fetched once: the second time its manifest says that it is the same policy.
    assert find_policy(model, params, tmp_path / "cache") == found
    assert registry.fetched == [number]


def test_a_damaged_copy_is_told_and_a_half_made_one_is_made_again(
    registry: Registry, tmp_path: Path, params: Params
) -> None:
    found = find_policy("champion", params, tmp_path / "cache")
    (found / "manifest.json").unlink()
    assert find_policy("champion", params, tmp_path / "cache") == found
    assert registry.fetched == [2, 2]
    (found / "config.json").unlink()
    with pytest.raises(PolyEpoError, match=r"config.json: file is missing"):
        find_policy("champion", params, tmp_path / "cache")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("challenger", r"has no such version"),
        ("99", r"has no such version"),
        ("models:/other@champion", r"another registered model than 'poly-epo' .*set registry.model"),
        ("f" * 32, rf"no policy is registered from this MLflow run .*runs with one: {RUN} \(version 2\)"),
        ("chmpion", r"no model of this name .*give a policy directory"),
        ("./no/such/dir", r"no model of this name"),
        ("/no/such.gguf", r"no such GGUF file"),
    ],
)
@pytest.mark.usefixtures("registry")
def test_what_does_not_exist_is_one_line(model: str, message: str, tmp_path: Path, params: Params) -> None:
    with pytest.raises(PolyEpoError, match=message):
        find_policy(model, params, tmp_path / "cache")


def test_a_version_whose_files_are_gone_leaves_nothing_behind(
    registry: Registry, tmp_path: Path, params: Params
) -> None:
    registry.gone = True
    with pytest.raises(PolyEpoError, match="the files of version 2 are gone"):
        find_policy("champion", params, tmp_path / "cache")
    assert not any((tmp_path / "cache").glob("*"))


def test_a_hub_model_is_asked_for_with_its_revision(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def snapshot(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, "*.py" in allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_policy("Qwen/Qwen3-4B-Base@abc123", params, tmp_path / "cache") == tmp_path
    find_policy("Qwen/Qwen3-4B-Base", params, tmp_path / "cache")
    assert asked == [("Qwen/Qwen3-4B-Base", "abc123", False), ("Qwen/Qwen3-4B-Base", "main", False)]


def test_no_network_is_one_line(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(PolyEpoError, match=r"model Qwen/Qwen3 at main: cannot get .*no route to host -> check name"):
        find_policy("Qwen/Qwen3", params, tmp_path / "cache")
