"""A way to the database that breaks at chosen commits: before the server hears of them, or before it is heard."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from typing import Literal

from apps.discovery.tests.process import Network, _close

Outage = Literal["none", "refused", "unanswered"]


class CommitBreaker(Network):
    """Each COMMIT that passes takes the next outage of `plan`; with an empty plan everything passes."""

    def __init__(self, url: str) -> None:
        self.plan: deque[Outage] = deque()
        self.broken = 0
        super().__init__(url)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            self.open_sockets += [client, server]
            muted = threading.Event()
            threading.Thread(target=self._ask, args=(client, server, muted), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client, muted), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                outage = self.plan.popleft() if b"COMMIT" in data and self.plan else "none"
                self.broken += outage != "none"
                if outage == "refused":
                    break
                if outage == "unanswered":
                    muted.set()
                server.sendall(data)
        if not muted.is_set():
            _close(server)
            _close(client)

    def _answer(self, server: socket.socket, client: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while (data := server.recv(65_536)) and not muted.is_set():
                client.sendall(data)
        _close(client)
        _close(server)
