"""What simulated creators say of their coins: small documents, made from their address alone."""

from __future__ import annotations

from random import Random

import orjson

METADATA_HOST = "metadata.invalid"  # cannot exist: nothing a simulation says may send anybody anywhere
METADATA_PATH = "/metadata/"
_STORIES = (
    "A simulated coin. Nobody made it, nobody can buy it.",
    "Made up by the market simulator.\nIts creator, its traders and its links do not exist.",
    "Simulated: the story of a dog that never was.",
    "",
)


def document_at(path: str) -> str | None:
    """The JSON document at a path of the simulator; None where there is none. The same path says the same."""
    name = path.removeprefix(METADATA_PATH)
    if name == path or not name.isalnum() or len(name) > 64:
        return None
    rng = Random(name)
    said: dict[str, object] = {
        "description": rng.choice(_STORIES),
        "showName": True,
        "createdOn": "https://pump.invalid",
    }
    if rng.random() < 0.6:
        said["twitter"] = f"https://social.invalid/{name}"
    if rng.random() < 0.3:
        said["telegram"] = f"https://chat.invalid/{name}"
    if rng.random() < 0.3:
        said["website"] = f"https://{name.lower()}.invalid/"
    return orjson.dumps(said).decode()
