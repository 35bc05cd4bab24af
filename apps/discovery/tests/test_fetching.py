"""The guarded reading of documents, against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
from typing import Any

import pytest

from apps.discovery import fetching
from apps.discovery.fetching import FetchError, HostPausedError, Hosts, Limits, fetch, fetch_first
from apps.discovery.tests.site import Answer, Site, answer


def failure(url: str, limits: Limits) -> FetchError:
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch(url, limits))
    return caught.value


def test_a_document_is_read_without_cookies_credentials_or_compression(site: Site) -> None:
    site.pages["/a"] = answer(b'{"a": 1}', Set_Cookie="x=1")
    assert asyncio.run(fetch(site.url("/a"), site.limits)) == b'{"a": 1}'
    headers = site.asked[0][1]
    assert headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "referer"} & set(headers)


def test_redirects_are_followed_a_few_times(site: Site) -> None:
    site.pages["/a"] = answer(status=302, Location="/b")
    site.pages["/b"] = answer(b"{1}")
    assert asyncio.run(fetch(site.url("/a"), site.limits)) == b"{1}"
    site.pages["/loop"] = answer(status=301, Location="/loop")
    assert failure(site.url("/loop"), site.limits).is_final
    assert len(site.asked) == 2 + fetching.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/", "http://localhost:1/", "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/",
        "file:///etc/passwd", "ftp://8.8.8.8/", "http://[::ffff:10.0.0.1]/", "//[::1]:1/", "http://u:p@8.8.8.8/",
        "javascript:alert(1)",
    ],
)  # fmt: skip
def test_a_redirect_to_a_place_that_is_not_public_is_refused(site: Site, target: str) -> None:
    site.pages["/a"] = answer(status=302, Location=target)
    assert failure(site.url("/a"), site.limits).is_final
    assert len(site.asked) == 1


@pytest.mark.parametrize("target", ["http://[::1", "http://[x]/", "//["])
def test_a_redirect_to_what_is_no_address_is_an_expected_failure(site: Site, target: str) -> None:
    site.pages["/a"] = answer(status=302, Location=target)
    assert failure(site.url("/a"), site.limits).is_final


def test_the_same_machine_is_refused_without_an_allowance(site: Site) -> None:
    site.pages["/a"] = answer()
    assert "Private" in str(failure(site.url("/a"), Limits(1_000, ("application/json",))))
    assert site.asked == []


def test_a_name_that_leads_to_a_private_address_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, site.port)) for ip in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert failure(f"http://rebind.example:{site.port}/a", Limits(1_000, ("application/json",))).is_final
    assert site.asked == []


def test_the_proxies_of_the_environment_are_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    site.pages["/a"] = answer()
    assert asyncio.run(fetch(site.url("/a"), site.limits)) == b"{}"


@pytest.mark.parametrize(
    "page",
    [
        answer(b"x" * 1_001),
        answer(b"x", Content_Length="5000"),
        answer(b"<html>", Content_Type="text/html"),
        answer(b"<svg>", Content_Type="image/svg+xml"),
        answer(gzip.compress(b"x" * 10_000_000, mtime=0), Content_Encoding="gzip"),
        answer(status=410),
    ],
)
def test_what_is_too_large_or_of_another_kind_is_given_up(site: Site, page: Answer) -> None:
    site.pages["/a"] = page
    assert failure(site.url("/a"), site.limits).is_final


@pytest.mark.parametrize("status", [404, 403, 500, 502])
def test_other_failures_may_pass(site: Site, status: int) -> None:
    site.pages["/a"] = answer(status=status)
    error = failure(site.url("/a"), site.limits)
    assert (error.is_final, error.pause_seconds) == (False, None)


def test_an_answer_that_drips_is_cut_off_in_all(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(handler: Any) -> None:
        handler.send_response(200)
        while not handler.server.closing.wait(0.02):
            handler.wfile.write(b"X-More: 1\r\n")
            handler.wfile.flush()

    monkeypatch.setattr(fetching, "TOTAL_SECONDS", 0.3)
    site.pages["/a"] = drip
    with pytest.raises(FetchError, match="no answer within"):
        asyncio.run(fetch_first([site.url("/a")], hosts=Hosts(10.0), limits=site.limits))


def test_the_next_address_is_asked_when_one_fails(site: Site) -> None:
    site.pages["/b"] = answer(b"{2}")
    urls = [site.url("/a"), "http://10.0.0.1/x", site.url("/b")]
    assert asyncio.run(fetch_first(urls, hosts=Hosts(100.0), limits=site.limits)) == (b"{2}", "127.0.0.1")


def test_a_busy_host_is_left_alone_longer_each_time(site: Site) -> None:
    site.pages["/a"] = answer(status=429, Retry_After="30")
    hosts = Hosts(100.0)
    with pytest.raises(FetchError, match="429"):
        asyncio.run(fetch_first([site.url("/a")], hosts=hosts, limits=site.limits))
    with pytest.raises(HostPausedError) as caught:
        asyncio.run(fetch_first([site.url("/a")], hosts=hosts, limits=site.limits))
    assert 25 < caught.value.seconds <= 30 and len(site.asked) == 1
    hosts.pause("127.0.0.1", 30.0)
    with pytest.raises(HostPausedError) as caught:
        asyncio.run(fetch_first([site.url("/a")], hosts=hosts, limits=site.limits))
    assert 55 < caught.value.seconds <= 60


def test_one_host_is_asked_no_more_often_than_agreed() -> None:
    async def take_turns() -> list[float]:
        hosts = Hosts(1.0)
        loop = asyncio.get_running_loop()
        await hosts.turn("a.example")
        begun = loop.time()
        await hosts.turn("b.example")
        free = loop.time() - begun
        waiting = [asyncio.create_task(hosts.turn("a.example")) for _ in range(5)]
        await asyncio.sleep(0)  # lets them take theirs
        with pytest.raises(HostPausedError):
            await hosts.turn("a.example")
        for task in waiting:
            task.cancel()
        return [free]

    assert asyncio.run(take_turns())[0] < 0.5


def test_a_host_that_answers_again_is_well() -> None:
    hosts = Hosts(1.0)
    hosts.pause("a.example", 5.0)
    hosts.changed.clear()
    hosts.well("a.example")
    assert hosts.pauses == {} and hosts.changed == {"a.example"}
