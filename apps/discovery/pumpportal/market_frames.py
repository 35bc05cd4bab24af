"""The frames of the simulated market, key by key and oddity by oddity as recordings show them."""

from __future__ import annotations

from random import Random

from apps.discovery import curve
from apps.discovery.curve import BASE_UNITS_PER_TOKEN, LAMPORTS_PER_SOL, Quote, Reserves, Side
from apps.discovery.pumpportal import market_draws as draws
from apps.discovery.pumpportal.market_coin import Coin
from apps.discovery.pumpportal.market_metadata import METADATA_HOST

Json = dict[str, object]

USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MAYHEM_SHARE, MAYHEM_KEY_SHARE, NAMELESS_SHARE, ARTEFACT_SHARE = 0.18, 0.45, 0.005, 0.05


def create(rng: Random, coin: Coin, first: Quote | None, mayhem_key: str) -> Json:
    """Tell a new coin; `first` is its creator's first buy. Many mayhem coins share one bonding curve key."""
    mayhem = coin.mint != USDC and rng.random() < MAYHEM_SHARE
    if mayhem and rng.random() < MAYHEM_KEY_SHARE:
        coin.curve_key = mayhem_key
    nameless = coin.mint == USDC or rng.random() < NAMELESS_SHARE
    return {
        "signature": draws.signature(rng),
        "mint": coin.mint,
        "traderPublicKey": coin.creator,
        "txType": "create",
        "initialBuy": _number(first.token_base_units, BASE_UNITS_PER_TOKEN) if first else 0,
        "solAmount": _number(first.net_lamports, LAMPORTS_PER_SOL) if first else 0,
        "bondingCurveKey": coin.curve_key,
        **_reserve_fields(curve.INITIAL, coin.reserves),
        **({} if nameless else _metadata(rng)),
        "is_mayhem_mode": mayhem,
        "pool": "pump",
    }


def create_bonk(rng: Random, creator: str) -> Json:
    """Tell a coin of another launchpad; nobody here trades it."""
    tokens, sol = rng.randint(10**12, 10**14), rng.randint(10**7, 3 * 10**9)
    return {
        "signature": draws.signature(rng),
        "traderPublicKey": creator,
        "txType": "create",
        "mint": draws.base58(rng, 40) + "bonk",
        "solInPool": _number(sol, LAMPORTS_PER_SOL),
        "tokensInPool": _number(793_100_000 * 10**6 - tokens, BASE_UNITS_PER_TOKEN),
        "initialBuy": _number(tokens, BASE_UNITS_PER_TOKEN),
        "solAmount": _number(sol, LAMPORTS_PER_SOL),
        "newTokenBalance": _number(tokens, BASE_UNITS_PER_TOKEN),
        "marketCapSol": 28.0 + sol / LAMPORTS_PER_SOL,
        **_metadata(rng),
        "pool": "bonk",
    }


def trade(rng: Random, coin: Coin, side: Side, wallet: str, quote: Quote) -> Json:
    """Book a trade and tell it."""
    before = coin.reserves
    change = quote.token_base_units if side == "buy" else -quote.token_base_units
    balance = coin.settle(wallet, change, quote)
    amount = _number(quote.token_base_units, BASE_UNITS_PER_TOKEN)
    if rng.random() < ARTEFACT_SHARE:
        tokens_before = (balance - change) / BASE_UNITS_PER_TOKEN
        amount = abs(balance / BASE_UNITS_PER_TOKEN - tokens_before)
    return {
        "signature": draws.signature(rng),
        "mint": coin.mint,
        "traderPublicKey": wallet,
        "txType": side,
        "tokenAmount": amount,
        "solAmount": _number(quote.net_lamports, LAMPORTS_PER_SOL),
        "newTokenBalance": _number(balance, BASE_UNITS_PER_TOKEN),
        "bondingCurveKey": coin.curve_key,
        **_reserve_fields(before, quote.after),
        "pool": "pump",
    }


def migration(rng: Random, coin: Coin) -> Json:
    """Tell that a coin has moved to its pool."""
    return {"signature": draws.signature(rng), "mint": coin.mint, "txType": "migrate", "pool": "pump-amm"}


def _metadata(rng: Random) -> Json:
    name, symbol = draws.name_and_symbol(rng)
    return {"name": name, "symbol": symbol, "uri": f"https://{METADATA_HOST}/{draws.base58(rng, 12)}"}


def _reserve_fields(before: Reserves, after: Reserves) -> Json:
    """Reserves as the real service prints them: a float sum, so `31.499999999999996` is 31.5 SOL."""
    sol = before.virtual_sol / LAMPORTS_PER_SOL + (after.virtual_sol - before.virtual_sol) / LAMPORTS_PER_SOL
    tokens = before.virtual_token / BASE_UNITS_PER_TOKEN
    tokens += (after.virtual_token - before.virtual_token) / BASE_UNITS_PER_TOKEN
    return {
        "vTokensInBondingCurve": int(tokens) if tokens.is_integer() else tokens,
        "vSolInBondingCurve": int(sol) if sol.is_integer() else sol,
        "marketCapSol": curve.market_cap_sol(after),
    }


def _number(amount: int, per: int) -> int | float:
    """An amount in SOL or tokens as JSON has it: whole numbers without a point."""
    whole, rest = divmod(amount, per)
    return amount / per if rest else whole
