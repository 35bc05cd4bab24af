"""`/api/auth/`: sign in for a token, see who you are, make and end tokens."""

from datetime import datetime

from allauth.account.adapter import get_adapter
from allauth.mfa.base.internal.flows import check_rate_limit
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from apps.core.errors import NotFoundError, PlatformError
from apps.core.models import ApiToken
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.schemas import Body
from apps.core.tokens import (
    AuthenticationRequiredError,
    Caller,
    caller_of,
    read,
    token_create,
    token_revoke,
)

router = Router(tags=["auth"])


class LoginIn(Body):
    username: str
    password: str
    code: str = Field("", description="of the authenticator app, where the user has one")
    scopes: list[ApiToken.Scope] = [ApiToken.Scope.READ]
    days: int = Field(1, ge=1, le=366)


class TokenIn(Body):
    name: str = Field(min_length=1, max_length=100)
    scopes: list[ApiToken.Scope]
    days: int = Field(30, ge=1, le=366)


class TokenOut(Schema):
    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewTokenOut(TokenOut):
    token: str = Field(description="shown this once")


class StatusOut(Schema):
    authenticated: bool
    username: str | None = None
    scopes: list[str] = []
    token: str | None = None  # its name; null for a session
    expires_at: datetime | None = None


@router.post("/login", auth=None, response=NewTokenOut)
def login(request: HttpRequest, body: LoginIn) -> dict[str, object]:
    """Exchange username, password and (where set up) a code for a token."""
    user = _user_of(request, body)
    text, token = token_create(
        user=user, name="login", scopes=[scope.value for scope in body.scopes], days=body.days, now=timezone.now()
    )
    return _shown(text, token)


@router.get("/status", auth=None, response=StatusOut)
def status(request: HttpRequest) -> StatusOut:
    """Who calls and what they may do; also answers strangers."""
    try:
        caller = caller_of(request)
    except AuthenticationRequiredError:
        return StatusOut(authenticated=False)
    token = caller.token
    return StatusOut(
        authenticated=True,
        username=caller.user.get_username(),
        scopes=sorted(caller.scopes),
        token=token.name if token else None,
        expires_at=token.expires_at if token else None,
    )


@router.get("/tokens", auth=read, response=Page[TokenOut])
def tokens(request: HttpRequest, page: Query[PageQuery]) -> dict[str, object]:
    """The caller's own tokens, newest first."""
    return paginate(ApiToken.objects.filter(user=_caller(request).user), page)


@router.post("/tokens", auth=read, response=NewTokenOut)
def create_token(request: HttpRequest, body: TokenIn) -> dict[str, object]:
    """Make a token; needs a session, or a token with the scope admin."""
    caller = _may_manage(request)
    text, token = token_create(
        user=caller.user,
        name=body.name,
        scopes=[scope.value for scope in body.scopes],
        days=body.days,
        now=timezone.now(),
    )
    return _shown(text, token)


@router.delete("/tokens/{token_id}", auth=read, response=TokenOut)
def revoke_token(request: HttpRequest, token_id: int) -> ApiToken:
    """End one of the caller's own tokens; a token may also end itself."""
    caller = _caller(request)
    if caller.token is None or caller.token.pk != token_id:
        _may_manage(request)
    token = ApiToken.objects.filter(user=caller.user, pk=token_id).first()
    if token is None:
        raise NotFoundError("TOKEN_NOT_FOUND", "You have no token with this id: list them at GET /api/auth/tokens.")
    token_revoke(token=token, now=timezone.now())
    token.refresh_from_db()
    return token


def _caller(request: HttpRequest) -> Caller:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller


def _may_manage(request: HttpRequest) -> Caller:
    """A stolen token must not make itself live longer or hold more."""
    caller = _caller(request)
    if caller.token is not None and "admin" not in caller.scopes:
        raise PlatformError("SCOPE_MISSING", "Tokens are managed in a session or with the scope 'admin'.", status=403)
    return caller


def _shown(text: str, token: ApiToken) -> dict[str, object]:
    return {**TokenOut.from_orm(token).dict(), "token": text}


def _user_of(request: HttpRequest, body: LoginIn) -> AbstractBaseUser:
    """The user behind a login; slowed down by allauth's limits on failures."""
    try:
        user = get_adapter(request).authenticate(request, username=body.username, password=body.password)
        is_right = user is not None and user.is_active and _code_is_right(user, body.code)
    except ValidationError as error:
        raise PlatformError("TOO_MANY_ATTEMPTS", "Too many failed logins: wait a few minutes.", status=429) from error
    if not is_right:
        raise PlatformError("LOGIN_FAILED", "Username, password or code is wrong.", status=401)
    return user


def _code_is_right(user: AbstractBaseUser, code: str) -> bool:
    """True where the user has no second factor or `code` is one of its codes; guesses are limited for each user."""
    factors = Authenticator.objects.filter(user_id=user.pk)
    if not factors.exists():
        return True
    limit_forget = check_rate_limit(user)
    known = factors.filter(type__in=[Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES])
    is_right = bool(code) and any(factor.wrap().validate_code(code) for factor in known)
    if is_right:
        limit_forget()
    return is_right
