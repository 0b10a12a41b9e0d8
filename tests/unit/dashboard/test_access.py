"""Who may read, and that nobody may write."""

from __future__ import annotations

import base64

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from components.dashboard.access import Access, Guard
from components.dashboard.serve import access_from
from components.errors import PolyEpoError


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"{scope.get('root_path', '')}|{scope['path']}")(scope, receive, send)


def client(access: Access, peer: str = "127.0.0.1") -> TestClient:
    return TestClient(Guard(inner, access), client=(peer, 5000))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading(method: str) -> None:
    answer = client(Access()).request(method, "/runs")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_security_headers_are_on_every_answer() -> None:
    for answer in (client(Access()).get("/"), client(Access(token="t")).get("/"), client(Access()).post("/")):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_token_is_asked_for_and_taken_as_bearer_or_as_the_password_of_basic() -> None:
    guarded = client(Access(token="s3cret-é"))
    assert guarded.get("/").status_code == 401
    assert "Basic" in guarded.get("/").headers["www-authenticate"]
    for given in ("Bearer wrong", "Bearer ", "Basic !!", "Basic", "s3cret-é".encode().decode("latin-1")):
        assert guarded.get("/", headers={"Authorization": given.encode("latin-1")}).status_code == 401
    basic = base64.b64encode("anyone:s3cret-é".encode()).decode()
    assert guarded.get("/", headers={"Authorization": f"Basic {basic}"}).status_code == 200
    plain = client(Access(token="s3cret"))
    assert plain.get("/", headers={"Authorization": "Bearer s3cret"}).status_code == 200


def test_a_proxy_is_believed_only_from_its_address() -> None:
    access = Access(proxy_header="X-Forwarded-User", proxies=("10.0.0.5",))
    signed_in = {"X-Forwarded-User": "somebody"}
    assert client(access, "10.0.0.5").get("/", headers=signed_in).status_code == 200
    assert client(access, "10.0.0.6").get("/", headers=signed_in).status_code == 401
    assert client(access, "10.0.0.5").get("/").status_code == 401


def test_an_open_server_on_loopback_answers_to_its_own_names_alone() -> None:
    assert client(Access()).get("/", headers={"Host": "evil.example"}).status_code == 421
    assert client(Access()).get("/", headers={"Host": "localhost:8777"}).status_code == 200
    assert client(Access()).get("/", headers={"Host": "[::1]:8777"}).status_code == 200
    assert client(Access(names=("runs.example",))).get("/", headers={"Host": "runs.example"}).status_code == 200


@pytest.mark.parametrize("path", ["/runs", "/poly-epo/runs"])
def test_the_prefix_is_there_once_whether_the_proxy_strips_it_or_not(path: str) -> None:
    assert client(Access(root_path="/poly-epo")).get(path).text == "/poly-epo|/poly-epo/runs"


def test_nobody_serves_everybody_by_accident() -> None:
    with pytest.raises(PolyEpoError, match="POLY_EPO_DASHBOARD_TOKEN"):
        Access(host="0.0.0.0").check()
    Access(host="0.0.0.0", token="t").check()
    Access(host="::1").check()
    with pytest.raises(PolyEpoError, match="slash"):
        Access(root_path="x/").check()


def test_secrets_come_from_the_environment() -> None:
    environment = {"POLY_EPO_DASHBOARD_TOKEN": "t", "POLY_EPO_DASHBOARD_PROXIES": "10.0.0.5, 10.0.0.6"}
    access = access_from("0.0.0.0", "/x", ["a"], environment)
    assert (access.token, access.proxies, access.names) == ("t", ("10.0.0.5", "10.0.0.6"), ("a",))
