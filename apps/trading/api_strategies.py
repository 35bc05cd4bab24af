"""`/api/buy/strategies`: strategies, their versions, their files.

A change makes a version and leaves open positions with the exits they were opened with; `apply` gives them the newest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from apps.core.pagination import Page, PageQuery, paginate
from apps.core.schemas import Body
from apps.core.tokens import read, trade
from apps.trading import strategies
from apps.trading.conditions import FACTS, FEATURE, OPERATORS
from apps.trading.definitions import Definition
from apps.trading.models import Strategy, StrategyVersion
from apps.trading.schemas import ALIAS
from apps.trading.strategy_queries import strategies_listed
from apps.training import features

router = Router(tags=["buy"])


class ChangeIn(Body):
    """A definition, and a word on why."""

    definition: Definition
    note: str = Field("", max_length=200)


class StrategyIn(ChangeIn):
    """A new strategy."""

    name: str = Field(pattern=ALIAS)
    wallet: str = Field(pattern=ALIAS)
    is_active: bool = True


class ImportIn(Body):
    """A strategy as TOML, models by their names at work; `name` and `wallet` go before what the file says."""

    toml: str = Field(max_length=200_000)
    name: str | None = Field(None, pattern=ALIAS)
    wallet: str | None = Field(None, pattern=ALIAS)


class StrategyOut(Schema):
    """A strategy with its newest version."""

    name: str
    wallet: str
    is_active: bool
    version: int
    sha256: str
    definition: dict[str, Any]
    open_positions: int
    created_at: datetime


class VersionOut(Schema):
    """A version; written once."""

    number: int
    sha256: str
    note: str
    definition: dict[str, Any]
    created_at: datetime


class AppliedOut(Schema):
    """How many open positions were given the newest exits."""

    positions: int


class FactOut(Schema):
    """Something a condition can ask."""

    fact: str
    meaning: str


class FactsOut(Schema):
    """All that a condition can ask, and how."""

    facts: list[FactOut]
    operators: list[str]


def strategy_out(strategy: Strategy) -> dict[str, Any]:
    """A strategy as the API shows it."""
    definition = strategies.definition_of(strategy)
    held = strategy.positions.filter(status="OPEN").count() if not hasattr(strategy, "held") else strategy.held
    return {
        "name": strategy.name,
        "wallet": strategy.wallet.alias,
        "is_active": strategy.is_active,
        "version": strategy.version,
        "sha256": definition.sha256,
        "definition": definition.as_json(),
        "open_positions": held,
        "created_at": strategy.created_at,
    }


@router.get("", response=Page[StrategyOut], auth=read)
def strategy_list(request: HttpRequest, page: Query[PageQuery]) -> Any:
    """All strategies, by name."""
    return paginate(strategies_listed(), page, strategy_out)


@router.post("", response={201: StrategyOut}, auth=trade)
def create_strategy(request: HttpRequest, data: StrategyIn) -> Any:
    """A new strategy; it trades on alerts made from now on."""
    made = strategies.strategy_make(
        name=data.name,
        wallet_alias=data.wallet,
        definition=data.definition,
        is_active=data.is_active,
        note=data.note,
    )
    return Status(201, strategy_out(made))


@router.get("/facts", response=FactsOut, auth=read)
def strategy_facts(request: HttpRequest) -> Any:
    """What conditions can ask of an alert, and the operators."""
    told = [{"fact": fact, "meaning": meaning} for fact, meaning in FACTS.items()]
    told += [{"fact": FEATURE + one["name"], "meaning": one["formula"]} for one in features.describe()]
    return {"facts": told, "operators": list(OPERATORS)}


@router.post("/import", response={201: StrategyOut}, auth=trade)
def import_strategy(request: HttpRequest, data: ImportIn) -> Any:
    """A strategy from TOML: a new one, resting until it is resumed, or a new version of one that is there."""
    taken = strategies.strategy_take(
        file=strategies.strategy_parse(data.toml), name=data.name, wallet_alias=data.wallet
    )
    return Status(201, strategy_out(taken))


@router.get("/{name}", response=StrategyOut, auth=read)
def strategy(request: HttpRequest, name: str) -> Any:
    """One strategy."""
    return strategy_out(strategies.strategy_get(name))


@router.put("/{name}", response=StrategyOut, auth=trade)
def change_strategy(request: HttpRequest, name: str, data: ChangeIn) -> Any:
    """A new version; open positions keep their exits. The same definition again changes nothing."""
    return strategy_out(strategies.strategy_change(name=name, definition=data.definition, note=data.note))


@router.delete("/{name}", response={204: None}, auth=trade)
def delete_strategy(request: HttpRequest, name: str) -> Any:
    """Remove a strategy that has never ordered."""
    strategies.strategy_delete(name=name)
    return Status(204, None)


@router.post("/{name}/pause", response=StrategyOut, auth=trade)
def pause_strategy(request: HttpRequest, name: str) -> Any:
    """Enter no more; what is held is left as it would be."""
    return strategy_out(strategies.strategy_switch(name=name, is_active=False))


@router.post("/{name}/resume", response=StrategyOut, auth=trade)
def resume_strategy(request: HttpRequest, name: str) -> Any:
    """Enter again, on alerts made from now on."""
    return strategy_out(strategies.strategy_switch(name=name, is_active=True))


@router.post("/{name}/apply", response=AppliedOut, auth=trade)
def apply_strategy(request: HttpRequest, name: str) -> Any:
    """Give the open positions of this strategy the exits of its newest version."""
    return {"positions": strategies.strategy_apply(name=name)}


@router.get("/{name}/versions", response=Page[VersionOut], auth=read)
def strategy_versions(request: HttpRequest, name: str, page: Query[PageQuery]) -> Any:
    """Every version, newest first."""
    return paginate(StrategyVersion.objects.filter(strategy=strategies.strategy_get(name)), page)


@router.get("/{name}/versions/{number}", response=VersionOut, auth=read)
def strategy_version(request: HttpRequest, name: str, number: int) -> Any:
    """One version."""
    return strategies.version_get(name, number)


@router.post("/{name}/versions/{number}/restore", response=StrategyOut, auth=trade)
def restore_strategy(request: HttpRequest, name: str, number: int) -> Any:
    """Make an earlier version the newest again, as a new version."""
    return strategy_out(strategies.strategy_restore(name=name, number=number))


@router.get("/{name}/export", auth=read, response={200: str})
def export_strategy(request: HttpRequest, name: str) -> Any:
    """The strategy as TOML."""
    return HttpResponse(
        strategies.strategy_export(strategies.strategy_get(name)), content_type="application/toml; charset=utf-8"
    )
