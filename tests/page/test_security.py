"""Foreign hosts and origins, hostile paths and settings, against the real server."""

import functools
import http.client
import json
from pathlib import Path
from typing import Any

import pytest


class Client:
    """Raw requests: no path is normalised, and every header can be set."""

    def __init__(self, address: str) -> None:
        self.host = address.removeprefix("http://")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, timeout=200)
        own = {"Host": self.host}
        if method == "POST":
            own |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        sent = {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        for name, value in {**sent, **({"Content-Length": str(len(data))} if method == "POST" else {})}.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        self.headers = answer.headers
        return answer.status, answer.read()

    @functools.cached_property
    def runs(self) -> dict[str, str]:
        """Name -> id."""
        return {run["name"]: run["id"] for run in json.loads(self.ask("GET", "/runs")[1])}


@pytest.fixture(scope="module")
def client(server: str) -> Client:
    return Client(server)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Host": "evil.example@localhost"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_foreign_hosts_and_origins_are_refused(client: Client, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/runs"), ("POST", f"/runs/{client.runs['results/mlp_gan']}/draw")):
        assert client.ask(method, path, {"tab": "sample"} if method == "POST" else None, **headers)[0] == 403


def test_a_post_needs_an_origin_and_json(client: Client) -> None:
    path = f"/runs/{client.runs['results/mlp_gan']}/draw"
    asked = {"tab": "sample", "settings": {"n": 1}}
    assert client.ask("POST", path, asked)[0] == 200
    assert client.ask("POST", path, asked, Origin="")[0] == 403
    assert client.ask("POST", path, asked, Content_Type="text/plain")[0] == 403
    assert client.ask("POST", path, b"[" * 1_000_001)[0] == 403
    assert client.ask("POST", path, b"no json")[0] == 400
    assert client.ask("GET", path)[0] == 405


def test_a_link_elsewhere_may_open_the_page_and_nothing_else(client: Client) -> None:
    headers = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert client.ask("GET", "/", **headers)[0] == 200
    assert client.ask("GET", "/runs", **headers)[0] == 403


def test_every_answer_has_the_headers(client: Client) -> None:
    for path, headers in (("/", {}), ("/nowhere", {}), ("/runs", {"Host": "evil.example"})):
        client.ask("GET", path, **headers)
        assert "default-src 'none'" in client.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in client.headers["content-security-policy"]
        assert client.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in client.headers
        assert "set-cookie" not in client.headers


def test_links_out_of_the_folders_are_no_runs(client: Client) -> None:
    published = {"mlp_gan", "families/vae-mnist/0", "poems/gpt/0", "pictures/pix2pix/0", "digits/0", "text/0"}
    published |= {"captions/0"}
    assert client.runs.keys() == {f"results/{name}" for name in published}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/page.css/../../security.py",
        "/../../secret.txt",
        "/secret.txt",
        "/runs/../secret.txt",
        "/runs/..%2f..%2fsecret.txt/film",
        "/runs/results%2Fmlp_gan/film",
        "/runs/%2Fetc%2Fpasswd/picture",
        "/runs/ID/../../secret.txt",
        "/runs/ID/weights.safetensors",
        "/runs/ID/film/../config.yaml",
        "/file=/etc/passwd",
        "/gradio_api/file=/etc/passwd",
        "/docs",
        "/openapi.json",
    ],
)
def test_hostile_paths_are_not_found(client: Client, path: str) -> None:
    status, answer = client.ask("GET", path.replace("ID", client.runs["results/mlp_gan"]))
    assert status == 404
    assert b"secret" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize(
    ("end", "asked"),
    [
        ("draw", {"tab": "sample", "settings": {"n": 65}}),
        ("draw", {"tab": "sample", "settings": {"n": 1.5}}),
        ("draw", {"tab": "sample", "settings": {"n": True}}),
        ("draw", {"tab": "sample", "settings": {"seed": -1}}),
        ("draw", {"tab": "sample", "settings": {"weights": "raw"}}),
        ("draw", {"tab": "sample", "settings": {"truncation": "../../etc/passwd"}}),
        ("draw", {"tab": "sample", "settings": []}),
        ("draw", {"tab": "../secret"}),
        ("draw", {"tab": ["sample"]}),
        ("draw", {"tab": "morph", "settings": {"n": 5}}),
        ("save", {"tab": "sample", "settings": {"n": 65}}),
        ("mark", {"tab": "morph", "mark": "keep"}),
        ("mark", {"tab": "sample", "mark": "burn"}),
        ("mark", {"tab": "sample", "mark": "keep", "note": 3}),
        ("mark", {"tab": "sample", "mark": "keep", "note": "x" * 1001}),
        ("answer", {"token": "guessed", "answer": "real"}),
        ("answer", {"token": None, "answer": "perhaps"}),
        ("answer", {"token": ["a"], "answer": "real"}),
    ],
)
def test_wrong_requests_are_answered_in_one_line(client: Client, shipped: Path, end: str, asked: dict[str, Any]) -> None:
    files = sorted(shipped.rglob("*"))
    before = [path.read_bytes() for path in files if path.name == "review.jsonl"]
    status, answer = client.ask("POST", f"/runs/{client.runs['results/mlp_gan']}/{end}", asked)
    assert status == 400
    assert len(json.loads(answer)["error"].splitlines()) == 1
    assert sorted(shipped.rglob("*")) == files
    assert [path.read_bytes() for path in files if path.name == "review.jsonl"] == before


@pytest.mark.parametrize(
    "sent",
    [
        b"[" * 900_000,
        b'{"tab": "sample", "settings": {"n": ' + b"[" * 100_000,
        b'{"tab": "sample", "settings": {"n": "\\ud800"}}',
        b'{"tab": "sample", "settings": {"\\ud800": 1}}',
        b'{"tab": "\xff"}',
    ],
)
def test_what_is_no_json_or_no_unicode_is_refused(client: Client, sent: bytes) -> None:
    status, answer = client.ask("POST", f"/runs/{client.runs['results/mlp_gan']}/draw", sent)
    assert (status, json.loads(answer)) == (400, {"error": "the request is no JSON object"})


def test_an_unknown_run_is_not_found(client: Client) -> None:
    assert client.ask("POST", "/runs/0123456789ab/draw", {"tab": "sample"})[0] == 404
