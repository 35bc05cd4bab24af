"""Keys of real wallets: made, imported, shown once, rotated, and to be found nowhere else."""

from __future__ import annotations

import base64
import json
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from solders.keypair import Keypair

from apps.core import sealing
from apps.core.errors import PlatformError
from apps.core.models import WebhookEndpoint
from apps.core.sealing import SealedError
from apps.core.tokens import token_create
from apps.core.webhook_secrets import receiver_of
from apps.trading import key_rotation, keys, wallet_keys
from apps.trading.models import KeyEvent, Wallet
from apps.trading.tests.test_real import SECRET as TOTP_SECRET
from apps.trading.tests.test_real import code_now

KEY = bytes(Keypair.from_seed(bytes(range(100, 132))))
KEY_2 = bytes(Keypair.from_seed(bytes(range(50, 82))))
ADDRESS = str(Keypair.from_seed(KEY[:32]).pubkey())
TEXT = str(Keypair.from_seed(KEY[:32]))
OLD, NEW = (base64.b64encode(bytes([n] * 32)).decode() for n in (1, 2))
PASSWORD = "correct horse"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def encodings(key: bytes) -> list[str]:
    """Every way a key is written, whole and its seed alone."""
    forms = []
    for part in (key, key[:32]):
        forms += [part.hex(), part.hex().upper(), b64(part), base64.urlsafe_b64encode(part).decode()]
        forms += [json.dumps(list(part)), ",".join(map(str, part)), repr(part), part.decode("latin-1")]
    return [*forms, keys.key_text(key)]


def is_anywhere(key: bytes, text: str) -> bool:
    return any(form in text for form in encodings(key))


@pytest.fixture
def owner(db: None) -> Any:
    cache.clear()
    return get_user_model().objects.create_user("owner", password=PASSWORD, is_staff=True)


@pytest.fixture
def wallet(owner: Any) -> Wallet:
    return wallet_keys.wallet_import(alias="real", text=TEXT, address=ADDRESS, user=owner, now=timezone.now())


# --- Texts ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", [TEXT, f"  {TEXT}\n", json.dumps(list(KEY)), str(list(KEY))])
def test_a_key_is_read_in_both_forms(text: str) -> None:
    assert keys.key_of_text(text) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0OIl",
        TEXT[:-1],
        TEXT + "1",
        TEXT[:-1] + ("2" if TEXT[-1] != "2" else "3"),
        "[1,2,3]",
        json.dumps([*KEY[:63], 256]),
        json.dumps([*KEY[:63], -1]),
        json.dumps([*KEY[:63], 1.0]),
        json.dumps([*KEY[:63], True]),
        json.dumps([*KEY[:63], "1"]),
        json.dumps([*KEY[:32], *bytes(32)]),
        "[" * 100_000,
        "1" * 100_000,
        ADDRESS,
        TEXT.replace(TEXT[5], "é"),
    ],
)
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(keys.KeyTextError) as error:
        keys.key_of_text(text)
    assert len(text) < 8 or text.strip() not in str(error.value)


@pytest.mark.parametrize(
    ("text", "is_one"), [(ADDRESS, True), ("", False), ("1" * 32, True), (ADDRESS[:-2], False), ("l" * 44, False)]
)
def test_addresses_are_known(text: str, is_one: bool) -> None:
    assert keys.is_address(text) is is_one


# --- Making and importing ------------------------------------------------------------------------------
def test_a_new_wallet_signs_for_its_address_and_trades_nothing_yet(owner: Any) -> None:
    wallet = wallet_keys.wallet_create_real(alias="fresh", user=owner, now=timezone.now())
    signature = wallet_keys.sign(wallet, b"message")
    assert len(signature) == 64
    assert (wallet.is_test, wallet.trading_enabled, wallet.transfer_enabled) == (False, False, False)
    assert [event.kind for event in wallet_keys.key_events(wallet)] == ["CREATED"]
    other = wallet_keys.wallet_create_real(alias="other", user=owner, now=timezone.now())
    assert other.address != wallet.address


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"text": "nonsense"}, "KEY_WRONG"),
        ({"address": "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"}, "ADDRESS_OTHER"),
        ({"alias": "real", "text": str(Keypair.from_seed(bytes(32))), "address": None}, "ALIAS_TAKEN"),
        ({"alias": "again"}, "ADDRESS_TAKEN"),
    ],
)
def test_a_wrong_import_is_refused_without_its_key(wallet: Wallet, owner: Any, changed: Any, code: str) -> None:
    asked = {"alias": "second", "text": TEXT, "address": ADDRESS, **changed}
    asked["address"] = asked["address"] or str(Keypair.from_seed(bytes(32)).pubkey())
    with pytest.raises(PlatformError) as error:
        wallet_keys.wallet_import(user=owner, now=timezone.now(), **asked)
    assert error.value.code == code
    assert asked["text"] not in json.dumps(error.value.as_dict())
    assert Wallet.objects.count() == 1


def test_only_staff_may_do_anything_with_keys(wallet: Wallet) -> None:
    guest = get_user_model().objects.create_user("guest", password=PASSWORD)
    calls = [
        lambda: wallet_keys.wallet_create_real(alias="x", user=guest, now=timezone.now()),
        lambda: wallet_keys.wallet_import(alias="x", text=TEXT, address=ADDRESS, user=guest, now=timezone.now()),
        lambda: wallet_keys.key_show(alias="real", user=guest, password=PASSWORD, code="", now=timezone.now()),
    ]
    for call in calls:
        with pytest.raises(PlatformError) as error:
            call()
        assert error.value.code == "SCOPE_MISSING"


# --- Showing -------------------------------------------------------------------------------------------
def show(user: Any, password: str = PASSWORD, code: str = "") -> str:
    return wallet_keys.key_show(alias="real", user=user, password=password, code=code, now=timezone.now())


def test_a_key_is_shown_for_the_password_and_that_is_noted(wallet: Wallet, owner: Any) -> None:
    assert show(owner) == TEXT
    with pytest.raises(PlatformError, match="wrong"):
        show(owner, "guess")
    kinds = [(event.kind, event.why, event.username) for event in wallet_keys.key_events(wallet)]
    assert kinds == [("REFUSED", "PASSWORD_WRONG", "owner"), ("SHOWN", "", "owner"), ("IMPORTED", "", "owner")]


def test_a_second_factor_that_is_set_is_asked_for_and_counts_once(
    wallet: Wallet, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from allauth.mfa.totp.internal import auth as totp

    monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))
    totp.TOTP.activate(owner, TOTP_SECRET)
    code = code_now()
    for wrong in ("", "000000" if code != "000000" else "111111"):
        with pytest.raises(PlatformError) as error:
            show(owner, code=wrong)
        assert error.value.code == "SECOND_FACTOR_WRONG"
    assert show(owner, code=code) == TEXT
    with pytest.raises(PlatformError):
        show(owner, code=code)


def test_guessing_ends_after_five_tries_also_with_the_right_password(wallet: Wallet, owner: Any) -> None:
    for _ in range(5):
        with pytest.raises(PlatformError, match="wrong"):
            show(owner, "guess")
    with pytest.raises(PlatformError) as error:
        show(owner)
    assert error.value.code == "TOO_MANY_ATTEMPTS"


# --- Nowhere else --------------------------------------------------------------------------------------
def test_the_key_is_to_be_found_nowhere(
    wallet: Wallet, owner: Any, caplog: pytest.LogCaptureFixture, settings: Any, tmp_path: Any
) -> None:
    """Pages, API, MCP's description, admin, errors with DEBUG, logs, the database and its export: in no encoding."""
    caplog.set_level(logging.DEBUG)
    get_user_model().objects.filter(pk=owner.pk).update(is_superuser=True)
    page = Client(raise_request_exception=False)
    page.force_login(get_user_model().objects.get(pk=owner.pk))
    now = timezone.now()
    token, _ = token_create(user=owner, name="all", scopes={"read", "trade", "admin"}, days=1, now=now)
    pages = {address: page.get(address) for address in _addresses(wallet)}
    assert {address: answer.status_code for address, answer in pages.items() if answer.status_code != 200} == {}
    said = [answer.content for answer in pages.values()]
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    told = {address: Client().get(address, **bearer) for address in _reading()}
    assert [address for address, answer in told.items() if answer.status_code >= 500] == [] and len(told) > 30
    said += [b"\n".join(answer.content for answer in told.values())]
    asked = {"import-alias": "real", "import-address": ADDRESS, "import-secret": TEXT}
    said += [page.post("/trading/real-wallets/new/", asked).content]  # taken already
    said += [page.post("/trading/real-wallets/new/", {**asked, "import-secret": TEXT[:-1]}).content]
    settings.DEBUG = True
    settings.ENCRYPTION_KEY = "broken"  # an unexpected failure while the key is in hand
    other = {"import-alias": "b", "import-secret": keys.key_text(KEY_2), "import-address": keys.address_of(KEY_2)}
    said += [page.post("/trading/real-wallets/new/", other).content]
    assert b"ValueError" in said[-1]
    settings.ENCRYPTION_KEY = NEW
    said += [page.post("/trading/real-wallets/real/key/", {"password": PASSWORD}).content]  # does not open
    dump = tmp_path / "dump.json"
    call_command("dumpdata", "trading", "core", output=str(dump), verbosity=0)
    stored = bytes(Wallet.objects.get(pk=wallet.pk).encrypted_key or b"")
    texts = [text.decode("utf-8", "replace") for text in said]
    texts += [caplog.text, str([record.getMessage() for record in caplog.get_records("setup")])]
    texts += [dump.read_text(), stored.decode("latin-1"), repr(wallet), repr(vars(wallet))]
    assert all(len(text) > 10 for text in texts) and ADDRESS in dump.read_text()
    assert "the key of real was not shown" in caplog.text
    assert [index for index, text in enumerate(texts) if is_anywhere(KEY, text) or is_anywhere(KEY_2, text)] == []
    assert not any(PASSWORD in text for text in texts)


def _reading(patterns: Any = None, prefix: str = "/") -> list[str]:
    """Every address of trading's API, for the wallet."""
    filled = {"alias": "real", "kind": "REAL", "mint": "C" * 44}
    found = []
    for one in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", lambda name: filled.get(name[1], "1"), str(one.pattern))
        if path.startswith("/api/buy/"[: len(path)]):
            found += _reading(one.url_patterns, path) if hasattr(one, "url_patterns") else [path]
    return found


def _addresses(wallet: Wallet) -> list[str]:
    pages = ["", "wallets/", "wallets/real/", "real/", "real-wallets/new/", "real-wallets/real/key/", "transfers/"]
    admin = ["wallet/", f"wallet/{wallet.pk}/change/"]
    return [f"/trading/{page}" for page in pages] + [f"/admin/trading/{page}" for page in admin]


def test_the_page_shows_the_key_once_and_lets_nobody_keep_it(wallet: Wallet, owner: Any) -> None:
    page = Client()
    page.force_login(owner)
    first = page.post("/trading/real-wallets/real/key/", {"password": PASSWORD})
    assert TEXT in first.content.decode()
    assert "no-store" in first["Cache-Control"]
    assert TEXT not in page.get("/trading/real-wallets/real/key/").content.decode()
    assert PASSWORD not in first.content.decode()


# --- Another key-encryption key ------------------------------------------------------------------------
@pytest.fixture
def rotating(owner: Any, settings: Any) -> list[Wallet]:
    """Three wallets and a webhook sealed under the old key; both keys are given."""
    settings.ENCRYPTION_KEY, settings.ENCRYPTION_KEY_OLD = OLD, ""
    made = [wallet_keys.wallet_create_real(alias=f"w{n}", user=owner, now=timezone.now()) for n in range(3)]
    WebhookEndpoint.objects.all().delete()
    receiver_of(WebhookEndpoint.objects.create(name="hook", url="http://example.test/"), now=timezone.now())
    settings.ENCRYPTION_KEY, settings.ENCRYPTION_KEY_OLD = NEW, OLD
    return made


def test_rotation_moves_everything_and_is_done_once(rotating: list[Wallet], settings: Any) -> None:
    signed = [wallet_keys.sign(wallet, b"m") for wallet in rotating]
    first, second = key_rotation.keys_rotate(), key_rotation.keys_rotate()
    assert (first.changed, first.already, first.failed) == (4, 0, [])
    assert (second.changed, second.already) == (0, 4)
    settings.ENCRYPTION_KEY_OLD = ""
    assert [wallet_keys.sign(wallet, b"m") for wallet in rotating] == signed
    receiver_of(WebhookEndpoint.objects.get(), now=timezone.now())
    assert KeyEvent.objects.filter(kind="ROTATED").count() == 3


@pytest.mark.parametrize("rows", range(4))
def test_rotation_killed_after_any_row_goes_on(rotating: list[Wallet], rows: int, settings: Any) -> None:
    class KilledError(BaseException):
        pass

    seen: list[str] = []

    def kill(line: str) -> None:
        seen.append(line)
        if len(seen) > rows:
            raise KilledError

    with pytest.raises(KilledError):
        key_rotation.keys_rotate(kill)
    assert all(wallet_keys.sign(wallet, b"m") for wallet in rotating)
    done = key_rotation.keys_rotate()
    assert (done.changed, done.already) == (3 - rows, rows + 1)
    settings.ENCRYPTION_KEY_OLD = ""
    assert all(wallet_keys.sign(wallet, b"m") for wallet in rotating)


def test_the_command_says_what_opens_with_neither_key(rotating: list[Wallet], settings: Any, capsys: Any) -> None:
    settings.ENCRYPTION_KEY_OLD = base64.b64encode(bytes([3] * 32)).decode()
    with pytest.raises(CommandError):
        call_command("rotate_keys", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], len(told["details"]["failed"])) == ("KEYS_SEALED", 4)
    settings.ENCRYPTION_KEY_OLD = ""
    with pytest.raises(CommandError, match="OLD_KEY_MISSING"):
        call_command("rotate_keys")
    with pytest.raises(SealedError):
        sealing.unseal(bytes(Wallet.objects.get(alias="w0").encrypted_key or b""), bound=b"x")
