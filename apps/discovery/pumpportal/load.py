"""A feed for measurements, a process of its own: generated frames over a websocket on loopback, at a set rate or as
fast as the client takes them. The frames are made and put into websocket form beforehand, so that sending costs next
to nothing.

`python -m apps.discovery.pumpportal.load --market 200000 --rate 0` prints its port when it is ready, sends to the first
client that subscribes and ends with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from apps.discovery import curve
from apps.discovery.pumpportal import market_draws as draws
from apps.discovery.pumpportal.market import Market

START = 1_760_000_000.0
MARKET_RATE = 30.0  # many coins at once; a few per cent of the frames are creates
STEP_SECONDS = 0.005
MOST_WAITING_BYTES = 4 * 2**20
BLOCK_FRAMES = 200
_FEES = curve.Fees(95, 30)


def market_frames(count: int) -> Iterator[str]:
    """The simulator's market: creates, trades on the curve, migrations, oddities."""
    market = Market("load", START, MARKET_RATE)
    return (json.dumps(frame, separators=(",", ":")) for _, frame in islice(market, count))


def coin_frames(coins: int, trades_each: int) -> Iterator[str]:
    """Coins that are all worth following, then trades of each in turn."""
    rng = Random(1)
    made = [(draws.mint(rng), draws.address(rng)) for _ in range(coins)]
    for number, (mint, creator) in enumerate(made):
        yield _create(rng, mint, creator, number)
    for turn in range(trades_each):
        for mint, _ in made:
            yield _buy(rng, mint, turn)


def _create(rng: Random, mint: str, creator: str, number: int) -> str:
    fields = {"signature": draws.signature(rng), "mint": mint, "traderPublicKey": creator, "txType": "create"}
    state = {"initialBuy": 0, "solAmount": 0, "bondingCurveKey": draws.address(rng), **_reserves(curve.INITIAL)}
    label = {"name": f"Coin {number}", "symbol": f"C{number}", "uri": f"https://metadata.invalid/{number}"}
    return json.dumps({**fields, **state, **label, "is_mayhem_mode": False, "pool": "pump"})


def _buy(rng: Random, mint: str, turn: int) -> str:
    reserves = curve.INITIAL
    for _ in range(turn + 1):
        quote = curve.buy_exact_in(reserves, 10**8, _FEES)
        reserves = quote.after
    fields = {"signature": draws.signature(rng), "mint": mint, "traderPublicKey": draws.address(rng), "txType": "buy"}
    amounts = {"tokenAmount": quote.token_base_units / 10**6, "solAmount": quote.net_lamports / 10**9}
    return json.dumps({**fields, **amounts, **_reserves(reserves), "pool": "pump"})


def _reserves(reserves: curve.Reserves) -> dict[str, float]:
    return {
        "vTokensInBondingCurve": reserves.virtual_token / 10**6,
        "vSolInBondingCurve": reserves.virtual_sol / 10**9,
        "marketCapSol": curve.market_cap_sol(reserves),
    }


def wire_form(text: str) -> bytes:
    """A text frame as a server sends it: in one piece, unmasked."""
    data = text.encode()
    if len(data) < 126:
        return bytes((0x81, len(data))) + data
    return b"\x81\x7e" + len(data).to_bytes(2, "big") + data


class Load:
    """Sends its frames once, to the first client, from its first message on. `rate` 0: as fast as it takes them."""

    def __init__(self, texts: Iterable[str], rate: float) -> None:
        self.frames, self.rate = [wire_form(text) for text in texts], rate
        self.gone = asyncio.Event()

    async def run(self) -> None:
        """Until the client is gone."""
        async with serve(self._talk, "127.0.0.1", 0, compression=None, max_queue=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            sys.stdout.write(json.dumps({"port": port, "frames": len(self.frames)}) + "\n")
            sys.stdout.flush()
            await self.gone.wait()

    async def _talk(self, socket: ServerConnection) -> None:
        await socket.recv()
        sending = asyncio.create_task(self._send(socket))
        try:
            while True:
                await socket.recv()  # subscriptions; pings are answered by the library
        except ConnectionClosed:
            sending.cancel()
            self.gone.set()

    async def _send(self, socket: ServerConnection) -> None:
        sent, began = 0, time.monotonic()
        while sent < len(self.frames):
            due = sent + BLOCK_FRAMES
            if self.rate:
                due = int((time.monotonic() - began) * self.rate)
            socket.transport.write(b"".join(self.frames[sent:due]))
            sent = max(sent, min(due, len(self.frames)))
            if self.rate or socket.transport.get_write_buffer_size() > MOST_WAITING_BYTES:
                await asyncio.sleep(STEP_SECONDS)
            else:
                await asyncio.sleep(0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--market", type=int, default=0, help="so many frames of the simulator's market")
    parser.add_argument("--coins", type=int, default=0, help="or so many coins, each with 5 trades")
    parser.add_argument("--rate", type=float, default=0.0, help="frames a second; 0: as fast as the client takes them")
    options = parser.parse_args()
    texts = coin_frames(options.coins, 5) if options.coins else market_frames(options.market)
    asyncio.run(Load(texts, options.rate).run())


if __name__ == "__main__":
    main()
