"""What the simulated market draws from: sizes and times as quantile tables, names, addresses, signatures.

The tables follow measurements of the real market. A draw is the inverse of the table at a number from 0 to 1,
log-linear between its points, so correlated draws come from correlated normal numbers (`share_below`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from random import Random

Table = tuple[tuple[float, float], ...]

# Seconds from one create to the next at rate 1: bursts of several a second, then pauses.
CREATE_GAP_SECONDS: Table = (
    (0.0, 0.01), (0.1, 0.12), (0.25, 0.36), (0.5, 1.04), (0.75, 2.85), (0.9, 6.6), (0.99, 15.0), (1.0, 30.0),
)  # fmt: skip

INITIAL_BUY_SOL: Table = (
    (0.0, 0.0), (0.115, 0.0), (0.12, 0.0002), (0.245, 0.001), (0.495, 0.122), (0.745, 1.02), (0.898, 5.0),
    (0.99, 9.8), (1.0, 20.0),
)  # fmt: skip
TRADE_SOL: Table = (
    (0.0, 0.002), (0.1, 0.024), (0.25, 0.055), (0.5, 0.16), (0.75, 0.62), (0.9, 1.05), (0.95, 1.45), (0.99, 2.0),
    (1.0, 3.5),
)  # fmt: skip
TRADES_PER_COIN: Table = (
    (0.0, 0.5), (0.25, 1.5), (0.5, 7.0), (0.75, 26.0), (0.9, 96.0), (0.95, 210.0), (0.99, 840.0), (1.0, 4074.0),
)  # fmt: skip
CREATOR_EXIT_SECONDS: Table = (
    (0.0, 0.5), (0.1, 3.0), (0.5, 19.0), (0.75, 79.0), (0.9, 412.0), (1.0, 3000.0),
)  # fmt: skip
ACTIVE_SECONDS: Table = (
    (0.0, 8.0), (0.1, 42.0), (0.25, 105.0), (0.5, 215.0), (0.75, 345.0), (0.9, 640.0), (0.99, 1400.0), (1.0, 3600.0),
)  # fmt: skip
# The real SOL in the curve at a coin's best, as its followers would have it.
PEAK_SOL: Table = (
    (0.0, 0.05), (0.2, 4.6), (0.54, 12.0), (0.8, 24.5), (0.935, 35.0), (0.96, 46.0), (0.984, 84.0), (0.9965, 112.0),
    (1.0, 150.0),
)  # fmt: skip

_ALPHABET = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_TO_BASE58 = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))

_ADJECTIVES = (
    "Baby", "Based", "Black", "Bonk", "Chill", "Crypto", "Dark", "Degen", "Diamond", "Dog", "Elon", "Fat",
    "Golden", "Happy", "Holy", "Just", "Little", "Lucky", "Magic", "Mega", "Moon", "Official", "Pepe", "Pump",
    "Pink", "Quantum", "Rich", "Sad", "Silly", "Smol", "Solana", "Space", "Super", "The", "Tiny", "Trump",
    "Turbo", "Wif", "Wild", "Zen",
)  # fmt: skip
_NOUNS = (
    "Ape", "Bear", "Bull", "Cat", "Chad", "Coin", "Cult", "Dog", "Doge", "Dragon", "Duck", "Fish", "Fox",
    "Frog", "Fund", "Goat", "Hamster", "Hat", "House", "Inu", "King", "Kitty", "Man", "Mouse", "Otter", "Panda",
    "Pepe", "Penguin", "Pig", "Potato", "Rat", "Rocket", "Shark", "Sloth", "Squirrel", "Token", "Troll",
    "Unicorn", "Whale", "Wojak",
)  # fmt: skip
_FOREIGN = (
    "Ёжик",
    "柴犬币",
    "猫猫",
    "도지",
    "ドージ",
    "كلب القمر",
    "Größenwahn",
    "🚀🚀🚀",
    "𝕻𝖊𝖕𝖊",
    "Café Olé",
    "ไก่ทอง",
)
_FASHION = ("TROLL 2.0", "MAYHEM", "The Black Bull", "Chill Guy", "justice for squirrel", "GTA 6", "tremp mubile")


def quantile(table: Table, share: float) -> float:
    """The value that `share` (0 to 1) of all draws lie below."""
    index = min(bisect_right(table, (share, math.inf)), len(table) - 1)
    (low_share, low), (high_share, high) = table[index - 1], table[index]
    part = (share - low_share) / (high_share - low_share)
    if low <= 0.0:
        return low + part * (high - low)
    return low * math.pow(high / low, part)


def share_below(normal: float) -> float:
    """The share of standard normal numbers below this one: from a correlated number to a correlated draw."""
    return 0.5 * (1.0 + math.erf(normal / math.sqrt(2.0)))


def blend(weight: float, common: float, own: float) -> float:
    """A standard normal number that correlates with `common` by `weight`."""
    return weight * common + math.sqrt(1.0 - weight * weight) * own


def base58(rng: Random, length: int) -> str:
    """Letters as of an address or signature of that length."""
    return rng.randbytes(length).translate(_TO_BASE58).decode()


def address(rng: Random) -> str:
    """A wallet or account, 43 or 44 letters."""
    return base58(rng, 44 if rng.random() < 0.7 else 43)


def signature(rng: Random) -> str:
    """A transaction signature, 87 or 88 letters."""
    return "2345"[rng.getrandbits(2)] + base58(rng, 87 if rng.random() < 0.8 else 86)


def mint(rng: Random) -> str:
    """A coin's address; one in nine was not ground to end in `pump`."""
    return base58(rng, 40) + "pump" if rng.random() < 0.89 else address(rng)


def name_and_symbol(rng: Random) -> tuple[str, str]:
    """What a creator calls a coin: made up, in fashion (so shared by many), in any script, or blank."""
    chance = rng.random()
    if chance < 0.015:
        return " ", " "
    if chance < 0.02:
        return "", ""
    if chance < 0.12:
        name = rng.choice(_FOREIGN)
        return name, name[:4]
    if chance < 0.30:
        name = rng.choice(_FASHION)
        return name, name.split()[-1].upper()
    name = f"{rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}" + (" " if rng.random() < 0.08 else "")
    return name * (6 if rng.random() < 0.005 else 1), name.strip().replace(" ", "").upper()[: rng.randint(3, 10)]


def create_gap(haste: float, rate: float) -> float:
    """Seconds until the next create; `haste` is a standard normal number, the higher the longer."""
    return quantile(CREATE_GAP_SECONDS, share_below(haste)) / rate
