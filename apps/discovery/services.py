"""What people and programs may change in discovery: the runtime configuration and the phases."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields
from typing import Any

import redis
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import IntegrityError, transaction

from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.patterns import Pattern, PatternError
from apps.core.sentences import worded
from apps.core.units import LAMPORTS_PER_SOL
from apps.discovery.lifecycle import MICROSECONDS, MOST_INTERVAL_US, Phases, Rules
from apps.discovery.models import CoinStream, DiscoverySetting, Phase
from apps.discovery.state import Config
from apps.discovery.windows import Thresholds

logger = logging.getLogger(__name__)

STALE_SECONDS = 1_800
MOST_INTERVAL_SECONDS, MOST_AGE_MINUTES = MOST_INTERVAL_US // MICROSECONDS, 525_600  # of a phase
_MOST_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """What may be changed while the stream runs; the environment gives the first values."""

    bad_names_pattern: str
    spam_burst_window: int
    spam_burst_coins: int
    coin_cache_seconds: int
    stale_seconds: int
    whale_threshold_sol: float
    koth_market_cap_sol: float


def config_read() -> RuntimeConfig:
    """The configuration in force: what was saved, else the environment."""
    values: dict[str, Any] = {
        "bad_names_pattern": settings.BAD_NAMES_PATTERN,
        "spam_burst_window": settings.SPAM_BURST_WINDOW,
        "spam_burst_coins": settings.SPAM_BURST_COINS,
        "coin_cache_seconds": settings.COIN_CACHE_SECONDS,
        "stale_seconds": STALE_SECONDS,
        "whale_threshold_sol": settings.WHALE_THRESHOLD_SOL,
        "koth_market_cap_sol": settings.KOTH_MARKET_CAP_SOL,
    }
    saved = dict(DiscoverySetting.objects.values_list("key", "value"))
    return RuntimeConfig(**{name: saved.get(name, value) for name, value in values.items()})


def config_write(*, changes: dict[str, Any]) -> RuntimeConfig:
    """Save some values. Raises PlatformError for an unknown name or a value that makes no sense."""
    for name, value in changes.items():
        _check(name, value)
    with transaction.atomic():
        for name, value in changes.items():
            DiscoverySetting.objects.update_or_create(key=name, defaults={"value": value})
    return config_read()


def _check(name: str, value: Any) -> None:
    if name not in {item.name for item in fields(RuntimeConfig)}:
        raise PlatformError("SETTING_UNKNOWN", worded("There is no setting %(name)s.", name=name), name=name)
    if name == "bad_names_pattern":
        try:
            Pattern(value)
        except PatternError as error:
            raise PlatformError(
                "PATTERN_INVALID", worded("bad_names_pattern is no regular expression: %(why)s.", why=error)
            ) from None
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_SECONDS:
        raise PlatformError(
            "SETTING_OUT_OF_RANGE",
            worded("%(name)s must be a number from 0 to %(most_seconds)s.", name=name, most_seconds=_MOST_SECONDS),
            name=name,
        )
    elif name in ("whale_threshold_sol", "koth_market_cap_sol", "spam_burst_coins") and value <= 0:
        raise PlatformError("SETTING_OUT_OF_RANGE", worded("%(name)s must be above 0.", name=name), name=name)


def stream_config_load() -> Config:
    """Phases, rules and thresholds as the stream uses them."""
    config = config_read()
    rows = Phase.objects.values_list("id", "interval_seconds", "min_age_minutes", "max_age_minutes")
    rules = Rules.of(
        bad_names=config.bad_names_pattern,
        spam_seconds=int(config.spam_burst_window),
        spam_coins=int(config.spam_burst_coins),
        untraded_seconds=int(config.coin_cache_seconds),
        stale_seconds=int(config.stale_seconds),
    )
    whale = round(config.whale_threshold_sol * LAMPORTS_PER_SOL)
    return Config(Phases.of(rows), rules, Thresholds(whale, float(config.koth_market_cap_sol)))


def stream_reload() -> bool:
    """Ask the stream to read phases and settings again at once; without Redis it does so within 10 s anyway (False)."""
    try:
        async_to_sync(get_channel_layer("stream").send)("pumpportal", {"type": "stream.reload"})
    except (redis.RedisError, OSError, ChannelFull):
        logger.warning("the stream could not be told to reload: Redis is away")
        return False
    return True


def config_as_dict(config: RuntimeConfig) -> dict[str, Any]:
    return asdict(config)


def phase_save(
    *, name: str, interval_seconds: int, min_age_minutes: int, max_age_minutes: int, phase_id: int | None = None
) -> Phase:
    """Make a phase (the next free number below the fixed ones) or change one.

    Raises PlatformError where it has no length, overlaps another, or is one of the fixed last two.
    """
    if phase_id in (Phase.FINISHED, Phase.GRADUATED):
        raise ConflictError("PHASE_FIXED", "Finished and Graduated have no windows and cannot be changed.")
    if interval_seconds < 1 or max_age_minutes <= min_age_minutes:
        raise PlatformError("PHASE_EMPTY", "A phase needs an interval of at least 1 s and must end after it begins.")
    with transaction.atomic():
        others = list(Phase.objects.select_for_update().filter(interval_seconds__gt=0).exclude(id=phase_id or 0))
        for other in others:
            if min_age_minutes < other.max_age_minutes and other.min_age_minutes < max_age_minutes:
                raise ConflictError(
                    "PHASE_OVERLAP", worded("These ages overlap with the phase %(name)s.", name=other.name), id=other.id
                )
        values = {
            "name": name,
            "interval_seconds": interval_seconds,
            "min_age_minutes": min_age_minutes,
            "max_age_minutes": max_age_minutes,
        }
        return _phase_store(phase_id, values, others)


def _phase_store(phase_id: int | None, values: dict[str, Any], others: list[Phase]) -> Phase:
    if phase_id is None:
        free = [number for number in range(1, Phase.FINISHED) if number not in {phase.id for phase in others}]
        if not free:
            raise ConflictError("PHASES_FULL", "There is no free number for another phase.")
        phase_id = free[0]
    elif not Phase.objects.filter(id=phase_id).exists():
        raise NotFoundError(
            "PHASE_NOT_FOUND", worded("There is no phase %(phase_id)s.", phase_id=phase_id), id=phase_id
        )
    try:
        with transaction.atomic():
            phase, _ = Phase.objects.update_or_create(id=phase_id, defaults=values)
    except IntegrityError:
        raise ConflictError(
            "PHASE_NAME_TAKEN", worded("There is a phase named %(name)s already.", name=values["name"])
        ) from None
    return phase


def phase_delete(*, phase_id: int) -> int:
    """Delete a phase; its streams go to the next one by age. Returns how many went.

    Raises PlatformError for the fixed phases and for the last one that has windows.
    """
    if phase_id in (Phase.FINISHED, Phase.GRADUATED):
        raise ConflictError("PHASE_FIXED", "Finished and Graduated cannot be deleted.")
    with transaction.atomic():
        phase = Phase.objects.select_for_update().filter(id=phase_id).first()
        if phase is None:
            raise NotFoundError(
                "PHASE_NOT_FOUND", worded("There is no phase %(phase_id)s.", phase_id=phase_id), id=phase_id
            )
        rest = Phase.objects.filter(interval_seconds__gt=0).exclude(id=phase_id)
        if not rest.exists():
            raise ConflictError("PHASE_LAST", "The last phase with windows cannot be deleted.")
        later = rest.filter(min_age_minutes__gte=phase.min_age_minutes).order_by("min_age_minutes", "id").first()
        target = later.id if later else Phase.FINISHED
        moved = CoinStream.objects.filter(phase_id=phase_id).update(phase_id=target)
        phase.delete()
    return moved
