"""Asking a person who they are once more: how often they may be wrong, and a code that counts only once.

Kept in the database, so it holds for all processes together and over a restart. Every step is a transaction of its own:
a refusal later must not undo that the try was counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import transaction
from django.utils.translation import gettext_noop as _
from django.views.decorators.debug import sensitive_variables

from apps.core.errors import ConflictError, PlatformError
from apps.trading.models import IdentityCheck

TRIES_MOST = 5
TRIES_WITHIN = timedelta(minutes=15)


def has_second_factor(user: Any) -> bool:
    """Whether a user has an authenticator app."""
    return bool(_factors(user))


@sensitive_variables("code")
def second_factor_require(user: Any, code: str, now: datetime) -> None:
    """A fresh code of the authenticator app. Raises SECOND_FACTOR_MISSING, SECOND_FACTOR_WRONG, TOO_MANY_ATTEMPTS."""
    if not has_second_factor(user):
        message = _("Set up a second factor first: menu of your account, Second factor.")
        raise ConflictError("SECOND_FACTOR_MISSING", message)
    try_begin(user, now)
    code_take(user, code)
    tries_forget(user)


@sensitive_variables("password", "code")
def identity_require(user: Any, password: str, code: str, now: datetime) -> None:
    """The password again, and a fresh code where a second factor is set.

    Raises PASSWORD_WRONG, SECOND_FACTOR_WRONG, TOO_MANY_ATTEMPTS.
    """
    try_begin(user, now)
    if not user.check_password(password):
        raise PlatformError("PASSWORD_WRONG", "The password is wrong.", status=403)
    if has_second_factor(user):
        code_take(user, code)
    tries_forget(user)


def try_begin(user: Any, now: datetime) -> None:
    """Count a try before it is judged. Raises TOO_MANY_ATTEMPTS."""
    with transaction.atomic(durable=True):
        row = _locked(user, now)
        if row.since <= now - TRIES_WITHIN:
            row.tries, row.since = 0, now
        row.tries += 1
        row.save(update_fields=["tries", "since"])
    if row.tries > TRIES_MOST:
        raise PlatformError("TOO_MANY_ATTEMPTS", "Too many wrong tries: wait a quarter of an hour.", status=429)


@sensitive_variables("code", "given")
def code_take(user: Any, code: str) -> None:
    """Use up a code of the authenticator app, for a try that has begun. Raises SECOND_FACTOR_WRONG."""
    given = re.sub(r"[\W_]", "", code)  # as people group its digits: it is the same code
    with transaction.atomic(durable=True):
        row = IdentityCheck.objects.select_for_update().get(user_id=user.pk)
        is_new = bool(given) and given != row.used_code
        is_right = is_new and any(factor.wrap().validate_code(given) for factor in _factors(user))
        if is_right:
            row.used_code = given
            row.save(update_fields=["used_code"])
    if not is_right:
        message = _("The code is wrong or was used already: wait for the next one.")
        raise PlatformError("SECOND_FACTOR_WRONG", message, status=403)


def tries_forget(user: Any) -> None:
    """After a try that was right."""
    IdentityCheck.objects.filter(user_id=user.pk).update(tries=0)


def _locked(user: Any, now: datetime) -> IdentityCheck:
    IdentityCheck.objects.get_or_create(user_id=user.pk, defaults={"since": now})
    return IdentityCheck.objects.select_for_update().get(user_id=user.pk)


def _factors(user: Any) -> Sequence[Authenticator]:
    return list(Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP))
