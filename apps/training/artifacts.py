"""The artifact of a model: XGBoost's UBJSON with its SHA-256 and the feature names in order. Never a pickle."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from apps.core.errors import PlatformError
from apps.training import features
from apps.training.models import Model

if TYPE_CHECKING:
    from xgboost import Booster


def dump(booster: Booster) -> tuple[bytes, str]:
    """The booster's bytes and their SHA-256 (hex)."""
    data = bytes(booster.save_raw(raw_format="ubj"))
    return data, hashlib.sha256(data).hexdigest()


def load(model: Model) -> Booster:
    """The booster of a stored model, after checking its bytes and its features.

    Raises PlatformError ARTIFACT_HASH_MISMATCH, ARTIFACT_UNREADABLE, ARTIFACT_FEATURES_MISMATCH or FEATURE_UNKNOWN.
    """
    return read(bytes(model.artifact), model.artifact_sha256, model.feature_names)


def read(data: bytes, sha256: str, feature_names: list[str]) -> Booster:
    """The same from its parts."""
    import xgboost

    if hashlib.sha256(data).hexdigest() != sha256:
        raise PlatformError("ARTIFACT_HASH_MISMATCH", "The bytes are not those that were stored: train the model anew.")
    features.positions(feature_names)
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(data))
    except xgboost.core.XGBoostError as error:
        raise PlatformError("ARTIFACT_UNREADABLE", f"Not an XGBoost model in UBJSON: {str(error)[:200]}") from None
    if booster.feature_names != list(feature_names):
        raise PlatformError(
            "ARTIFACT_FEATURES_MISMATCH", "The features inside the model differ from its recorded names or their order."
        )
    return booster
