"""The programs of the chain that a trade may call, and the addresses that follow from a wallet and a mint. Pure.

Sources: domain.md section 3; SPL token and associated-token-account interfaces; Anchor's discriminators (the first
eight bytes of sha256 of `global:name`); Jito's documented tip accounts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from solders.pubkey import Pubkey

from apps.discovery.curve import Side

SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
TOKEN_PROGRAMS = (TOKEN, TOKEN_2022)
ASSOCIATED_TOKEN = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
PUMP = Pubkey.from_string("6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P")
PUMP_AMM = Pubkey.from_string("pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA")
WRAPPED_SOL = Pubkey.from_string("So11111111111111111111111111111111111111112")
JITO_TIPS = frozenset(
    map(
        Pubkey.from_string,
        (
            "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5",
            "HFqU5x63VTqvQss8hp11i4wVV8bD44PvwucfZ2bU7gRe",
            "Cw8CFyM9FkoMi7K7Crf6HNQqf4uEMzpKw6QNghXLvLkY",
            "ADaUMid9yfUytqMBgopwjb2DTLSokTSzL1zt6iGPaS49",
            "DfXygSm4jCyNCybVYYK6DwvWqjKee8pbDmJGcLWNDXjh",
            "ADuUkR4vqLUMWXxW9gh6D6L8pMSawimctcNZ5pGwDcEt",
            "DttWaMuVvTiduZRnguLF7jNxTgiMBZ1hyAumKUiL2KRL",
            "3AVi9Tg9Uo68tJfuvoKvqKNWKkC5wPdSSdeBnizKZ6jT",
        ),
    )
)
SIGNATURE_FEE_LAMPORTS = 5_000


@dataclass(frozen=True, slots=True)
class TradeForm:
    """How a trade instruction reads: two u64 after the discriminator, the second is the limit.

    `exact`: whether the first number is tokens (`base`) or SOL (`quote`). `names_quote`: whether the mint that is paid
    with is an account of it; it must then be wrapped SOL.
    """

    side: Side
    exact: Literal["base", "quote"]
    names_quote: bool = False


def discriminator(name: str) -> bytes:
    """The first eight bytes of an Anchor instruction."""
    return hashlib.sha256(f"global:{name}".encode()).digest()[:8]


TRADES: dict[Pubkey, dict[bytes, TradeForm]] = {
    PUMP: {
        discriminator("buy"): TradeForm("buy", "base"),
        discriminator("buy_exact_sol_in"): TradeForm("buy", "quote"),
        discriminator("sell"): TradeForm("sell", "base"),
        discriminator("buy_v2"): TradeForm("buy", "base", names_quote=True),
        discriminator("buy_exact_quote_in_v2"): TradeForm("buy", "quote", names_quote=True),
        discriminator("sell_v2"): TradeForm("sell", "base", names_quote=True),
    },
    PUMP_AMM: {
        discriminator("buy"): TradeForm("buy", "base", names_quote=True),
        discriminator("buy_exact_quote_in"): TradeForm("buy", "quote", names_quote=True),
        discriminator("sell"): TradeForm("sell", "base", names_quote=True),
    },
}
# They move no money but the rent of an account that belongs to the trade.
HARMLESS = frozenset(
    map(discriminator, ("extend_account", "init_user_volume_accumulator", "sync_user_volume_accumulator"))
)


def token_accounts(wallet: Pubkey, mint: Pubkey) -> tuple[Pubkey, ...]:
    """The wallet's associated accounts of a token, one for each token program."""
    seeds = ([bytes(wallet), bytes(program), bytes(mint)] for program in TOKEN_PROGRAMS)
    return tuple(Pubkey.find_program_address(one, ASSOCIATED_TOKEN)[0] for one in seeds)


def bonding_curve(mint: Pubkey) -> Pubkey:
    """The account that holds the SOL of a coin's curve."""
    return Pubkey.find_program_address([b"bonding-curve", bytes(mint)], PUMP)[0]


def volume_accounts(wallet: Pubkey) -> tuple[Pubkey, ...]:
    """The wallet's own accounts at the programs; opening one costs rent, once."""
    seeds = [b"user_volume_accumulator", bytes(wallet)]
    return tuple(Pubkey.find_program_address(seeds, program)[0] for program in (PUMP, PUMP_AMM))
