"""The workflows for n8n in docs/n8n: whole, connected, without anyone's secrets; their code does what it says."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.core import signatures

FOLDER: Path = settings.BASE_DIR / "docs" / "n8n"
NAMES = ("gatekeeper", "notify", "receive")
VERSIONS = {
    "webhook": 2, "code": 2, "if": 2.2, "filter": 2.2, "respondToWebhook": 1.1, "httpRequest": 4.2, "telegram": 1.2,
    "discord": 2, "noOp": 1, "stickyNote": 1,
}  # fmt: skip
KEY, OLD = b"k" * 32, b"o" * 32
BODY = '{"type":"alert","timestamp":"2026-11-22T12:00:00Z","data":{"n":"ä\\u0000"}}'.encode()


def flow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def code(name: str, node: str) -> str:
    return next(one["parameters"]["jsCode"] for one in flow(name)["nodes"] if one["name"] == node)


def test_there_are_no_other_workflows() -> None:
    assert tuple(sorted(path.stem for path in FOLDER.glob("*.json"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_is_whole(name: str) -> None:
    data = flow(name)
    nodes = {node["name"]: node for node in data["nodes"]}
    assert len(nodes) == len(data["nodes"]) == len({node["id"] for node in data["nodes"]})
    for node in nodes.values():
        prefix, _, kind = node["type"].rpartition(".")
        assert (prefix, node["typeVersion"]) == ("n8n-nodes-base", VERSIONS[kind])
        assert len(node["position"]) == 2 and "credentials" not in node
    assert nodes["Webhook"]["parameters"]["options"] == {"rawBody": True}
    assert nodes["Webhook"]["parameters"]["responseMode"] == "responseNode"
    assert "whsec_" + "A" not in json.dumps(data) and data["active"] is False and data["pinData"] == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_node_is_reached_and_only_verified_messages_go_on(name: str) -> None:
    data = flow(name)
    links = {(start, out, link["node"]) for start, ends in data["connections"].items()
             for out, group in enumerate(ends["main"]) for link in group}  # fmt: skip
    names = {node["name"] for node in data["nodes"]} - {"Note"}
    assert {start for start, _, _ in links} | {end for _, _, end in links} == names
    reached, before = {"Webhook"}, set()
    while reached != before:
        before = set(reached)
        reached |= {end for start, _, end in links if start in reached}
    assert reached == names
    gates = {("Webhook", 0, "Verify"), ("Verify", 0, "Valid?"), ("Valid?", 0, "Accept"), ("Valid?", 1, "Refuse")}
    assert {link for link in links if link[0] in ("Webhook", "Verify", "Valid?")} == gates


def test_all_workflows_verify_by_the_same_code() -> None:
    assert len({code(name, "Verify") for name in NAMES}) == 1


HARNESS = """
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const Code = Object.getPrototypeOf(async function () {}).constructor;
(async () => {
  const told = [];
  for (const one of cases) {
    const $input = { first: () => one.items[0], all: () => one.items };
    const $ = (name) => ({ all: () => one.others[name], first: () => one.others[name][0] });
    const run = new Code('$input', '$env', '$getWorkflowStaticData', '$', 'require', one.code);
    told.push(await run.call({}, $input, one.env || {}, () => one.memory || {}, $, require));
  }
  console.log(JSON.stringify(told));
})();
"""


def run(*cases: dict[str, Any]) -> list[Any]:
    """What code nodes give for cases (code, items, env, memory, others)."""
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed")
    done = subprocess.run([node, "-e", HARNESS], input=json.dumps(cases), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def came(keys: list[bytes], *, body: bytes = BODY, age: int = 0, **headers: str) -> dict[str, Any]:
    """A case of the node Verify: what came, signed by these keys."""
    told = signatures.headers(keys, "msg_1", int(time.time()) - age, BODY) | headers
    item = {"json": {"headers": told}, "binary": {"data": {"data": base64.b64encode(body).decode()}}}
    secrets = " ".join(map(signatures.secret_text, (KEY, OLD)))
    return {"code": code("receive", "Verify"), "items": [item], "env": {"PUMP_WEBHOOK_SECRETS": secrets}}


def test_what_is_signed_passes_and_what_is_not_does_not() -> None:
    good = [came([KEY]), came([b"x" * 32, OLD]), came([KEY], age=290), came([KEY]) | {"memory": {"seen": ["msg_1"]}}]
    bad = [
        came([b"x" * 32]), came([KEY], body=BODY + b" "), came([KEY], age=400), came([KEY], age=-400),
        came([KEY], **{"webhook-id": "msg_2"}), came([KEY], **{"webhook-signature": ""}),
        came([KEY], **{"webhook-signature": "v1,"}), came([KEY], **{"webhook-timestamp": "1e9"}),
        came([KEY], **{"webhook-signature": signatures.sign(KEY, "msg_1", 1, BODY).replace("v1,", "v2,")}),
        came([KEY]) | {"env": {}},
    ]  # fmt: skip
    told = [one[0]["json"] for one in run(*good, *bad)]
    assert [one["valid"] for one in told] == [True] * len(good) + [False] * len(bad)
    assert [one["repeated"] for one in told[: len(good)]] == [False, False, False, True]
    assert told[0]["event"] == json.loads(BODY) and all(one["problem"] for one in told[len(good) :])


def event(kind: str, data: Any) -> list[dict[str, Any]]:
    return [{"json": {"event": {"type": kind, "model": "m", "data": data}}}]


def test_every_kind_has_a_text() -> None:
    text = code("notify", "Text")
    alert = {"mint": "Mint1", "probability": 0.876}
    outcomes = [{"mint": "Mint1234", "status": "success", "change_pct": 51.2}, {"mint": "M", "status": "expired"}]
    trade = {"wallet": "w", "action": "buy", "mint": "M", "status": "SUCCESS", "balance_change_lamports": -(10**9)}
    told = run(
        {"code": text, "items": event("alert", alert)}, {"code": text, "items": event("outcomes", outcomes)},
        {"code": text, "items": event("trade", trade | {"is_simulation": True})},
        {"code": text, "items": event("coins", [{"symbol": "A"}, {"symbol": "B"}])},
        {"code": text, "items": event("test", {"text": "hello"})}, {"code": text, "items": event("new kind", [])},
    )  # fmt: skip
    assert [one[0]["json"]["text"] for one in told] == [
        "m: Mint1, probability 88 %", "m: Mint12… success, 51.2 %\nm: M… expired, ?",
        "w: buy M: SUCCESS, -1.0000 SOL (paper)", "2 new coins: A, B", "hello", "new kind",
    ]  # fmt: skip


def test_the_gatekeeper_lets_in_by_coin_and_creator() -> None:
    coin = {"curve": "standard", "is_mayhem": False, "uri": "u", "initial_buy_lamports": 10**9, "name": "n"}
    coins = [
        coin | {"mint": "good", "creator": "old hand"}, coin | {"mint": "stranger", "creator": "nobody"},
        coin | {"mint": "serial", "creator": "rugger"}, coin | {"mint": "mayhem", "creator": "x", "is_mayhem": True},
        coin | {"mint": "bought", "creator": "x", "initial_buy_lamports": 10**11}, coin | {"mint": "c", "creator": ""},
    ]  # fmt: skip
    (rules, none) = run(
        {"code": code("gatekeeper", "Rules"), "items": event("coins", coins)},
        {"code": code("gatekeeper", "Rules"), "items": event("alert", {})},
    )
    assert [one["json"]["mint"] for one in rules] == ["good", "stranger", "serial"] and none == []
    creators = [
        {"creator": "old hand", "count": 20, "graduated": 3},
        {"code": "CREATOR_NOT_FOUND", "details": {"creator": "nobody"}},
        {"creator": "rugger", "count": 50, "graduated": 0},
    ]
    answers = [{"json": one} for one in creators]
    ((passed,),) = run({"code": code("gatekeeper", "Passed"), "items": answers, "others": {"Rules": rules}})
    assert passed["json"] == {"mints": ["good", "stranger"]}
    model = [{"json": {"whitelist": ["before", "good"]}}]
    ((told,),) = run({"code": code("gatekeeper", "Whitelist"), "items": model, "others": {"Passed": [passed]}})
    assert told["json"] == {"coin_filter": "whitelist", "whitelist": ["before", "good", "stranger"]}
