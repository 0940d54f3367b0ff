"""Who may ask, and what is answered: another site, another name, another folder, another place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import trainmap as tm
from trainmap.explorer import answer, serving
from trainmap.explorer.web_server import bound, is_loopback


@pytest.fixture(scope="module")
def exploration(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tm.explore(digits / "seed0", "digits", review=tmp_path_factory.mktemp("review") / "review.jsonl")


@pytest.fixture(scope="module")
def url(exploration: Any) -> Any:
    with serving(exploration) as address:
        yield address


def test_the_page_loads_its_own_scripts_only(url: str) -> None:
    page = httpx.get(url)
    policy = page.headers["content-security-policy"]
    assert page.status_code == 200
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "script-src 'self'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text
    assert httpx.get(f"{url}explorer.js").headers["content-type"].startswith("text/javascript")


def test_columns_and_frames_are_what_the_recording_says(url: str, exploration: Any) -> None:
    header = httpx.get(f"{url}ask/header").json()
    assert header["examples"] == 500
    assert header["epochs"] == 5
    found = np.frombuffer(httpx.get(f"{url}ask/column/score%2Fconfidence").content, "<f4")
    np.testing.assert_array_equal(found, exploration.datamap.values("confidence").astype(np.float32))
    whole = np.frombuffer(httpx.get(f"{url}ask/frame/5").content, "<f4")
    np.testing.assert_allclose(whole[:500], exploration.datamap.values("confidence"), atol=1e-6)
    np.testing.assert_allclose(whole[500:1000], exploration.datamap.values("variability"), atol=1e-6)
    three = tm.DataMap.from_dynamics(exploration.first.recording, epochs=3)
    part = np.frombuffer(httpx.get(f"{url}ask/frame/3").content, "<f4")
    np.testing.assert_allclose(part[500:1000], three.values("variability"), atol=1e-6)
    path = httpx.get(f"{url}ask/trajectory/7").json()
    np.testing.assert_allclose(path["p_gold"], [exploration.first.recording.column(e, "p_gold")[7] for e in range(5)])


WAYS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "another name for this machine (rebinding)": ("GET", "ask/header", {"Host": "evil.example:{port}"}, 403),
    "this name at another port": ("GET", "ask/header", {"Host": "127.0.0.1:1"}, 403),
    "another site asks": ("GET", "ask/header", {"Origin": "http://evil.example"}, 403),
    "another site's picture": ("GET", "ask/media/0/0", {"Sec-Fetch-Site": "cross-site"}, 403),
    "another site decides": ("POST", "ask/review", {"Origin": "http://evil.example"}, 403),
    "a form decides": ("POST", "ask/review", {"Content-Type": "text/plain"}, 403),
    "localhost by its name": ("GET", "ask/header", {"Host": "localhost:{port}"}, 200),
    "a file above": ("GET", "ask/column/..%2F..%2F..%2Fetc%2Fpasswd", {}, 404),
    "a file by its name": ("GET", "ask/media/%2Fetc%2Fpasswd/0", {}, 404),
    "a path above": ("GET", "%2e%2e/%2e%2e/etc/passwd", {}, 404),
    "a row that is not there": ("GET", "ask/example/500", {}, 404),
    "a row before the first": ("GET", "ask/example/-1", {}, 404),
    "a number in other digits": ("GET", "ask/example/²", {}, 404),
    "a medium that is not there": ("GET", "ask/media/0/3", {}, 404),
    "no epoch": ("GET", "ask/frame/0", {}, 404),
    "too late an epoch": ("GET", "ask/frame/6", {}, 404),
    "something else": ("GET", "ask/secrets", {}, 404),
    "deleting": ("DELETE", "ask/review", {}, 405),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_may_ask_what(way: str, url: str) -> None:
    method, path, headers, status = WAYS[way]
    port = url.rstrip("/").rsplit(":", 1)[1]
    headers = {name: value.format(port=port) for name, value in headers.items()}
    content = {"content": "{}", "headers": {"Content-Type": "application/json"} | headers} if method == "POST" else {}
    found = httpx.request(method, url + path, **(content or {"headers": headers}))
    assert found.status_code == status, found.text
    assert "root:" not in found.text


NO_DECISIONS = ("[1]", "{", "[" * 5000, '{"row": -1}', '{"row": 9999, "decision": "keep"}', '{"row": 1, "row": 2}')
NO_DECISIONS += ('{"row": 1, "decision": "burn"}', '{"row": 1, "decision": "relabel", "label": 10}')
NO_DECISIONS += ('{"row": true, "decision": "keep"}',)


@pytest.mark.parametrize("body", NO_DECISIONS)
def test_a_decision_that_is_none_is_refused_and_nothing_is_kept(url: str, body: str, exploration: Any) -> None:
    found = httpx.post(f"{url}ask/review", content=body, headers={"Content-Type": "application/json"})
    assert found.status_code in (400, 404)
    assert len(exploration.review) == 0


def test_elsewhere_a_token_is_needed_and_a_browser_keeps_it(exploration: Any) -> None:
    with serving(exploration, "0.0.0.0") as address:
        plain = address.split("?")[0].replace("0.0.0.0", "127.0.0.1")
        token = address.split("token=")[1]
        assert len(token) >= 32
        for path in ("", "explorer.js", "ask/header", "?token=wrong"):
            assert httpx.get(plain + path).status_code == 403
        with httpx.Client(follow_redirects=True) as client:
            page = client.get(f"{plain}?token={token}")
            assert page.status_code == 200
            assert "token" not in str(page.url)
            assert "HttpOnly" in page.history[0].headers["set-cookie"]
            assert client.get(f"{plain}ask/header").status_code == 200


def test_a_taken_port_is_told_and_without_a_wish_another_is_found() -> None:
    with bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(tm.StoreError, match=f"nothing can listen at 127.0.0.1:{port}"):
            bound("127.0.0.1", port)
    with pytest.raises(tm.StoreError, match="nothing can listen"):
        bound("127.0.0.1", 99999)
    with bound("127.0.0.1", None) as one, bound("127.0.0.1", None) as two:
        assert one.getsockname() != two.getsockname()
    assert is_loopback("localhost")
    assert is_loopback("127.0.0.2")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("evil.example")


def test_answers_are_json_without_nan(exploration: Any) -> None:
    for path in ("header", "example/3", "trajectory/3", "review"):
        json.loads(answer(exploration, path, {}).content, parse_constant=lambda word: pytest.fail(word))
