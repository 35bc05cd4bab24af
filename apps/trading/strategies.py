"""Strategies and their versions: made, changed, switched, applied to what is held, removed.

The row of a strategy holds the definition of its newest version, so that the trader reads one row; every definition it
ever had stays as a version. Orders and positions name the version by its number. A change leaves open positions with
the exits they were opened with, until `strategy_apply` is asked for.
"""

from __future__ import annotations

from copy import copy
from datetime import datetime, timedelta
from typing import Any

from django.core.validators import slug_re
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext_noop as _

from apps.core import live
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.trading import queries, rows
from apps.trading.conditions import features_of
from apps.trading.definitions import Definition, definition_parse
from apps.trading.levels import gain_sold, position_arm, rungs_until
from apps.trading.models import Order, Position, Strategy, StrategyVersion, Wallet
from apps.trading.strategy_files import StrategyFile, strategy_read, strategy_written
from apps.trading.strategy_models import names_by_number, numbers_by_name, require_models
from apps.training import features

RESERVED = frozenset({"facts", "import"})  # addresses of their own under /api/buy/strategies/
COLUMN_EXITS = ("stop_loss_bps", "take_profit_bps", "timeout_seconds")


def strategy_get(name: str) -> Strategy:
    """The strategy with its wallet. Raises STRATEGY_NOT_FOUND."""
    strategy = Strategy.objects.select_related("wallet").filter(name=name).first()
    if strategy is None:
        raise NotFoundError("STRATEGY_NOT_FOUND", worded("There is no strategy called %(name)s.", name=name), name=name)
    return strategy


def definition_of(strategy: Strategy) -> Definition:
    """What a strategy is now, checked. Raises STRATEGY_INVALID."""
    exits = {name: getattr(strategy, name) for name in COLUMN_EXITS}
    sizing = strategy.sizing or {"kind": "fixed", "stake_lamports": strategy.stake_lamports}
    if strategy.sizing:
        sizing = {**strategy.sizing, "most_lamports": strategy.stake_lamports}
        sizing.pop("payoff_bps", None)
    entry = {
        "models": strategy.active_model_ids,
        "min_probability": strategy.min_probability,
        "conditions": strategy.conditions,
    }
    return definition_parse(
        {"entry": entry, "sizing": sizing, "exits": {**strategy.exits, **exits}, "slippage_bps": strategy.slippage_bps}
    )


def definition_write(strategy: Strategy, definition: Definition) -> None:
    """Put a definition into the columns of a strategy; nothing is saved."""
    source = definition.as_json()
    entry, sizing, exits = source["entry"], source["sizing"], source["exits"]
    strategy.active_model_ids, strategy.min_probability = entry["models"], entry["min_probability"]
    strategy.conditions = entry["conditions"]
    strategy.stake_lamports = sizing.pop("stake_lamports", None) or sizing.pop("most_lamports")
    strategy.sizing = {} if sizing["kind"] == "fixed" else sizing
    if sizing["kind"] == "kelly":
        strategy.sizing["payoff_bps"] = [definition.gain_bps(), definition.loss_bps()]
    for name in COLUMN_EXITS:
        setattr(strategy, name, exits.pop(name, None))
    strategy.exits = exits
    strategy.slippage_bps = source["slippage_bps"]


def strategy_of(order: Order) -> Strategy | None:
    """The strategy in the version that made an order, which need not be the newest."""
    strategy = order.strategy
    if strategy is None or order.strategy_version in (None, strategy.version):
        return strategy
    version = strategy.versions.get(number=order.strategy_version)
    was = copy(strategy)
    definition_write(was, definition_parse(version.definition))
    was.version = version.number
    return was


FILTERED_KEPT = timedelta(days=90)
FILTERED_ADD = """
INSERT INTO strategy_filtered AS f (strategy_id, hour, reason, alerts)
VALUES (%(strategy)s, date_trunc('hour', %(at)s::timestamptz), %(reason)s, 1)
ON CONFLICT (strategy_id, hour, reason) DO UPDATE SET alerts = f.alerts + 1
RETURNING alerts
"""
FILTERED_FORGET = "DELETE FROM strategy_filtered WHERE strategy_id = %s AND hour < %s"


def filtered_add(strategy: Strategy, at: datetime, reason: str) -> None:
    """Count an alert that a strategy lets pass, in the hour of feed time and by the condition that it fails.

    The first of an hour and reason drops what is older than FILTERED_KEPT, so that the table stays small.
    """
    with connection.cursor() as cursor:
        cursor.execute(FILTERED_ADD, {"strategy": strategy.pk, "at": at, "reason": reason})
        if cursor.fetchone() == (1,):
            cursor.execute(FILTERED_FORGET, [strategy.pk, at - FILTERED_KEPT])


def require_known(definition: Definition) -> None:
    """Raises FEATURE_UNKNOWN where a condition names a feature that this release does not compute, and what
    `require_models` raises."""
    features.positions(features_of(one.condition() for one in definition.entry.conditions))
    require_models(definition)


def _changed() -> None:
    for topic in ("trading", "dashboard"):
        transaction.on_commit(lambda topic=topic: live.publish(topic))  # type: ignore[misc]


def _wallet(alias: str) -> Wallet:
    wallet = Wallet.objects.filter(alias=alias).first()
    if wallet is None:
        raise NotFoundError(
            "WALLET_NOT_FOUND", worded("There is no wallet called %(alias)s.", alias=alias), alias=alias
        )
    return wallet


def strategy_make(
    *, name: str, wallet_alias: str, definition: Definition, is_active: bool = True, note: str = ""
) -> Strategy:
    """A new strategy with its first version; it trades on alerts made from now on.

    Raises STRATEGY_EXISTS, STRATEGY_NAME_RESERVED, WALLET_NOT_FOUND and what `require_known` raises.
    """
    if name in RESERVED:
        raise PlatformError(
            "STRATEGY_NAME_RESERVED", worded("No strategy can be called %(name)s: choose another name.", name=name)
        )
    require_known(definition)
    strategy = Strategy(name=name, wallet=_wallet(wallet_alias), is_active=is_active)
    strategy.last_alert_id = queries.alert_newest_id()
    definition_write(strategy, definition)
    try:
        with transaction.atomic():
            strategy.save(force_insert=True)
            _version_add(strategy, definition, note)
    except IntegrityError as error:
        raise ConflictError(
            "STRATEGY_EXISTS", worded("There is a strategy called %(name)s already.", name=name), name=name
        ) from error
    _changed()
    return strategy


def _version_add(strategy: Strategy, definition: Definition, note: str) -> None:
    StrategyVersion.objects.create(
        strategy=strategy,
        number=strategy.version,
        definition=definition.as_json(),
        sha256=definition.sha256,
        note=note[:200],
    )


def _locked(name: str) -> Strategy:
    """The strategy, nobody else's until the transaction ends: the trader decides under the same lock.

    `no_key`: who holds the wallet's lock already may still write orders that name the strategy, and waits for nobody.
    """
    strategy = Strategy.objects.select_for_update(no_key=True).filter(name=name).first()
    if strategy is None:
        raise NotFoundError("STRATEGY_NOT_FOUND", worded("There is no strategy called %(name)s.", name=name), name=name)
    return strategy


@transaction.atomic
def strategy_change(*, name: str, definition: Definition, note: str = "") -> Strategy:
    """Give a strategy a new version; the same definition again changes nothing. Open positions keep their exits."""
    require_known(definition)
    strategy = _locked(name)
    newest = strategy.versions.first()
    if newest is not None and newest.sha256 == definition.sha256:
        return strategy
    strategy.version = (newest.number if newest else 0) + 1
    definition_write(strategy, definition)
    strategy.save()
    _version_add(strategy, definition, note)
    _changed()
    return strategy


@transaction.atomic
def strategy_restore(*, name: str, number: int) -> Strategy:
    """Make an earlier version the newest again (as a new version). Raises VERSION_NOT_FOUND."""
    version = version_get(name, number)
    return strategy_change(name=name, definition=definition_parse(version.definition), note=f"as version {number}")


def version_get(name: str, number: int) -> StrategyVersion:
    """One version. Raises STRATEGY_NOT_FOUND, VERSION_NOT_FOUND."""
    version = strategy_get(name).versions.filter(number=number).first()
    if version is None:
        raise NotFoundError(
            "VERSION_NOT_FOUND",
            worded("The strategy %(name)s has no version %(number)s.", name=name, number=number),
            number=number,
        )
    return version


@transaction.atomic
def strategy_switch(*, name: str, is_active: bool) -> Strategy:
    """Pause a strategy or let it go on. Switched on again it skips the alerts of the meantime; exits go on always."""
    strategy = _locked(name)
    if is_active and not strategy.is_active:
        strategy.last_alert_id = max(strategy.last_alert_id, queries.alert_newest_id())
    strategy.is_active = is_active
    strategy.save(update_fields=["is_active", "last_alert_id"])
    _changed()
    return strategy


@transaction.atomic
def strategy_apply(*, name: str) -> int:
    """Give the open positions of a strategy the exits of its newest version; how many. Rungs sold or being sold
    stay sold, and so do those of another ladder that lie no higher.

    A time-out counts from the opening, also where that is past already.
    """
    strategy = _locked(name)
    Wallet.objects.select_for_update().get(pk=strategy.wallet_id)  # the trader writes positions under this lock
    held = list(Position.objects.select_for_update().filter(strategy=strategy, status="OPEN").order_by("pk"))
    for position in held:
        selling = _rungs_move(position, strategy)
        position_arm(position, strategy, rows.initial_buy_of(position.mint))
        if selling:
            position.rules["selling"] = selling
        position.save(update_fields=[*COLUMN_EXITS[:2], "timeout_at", "rules", "rungs_done", "strategy_version",
                                     "slippage_bps"])  # fmt: skip
    _changed()
    return len(held)


def _rungs_move(position: Position, strategy: Strategy) -> dict[str, int]:
    """Let the rungs that are being sold be of the strategy's ladder; the gain of each order's last one."""
    gains: dict[str, int] = {}
    selling = Order.objects.filter(position=position, side="sell", status__in=Order.IN_FLIGHT, rungs__isnull=False)
    for order in selling.select_for_update():
        gain_bps = position.rules.get("selling", {}).get(str(order.pk)) or gain_sold(position, order.rungs or 0)
        if gain_bps is None:
            continue
        gains[str(order.pk)] = gain_bps
        order.rungs = rungs_until(strategy.exits.get("ladder", []), gain_bps)
        order.save(update_fields=["rungs"])
    return gains


def strategy_take(*, file: StrategyFile, name: str | None = None, wallet_alias: str | None = None) -> Strategy:
    """Make a strategy of a file, resting until it is switched on, or give the one of this name a new version.

    Raises STRATEGY_UNNAMED, WALLET_DIFFERS and what `strategy_make` and `strategy_change` raise.
    """
    name, alias = name or file.name, wallet_alias or file.wallet
    if not slug_re.fullmatch(name) or len(name) > 50 or not alias:
        message = _("Give a wallet and a name of letters, digits, - and _, in the file or beside it.")
        raise PlatformError("STRATEGY_UNNAMED", message)
    there = Strategy.objects.select_related("wallet").filter(name=name).first()
    if there is None:
        return strategy_make(name=name, wallet_alias=alias, definition=file.definition, is_active=False, note=file.note)
    if there.wallet.alias != alias:
        message = worded(
            "The strategy %(name)s trades for %(alias)s and keeps its wallet: choose another name.",
            name=name,
            alias=there.wallet.alias,
        )
        raise ConflictError("WALLET_DIFFERS", message, name=name)
    return strategy_change(name=name, definition=file.definition, note=file.note)


def strategy_export(strategy: Strategy) -> str:
    """A strategy as TOML."""
    return strategy_text(StrategyFile(definition_of(strategy), strategy.name, strategy.wallet.alias))


def strategy_text(file: StrategyFile) -> str:
    """A file as TOML, models by the names that they have at work here."""
    return strategy_written(file, names_by_number())


def strategy_parse(toml: str) -> StrategyFile:
    """A file from TOML, models by the same names. Raises what `strategy_read` raises."""
    return strategy_read(toml, numbers_by_name())


def strategy_delete(*, name: str) -> None:
    """Remove a strategy that has never ordered. Raises STRATEGY_IN_USE for any other: pause it."""
    try:
        with transaction.atomic():
            locked = Strategy.objects.select_for_update().filter(name=name).first()  # no order comes in between
            (locked or strategy_get(name)).delete()
    except ProtectedError as error:
        message = _("The strategy has orders, which are kept: pause it instead.")
        raise ConflictError("STRATEGY_IN_USE", message, name=name) from error
    _changed()


def flat(strategy: Strategy, changes: dict[str, Any]) -> Definition:
    """The definition of a strategy with some of its columns changed. Raises STRATEGY_INVALID."""
    for name, value in changes.items():
        setattr(strategy, name, value)
    return definition_of(strategy)


def demo_definition() -> Definition:
    """The demo's: a fixed stake; half is sold at +25 %, a quarter at +60 %, the rest runs behind a trailing stop."""
    ladder = [{"gain_bps": 2_500, "share_bps": 5_000}, {"gain_bps": 6_000, "share_bps": 2_500}]
    exits = {
        "stop_loss_bps": 2_000,
        "ladder": ladder,
        "trailing_bps": 2_000,
        "trailing_from_bps": 1_500,
        "timeout_seconds": 180,
        "creator_sold_bps": 8_000,
        "graduation_bps": 9_500,
    }
    return definition_parse({"sizing": {"kind": "fixed", "stake_lamports": 100_000_000}, "exits": exits})
