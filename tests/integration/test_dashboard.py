"""The dashboard over workspaces, through its whole application: pages, hostile input, damage, MLflow there and down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from components.dashboard.access import Access
from components.dashboard.app import create_app
from components.dashboard.site import Site
from components.manifest import write_json
from components.registry.store import CHAMPION, Models
from components.tracking.client import POLICY_TAG, connect
from components.tracking.params import TrackingParams
from tests.integration.mlflow_server import mlflow_server
from tests.unit.dashboard.example import HOSTILE, make_iteration, make_workspace, write_params

THREE = "/compare?run=one:base&run=one:grpo&run=one:poly_epo"


def client_of(root: Path, access: Access | None = None) -> TestClient:
    return TestClient(create_app(root / "project", [root / "archive"], access))


def site_of(client: TestClient) -> Site:
    return client.app._app.state.site  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without runs, and an archive of two workspaces; not to be changed by a test."""
    root = tmp_path_factory.mktemp("dashboard")
    (root / "project").mkdir()
    write_params(root / "project", ["grpo"], 5, 8, {})
    make_workspace(root / "archive" / "one", seed=1)
    make_workspace(root / "archive" / "two", seed=2, arms=("poly_epo",), params={"training": {"learning_rate": 1e-5}})
    make_iteration(root / "archive" / "two", "poly_epo", 6, 6, completions=HOSTILE, seed=2)
    write_json(root / "secret.json", {"secret": "never shown"})
    return root


@pytest.fixture(scope="module")
def client(root: Path) -> TestClient:
    return client_of(root)


PAGES = [
    "/runs",
    "/runs?q=poly&sort=pass_8&order=asc",
    "/compare",
    THREE,
    "/runs/one:poly_epo",
    "/runs/one:base",
    "/runs/one:grpo/live",
    "/runs/one:poly_epo/rollouts",
    "/runs/one:grpo/rollouts?iteration=2&iteration2=4",
    "/runs/one:poly_epo/rollouts?iteration=6&run2=two:poly_epo",
    "/models",
]


@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers_and_names_no_other_host(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert client.head(address).status_code == 200
    assert not re.findall(r"""(?:src|href|action|hx-get)=["'](?:https?:)?//(?!127\.0\.0\.1)""", answer.text)
    assert not re.findall(r"<script(?! src=)|<[^>]*\s(?:on\w+|style)=", answer.text)


def test_home_leads_to_the_runs(client: TestClient) -> None:
    answer = client.get("/", follow_redirects=False)
    assert answer.headers["location"] == "/runs"


def test_the_table_says_what_was_measured(client: TestClient) -> None:
    text = client.get("/runs").text
    assert text.count('name="run"') == 5
    assert re.search(r"0\.\d{3} <span class=\"quiet ends\">\[0\.\d{3}, 0\.\d{3}\]", text)


def test_comparing_three_runs(client: TestClient) -> None:
    text = client.get(THREE).text
    assert text.count("<caption>") >= 3 + 1
    assert "Poly-EPO · one minus GRPO · one" in text
    assert 'aria-labelledby="pass-at-k-title pass-at-k-desc"' in text
    for metric in ("coverage", "reward_mean", "entropy", "clip_fraction", "mismatch_kl"):
        assert f'id="train-{metric}-title"' in text
    assert "arm.objective.set_size" in text
    assert "improve.iterations" not in text


def test_an_unknown_run_among_known_ones_is_told(client: TestClient) -> None:
    text = client.get("/compare?run=one:grpo&run=<b>gone</b>").text
    assert "Not found: <code>&lt;b&gt;gone&lt;/b&gt;</code>" in text
    assert "GRPO · one" in text


@pytest.mark.parametrize(
    "address",
    [
        "/nowhere",
        "/runs/none:none",
        "/runs/..%2F..%2Fsecret.json",
        "/runs/one:poly_epo/rollouts?problem=../../secret.json",
        "/runs/one:poly_epo/figures/..%2F..%2F..%2Fsecret.json",
        "/runs/one:poly_epo/docs/../../../secret.json",
        "/runs/one:poly_epo/docs/%2Fetc%2Fpasswd",
        "/static/..%2Fapp.py",
        "/static/%2e%2e/app.py",
        "/compare?run=../../secret",
        "/models/1",
    ],
)
def test_what_is_not_there_is_not_found_and_leads_nowhere(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "never shown" not in answer.text
    assert "root:" not in answer.text


def test_an_unknown_run_shows_what_exists(client: TestClient) -> None:
    assert '<a href="/runs/one:grpo">one:grpo</a>' in client.get("/runs/none:none").text


def test_an_unknown_problem_shows_what_exists(client: TestClient) -> None:
    text = client.get("/runs/one:grpo/rollouts?iteration=2&problem=none").text
    assert "has no problem" in text
    assert "problem=train-3" in text


@pytest.mark.parametrize("query", ["iteration=99999999999", "iteration=-1", "iteration=x", "iteration=0", "full=9e9"])
def test_malformed_numbers_are_no_fault_of_the_server(client: TestClient, query: str) -> None:
    assert client.get(f"/runs/one:grpo/rollouts?{query}").status_code == 200


def test_hostile_completions_are_text(client: TestClient) -> None:
    answer = client.get("/runs/two:poly_epo/rollouts?iteration=6&problem=train-0")
    assert "<script>document" not in answer.text
    assert "&lt;script&gt;document" in answer.text
    assert "\u202e" not in answer.text
    assert "\\u202e" in answer.text
    assert "\x1b" not in answer.text
    assert "998,000 more characters" in answer.text
    assert len(answer.content) < 100_000
    whole = client.get("/runs/two:poly_epo/rollouts?iteration=6&problem=train-0&full=4")
    assert whole.text.count("x" * 1_000_000) == 1


def test_beside_a_problem_stands_the_nearest_iteration_that_sampled_it(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    write_params(tmp_path / "project", ["grpo"], 5, 8, {})
    archive = tmp_path / "archive" / "one"
    make_workspace(archive, seed=1)
    for number in (1, 2, 5):  # only these sampled train-4
        make_iteration(archive, "poly_epo", number, 6, seed=1, problems=5)
    client = client_of(tmp_path)
    address = "/runs/one:poly_epo/rollouts?problem=train-4&iteration="
    assert "Poly-EPO · one, iteration 2</h2>" in client.get(f"{address}1&run2=one:poly_epo").text
    assert "Poly-EPO · one, iteration 2</h2>" in client.get(f"{address}5&run2=one:poly_epo").text
    missing = client.get(f"{address}5&iteration2=6").text
    assert "was not sampled in this iteration; it has 4 others" in missing
    assert 'run2=one%3Apoly_epo&amp;iteration2=5">iteration 5</a>' in missing
    other = client.get(f"{address}5&run2=one:grpo").text  # another run stands beside it at the same iteration
    assert "GRPO · one, iteration 5</h2>" in other


def test_why_an_advantage(client: TestClient) -> None:
    text = client.get("/runs/one:poly_epo/rollouts?iteration=6&problem=train-1").text
    assert text.count('<details class="why">') == 8
    assert "from mean reward times mean diversity" in text
    grpo = client.get("/runs/one:grpo/rollouts?iteration=6&problem=train-1").text
    assert "its reward minus the group&#39;s mean reward" in grpo


def test_the_prefix_is_in_every_address(root: Path) -> None:
    client = client_of(root, Access(root_path="/poly-epo"))
    for address in (page for page in PAGES if not page.endswith("/live")):
        text = client.get(f"/poly-epo{address}").text
        addresses = re.findall(r"(?:href|action|src|hx-get)=\"(/[^\"]*)", text)
        assert addresses
        assert all(found.startswith("/poly-epo/") for found in addresses)
        assert client.get(address).status_code == 200
    assert client.get("/poly-epo/static/style.css").status_code == 200


def test_nothing_yet_says_what_to_run(tmp_path: Path) -> None:
    client = TestClient(create_app(tmp_path))
    for address in ("/runs", "/compare", "/models"):
        assert client.get(address).status_code == 200
    assert "<code>poly-epo run</code>" in client.get("/runs").text


def test_live_progress(tmp_path: Path) -> None:
    write_params(tmp_path, ["grpo"], 4, 8, {})
    make_iteration(tmp_path / "workspace", "grpo", 1, 4)
    client = TestClient(create_app(tmp_path))
    text = client.get("/runs/current:grpo/live").text
    assert "1 of 4" in text
    seen = re.search(r'hx-get="([^"]+)"', text)
    assert seen is not None
    assert client.get(seen[1]).status_code == 204
    make_iteration(tmp_path / "workspace", "grpo", 2, 4)
    assert "2 of 4" in client.get(seen[1]).text


def test_a_damaged_workspace_leaves_the_rest(tmp_path: Path) -> None:
    make_workspace(tmp_path / "archive" / "good", iterations=2)
    bad = make_workspace(tmp_path / "archive" / "bad", iterations=2)
    for path in bad.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\x00\xff{")
    client = client_of(tmp_path)
    text = client.get("/runs").text
    assert "good" in text
    assert "cannot be read; the rest is shown" in text
    for address in ("/runs/bad:grpo", "/runs/bad:grpo/rollouts", "/compare?run=bad:grpo&run=good:grpo"):
        assert client.get(address).status_code == 200


def test_mlflow_down_shows_a_banner_and_the_workspaces(tmp_path: Path) -> None:
    make_workspace(tmp_path / "archive" / "one", iterations=2)
    write_params(tmp_path, ["grpo"], 5, 8, {"tracking": {"uri": "http://127.0.0.1:9"}})
    client = TestClient(create_app(tmp_path, [tmp_path / "archive"]))
    assert site_of(client).remote.refresh().state == "down"
    text = client.get("/runs").text
    assert "MLflow does not answer" in text
    assert "GRPO" in text
    assert client.get("/models").status_code == 200


@pytest.fixture(params=["sqlite", pytest.param("http", marks=[pytest.mark.services, pytest.mark.slow])])
def tracking_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database file, and a real MLflow server that is up."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'mlflow.db'}"
        return
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as address:
        yield address


@pytest.fixture
def tracked(tmp_path: Path, tracking_uri: str) -> tuple[TestClient, dict[str, Any]]:
    """A project whose MLflow knows one run of nobody's workspace and a version with a card."""
    project = tmp_path / "project"
    project.mkdir()
    uri = tracking_uri
    write_params(project, ["grpo"], 5, 8, {"tracking": {"uri": uri}})
    make_workspace(tmp_path / "archive" / "one", iterations=2, arms=("poly_epo",))
    client = client_of(tmp_path)
    run = next(run for run in site_of(client).index.runs() if run.model == "poly_epo")
    store = connect(TrackingParams(uri=uri))
    told = {"poly_epo.kind": "retrain", "git_commit": "abcdef123456", "flow_run_id": "0123-flow"}
    retrain = store.create_run("retrain x", told, 1000)
    here = store.create_run("arm poly_epo", {"poly_epo.kind": "arm", "mlflow.parentRunId": retrain}, 1500)
    measured = {"poly_epo.kind": "evaluation", "mlflow.parentRunId": retrain, POLICY_TAG: run.policy}
    store.create_run("evaluation poly_epo", measured, 1600)
    arm = store.create_run("arm far", {"poly_epo.kind": "arm", "mlflow.parentRunId": retrain}, 2000)
    store.client.create_registered_model("poly-epo")
    models = Models(store, "poly-epo")
    version = models.add(tmp_path / "archive" / "one" / "improve" / "poly_epo" / "final", run.policy, arm)
    models.keep(
        version, {"model_card.md": "# Card <script>alert(1)</script>", "lineage.json": '{"base": "b", "data": {}}'}
    )
    models.move(CHAMPION, version)
    state = tmp_path / "archive" / "one" / "prefect"
    state.mkdir()
    (state / "server.json").write_text('{"api_url": "http://127.0.0.1:4200/api"}')
    return client, {"arm": arm, "here": here, "run": run.id}


def test_registry_and_runs_that_only_mlflow_knows(tracked: tuple[TestClient, dict[str, Any]]) -> None:
    client, names = tracked
    known = site_of(client).remote.refresh()
    assert known.state == "there"
    table = client.get("/runs").text
    assert "champion" in table
    assert f"mlflow-{names['arm'][:12]}:far" in table
    assert client.get(f"/runs/mlflow-{names['arm'][:12]}:far").status_code == 200
    assert client.get(f"/compare?run={names['run']}&run=mlflow-{names['arm'][:12]}:far").status_code == 200
    page = client.get(f"/runs/{names['run']}").text
    assert 'href="http://127.0.0.1:4200/runs/flow-run/0123-flow"' in page
    assert names["here"] in page
    models = client.get("/models").text
    assert "poly-epo models rollback" in models
    assert 'href="/models/1"' in models
    version = client.get("/models/1").text
    assert "<h3>Card &lt;script&gt;" in version
    assert "Poly-EPO · one" in version
    assert client.get("/models/2").status_code == 404


def test_asking_creates_nothing(tmp_path: Path) -> None:
    write_params(tmp_path, ["grpo"], 5, 8, {})
    before = sorted(tmp_path.rglob("*"))
    client = TestClient(create_app(tmp_path))
    assert site_of(client).remote.refresh().state == "empty"
    for address in ("/runs", "/models", "/compare"):
        client.get(address)
    assert sorted(tmp_path.rglob("*")) == before


def test_prometheus_finds_requests_by_page(client: TestClient) -> None:
    before = requests_of(client, "/runs")
    client.get("/runs")
    client.get("/runs?sort=pass_8")
    client.get("/models")
    assert requests_of(client, "/runs") == before + 2


def requests_of(client: TestClient, page: str) -> float:
    """Requests of ``page`` that this process has answered, as Prometheus reads it; other tests make some too."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "process_resident_memory_bytes" in answer.text
    found = re.search(rf'poly_epo_dashboard_request_seconds_count{{page="{page}"}} (.+)', answer.text)
    return float(found.group(1)) if found else 0.0
