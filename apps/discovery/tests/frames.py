"""A small market of raw frames for tests: seeded, with every oddity, doubles, gaps and leaps of time."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from apps.discovery import curve
from apps.discovery.pumpportal.messages import USDC_MINT
from apps.discovery.state import Entry

START_US = 1_760_000_000_000_000
SECOND = 1_000_000
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_GARBAGE = (
    "",
    "no json",
    "[1]",
    "{}",
    '{"txType":"buy"}',
    '{"message":"\\u0000 hello"}',
    '{"txType":"burn","mint":"x"}',
    '{"errors":"rate limit"}',
    '{"txType":"buy","mint":5,"pool":["a"],"solAmount":"x"}',
)


def decimal(amount: int, per: int) -> Decimal:
    return Decimal(amount) / per


def text_of(fields: dict[str, object]) -> str:
    """JSON as PumpPortal writes it, decimals exact."""
    pairs = [f"{json.dumps(k)}:{v if isinstance(v, Decimal) else json.dumps(v)}" for k, v in fields.items()]
    return "{" + ",".join(pairs) + "}"


def create(mint: str, creator: str = "C" * 40, signature: str | None = None, **changes: object) -> str:
    """A create on pool `pump` without a first buy."""
    fields: dict[str, object] = {
        "signature": signature or ("5" + mint).ljust(88, "5"),
        "mint": mint,
        "traderPublicKey": creator,
        "txType": "create",
        "initialBuy": 0,
        "solAmount": 0,
        "bondingCurveKey": "B" * 40,
        "vTokensInBondingCurve": 1073000000,
        "vSolInBondingCurve": 30,
        "marketCapSol": 27.958993476234856,
        "name": f"Coin {mint[:4]}",
        "symbol": mint[:4],
        "uri": "https://example.org/meta.json",
        "is_mayhem_mode": False,
        "pool": "pump",
    }
    return text_of(fields | changes)


def trade(mint: str, *, side: str, quote: curve.Quote, trader: str | None, signature: str | None) -> str:
    """A trade on pool `pump` as the curve quoted it, its keys in the feed's order."""
    fields: dict[str, object] = {
        "signature": signature,
        "mint": mint,
        "traderPublicKey": trader,
        "txType": side,
        "tokenAmount": decimal(quote.token_base_units, 10**6),
        "solAmount": decimal(quote.net_lamports, 10**9),
        "newTokenBalance": decimal(quote.token_base_units, 10**6),
        "bondingCurveKey": "B" * 40,
        "vTokensInBondingCurve": decimal(quote.after.virtual_token, 10**6),
        "vSolInBondingCurve": decimal(quote.after.virtual_sol, 10**9),
        "marketCapSol": curve.market_cap_sol(quote.after),
        "pool": "pump",
    }
    return text_of({name: value for name, value in fields.items() if value not in (None, "")})


@dataclass
class SmallMarket:
    """Makes journal entries; the same seed makes the same ones. `late`: coins may be traded before their create."""

    seed: int
    late: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now_us = START_US + self.random.randrange(10 * SECOND)
        self.coins: dict[str, curve.Reserves] = {}
        self.people = [self.address() for _ in range(6)]
        self.past: list[str] = []
        self.uncreated: list[str] = []  # coins of which something came before their create

    def address(self, ending: str = "") -> str:
        return "".join(self.random.choices(_ALPHABET, k=43 - len(ending))) + ending

    def signature(self) -> str:
        return "".join(self.random.choices(_ALPHABET, k=88))

    def entries(self, count: int) -> list[Entry]:
        """Its first entries; many tests take those of the same market."""
        return list(_entries(self.seed, self.late, count))

    def _entry(self, seq: int) -> Entry:
        leap = self.random.choices(
            [0, 40_000, 900_000, 12 * SECOND, 130 * SECOND, 2_000 * SECOND, 90_000 * SECOND],
            [10, 50, 30, 6, 2, 1, 0.4],
        )[0]
        if self.random.random() < 0.02:
            began, self.now_us = self.now_us, self.now_us + leap
            return Entry(seq, self.now_us, None, (began, self.now_us, "closed 1006"))
        self.now_us += self.random.randrange(leap + 1)
        raw = self._frame()
        self.past.append(raw)
        return Entry(seq, self.now_us, raw)

    def _frame(self) -> str:
        kind = self.random.choices(
            ["create", "trade", "double", "garbage", "migrate", "strange", "quote", "pool"], [8, 70, 6, 3, 1, 4, 1, 1]
        )[0]
        if kind == "create" or not self.coins:
            return self._create()
        if kind == "double":
            return self.random.choice(self.past[-20:])
        if kind == "garbage":
            return self.random.choice(_GARBAGE)
        if kind == "migrate":
            unknown = self.address("pump")
            mint = self.random.choice([*self.coins, unknown])
            if mint == unknown:
                self.uncreated.append(mint)
            return text_of({"signature": self.signature(), "mint": mint, "txType": "migrate", "pool": "pump-amm"})
        if kind == "quote":
            return create(USDC_MINT)
        if kind == "strange":  # traded before it is created before our eyes, if ever
            self.uncreated.append(self.address())
            self.coins[self.uncreated[-1]] = curve.INITIAL
        return self._trade(pool="pump-amm" if kind == "pool" else "pump")

    def _create(self) -> str:
        mint, creator = self.address("pump"), self.random.choice(self.people)
        if self.late and self.uncreated and self.random.random() < 0.3:
            mint = self.uncreated.pop()
        changes: dict[str, object] = {"is_mayhem_mode": self.random.random() < 0.2}
        self.coins[mint] = curve.INITIAL
        if self.random.random() < 0.5:
            quote = curve.buy_exact_in(curve.INITIAL, self.random.randrange(10**6, 5 * 10**9), curve.Fees(95, 30))
            self.coins[mint] = quote.after
            changes |= {
                "initialBuy": decimal(quote.token_base_units, 10**6),
                "solAmount": decimal(quote.net_lamports, 10**9),
                "vTokensInBondingCurve": decimal(quote.after.virtual_token, 10**6),
                "vSolInBondingCurve": decimal(quote.after.virtual_sol, 10**9),
                "marketCapSol": curve.market_cap_sol(quote.after),
            }
        if self.random.random() < 0.1:
            changes |= {"name": "nul \x00 byte", "symbol": "x" * 50, "uri": ""}
        return create(mint, creator, self.signature(), **changes)

    def _trade(self, pool: str) -> str:
        mint = self.random.choice(list(self.coins))
        reserves = self.coins[mint]
        side, quote = self._quote(reserves)
        self.coins[mint] = quote.after
        trader = self.random.choice([*self.people, None]) if self.random.random() < 0.3 else self.people[0]
        signature = self.signature() if self.random.random() < 0.9 else None
        text = trade(mint, side=side, quote=quote, trader=trader, signature=signature)
        return text.replace('"pool":"pump"', f'"pool":"{pool}"')

    def _quote(self, reserves: curve.Reserves) -> tuple[str, curve.Quote]:
        sold = curve.INITIAL.virtual_token - reserves.virtual_token
        try:
            if sold > 10**9 and self.random.random() < 0.45:
                return "sell", curve.sell(reserves, self.random.randrange(1, sold), curve.Fees(95, 30))
            lamports = int(self.random.lognormvariate(0, 1.5) * 10**9) + 1_000
            return "buy", curve.buy_exact_in(reserves, lamports, curve.Fees(95, 30))
        except curve.CurveError:
            return "buy", curve.buy_exact_in(curve.INITIAL, 10**9, curve.Fees(95, 30))


def raws(entries: Sequence[Entry]) -> list[str]:
    """The texts of the frames."""
    return [entry.raw for entry in entries if entry.raw is not None]


@cache
def _entries(seed: int, late: bool, count: int) -> tuple[Entry, ...]:
    market = SmallMarket(seed, late)
    return tuple(market._entry(seq) for seq in range(count))
