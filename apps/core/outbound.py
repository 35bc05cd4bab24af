"""Calls to addresses that strangers chose: only public ones, and exactly the one that was looked up.

A name looked up twice may answer differently (DNS rebinding): `request_pinned` therefore connects to the address that
was checked, with the name in the Host header and in TLS. Redirects are never followed by themselves.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Collection
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx2

Endpoint = tuple[str, int]
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # what is public in IPv6; beside it lie the forms that carry IPv4
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24")))  # some clouds put their secrets here


class AddressRefusedError(Exception):
    """The address must not be called; the text says why."""


class AddressUnknownError(AddressRefusedError):
    """The host's name resolves to nothing (now)."""


class AddressPrivateError(AddressRefusedError):
    """The host is not on the public internet."""


def endpoint_of(url: str) -> Endpoint | None:
    """Host and port of an http or https URL without credentials; None for anything else, also where readers of URLs
    differ (urlsplit drops a tab, the client refuses it)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    readable = url == url.strip() and url.isprintable()
    if not readable or parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        return None
    return parts.hostname, port or _PORTS[parts.scheme]


def public_address(url: str, *, allowed: Collection[Endpoint] = ()) -> str | None:
    """The public address to call `url` at; None for an endpoint in `allowed`, which may be anywhere.

    Looks the host up; every address it resolves to must be public. Raises AddressRefusedError.
    """
    target = endpoint_of(url)
    if target is None:
        raise AddressRefusedError("Give an address that starts with http:// or https:// and names a host.")
    if target in allowed:
        return None
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(*target, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise AddressUnknownError(f"The host {target[0]} has no address; check its spelling.") from error
    if not found or not all(is_public(address) for address in found):
        raise AddressPrivateError("Private and loopback addresses are refused.")
    return found[0]


def is_public(text: str) -> bool:
    """Whether an address, and the IPv4 address that it may carry (mapped, 6to4, Teredo, NAT64), is public."""
    address = ipaddress.ip_address(text.split("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public_v4(address)
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    elif address.ipv4_mapped is None and not (address.is_global and address in _UNICAST):
        return False
    return all(_is_public_v4(one) for one in carried if one is not None)


def _is_public_v4(address: ipaddress.IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


def request_pinned(url: str, address: str | None) -> dict[str, Any]:
    """`url`, `headers` and `extensions` of a request that connects to `address` (None: wherever the name leads)."""
    asked = httpx2.URL(url)
    if address is None:
        return {"url": asked, "headers": {}, "extensions": {}}
    return {
        "url": asked.copy_with(host=address),
        "headers": {"host": asked.netloc.decode("ascii")},
        "extensions": {"sni_hostname": asked.raw_host.decode()},
    }


def client_options(timeout: httpx2.Timeout) -> dict[str, Any]:
    """How every client for such calls is made: no redirects, no proxies of the environment, and no connection used
    twice, because two names may share an address and TLS has checked only one of them."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    return {"timeout": timeout, "follow_redirects": False, "trust_env": False, "limits": limits, "verify": _tls()}


@cache
def _tls() -> ssl.SSLContext:
    """The trusted certificates; reading them anew for each client would take most of its time."""
    return httpx2.create_ssl_context(trust_env=False)
