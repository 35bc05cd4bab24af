"""What a coin's creator says of it: where its metadata may be read, and what is taken from it. Pure.

Everything here is hostile input: any field may be missing, null, of another type, huge, or a trap.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

MAX_DESCRIPTION, MAX_LINK = 1_000, 500
ARWEAVE = "https://arweave.net/"
# Gateways to IPFS that anybody may use: what they hold is held by the others too.
PUBLIC_GATEWAYS = frozenset({
    "ipfs.io", "gateway.ipfs.io", "dweb.link", "gateway.pinata.cloud", "4everland.io", "nftstorage.link", "w3s.link",
    "cf-ipfs.com", "cloudflare-ipfs.com",
})  # fmt: skip
_CID = r"(?:Qm[1-9A-HJ-NP-Za-km-z]{44}|b[a-z2-7]{50,110})"
_is_content = re.compile(rf"{_CID}(?:/.*)?", re.DOTALL).fullmatch
_content_host = re.compile(rf"({_CID})\.ipfs\.(.+)", re.IGNORECASE).fullmatch
_bare_link = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?:[/?].*)?", re.IGNORECASE).fullmatch


class MetadataError(Exception):
    """It can never be read; the text is a short reason."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Texts without NUL and of capped length, empty where nothing usable was said; links are http or https.

    `image_url` may also be `ipfs://` or `ar://`: see `sources`.
    """

    description: str = ""
    image_url: str = ""
    twitter: str = ""
    telegram: str = ""
    website: str = ""


def sources(uri: str, *, gateways: Sequence[str], stand_ins: Mapping[str, str] | None = None) -> list[str]:
    """The addresses to try, best first. `gateways` end with `/ipfs/`; `stand_ins` replaces a host by an address.

    What is named by its content can be read anywhere: a dead or busy public gateway is replaced by the listed ones.
    Raises MetadataError for a uri that leads nowhere.
    """
    uri = uri.strip()
    try:
        parts = urlsplit(uri)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise MetadataError("no address") from None
    if parts.scheme == "ar":
        return [ARWEAVE + quote((parts.netloc + parts.path).lstrip("/"), safe="/-_")]
    if parts.scheme == "ipfs":
        content = (parts.netloc + parts.path).removeprefix("ipfs/").lstrip("/")
        if not _is_content(content):
            raise MetadataError("no content id")
        return [gateway + content for gateway in gateways]
    if parts.scheme not in ("http", "https") or not host:
        raise MetadataError("no address")
    if stand_ins and host in stand_ins:
        return [stand_ins[host] + parts.path.lstrip("/")]
    content, gateway_host = _content_of(host, parts.path)
    others = [gateway + content for gateway in gateways] if content else []
    return others if others and gateway_host in PUBLIC_GATEWAYS else [uri, *others]


def _content_of(host: str, path: str) -> tuple[str, str]:
    """The content id (with its path) that an address of a gateway names, and the gateway's host."""
    if found := _content_host(host):
        return found[1].lower() + (path if path != "/" else ""), found[2]
    _, _, content = path.partition("/ipfs/")
    return (content, host) if _is_content(content) else ("", host)


def inline(uri: str, limit: int) -> bytes | None:
    """The content of a `data:` uri; None for any other. Raises MetadataError where it is broken or too large."""
    if not uri.strip().lower().startswith("data:"):
        return None
    head, comma, content = uri.strip().partition(",")
    if not comma or len(content) > 2 * limit:
        raise MetadataError("broken data uri")
    data = unquote_to_bytes(content)
    if head.lower().endswith(";base64"):
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise MetadataError("broken data uri") from None
    if len(data) > limit:
        raise MetadataError("too large")
    return data


def parse_metadata(body: bytes) -> Metadata:
    """What a document says, as far as it is usable. Raises MetadataError for what is no JSON object."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise MetadataError("not JSON") from None
    if not isinstance(document, dict):
        raise MetadataError("not a JSON object")
    more = document.get("extensions")
    said = (more if isinstance(more, dict) else {}) | document
    return Metadata(
        description=_text(said.get("description"))[:MAX_DESCRIPTION],
        image_url=_image(said.get("image")),
        twitter=_link(said.get("twitter")),
        telegram=_link(said.get("telegram")),
        website=_link(said.get("website")),
    )


def _text(value: Any) -> str:
    """A string that a database and a page take: no NUL, no lone surrogates; anything else is nothing."""
    if not isinstance(value, str):
        return ""
    return value[: 4 * MAX_DESCRIPTION].replace("\x00", "").encode("utf-8", "replace").decode().strip()


def _link(value: Any) -> str:
    """An http or https link, also when written without its scheme; empty for everything else."""
    text = _text(value)
    if _bare_link(text):
        text = f"https://{text}"
    return text if _is_link(text) else ""


def _is_link(text: str) -> bool:
    if len(text) > MAX_LINK or re.search(r"[\s\"'<>\\^`{}|]|[\x00-\x1f\x7f]", text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _image(value: Any) -> str:
    text = _text(value)
    if len(text) <= MAX_LINK and re.fullmatch(r"(?:ipfs|ar)://[A-Za-z0-9._~%/-]+", text):
        return text
    return text if _is_link(text) else ""
