"""Strategies: their versions, files, conditions on real tables, pages and API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.core.errors import PlatformError
from apps.discovery.models import Coin, CoinMetric, CoinStream, CreatorHistory
from apps.predictions.models import ActiveModel
from apps.trading import entries, facts, strategies
from apps.trading.definitions import Definition, definition_parse
from apps.trading.forms_strategies import value_shown, value_typed
from apps.trading.models import Order, Position, Strategy, StrategyFiltered, StrategyVersion
from apps.trading.tests.conftest import SOL, World, at, models_at_work
from apps.trading.tests.rounds import books_balance, held, run
from apps.trading.tests.test_api import Caller
from apps.training.models import Model

pytestmark = pytest.mark.django_db


def definition(**parts: Any) -> Definition:
    return definition_parse({"sizing": {"kind": "fixed", "stake_lamports": SOL // 10}, **parts})


def make(world: World, **parts: Any) -> Strategy:
    world.wallet()
    models_at_work(1)
    return strategies.strategy_make(name="s", wallet_alias="test", definition=definition(**parts))


def when(*conditions: tuple[str, str, Any]) -> dict[str, Any]:
    return {"conditions": [{"fact": fact, "operator": sign, "value": value} for fact, sign, value in conditions]}


def test_change_makes_a_version_and_the_same_again_none(started: World) -> None:
    make(started)
    for stop in (1_000, 1_000, 2_000):
        strategies.strategy_change(name="s", definition=definition(exits={"stop_loss_bps": stop}), note=f"stop {stop}")
    found = list(StrategyVersion.objects.order_by("number").values_list("number", "note"))
    assert found == [(1, ""), (2, "stop 1000"), (3, "stop 2000")]
    strategies.strategy_restore(name="s", number=2)
    newest = StrategyVersion.objects.first()
    assert newest is not None
    assert (newest.number, newest.note) == (4, "as version 2")
    assert newest.sha256 == StrategyVersion.objects.get(number=2).sha256
    assert strategies.definition_of(Strategy.objects.get()).sha256 == newest.sha256


def test_orders_and_positions_name_their_version(started: World) -> None:
    _, position = held(started)
    assert (position.strategy_version, Order.objects.get().strategy_version) == (1, 1)
    api = Caller("read")
    shown = [api("get", path)["items"][0] for path in ("positions", "orders")]
    assert [(one["strategy"], one["strategy_version"]) for one in shown] == [("s", 1), ("s", 1)]


def test_entry_under_way_opens_with_the_version_that_ordered_it(started: World) -> None:
    mint = started.coin()
    started.wallet()
    started.strategy(stop_loss_bps=1234)
    started.alert(mint, 5)
    run(started, 5)
    changes = {"stop_loss_bps": 99, "exits": {"trailing_bps": 500}}
    strategies.strategy_change(name="s", definition=strategies.flat(strategies.strategy_get("s"), changes))
    run(started, 6)
    position = Position.objects.get()
    assert (position.strategy_version, position.stop_loss_bps, position.rules.get("trailing_bps")) == (1, 1234, None)


def test_change_reaches_open_positions_only_when_asked(started: World) -> None:
    _, position = held(started)
    changed = definition(exits={"stop_loss_bps": 77, "trailing_bps": 500, "timeout_seconds": 30})
    strategies.strategy_change(name="s", definition=changed)
    position.refresh_from_db()
    assert (position.stop_loss_bps, position.strategy_version) == (2000, 1)
    assert strategies.strategy_apply(name="s") == 1
    position.refresh_from_db()
    assert (position.stop_loss_bps, position.take_profit_bps, position.strategy_version) == (77, None, 2)
    assert (position.rules["trailing_bps"], position.timeout_at) == (500, at(36))


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ([("coin.age_seconds", ">=", 5)], None),
        ([("coin.age_seconds", ">=", 5.5)], "coin.age_seconds >= 5.5"),
        ([("coin.market_cap_sol", ">", 40), ("coin.curve_pct", "<", 20)], "coin.curve_pct < 20"),
        ([("phase", "in", [1, 2])], None),
        ([("phase", "=", 2)], "phase = 2"),
        ([("creator", "not_in", ["bad"])], None),
        ([("creator", "in", ["good", "bad"])], None),
        ([("creator", "not_in", ["x", "good"])], "creator not_in (2)"),
        ([("creator.coins", ">=", 4), ("creator.graduated_ratio", ">=", 0.5)], None),
        ([("creator.graduated_ratio", ">", 0.5)], "creator.graduated_ratio > 0.5"),
        ([("creator.sold80_seconds", ">", 0)], "creator.sold80_seconds > 0"),
        ([("coin.initial_buy_sol", "=", 1)], None),
        ([("feature.price_close", ">", 0)], "feature.price_close > 0"),
    ],
)
def test_conditions_are_judged_on_what_is_known(started: World, conditions: Any, reason: str | None) -> None:
    mint = started.coin(creator="good", initial_buy_lamports=SOL)
    CreatorHistory.objects.create(coin=Coin.objects.get(mint=mint), creator="good", as_of=at(0), coins=4, graduated=2,
                                  died=1)  # fmt: skip
    strategy = make(started, entry=when(*conditions))
    Strategy.objects.update(last_alert_id=0)
    started.alert(mint, 5)
    run(started, 5)
    run(started, 6)
    assert Order.objects.count() == (reason is None)
    found = list(StrategyFiltered.objects.values_list("strategy_id", "reason", "alerts"))
    assert found == ([(strategy.pk, reason, 1)] if reason else [])


def test_alert_read_before_a_change_is_judged_by_the_new_version(started: World) -> None:
    mint = started.coin(creator="good")
    seen = make(started)
    strategies.strategy_change(name="s", definition=definition(entry=when(("creator", "=", "good"))))
    entries.signal_take(seen, entries.signal_of(started.alert(mint, 5)), started.feed(5), 0.0)
    assert list(Order.objects.values_list("strategy_version", "status")) == [(2, "SUBMITTED")]


def test_alerts_let_pass_are_counted_once_each_by_hour(started: World) -> None:
    mint = started.coin()
    make(started, entry={"min_probability": 0.95, "models": [1]})
    Strategy.objects.update(last_alert_id=0)
    for seconds, model in ((5, 1), (6, 2), (7, 1), (3601, 1)):
        started.alert(mint, seconds, model=model)
        run(started, seconds)
        run(started, seconds)
    found = StrategyFiltered.objects.order_by("hour").values_list("reason", "alerts")
    assert list(found) == [("probability", 2), ("probability", 1)]


@pytest.mark.parametrize(
    ("sizing", "lamports"),
    [
        ({"kind": "share", "share_bps": 100, "most_lamports": SOL}, SOL // 10),
        ({"kind": "share", "share_bps": 100, "most_lamports": SOL // 50}, SOL // 50),
        ({"kind": "kelly", "fraction_bps": 2500, "most_bps": 200, "most_lamports": SOL}, SOL // 5),
        ({"kind": "kelly", "most_lamports": SOL, "gain_bps": 1000, "loss_bps": 10_000}, None),
    ],
)
def test_stake_follows_equity_and_probability(started: World, sizing: dict[str, Any], lamports: int | None) -> None:
    mint = started.coin()
    make(started, sizing=sizing, exits={"stop_loss_bps": 2000, "take_profit_bps": 3000})
    Strategy.objects.update(last_alert_id=0)
    started.alert(mint, 5, probability=0.9)
    run(started, 5)
    made = list(Order.objects.values_list("lamports", flat=True))
    assert made == ([] if lamports is None else [lamports])
    assert list(StrategyFiltered.objects.values_list("reason", flat=True)) == (["sizing"] if lamports is None else [])


def test_file_reads_back_as_it_was_written(started: World) -> None:
    models_at_work(2, 3)
    make(started, entry={**when(("coin.symbol", "in", ['"q"\n', "ü🚀"]), ("phase", "=", 1)), "models": [1, 2]},
         exits={"ladder": [{"gain_bps": 100, "share_bps": 5000}], "exit_model_ids": [3]})  # fmt: skip
    strategy = strategies.strategy_get("s")
    text = strategies.strategy_export(strategy)
    file = strategies.strategy_parse(text)
    assert 'models = ["m1", "m2"]' in text and 'exit_model_ids = ["m3"]' in text
    assert (file.definition, file.name, file.wallet) == (strategies.definition_of(strategy), "s", "test")
    assert strategies.strategy_text(file) == text
    assert strategies.strategy_take(file=file).version == 1
    other = strategies.strategy_take(file=file, name="other")
    assert (other.is_active, other.version) == (False, 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = ", "STRATEGY_UNREADABLE"),
        ("x = " + "[" * 5_000, "STRATEGY_UNREADABLE"),
        ("x = " + "9" * 5_000, "STRATEGY_UNREADABLE"),
        ("name = 'import'\nwallet = 'test'\n[sizing]\nkind = 'fixed'\nstake_lamports = 5", "STRATEGY_NAME_RESERVED"),
        ("name = 5", "STRATEGY_INVALID"),
        ("note = '\\u0000'".replace("'", '"'), "STRATEGY_INVALID"),
        ("sizing = {kind = 'fixed', stake_lamports = true}", "STRATEGY_INVALID"),
        ("sizing = {kind = 'fixed', stake_lamports = 5}\nentry = {models = [true]}", "STRATEGY_INVALID"),
        ('sizing = {kind = "fixed", stake_lamports = 5}\n'
         'entry = {conditions = [{fact = "coin.symbol", operator = "=", value = "a\\u0000"}]}', "STRATEGY_INVALID"),
        ('name = "s"\nwallet = "test"', "STRATEGY_INVALID"),
        ("[sizing]\nkind = 'fixed'\nstake_lamports = 5", "STRATEGY_UNNAMED"),
        ("name = 'a b'\nwallet = 'test'\n[sizing]\nkind = 'fixed'\nstake_lamports = 5", "STRATEGY_UNNAMED"),
        ("name = 's'\nwallet = 'none'\n[sizing]\nkind = 'fixed'\nstake_lamports = 5", "WALLET_DIFFERS"),
        ("name = 'n'\nwallet = 'none'\n[sizing]\nkind = 'fixed'\nstake_lamports = 5", "WALLET_NOT_FOUND"),
        ("name = 'n'\nwallet = 'test'\n[sizing]\nkind = 'fixed'\nstake_lamports = 5\n[[entry.conditions]]\n"
         "fact = 'feature.none'\nvalue = 1", "FEATURE_UNKNOWN"),
        ("name = 'n'\nwallet = 'test'\nsizing = {kind = 'fixed', stake_lamports = 5}\nentry = {models = ['none']}",
         "ACTIVE_MODEL_NOT_FOUND"),
        ("name = 'n'\nwallet = 'test'\nsizing = {kind = 'fixed', stake_lamports = 5}\nexits = {exit_model_ids = [9]}",
         "ACTIVE_MODEL_NOT_FOUND"),
        ("name = 'n'\nwallet = 'test'\nsizing = {kind = 'fixed', stake_lamports = 5}\nentry = {models = [1.5, 'm1']}",
         "STRATEGY_INVALID"),
    ],
)  # fmt: skip
def test_wrong_file_is_refused_with_a_code(started: World, text: str, code: str) -> None:
    make(started)
    with pytest.raises(PlatformError) as refused:
        strategies.strategy_take(file=strategies.strategy_parse(text))
    assert refused.value.code == code


@pytest.mark.parametrize("chosen", [[2], []])
def test_kelly_needs_calibrated_models(started: World, chosen: list[int]) -> None:
    kelly = {"kind": "kelly", "most_lamports": SOL, "gain_bps": 1000}
    models_at_work(2, calibration=None)
    with pytest.raises(PlatformError) as refused:
        make(started, sizing=kelly, entry={"models": chosen})
    assert (refused.value.code, refused.value.details) == ("MODEL_NOT_CALIBRATED", {"models": ["m2"]})
    strategies.strategy_make(name="t", wallet_alias="test", definition=definition(sizing=kelly, entry={"models": [1]}))


def test_page_says_what_the_probability_of_kelly_is_of(started: World, admin_client: Client) -> None:
    make(started, sizing={"kind": "kelly", "most_lamports": SOL, "gain_bps": 9000}, entry={"models": [1]})
    page = admin_client.get("/trading/strategies/s/", headers={"accept-language": "en"}).content.decode()
    assert "Its probability is that of rise" in page


def test_kelly_makes_no_stake_of_what_a_later_model_says(started: World) -> None:
    mint = started.coin()
    make(started, sizing={"kind": "kelly", "most_lamports": SOL, "gain_bps": 9000, "loss_bps": 2000})
    Strategy.objects.update(last_alert_id=0)
    Model.objects.update(made_with={})
    started.alert(mint, 5)
    run(started, 5)
    assert (Order.objects.count(), StrategyFiltered.objects.get().reason) == (0, "uncalibrated")


def test_strategy_with_orders_is_kept(started: World) -> None:
    held(started)
    with pytest.raises(PlatformError) as refused:
        strategies.strategy_delete(name="s")
    assert refused.value.code == "STRATEGY_IN_USE"
    started.strategy(name="unused")
    strategies.strategy_delete(name="unused")
    assert [one.name for one in Strategy.objects.all()] == ["s"]


def test_api_does_all_that_can_be_done(started: World) -> None:
    started.wallet()
    api = Caller("trade")
    source = definition(exits={"stop_loss_bps": 1000}).as_json()
    made = api("post", "strategies", {"name": "a", "wallet": "test", "definition": source}, 201)
    assert (made["version"], made["definition"], made["is_active"]) == (1, source, True)
    assert (
        api("post", "strategies", {"name": "a", "wallet": "test", "definition": source}, 409)["code"]
        == "STRATEGY_EXISTS"
    )
    source["exits"]["stop_loss_bps"] = 900
    assert api("put", "strategies/a", {"definition": source, "note": "tighter"})["version"] == 2
    assert api("post", "strategies/a/pause")["is_active"] is False
    assert api("post", "strategies/a/resume")["is_active"] is True
    assert api("post", "strategies/a/apply") == {"positions": 0}
    assert [one["number"] for one in api("get", "strategies/a/versions")["items"]] == [2, 1]
    assert api("get", "strategies/a/versions/2")["note"] == "tighter"
    assert api("post", "strategies/a/versions/1/restore")["version"] == 3
    assert api("get", "strategies/a/versions/9", status=404)["code"] == "VERSION_NOT_FOUND"
    toml = api.client.get("/api/buy/strategies/a/export").content.decode()
    assert api("post", "strategies/import", {"toml": toml, "name": "b"}, 201)["is_active"] is False
    assert [one["name"] for one in api("get", "strategies")["items"]] == ["a", "b"]
    assert "coin.age_seconds" in [one["fact"] for one in api("get", "strategies/facts")["facts"]]
    api("delete", "strategies/b", status=204)
    assert api("get", "strategies/b", status=404)["code"] == "STRATEGY_NOT_FOUND"
    assert Caller("read")("post", "strategies/a/pause", status=403)["code"] == "SCOPE_MISSING"


POSTED = {
    "name": "p", "wallet": "test", "min_probability": "60.5", "sizing": "kelly", "stake": "0.2", "kelly_fraction": "50",
    "kelly_most": "3", "slippage": "4", "stop_loss": "15", "timeout_seconds": "60", "trailing_from": "0",
    "graduation": "95", "condition_fact": ["coin.age_seconds", "creator", ""],
    "condition_operator": [">=", "not_in", ">="], "condition_value": ["30", "x, y", ""], "rung_gain": ["25", ""],
    "rung_share": ["40", ""], "note": "first",
}  # fmt: skip


def test_pages_make_change_and_show_a_strategy(started: World, admin_client: Client) -> None:
    started.wallet()
    assert admin_client.post("/trading/new-strategy/", POSTED).status_code == 302
    made = strategies.definition_of(Strategy.objects.get())
    assert made.entry.min_probability == 0.605
    assert [row.condition().text for row in made.entry.conditions] == ["coin.age_seconds >= 30", "creator not_in (2)"]
    assert (made.exits.ladder[0].gain_bps, made.exits.ladder[0].share_bps, made.gain_bps()) == (2500, 4000, 2500)
    for path in ("strategies/", "strategies/p/", "strategies/p/change/", "strategies/p/versions/1/", "new-strategy/",
                 "strategy-rows/condition/", "strategy-rows/rung/", "strategies/p/file/"):  # fmt: skip
        assert admin_client.get(f"/trading/{path}").status_code == 200
    form = admin_client.get("/trading/strategies/p/change/").context["form"]
    again = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    rows = {name: POSTED[name] for name in POSTED if name.startswith(("condition_", "rung_"))}
    assert admin_client.post("/trading/strategies/p/change/", {**again, **rows}).status_code == 302
    assert StrategyVersion.objects.count() == 1
    assert admin_client.post("/trading/strategies/p/do/pause/").status_code == 302
    assert Strategy.objects.get().is_active is False
    wrong = admin_client.post("/trading/new-strategy/", {**POSTED, "name": "q", "rung_share": ["400", ""]})
    assert "share_bps" in wrong.content.decode()
    for name in ("take_profit", "trailing_from", "kelly_gain"):
        wrong = admin_client.post("/trading/new-strategy/", {**POSTED, "name": "q", name: "1e999999999"})
        assert (wrong.status_code, StrategyVersion.objects.count()) == (200, 1)
    for text in ("nan", "inf", "1e400", "1e308", "1e30"):
        wrong = admin_client.post("/trading/new-strategy/", {**POSTED, "name": "q", "rung_gain": [text, ""]})
        assert (wrong.status_code, "gain_bps" in wrong.content.decode()) == (200, True)


def test_form_keeps_a_model_that_is_gone_in_sight(started: World, admin_client: Client) -> None:
    models_at_work(7)
    make(started, entry={"models": [7]}, exits={"exit_model_ids": [7]})
    ActiveModel.objects.filter(pk=7).delete()
    form = admin_client.get("/trading/strategies/s/change/").context["form"]
    assert [str(name) for _, name in form.fields["models"].choices] == ["m1", "#7, no longer at work"]
    fields = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    answer = admin_client.post("/trading/strategies/s/change/", fields)
    assert (answer.status_code, "no model 7 at work" in answer.content.decode()) == (200, True)
    answer = admin_client.post("/trading/strategies/s/change/", {**fields, "models": [1], "exit_model_ids": []})
    assert (answer.status_code, Strategy.objects.get().active_model_ids) == (302, [1])


@pytest.mark.parametrize("symbols", [["A,B", "C"], ['say "hi"', ","], ["a", "b"], ["x"], ["ü, 🚀", '"']])
def test_list_of_texts_with_commas_and_quotes_comes_back_as_it_was(symbols: list[str]) -> None:
    assert value_typed("coin.symbol", "in", value_shown(symbols)) == symbols


def test_list_that_is_typed_too_long_is_no_list_of_numbers() -> None:
    typed = value_typed("phase", "in", "1" * 200_000)
    with pytest.raises(PlatformError, match="number"):
        definition(entry=when(("phase", "in", typed)))


def test_paused_strategy_goes_on_leaving(started: World) -> None:
    models_at_work(7)
    mint, position = held(started, exits={"exit_model_ids": [7]})
    strategies.strategy_switch(name="s", is_active=False)
    started.trade(mint, SOL // 100, 8)
    started.alert(mint, 9, model=7)
    run(started, 9)
    run(started, 11)
    position.refresh_from_db()
    assert (position.status, position.exit_reason) == ("CLOSED", "MODEL")
    books_balance()


def test_file_of_the_handbook_is_taken(started: World, settings: Any) -> None:
    text = (settings.BASE_DIR / "docs/handbuch/strategien.md").read_text(encoding="utf-8")
    models_at_work(1)
    ActiveModel.objects.update(custom_name="plus20")
    file = strategies.strategy_parse(text.split("```toml")[1].split("```")[0])
    strategies.require_known(file.definition)
    assert (file.name, len(file.definition.exits.ladder), file.definition.gain_bps()) == ("leiter", 2, 4250)


def test_first_of_an_hour_forgets_the_hours_of_long_ago(started: World) -> None:
    strategy = make(started)
    for days in (0, 91, 91):
        strategies.filtered_add(strategy, at(days * 86_400), "sizing")
    assert list(StrategyFiltered.objects.values_list("hour", "alerts")) == [(at(91 * 86_400), 2)]


def window(mint: str, seconds: float, price: float) -> CoinMetric:
    amounts = dict.fromkeys(
        ("volume_sol", "buy_volume_sol", "sell_volume_sol", "max_single_buy_sol", "max_single_sell_sol",
         "net_volume_sol", "volatility_pct", "avg_trade_size_sol", "whale_buy_volume_sol", "whale_sell_volume_sol"), 0.0
    )  # fmt: skip
    counts = dict.fromkeys(("num_buys", "num_sells", "num_micro_trades", "num_whale_buys", "num_whale_sells"), 0)
    prices = dict.fromkeys(("price_open", "price_high", "price_low", "price_close", "market_cap_close"), price)
    return CoinMetric(mint=mint, timestamp=at(seconds), phase_id_at_time=1, **prices, **amounts, **counts)


def test_features_are_those_of_the_alerts_window_and_no_later(started: World) -> None:
    mints = [started.coin(number) for number in (1, 2)]
    for mint in mints:
        CoinStream.objects.create(coin_id=mint, phase_id=1, started_at=at(0))
    rows = [(mints[0], 5, 1.5), (mints[0], 10, 9.0), (mints[1], 5, 2.5), (mints[1], 10, 1.0)]
    CoinMetric.objects.bulk_create(window(*row) for row in rows)
    moments = [(mints[0], at(5)), (mints[1], at(5)), (mints[1], at(10)), (mints[0], at(7))]
    found = facts.feature_values(moments, ["price_close", "price_change_30s"])
    assert {moment: one["feature.price_close"] for moment, one in found.items()} == dict(
        zip(moments[:3], (1.5, 2.5, 1.0), strict=True)
    )
    make(started, entry=when(("feature.price_close", ">=", 2)))
    Strategy.objects.update(last_alert_id=0)
    for mint in mints:
        started.alert(mint, 5)
    run(started, 11)
    assert [order.mint for order in Order.objects.all()] == [mints[1]]
