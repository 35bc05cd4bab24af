"""The address that Daphne is told to listen on: a taken one stops the start with one sentence and status 78."""

import argparse
import socket
import time
from collections.abc import Sequence

from apps.core.environment import stop_start

PATIENCE_SECONDS = 5.0  # the web process before this one may be ending
PAUSE_SECONDS = 0.25


def require_port(arguments: Sequence[str], *, patience: float = PATIENCE_SECONDS) -> None:
    """End the process if Daphne, started with these arguments, could not listen on its port."""
    deadline = time.monotonic() + patience
    host, port = address_of(arguments)
    while reason := refusal(host, port):
        if time.monotonic() >= deadline:
            stop_start(f"PORT must be one that is free: {host}:{port} cannot be listened on ({reason}).")
        time.sleep(PAUSE_SECONDS)


def address_of(arguments: Sequence[str]) -> tuple[str, int]:
    """Host and port of Daphne's arguments; port 0, which is always free, where it is told another way."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-b", "--bind", default="127.0.0.1")
    parser.add_argument("-p", "--port", type=int, default=0)
    known, _ = parser.parse_known_args(arguments)
    return known.bind, known.port


def refusal(host: str, port: int) -> str:
    """Why nothing can listen there; empty where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""
