"""`/mcp` under the real Daphne, with a real MCP client."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from django.utils import timezone

from apps.core.models import ApiToken
from apps.discovery.models import Coin
from apps.discovery.tests.process import Network, database_url
from apps.trading import wallet_keys
from apps.trading.models import Order, TransferLog, Wallet
from apps.trading.tests.conftest import World
from apps.trading.tests.test_wallet_keys import ADDRESS, KEY, TEXT, is_anywhere
from apps.training.models import Model
from pumpsite.api import api
from tests.servers import await_true, daphne

if TYPE_CHECKING:
    from fastmcp import Client

pytestmark = pytest.mark.django_db(transaction=True)
MOVES_MONEY = {"buy_execute_buy", "buy_execute_sell", "buy_sell_all", "buy_transfer"}


@pytest.fixture(scope="module")
def database(django_db_setup: None) -> Network:
    """The way of the web process to the tests' database, which can be cut."""
    return Network(database_url())


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, database: Network) -> Iterator[str]:
    """A web process against the tests' database; it ends without a complaint."""
    log = tmp_path_factory.mktemp("web") / "daphne.log"
    with daphne(log, DATABASE_URL=database.url) as address:
        yield address
    assert "Traceback" not in log.read_text(), log.read_text()
    assert "was destroyed but it is pending" not in log.read_text()


def client(address: str, token: str) -> "Client[Any]":
    from fastmcp import Client  # a second of imports, which no other worker need pay
    from fastmcp.client.auth import BearerAuth

    return Client(f"{address}/mcp", auth=BearerAuth(token))


def tool_error(match: str) -> Any:
    """Expects a tool to fail with these words."""
    from fastmcp.exceptions import ToolError

    return pytest.raises(ToolError, match=match)


async def call(address: str, token: str, tool: str, **arguments: Any) -> Any:
    async with client(address, token) as session:
        return (await session.call_tool(tool, arguments)).structured_content


def test_every_operation_is_a_tool_that_says_what_it_may_do(address: str, staff: Any, token_for: Callable[..., str]):
    token = token_for(staff, "read")

    async def tools() -> dict[str, Any]:
        async with client(address, token) as session:
            return {tool.name: tool for tool in await session.list_tools()}

    found = asyncio.run(tools())
    paths = api.get_openapi_schema()["paths"]
    operations = {
        operation["operationId"]: (method, path, operation.get("x-mcp", {}))
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    assert set(found) == set(operations)
    for name, (method, path, own) in operations.items():
        hints = found[name].annotations
        assert hints.read_only_hint == (method == "get"), name
        moves_money = path.startswith("/api/buy/") and method != "get"
        assert hints.destructive_hint == (method != "get" and own.get("destructive", method == "delete" or moves_money))
        assert hints.idempotent_hint == own.get("idempotent", method in {"get", "put", "delete"}), name
        assert hints.open_world_hint == own.get("open_world", False), name
        assert found[name].input_schema["additionalProperties"] is False, name
        assert found[name].description or found[name].title
    assert {name for name, tool in found.items() if tool.annotations.open_world_hint} == MOVES_MONEY
    for name in MOVES_MONEY:
        assert found[name].annotations.destructive_hint
        assert "dry_run" in found[name].input_schema["properties"], name
    assert not found["buy_real_lock"].annotations.destructive_hint
    assert not any("unlock" in name for name in found if name != "buy_real_unlocks")


def test_tool_answers_as_the_caller(address: str, person: Any, staff: Any, token_for: Callable[..., str]):
    mine, other = token_for(person, "read"), token_for(staff, "admin")

    async def both() -> list[str]:
        answers = await asyncio.gather(*(call(address, token, "auth_status") for token in [mine, other] * 10))
        return [answer["username"] for answer in answers]

    assert asyncio.run(both()) == ["person", "staff"] * 10


def test_tool_obeys_scopes(address: str, staff: Any, token_for: Callable[..., str]):
    reader, admin = token_for(staff, "read"), token_for(staff, "admin")
    wish = {"name": "made over MCP", "scopes": ["read"]}
    with tool_error("SCOPE_MISSING"):
        asyncio.run(call(address, reader, "auth_create_token", **wish))
    assert not ApiToken.objects.filter(name="made over MCP").exists()
    made = asyncio.run(call(address, admin, "auth_create_token", **wish))
    assert ApiToken.objects.get(name="made over MCP").prefix == made["prefix"]


def test_error_of_a_tool_is_the_api_s_own(address: str, staff: Any, token_for: Callable[..., str]):
    with tool_error(r"VALIDATION_FAILED.*limit: Input should be less than or equal to 500"):
        asyncio.run(call(address, token_for(staff, "read"), "auth_tokens", limit=1000))


def test_trading_is_rehearsed_by_a_reader_of_no_keys(address: str, staff: Any, token_for: Callable[..., str]):
    """The tools of wallets against one with a key: what reads answers, what moves money only says what it would do,
    what is wrong is refused with a code, and nothing is written or tells the key."""
    scene = real_scene(staff)
    trader, reader = token_for(staff, "trade"), token_for(staff, "read")
    said: dict[str, str] = {}

    async def ask() -> None:
        async with client(address, trader) as session:
            for tool in await session.list_tools():
                if not tool.name.startswith(("buy_toggle", *MOVES_MONEY)) and "wallet" not in tool.name:
                    continue
                needed = {name: scene.get(name, 1) for name in tool.input_schema.get("required", [])}
                if tool.annotations.read_only_hint:
                    answer = await session.call_tool(tool.name, needed, raise_on_error=False)
                elif tool.name in MOVES_MONEY:
                    wish = {**needed, **scene["wishes"][tool.name], "dry_run": True}
                    answer = await session.call_tool(tool.name, wish, raise_on_error=False)
                else:
                    answer = await session.call_tool(tool.name, {**needed, "nonsense": 1}, raise_on_error=False)
                    assert answer.is_error, tool.name
                said[tool.name] = str(answer)
            await session.call_tool("buy_execute_buy", {**scene["wishes"]["buy_execute_buy"], "dry_run": False})

    with tool_error("REAL_TRADING_LOCKED"):
        asyncio.run(ask())
    assert len(said) > 10 and "internal" not in str(said).lower()
    codes = {name: re.search(r"[A-Z]+(?:_[A-Z]+)+", said[name]) for name in MOVES_MONEY}
    assert {name: found and found.group() for name, found in codes.items()} == {
        "buy_execute_buy": "REAL_TRADING_LOCKED",
        "buy_execute_sell": "POSITION_NOT_FOUND",
        "buy_sell_all": None,
        "buy_transfer": "REAL_TRADING_LOCKED",
    }
    with tool_error("SCOPE_MISSING"):
        asyncio.run(call(address, reader, "buy_execute_buy", **scene["wishes"]["buy_execute_buy"], dry_run=True))
    assert list(Order.objects.values_list("status", "deny_code")) == [("DENIED", "REAL_TRADING_LOCKED")]
    assert not TransferLog.objects.exists() and not Wallet.objects.get().trading_enabled
    assert [name for name, text in said.items() if is_anywhere(KEY, text)] == []


def real_scene(staff: Any) -> dict[str, Any]:
    """A real wallet with a key, a coin, and what the tools are called with."""
    wallet_keys.wallet_import(alias="real", text=TEXT, address=ADDRESS, user=staff, now=timezone.now())
    world = World()
    mint = world.coin()
    world.feed(5)
    name = {"wallet": "real", "mint": mint}
    return {
        "alias": "real", "kind": "REAL", "mint": mint, "name": "s",
        "wishes": {
            "buy_execute_buy": {**name, "amount_lamports": 10**8},
            "buy_execute_sell": name,
            "buy_sell_all": {"wallet": "real"},
            "buy_transfer": {"from_wallet": "real", "to_saved": "bank", "sweep": True},
        },
    }  # fmt: skip


def test_file_arrives_as_base64(address: str, staff: Any, token_for: Callable[..., str]):
    artifact = bytes(range(256))
    model = model_with(artifact)
    wanted = {"model_id": model.pk, "format": "ubj"}
    file = asyncio.run(call(address, token_for(staff, "read"), "training_download_model", **wanted))
    assert (base64.b64decode(file["base64"]), file["bytes"]) == (artifact, 256)


def test_an_answer_beyond_all_bounds_is_refused_before_it_is_made(address: str, staff: Any, token_for: Any):
    now = timezone.now()
    Coin.objects.bulk_create(
        Coin(mint=f"Large{number}", first_seen_at=now, description="x" * 1_000_000) for number in range(20)
    )
    token = token_for(staff, "read")
    with tool_error("ANSWER_TOO_LARGE"):
        asyncio.run(call(address, token, "find_get_export", kind="coins"))
    asyncio.run(call(address, token, "find_get_export", kind="coins", mint="Large7"))  # of one coin it is given


def test_a_file_is_taken_as_base64(address: str, staff: Any, token_for: Callable[..., str]):
    no_model = base64.b64encode(bytes(100)).decode()
    with tool_error("MODEL_FILE_FOREIGN"):
        asyncio.run(call(address, token_for(staff, "admin"), "training_import_model", file=no_model, name="n"))


def model_with(artifact: bytes) -> Model:
    """A model of which only the artifact matters."""
    now = timezone.now()
    counts = {"rows_train": 1, "rows_validation": 1, "rows_test": 1, "horizon_seconds": 60}
    return Model.objects.create(
        name="m",
        recipe={},
        feature_names=[],
        label_name="l",
        train_from=now,
        train_to=now,
        data_hash="",
        **counts,
        scores={},
        threshold=0.5,
        artifact=artifact,
        artifact_sha256="",
        xgboost_version="3",
    )


@pytest.mark.parametrize("header", [None, "Bearer pp_wrong", "Basic cGVyc29u", "Bearer"])
def test_without_a_valid_token_nothing_is_told(address: str, header: str | None):
    headers = {"Authorization": header} if header else {}
    question = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for path in ("/mcp", "/mcp/"):
        answer = httpx2.post(f"{address}{path}", json=question, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "AUTHENTICATION_REQUIRED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_session_cookie_alone_opens_nothing(address: str, staff: Any):
    from django.test import Client as Browser

    browser = Browser()
    browser.force_login(staff)
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    answer = httpx2.post(f"{address}/mcp", json={}, cookies=cookies)
    assert answer.status_code == 401


def test_absent_database_is_a_503_in_the_one_shape(address: str, database: Network):
    def ask() -> httpx2.Response:
        return httpx2.post(f"{address}/mcp", headers={"Authorization": "Bearer pp_x"}, json={}, timeout=30)

    database.cut()
    answer = ask()
    database.mend()
    assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
    await_true(lambda: ask().status_code == 401)


def test_expired_token_is_refused_at_the_next_call(address: str, staff: Any, token_for: Callable[..., str]):
    token = token_for(staff, "read")
    assert asyncio.run(call(address, token, "auth_status"))["authenticated"]
    ApiToken.objects.update(revoked_at="2026-01-01T00:00:00Z")
    with pytest.raises(Exception, match=r"error response|401|Unauthorized"):
        asyncio.run(call(address, token, "auth_status"))


def test_web_process_serves_pages_api_and_static_files_beside_it(address: str):
    assert httpx2.get(f"{address}/accounts/login/").status_code == 200
    assert json.loads(httpx2.get(f"{address}/api/nothing").text)["code"] == "ROUTE_NOT_FOUND"
    static = httpx2.get(f"{address}/static/ninja/swagger-ui.css")
    assert (static.status_code, static.headers["content-type"].split(";")[0]) == (200, "text/css")
