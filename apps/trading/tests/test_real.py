"""Real money: unlocking and locking, the gate, the address book, the pages and the API about it."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.utils import timezone

from apps.core.errors import PlatformError
from apps.trading import address_book, identity, transfers, unlocking
from apps.trading.models import Difference, Order, Position, RealUnlock, SavedAddress, Wallet
from apps.trading.services import buy_manual, wallet_update
from apps.trading.tests.conftest import SOL, World

pytestmark = pytest.mark.django_db
SECRET = "JBSWY3DPEHPK3PXP"
CAPS = {"max_trade_lamports": SOL, "max_day_lamports": 2 * SOL, "max_total_lamports": 5 * SOL}
LIMITS = {"max_transfer_lamports": SOL, "max_transfer_day_lamports": 2 * SOL}
OUTSIDE = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"


def code_now() -> str:
    """What the authenticator app shows."""
    return totp.format_hotp_value(totp.hotp_value(SECRET, list(totp.yield_hotp_counters_from_time())[-1]))


@pytest.fixture
def staff(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody who may unlock, with a second factor; codes were not used before, and their 30 seconds do not end."""
    settings.REAL_TRADING = True
    monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))
    cache.clear()
    user = get_user_model().objects.create_user("owner", password="x", is_staff=True)
    totp.TOTP.activate(user, SECRET)
    return user


@pytest.fixture
def wallet(started: World) -> Wallet:
    """A real wallet with caps, limits and 3 SOL."""
    fields = {**CAPS, **LIMITS, "real_balance_lamports": 3 * SOL, "transfer_enabled": True}
    return Wallet.objects.create(alias="real", wallet_type="REAL", address=OUTSIDE, **fields)


def unlock(user: Any, **changed: Any) -> RealUnlock:
    """The unlocking as it should be asked for, or with something changed."""
    asked = {"alias": "real", "code": code_now(), "phrase": "trade real money with real", "now": timezone.now()}
    seen = ",".join(map(str, unlocking.caps_of(Wallet.objects.get(alias="real")).values()))
    return unlocking.wallet_unlock(user=user, **{**asked, "caps": seen, **changed})


def test_unlocked_wallet_may_buy_until_it_is_locked(staff: Any, wallet: Wallet) -> None:
    assert not unlocking.may_buy(wallet)
    row = unlock(staff)
    assert (row.username, row.caps) == ("owner", {**CAPS, **LIMITS})
    assert unlocking.may_buy(wallet)
    assert unlocking.wallets_lock(username="other", now=timezone.now()) == ["real"]
    assert not unlocking.may_buy(wallet)
    assert unlocking.may_sell(wallet)
    row.refresh_from_db()
    assert (row.ended_by, unlocking.wallets_lock(username="other", now=timezone.now())) == ("other", [])


def test_what_could_not_be_left_while_real_trading_was_off_is_judged_again(staff: Any, wallet: Wallet) -> None:
    fields = {"wallet": wallet, "quantity_base_units": 5, "opened_at": timezone.now()}
    for mint, code in (("a", "REAL_TRADING_LOCKED"), ("b", "COIN_GRADUATED")):
        Position.objects.create(mint=mint, blocked_code=code, **fields)
    unlock(staff)
    assert dict(Position.objects.values_list("mint", "blocked_code")) == {"a": "", "b": "COIN_GRADUATED"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"phrase": "trade real money"}, "PHRASE_WRONG"),
        ({"phrase": ""}, "PHRASE_WRONG"),
        ({"code": "000000"}, "SECOND_FACTOR_WRONG"),
        ({"code": ""}, "SECOND_FACTOR_WRONG"),
        ({"caps": "1,1,1,1,1"}, "CAPS_CHANGED"),
        ({"caps": ""}, "CAPS_CHANGED"),
        ({"alias": "test", "phrase": "trade real money with test"}, "WALLET_NOT_REAL"),
        ({"alias": "nobody"}, "WALLET_NOT_FOUND"),
    ],
)
def test_unlocking_is_refused(staff: Any, wallet: Wallet, started: World, changed: dict[str, str], code: str) -> None:
    started.wallet("test")
    with pytest.raises(PlatformError) as error:
        unlock(staff, **changed)
    assert error.value.code == code
    assert not RealUnlock.objects.exists()


def test_unlocking_needs_setting_staff_factor_and_caps(staff: Any, wallet: Wallet, settings: Any) -> None:
    def refusal(user: Any) -> str:
        with pytest.raises(PlatformError) as error:
            unlock(user)
        return error.value.code

    person = get_user_model().objects.create_user("person", password="x")
    other = get_user_model().objects.create_user("other", password="x", is_staff=True)
    assert (refusal(person), refusal(other)) == ("SCOPE_MISSING", "SECOND_FACTOR_MISSING")
    Wallet.objects.update(max_day_lamports=0)
    assert refusal(staff) == "CAPS_MISSING"
    settings.REAL_TRADING = False
    assert refusal(staff) == "REAL_TRADING_OFF"


def test_code_counts_once_also_in_another_process(staff: Any, wallet: Wallet) -> None:
    code = code_now()
    unlock(staff, code=code)
    for again in (code, f"{code[:3]} {code[3:]}"):
        cache.clear()  # what another web process, or this one after a restart, remembers
        with pytest.raises(PlatformError) as error:
            unlock(staff, code=again)
        assert error.value.code == "SECOND_FACTOR_WRONG"


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({"max_trade_lamports": SOL // 2}, True),
        ({"max_trade_lamports": SOL + 1}, False),
        ({"max_total_lamports": 0}, False),
        ({"max_transfer_lamports": 0}, True),
        ({"max_transfer_day_lamports": 3 * SOL}, False),
    ],
)
def test_raised_cap_locks_again(staff: Any, wallet: Wallet, changes: dict[str, int], stays: bool) -> None:
    unlock(staff)
    assert unlocking.may_buy(wallet_update(alias="real", **changes)) is stays


def test_unlocking_ends_by_the_hour_and_with_the_setting(staff: Any, wallet: Wallet, settings: Any) -> None:
    row = unlock(staff)
    assert unlocking.unlock_of(wallet, row.expires_at - timedelta(seconds=1)) == row
    assert unlocking.unlock_of(wallet, row.expires_at) is None
    settings.REAL_TRADING = False
    assert (unlocking.may_buy(wallet), unlocking.may_sell(wallet)) == (False, False)


def test_gate_denies_a_locked_wallet_and_lets_an_unlocked_one_pass(staff: Any, wallet: Wallet, started: World) -> None:
    mint = started.coin()
    started.feed(5)
    with pytest.raises(PlatformError) as error:
        buy_manual(alias="real", mint=mint, lamports=SOL // 10)
    assert error.value.code == "REAL_TRADING_LOCKED"
    assert Order.objects.get().status == "DENIED"
    unlock(staff)
    assert buy_manual(alias="real", mint=mint, lamports=SOL // 10).status == "SUBMITTED"


def test_codes_cannot_be_guessed_not_even_by_asking_several_processes(staff: Any, wallet: Wallet) -> None:
    codes = []
    for _ in range(identity.TRIES_MOST + 1):
        cache.clear()
        with pytest.raises(PlatformError) as error:
            unlock(staff, code="000000")
        codes.append(error.value.code)
    assert codes == ["SECOND_FACTOR_WRONG"] * identity.TRIES_MOST + ["TOO_MANY_ATTEMPTS"]
    with pytest.raises(PlatformError, match="quarter of an hour"):
        unlock(staff)
    unlock(staff, now=timezone.now() + identity.TRIES_WITHIN)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("code", "let_in"), [("right", 1), ("000000", 0)])
def test_parallel_tries_count_each_and_a_code_once(staff: Any, code: str, let_in: int) -> None:
    ready = Barrier(8)

    def attempt(_: int) -> str:
        try:
            ready.wait()
            identity.second_factor_require(staff, code_now() if code == "right" else code, timezone.now())
        except PlatformError as error:
            return error.code
        finally:
            connections["default"].close()
        return ""

    with ThreadPoolExecutor(8) as pool:
        ended = Counter(pool.map(attempt, range(8)))
    assert ended[""] == let_in
    assert let_in or ended["SECOND_FACTOR_WRONG"] == identity.TRIES_MOST
    assert ended.total() == 8 and set(ended) <= {"", "SECOND_FACTOR_WRONG", "TOO_MANY_ATTEMPTS"}


# --- Transfers of a real wallet ------------------------------------------------------------------------
def saved(hours: int = -1) -> SavedAddress:
    """An address of the book that may be used since an hour, or in some."""
    now = timezone.now()
    known = {"address": OUTSIDE, "added_by": "owner", "added_at": now - timedelta(days=2)}
    return SavedAddress.objects.create(name="bank", usable_at=now + timedelta(hours=hours), **known)


def test_real_transfer_is_taken_from_the_balance_and_waits_to_be_sent(staff: Any, wallet: Wallet) -> None:
    saved()
    unlock(staff)
    row = transfers.transfer(from_alias="real", to_saved="bank", lamports=SOL, idempotency_key="once")
    again = transfers.transfer(from_alias="real", to_saved="bank", lamports=SOL, idempotency_key="once")
    wallet.refresh_from_db()
    assert (row.status, row.to_address, row.is_simulation, again.pk) == ("SUBMITTED", OUTSIDE, False, row.pk)
    assert wallet.real_balance_lamports == 2 * SOL - 10_000
    entry = wallet.ledger.get()
    assert (entry.cash, entry.outside, entry.network_fee) == (-SOL - 10_000, SOL, 10_000)


@pytest.mark.parametrize("priority", [-1, 1_000_001])
def test_priority_fee_of_a_transfer_has_a_cap(staff: Any, wallet: Wallet, settings: Any, priority: int) -> None:
    settings.TRANSFER_PRIORITY_FEE_LAMPORTS = priority
    saved()
    unlock(staff)
    with pytest.raises(PlatformError) as error:
        transfers.transfer(from_alias="real", to_saved="bank", lamports=SOL)
    assert error.value.code == "PRIORITY_FEE_ABOVE_CAP"


@pytest.mark.parametrize("amount", [None, SOL - 5_000_000])
def test_transfer_leaves_what_exits_need(started: World, amount: int | None) -> None:
    """A wallet that could not pay for its exits any more would be stuck in its positions."""
    giver = started.wallet("giver", sol=1, transfer_enabled=True)
    started.wallet("taker")
    Position.objects.create(wallet=giver, mint="a", quantity_base_units=5, opened_at=timezone.now())
    if amount is None:
        transfers.transfer(from_alias="giver", to_alias="taker")
        giver.refresh_from_db()
        assert giver.cash_lamports == 10_000_000
        return
    with pytest.raises(PlatformError) as error:
        transfers.transfer(from_alias="giver", to_alias="taker", lamports=amount)
    assert error.value.code == "INSUFFICIENT_BALANCE"


@pytest.mark.parametrize(
    ("prepare", "asked", "code"),
    [
        (lambda: saved(hours=1), {"to_saved": "bank", "lamports": 1}, "ADDRESS_WAITING"),
        (saved, {"to_saved": "other", "lamports": 1}, "ADDRESS_NOT_FOUND"),
        (saved, {"to_saved": "bank", "lamports": SOL + 1}, "TRANSFER_LIMIT"),
        (saved, {"to_saved": "bank"}, "TRANSFER_LIMIT"),
        (saved, {"to_saved": "bank", "lamports": 0}, "AMOUNT_OUT_OF_RANGE"),
        (saved, {"to_alias": "real", "lamports": 1}, "SAME_WALLET"),
    ],
)
def test_real_transfer_is_refused(staff: Any, wallet: Wallet, prepare: Any, asked: dict[str, Any], code: str) -> None:
    unlock(staff)
    prepare()
    with pytest.raises(PlatformError) as error:
        transfers.transfer(from_alias="real", **asked)
    assert error.value.code == code
    wallet.refresh_from_db()
    assert wallet.real_balance_lamports == 3 * SOL


def test_transfers_of_a_day_have_a_limit(staff: Any, wallet: Wallet) -> None:
    saved()
    Wallet.objects.update(real_balance_lamports=9 * SOL)
    unlock(staff)
    for _ in range(2):
        transfers.transfer(from_alias="real", to_saved="bank", lamports=SOL)
    with pytest.raises(PlatformError) as error:
        transfers.transfer(from_alias="real", to_saved="bank", lamports=1)
    assert error.value.code == "TRANSFER_DAY_LIMIT"


@pytest.mark.parametrize(
    ("address", "typed", "code"),
    [
        (OUTSIDE, "tAWWM", "CONFIRMATION_WRONG"),
        ("nonsense", "nsense", "ADDRESS_INVALID"),
        (OUTSIDE[:-1] + "0", "tAWW0", "ADDRESS_INVALID"),
        ("4wTV1YmiEkRvAtNtsSGPtUrqRYQMe5SKy2uB4Jjaxnjf", "Jaxnjf", "ADDRESS_INVALID"),  # of a program: no key
    ],
)
def test_address_is_confirmed_and_checked(db: None, address: str, typed: str, code: str) -> None:
    asked = {"name": "bank", "address": address, "typed": typed, "added_by": "owner", "now": timezone.now()}
    with pytest.raises(PlatformError) as error:
        address_book.address_add(**asked)
    assert error.value.code == code


def test_removed_address_waits_again_when_it_is_saved_again(db: None, settings: Any) -> None:
    settings.ADDRESS_WAIT_HOURS = 24
    now = timezone.now()
    asked = {"name": "bank", "address": OUTSIDE, "typed": OUTSIDE[-6:], "added_by": "owner"}
    row = address_book.address_add(**asked, now=now - timedelta(hours=25))
    assert address_book.address_usable(name="bank", now=now) == row
    address_book.address_remove(name="bank", removed_by="owner", now=now)
    address_book.address_add(**asked, now=now)
    with pytest.raises(PlatformError) as error:
        address_book.address_usable(name="bank", now=now + timedelta(hours=23))
    assert error.value.code == "ADDRESS_WAITING"


# --- Pages ---------------------------------------------------------------------------------------------
def test_every_page_says_in_red_what_is_live(staff: Any, wallet: Wallet, client: Client) -> None:
    client.force_login(staff)
    address = "/trading/real/real/unlock/"
    assert 'role="alert"' not in client.get("/").text
    Wallet.objects.filter(pk=wallet.pk).update(max_trade_lamports=SOL // 2)
    seen = re.search(r'name="caps" value="([^"]*)"', client.get(address).text)
    Wallet.objects.filter(pk=wallet.pk).update(max_trade_lamports=SOL)  # somebody raises a cap behind the page
    form = {"phrase": "trade real money with real", "code": code_now(), "caps": seen and seen.group(1)}
    answer = client.post(address, form, follow=True)
    assert "The caps have changed" in answer.text and not RealUnlock.objects.exists()
    seen = re.search(r'name="caps" value="([^"]*)"', answer.text)
    answer = client.post(address, {**form, "caps": seen and seen.group(1)}, follow=True)
    assert RealUnlock.objects.get().ended_at is None, answer.text
    for page in ("/", "/trading/", "/discovery/", "/trading/real/"):
        banner = re.search(r'<div class="real-live".*?</div>', client.get(page).text, re.DOTALL)
        assert banner and "<strong>real</strong>" in banner.group() and "1.0000 SOL a buy" in banner.group(), page
    client.post("/trading/real/lock/", {"wallet": "real"})
    assert "real-live" not in client.get("/").text


@pytest.mark.parametrize("trading", [True, False])
def test_every_page_says_that_the_chain_differs(
    staff: Any, wallet: Wallet, client: Client, trading: bool, settings: Any
) -> None:
    settings.REAL_TRADING = trading
    client.force_login(staff)
    assert "The chain says something else" not in client.get("/trading/").text
    now = timezone.now()
    seen = {"first_seen_at": now, "seen_at": now, "booked": 3 * SOL, "on_chain": 0}
    Difference.objects.create(wallet=wallet, kind="BALANCE", **seen)
    for page in ("/trading/", "/discovery/"):
        assert "The chain says something else" in client.get(page).text


def test_person_without_rights_gets_no_form(wallet: Wallet, client: Client, settings: Any) -> None:
    settings.REAL_TRADING = True
    client.force_login(get_user_model().objects.create_user("person"))
    assert 'name="code"' not in client.get("/trading/real/real/unlock/").text
    client.post("/trading/real/real/unlock/", {"phrase": "trade real money with real", "code": "1"})
    assert not RealUnlock.objects.exists()
    added = {"address-name": "b", "address-address": OUTSIDE, "address-confirm": OUTSIDE[-6:]}
    client.post("/trading/transfers/", added)
    assert not SavedAddress.objects.exists()


def test_transfer_of_real_money_asks_to_be_confirmed(staff: Any, wallet: Wallet, client: Client) -> None:
    saved()
    unlock(staff)
    client.force_login(staff)
    form = {"transfer-source": "real", "transfer-target": "saved:bank", "transfer-amount": "1"}
    client.post("/trading/transfers/", form)
    assert not wallet.transfers.exists()
    client.post("/trading/transfers/", {**form, "transfer-sure": "on"})
    assert wallet.transfers.get().requested_by == "owner"
    assert "SUBMITTED" in client.get("/trading/transfers/").text


def test_page_of_a_wallet_shows_performance_caps_and_ledger(started: World, wallet: Wallet, client: Client) -> None:
    started.wallet("test")
    client.force_login(get_user_model().objects.create_user("person"))
    page = client.get("/trading/wallets/test/").text
    for word in ("Profit factor", "Deepest fall", "By exit", "Deposit", "Add 1 virtual SOL"):
        assert word in page
    assert "Add 1 virtual SOL" not in client.get("/trading/wallets/real/").text
    caps = {"max_trade": "0.5", "max_day": "1", "max_total": "2", "max_transfer": "0", "max_transfer_day": "0"}
    client.post("/trading/wallets/real/caps/", caps)
    wallet.refresh_from_db()
    assert list(unlocking.caps_of(wallet).values()) == [SOL // 2, SOL, 2 * SOL, 0, 0]
    assert "0 for none" in client.post("/trading/wallets/real/caps/", {**caps, "max_day": "-1"}, follow=True).text
