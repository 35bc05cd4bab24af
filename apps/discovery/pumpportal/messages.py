"""What PumpPortal's frames mean, as frozen values. Amounts are lamports and base units (see `parse`).

The structs are msgspec's rather than dataclasses: frozen, slotted, and five times faster to make.
"""

from __future__ import annotations

import msgspec

SOL_MINT = "So11111111111111111111111111111111111111112"
USDC_MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
USDT_MINT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
QUOTE_MINTS = frozenset({SOL_MINT, USDC_MINT, USDT_MINT})

TRADES_NEED_KEY = "are only available when connecting with an API key"
SUBSCRIBED_KEYS = "Successfully subscribed to keys"


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A swap by anyone. `price_sol` is SOL per token after it; the reserves are None away from the bonding curve.

    `is_standard`: the reserves satisfy the standard curve's identity. `trader` and `signature` may be unknown.
    """

    mint: str
    is_buy: bool
    sol_lamports: int
    token_base_units: int
    price_sol: float
    virtual_sol: int | None
    virtual_token: int | None
    trader: str | None
    signature: str | None
    pool: str
    is_standard: bool


class Create(msgspec.Struct, frozen=True, gc=False):
    """A new coin. `first_buy` is the creator's own purchase in the same transaction, if there was one."""

    mint: str
    name: str
    symbol: str
    uri: str
    creator: str | None
    signature: str | None
    bonding_curve_key: str | None
    pool: str
    is_mayhem: bool
    is_standard: bool
    initial_buy_lamports: int | None
    initial_buy_base_units: int | None
    virtual_sol: int | None
    virtual_token: int | None
    market_cap_sol: float | None
    first_buy: Trade | None


class Migrate(msgspec.Struct, frozen=True, gc=False):
    """A coin left its bonding curve for a pool."""

    mint: str
    signature: str | None
    pool: str


class Control(msgspec.Struct, frozen=True, gc=False):
    """A sentence of the server about our subscriptions."""

    text: str

    @property
    def refuses_trades(self) -> bool:
        """Whether it says that trades need a funded API key."""
        return TRADES_NEED_KEY in self.text

    @property
    def grants_trades(self) -> bool:
        """Whether it confirms a subscription to trades."""
        return self.text.startswith(SUBSCRIBED_KEYS)


Message = Trade | Create | Migrate | Control


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """One frame: its meaning (None when it has none for us) and the kinds of oddity found in it."""

    message: Message | None
    oddities: tuple[str, ...]
