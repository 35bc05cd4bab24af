"""Who may call the API: people by their session, programs by a hashed, scoped, expiring bearer token.

Scopes are nested: admin may trade, trade may read. A session holds what its user may do (staff: everything, others:
read and trade); a token holds what it was made for, but never more than its user may do at that moment.
Operations declare `auth=read`, `auth=trade` or `auth=admin`; `request.auth` is then a `Caller`.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from apps.core.errors import PlatformError
from apps.core.models import ApiToken
from apps.core.sentences import worded

PREFIX = "pp_"
LONGEST_DAYS = 366
USED_AT_STEP = timedelta(minutes=1)
PageView = Callable[..., HttpResponse]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_IMPLIED: dict[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "trade": frozenset({"read", "trade"}),
    "admin": frozenset({"read", "trade", "admin"}),
}


class AuthenticationRequiredError(PlatformError):
    """Nobody is signed in, or the token does not count."""

    def __init__(self, message: str) -> None:
        super().__init__("AUTHENTICATION_REQUIRED", message, status=401)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do. `token` is None for a person in a browser."""

    user: Any
    scopes: frozenset[str]
    token: ApiToken | None = None


def scopes_expand(scopes: Iterable[str]) -> frozenset[str]:
    """All scopes that the given ones hold; unknown names hold nothing."""
    return frozenset().union(*(_IMPLIED.get(scope, frozenset()) for scope in scopes))


def scopes_of_user(user: AbstractBaseUser | AnonymousUser) -> frozenset[str]:
    """What a user may do: staff everything, others read and trade, nobody nothing."""
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    staff = getattr(user, "is_staff", False) or getattr(user, "is_superuser", False)
    return _IMPLIED["admin" if staff else "trade"]


def digest_of(token: str) -> str:
    """SHA-256 in hex: the only form in which a token is kept (it has 256 random bits, so no salt is needed)."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_create(*, user: Any, name: str, scopes: Iterable[str], days: int, now: datetime) -> tuple[str, ApiToken]:
    """Make a token for `user`; the text is returned this once and never again.

    Raises `PlatformError` SCOPE_UNKNOWN, SCOPE_MISSING (more than the user may do) or EXPIRY_OUT_OF_RANGE.
    """
    wanted = sorted(set(scopes))
    if not wanted or not set(wanted) <= set(_IMPLIED):
        raise PlatformError("SCOPE_UNKNOWN", "Ask for one or more of: read, trade, admin.", scopes=wanted)
    if not scopes_expand(wanted) <= scopes_of_user(user):
        raise PlatformError("SCOPE_MISSING", "A token cannot hold more than its user may do.", status=403)
    if not 1 <= days <= LONGEST_DAYS:
        raise PlatformError(
            "EXPIRY_OUT_OF_RANGE",
            worded("A token lives between 1 and %(longest_days)s days.", longest_days=LONGEST_DAYS),
            days=days,
        )
    text = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=text[:8],
        digest=digest_of(text),
        scopes=wanted,
        expires_at=now + timedelta(days=days),
    )
    return text, row


def token_revoke(*, token: ApiToken, now: datetime) -> None:
    """End a token now; doing it twice changes nothing."""
    ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=now)


def authenticate(text: str, *, now: datetime) -> Caller:
    """The caller behind a token; raises `AuthenticationRequiredError` for an unknown, revoked or expired one."""
    row = ApiToken.objects.select_related("user").filter(digest=digest_of(text)).first()
    if row is None or row.revoked_at is not None or row.expires_at <= now or not row.user.is_active:
        raise AuthenticationRequiredError("The token is unknown, revoked or expired: make a new one.")
    unused = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USED_AT_STEP)
    ApiToken.objects.filter(unused, pk=row.pk).update(last_used_at=now)
    return Caller(row.user, scopes_expand(row.scopes) & scopes_of_user(row.user), row)


def bearer_of(header: str) -> str | None:
    """The token in an `Authorization` header, or None where there is none."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def caller_of(request: HttpRequest) -> Caller:
    """The caller of a request: its bearer token if it carries an `Authorization` header, else its session.

    A session needs Django's CSRF token for methods that change something. Raises `PlatformError`.
    """
    if header := request.headers.get("Authorization"):
        token = bearer_of(header)
        if token is None:
            raise AuthenticationRequiredError("Send the token as: Authorization: Bearer <token>.")
        return authenticate(token, now=timezone.now())
    if not request.user.is_authenticated:
        raise AuthenticationRequiredError("Sign in, or send a token as: Authorization: Bearer <token>.")
    if request.method not in SAFE_METHODS and check_csrf(request):
        raise PlatformError("CSRF_FAILED", "Send the CSRF token of the session as X-CSRFToken.", status=403)
    return Caller(request.user, scopes_of_user(request.user))


def changes_need(scope: str) -> Callable[[PageView], PageView]:
    """For a page's view: who changes something by it needs the scope that the API asks for; looking needs none."""

    def decorator(view: PageView) -> PageView:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method not in SAFE_METHODS and scope not in scopes_of_user(request.user):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorator


class ScopeAuth(AuthBase):
    """Authentication of one ninja operation: lets callers pass that hold `scope`."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    csrf = True  # the documentation page then sends the session's CSRF token

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__()

    def __call__(self, request: HttpRequest) -> Caller:
        caller = caller_of(request)
        if self.scope not in caller.scopes:
            message = worded("This needs the scope '%(scope)s', which you do not hold.", scope=self.scope)
            raise PlatformError("SCOPE_MISSING", message, status=403, needed=self.scope, held=sorted(caller.scopes))
        request.user = caller.user
        return caller


read = ScopeAuth("read")
trade = ScopeAuth("trade")
admin = ScopeAuth("admin")
