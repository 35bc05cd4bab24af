"""What hostile documents and addresses become."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.discovery import recordings as recorded
from apps.discovery.metadata import (
    MAX_DESCRIPTION,
    MAX_LINK,
    Metadata,
    MetadataError,
    inline,
    parse_metadata,
    sources,
)
from apps.discovery.pumpportal.messages import Create
from apps.discovery.pumpportal.parse import parse

GATEWAYS = ["https://one.example/ipfs/", "https://two.example/ipfs/"]
CID = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKsmBw"[:46]
CID1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_usable_fields_are_taken() -> None:
    said = parse_metadata(
        body(
            name="x",
            description=" Dog\nof dogs ",
            image="https://ipfs.io/ipfs/x",
            twitter="https://x.com/dog",
            telegram="t.me/dog",
            website="http://dog.example/a?b=c",
        )
    )
    assert said == Metadata(
        "Dog\nof dogs", "https://ipfs.io/ipfs/x", "https://x.com/dog", "https://t.me/dog", "http://dog.example/a?b=c"
    )


@pytest.mark.parametrize("value", [None, 1, True, [], {}, ["https://x.example"], "", "  ", "\x00"])
def test_missing_null_and_wrong_types_are_nothing(value: object) -> None:
    names = ["description", "image", "twitter", "telegram", "website"]
    assert parse_metadata(body(**dict.fromkeys(names, value))) == Metadata()


def test_links_of_an_extension_are_found_too() -> None:
    assert parse_metadata(body(extensions={"twitter": "https://x.com/a"})).twitter == "https://x.com/a"


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "data:text/html,<script>", "//evil.example", "ftp://evil.example", "https://",
        'https://a.example/"onclick=x', "https://a.example/<b>", "https://user:secret@a.example/", "@handle",
        "https://a.example/" + "x" * MAX_LINK, "https://[::1", "https://a.example/\u2028x", "JaVaScRiPt:alert(1)",
        "file:///etc/passwd", "https://a.example/ b",
    ],
)  # fmt: skip
def test_only_plain_web_links_are_kept(link: str) -> None:
    assert parse_metadata(body(website=link, twitter=link, image=link)) == Metadata()


def test_texts_are_capped_and_free_of_what_a_database_refuses() -> None:
    said = parse_metadata(b'{"description": "a\\u0000b\\ud800' + b"x" * 5_000 + b'"}')
    assert said.description.startswith("ab?xxx") and len(said.description) == MAX_DESCRIPTION


@pytest.mark.parametrize(
    "document", [b"", b"null", b"[]", b"<html>", b"\xff\xfe", b'"x"', b"[" * 100_000, b"{", b"1e999"]
)
def test_what_is_no_object_is_an_error(document: bytes) -> None:
    with pytest.raises(MetadataError):
        parse_metadata(document)


@given(st.dictionaries(st.sampled_from(["description", "image", "twitter", "extensions"]), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda some: st.lists(some) | st.dictionaries(st.text(), some)
)))  # fmt: skip
def test_any_object_becomes_texts(document: dict[str, object]) -> None:
    said = parse_metadata(json.dumps(document).encode())
    assert "\x00" not in said.description and len(said.description) <= MAX_DESCRIPTION
    assert said.twitter == "" or said.twitter.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"ipfs://{CID}", [f"{GATEWAYS[0]}{CID}", f"{GATEWAYS[1]}{CID}"]),
        (f"ipfs://ipfs/{CID}/1.json", [f"{GATEWAYS[0]}{CID}/1.json", f"{GATEWAYS[1]}{CID}/1.json"]),
        (f"https://cf-ipfs.com/ipfs/{CID}", [f"{GATEWAYS[0]}{CID}", f"{GATEWAYS[1]}{CID}"]),
        (f"https://ipfs.io/ipfs/{CID1}?x=1", [f"{GATEWAYS[0]}{CID1}", f"{GATEWAYS[1]}{CID1}"]),
        (f"https://{CID1}.ipfs.dweb.link/a", [f"{GATEWAYS[0]}{CID1}/a", f"{GATEWAYS[1]}{CID1}/a"]),
        (f"https://own.example/ipfs/{CID}", [f"https://own.example/ipfs/{CID}", *(g + CID for g in GATEWAYS)]),
        ("ar://abc-_1", ["https://arweave.net/abc-_1"]),
        (" https://meta.example/data/1 ", ["https://meta.example/data/1"]),
        ("https://ipfs.io/ipfs/no-content", ["https://ipfs.io/ipfs/no-content"]),
        ("https://metadata.invalid/abc", ["http://127.0.0.1:9/metadata/abc"]),
    ],
)
def test_content_is_looked_for_wherever_it_may_be(uri: str, expected: list[str]) -> None:
    stand_ins = {"metadata.invalid": "http://127.0.0.1:9/metadata/"}
    assert sources(uri, gateways=GATEWAYS, stand_ins=stand_ins) == expected


@pytest.mark.parametrize(
    "uri", ["", "x", "ipfs://", "ipfs://short", "https://", "file:///etc/passwd", "http://[", "//a"]
)
def test_a_uri_that_leads_nowhere_is_an_error(uri: str) -> None:
    with pytest.raises(MetadataError):
        sources(uri, gateways=GATEWAYS)


def test_documents_inside_the_uri_are_read_and_capped() -> None:
    packed = base64.b64encode(b'{"description": "in"}').decode()
    assert inline(f"data:application/json;base64,{packed}", 100) == b'{"description": "in"}'
    assert inline("data:application/json,%7B%7D", 100) == b"{}"
    assert inline("https://a.example", 100) is None
    for broken in (f"data:application/json;base64,{packed}", "data:;base64,@@", "data:"):
        with pytest.raises(MetadataError):
            inline(broken, 10)


@pytest.mark.recordings
def test_every_real_uri_leads_somewhere_or_is_empty(recordings: object) -> None:
    """Of the 198 real creates 10 have no uri, one holds its document itself, 86 name ipfs.io."""
    frames = recorded.read_frames(recordings / "frames_2026-07-03.jsonl")  # type: ignore[operator]
    creates = [one for frame in frames if isinstance(one := parse(frame.raw or "").message, Create)]
    uris = [one.uri for one in creates if one.uri.strip()]
    inlined = [uri for uri in uris if inline(uri, 10_000) is not None]
    asked = [sources(uri, gateways=GATEWAYS) for uri in uris if uri not in inlined]
    assert (len(creates), len(uris), len(inlined)) == (198, 188, 1)
    assert sum(found[0].startswith(GATEWAYS[0]) for found in asked) == 86
    assert parse_metadata(inline(inlined[0], 10_000) or b"") == Metadata()
