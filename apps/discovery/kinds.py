"""Why a coin is not on the standard curve, as far as its frames tell. Pure."""

from __future__ import annotations

from typing import Literal

from apps.discovery.pumpportal.messages import SOL_MINT

Kind = Literal["standard", "mayhem", "other_quote", "other_launchpad", "pool_only", "off_curve"]


def kind_of(*, curve: str, pool: str, is_mayhem: bool, quote_mint: str) -> Kind:
    """`standard`; `mayhem`; `other_quote` (paid for in another coin); `other_launchpad` (bonk and the like);
    `pool_only` (first seen after it had left its curve); `off_curve` (its reserves break the curve's identities, as
    those of coins with another quote or of cashback type do)."""
    if is_mayhem:
        return "mayhem"
    if quote_mint != SOL_MINT:
        return "other_quote"
    if curve == "standard":
        return "standard"
    if pool == "pump-amm":
        return "pool_only"
    return "off_curve" if pool == "pump" else "other_launchpad"
