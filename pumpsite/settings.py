"""All configuration, read from the environment (then `.env`, then the embedded services' own file).

Every name is documented in `.env.example` and `docs/handbuch/einstellungen.md`; a test compares them.
A wrong value stops the start with one sentence (see `apps.core.checks`).
"""

import os
from pathlib import Path

from apps.core.environment import Env, require_lines, stop_start
from apps.core.prometheus import multiprocess_start

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
ENV_FILE = Path(env.str("ENV_FILE", default="") or BASE_DIR / ".env")
if "ENV_FILE" in os.environ and not ENV_FILE.exists():
    stop_start(f"ENV_FILE names a file that does not exist: {ENV_FILE}.")
require_lines(ENV_FILE)
env.read_env(ENV_FILE)
RUNTIME_DIR = Path(env.str("RUNTIME_DIR", default="") or BASE_DIR / ".runtime")
env.read_env(RUNTIME_DIR / "services.env")

# --- Site ---------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
if not SECRET_KEY:
    stop_start("SECRET_KEY is not set: copy .env.example to .env and fill it in, or run make demo, which does it.")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
ALLOWED_HOSTS += ["localhost", "127.0.0.1"]  # health checks, and MCP calling the API in the same process
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", default=False)
# Failed logins are counted by the visitor's address, which proxies of ours tell in X-Forwarded-For.
TRUSTED_PROXY_COUNT = ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
LOG_LEVEL = env.choice("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], default="INFO")
LOG_FORMAT = env.choice("LOG_FORMAT", ["console", "json"], default="console")
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
DEMO = env.bool("DEMO", default=False)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "channels",
    "csp",
    "django_htmx",
    "django_prometheus",
    "django_structlog",
    "ninja",
    "apps.core",
    "apps.discovery",
    "apps.training",
    "apps.predictions",
    "apps.trading",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.core.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.core.middleware.RequestLogMiddleware",
    "apps.core.middleware.api_errors",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "pumpsite.urls"
CSRF_FAILURE_VIEW = "pumpsite.errors.csrf_failure"
ASGI_APPLICATION = "pumpsite.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.core.context.site",
                "apps.discovery.pages_feed.feed_badge",
                "apps.trading.pages_real.real_live",
                "apps.trading.switch.kill_switch",
            ],
        },
    },
]

# --- Data ---------------------------------------------------------------------------------------------
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgresql://app@127.0.0.1:5432/app")}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {})
# The web process answers every request in a thread of its own: it shares a pool (asgi.py), the others keep theirs.
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", default=0)
if DATABASE_POOL_SIZE:
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 3,
        "reconnect_timeout": 5,  # its pauses double: a longer patience would keep pages away long after an outage
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60

REDIS_URL = env.redis_url("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    # Failed logins are counted here, for all processes: in the database, without which nobody could log in anyway.
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "shared_entries",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    },
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},  # figures that each process keeps itself
}
# Publish/subscribe knows no numbered databases: the number goes into the prefix.
LIVE_PREFIX = f"live{REDIS_URL.rpartition('/')[2]}"
CHANNEL_LAYERS = {
    # Browser fan-out; a message nobody listens to is dropped.
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": LIVE_PREFIX},
    },
    # Orders to the stream worker; kept until it reads them.
    "stream": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "stream"},
    },
}
JOURNAL_DIR = Path(env.str("JOURNAL_DIR", default="") or RUNTIME_DIR / "journal")
JOURNAL_FSYNC = env.choice("JOURNAL_FSYNC", ["off", "interval", "always"], default="interval")
JOURNAL_SEGMENT_MB = env.int("JOURNAL_SEGMENT_MB", default=64)
JOURNAL_SEGMENT_MINUTES = env.int("JOURNAL_SEGMENT_MINUTES", default=60)
JOURNAL_KEEP_GB = env.int("JOURNAL_KEEP_GB", default=50)
JOURNAL_KEEP_DAYS = env.int("JOURNAL_KEEP_DAYS", default=0)
JOURNAL_RESERVE_MB = env.int("JOURNAL_RESERVE_MB", default=256)
RETENTION_TRANSACTIONS_DAYS = env.int("RETENTION_TRANSACTIONS_DAYS", default=0)
RETENTION_METRICS_DAYS = env.int("RETENTION_METRICS_DAYS", default=0)
RETENTION_PREDICTIONS_DAYS = env.int("RETENTION_PREDICTIONS_DAYS", default=0)
RETENTION_OUTCOMES_DAYS = env.int("RETENTION_OUTCOMES_DAYS", default=0)
RETENTION_ALERTS_DAYS = env.int("RETENTION_ALERTS_DAYS", default=0)
RETENTION_DAYS = {
    "coin_transactions": RETENTION_TRANSACTIONS_DAYS,
    "coin_metrics": RETENTION_METRICS_DAYS,
    "predictions": RETENTION_PREDICTIONS_DAYS,
    "model_predictions": RETENTION_OUTCOMES_DAYS,
    "alert_evaluations": RETENTION_ALERTS_DAYS,
}
FLUSH_ROWS = env.int("FLUSH_ROWS", default=5000)
FLUSH_MS = env.int("FLUSH_MS", default=250)

# --- The feed -----------------------------------------------------------------------------------------
FEED_MODE = env.choice("FEED_MODE", ["live", "simulator"], default="live")
SIMULATOR_PORT = env.int("SIMULATOR_PORT", default=8765)
SIMULATOR_RATE = env.float("SIMULATOR_RATE", default=1.0)
SIMULATOR_SEED = env.int("SIMULATOR_SEED", default=1)
WS_URI = env.str("WS_URI", default="wss://pumpportal.fun/api/data")
WS_RETRY_DELAY = env.float("WS_RETRY_DELAY", default=1.0)
WS_MAX_RETRY_DELAY = env.float("WS_MAX_RETRY_DELAY", default=60.0)
WS_PING_INTERVAL = env.float("WS_PING_INTERVAL", default=20.0)
WS_PING_TIMEOUT = env.float("WS_PING_TIMEOUT", default=20.0)
WS_CONNECTION_TIMEOUT = env.float("WS_CONNECTION_TIMEOUT", default=60.0)
WS_BAN_DELAY = env.float("WS_BAN_DELAY", default=3600.0)
SUBSCRIPTION_CAP = env.int("SUBSCRIPTION_CAP", default=20_000)
FEED_EXACT_SHARE = env.float("FEED_EXACT_SHARE", default=0.8)
PUMPPORTAL_API_KEY = env.str("PUMPPORTAL_API_KEY", default="")
COIN_CACHE_SECONDS = env.int("COIN_CACHE_SECONDS", default=120)
BAD_NAMES_PATTERN = env.str("BAD_NAMES_PATTERN", default="")
SPAM_BURST_WINDOW = env.int("SPAM_BURST_WINDOW", default=30)
SPAM_BURST_COINS = env.int("SPAM_BURST_COINS", default=3)
METADATA_FETCH = env.bool("METADATA_FETCH", default=True)
METADATA_GATEWAYS = env.list(
    "METADATA_GATEWAYS",
    default=[
        "https://gateway.pinata.cloud/ipfs/",
        "https://dweb.link/ipfs/",
        "https://4everland.io/ipfs/",
        "https://ipfs.io/ipfs/",
    ],
)
METADATA_CONCURRENCY = env.int("METADATA_CONCURRENCY", default=4)
METADATA_PER_HOST_PER_SECOND = env.float("METADATA_PER_HOST_PER_SECOND", default=2.0)
THUMBNAILS = env.bool("THUMBNAILS", default=False)
THUMBNAILS_MB = env.int("THUMBNAILS_MB", default=200)
RATE_SOURCE = env.choice("RATE_SOURCE", ["jupiter", "coingecko", "off"], default="jupiter")
WHALE_THRESHOLD_SOL = env.float("WHALE_THRESHOLD_SOL", default=1.0)
KOTH_MARKET_CAP_SOL = env.float("KOTH_MARKET_CAP_SOL", default=150.0)

# --- Background work ----------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 6 * 3600}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(RUNTIME_DIR / "beat-schedule")
CELERY_TASK_ROUTES = {"apps.training.tasks.run_job": {"queue": "training"}}
MAX_CONCURRENT_JOBS = env.int("MAX_CONCURRENT_JOBS", default=1)
DATASET_CACHE_MB = env.int("DATASET_CACHE_MB", default=2048)
DASK_SCHEDULER_ADDRESS = env.str("DASK_SCHEDULER_ADDRESS", default="")
POLLING_INTERVAL_SECONDS = env.float("POLLING_INTERVAL_SECONDS", default=5.0)
N8N_FIND_WEBHOOK_URL = env.str("N8N_FIND_WEBHOOK_URL", default="")
N8N_SERVER_WEBHOOK_URL = env.str("N8N_SERVER_WEBHOOK_URL", default="")
WEBHOOK_ALLOWED = env.list("WEBHOOK_ALLOWED", default=[])
WEBHOOK_TIMEOUT_SECONDS = env.float("WEBHOOK_TIMEOUT_SECONDS", default=15.0)
WEBHOOK_LOG_DAYS = env.int("WEBHOOK_LOG_DAYS", default=7)
MAX_ALERT_LAG_SECONDS = env.float("MAX_ALERT_LAG_SECONDS", default=10.0)

# --- Trading ------------------------------------------------------------------------------------------
SOLANA_RPC_URL = env.str("SOLANA_RPC_URL", default="https://api.mainnet-beta.solana.com")
SOLANA_RPC_FALLBACK_URLS = env.list("SOLANA_RPC_FALLBACK_URLS", default=[])
SOLANA_COMMITMENT = env.choice("SOLANA_COMMITMENT", ["confirmed", "finalized"], default="confirmed")
SOLANA_TIMEOUT_SECONDS = env.float("SOLANA_TIMEOUT_SECONDS", default=10.0)
PUMPPORTAL_TRADE_URL = env.str("PUMPPORTAL_TRADE_URL", default="https://pumpportal.fun/api/trade-local")
PUMPPORTAL_FEE_ACCOUNTS = env.list("PUMPPORTAL_FEE_ACCOUNTS", default=[])
PRIORITY_FEE_CAP_LAMPORTS = env.int("PRIORITY_FEE_CAP_LAMPORTS", default=1_000_000)
TRANSFER_PRIORITY_FEE_LAMPORTS = env.int("TRANSFER_PRIORITY_FEE_LAMPORTS", default=5_000)
JITO_TIP_CAP_LAMPORTS = env.int("JITO_TIP_CAP_LAMPORTS", default=1_000_000)
JITO_BLOCK_ENGINE = env.str("JITO_BLOCK_ENGINE", default="")
JUPITER_API_KEY = env.str("JUPITER_API_KEY", default="")
ENCRYPTION_KEY = env.str("ENCRYPTION_KEY", default="")
ENCRYPTION_KEY_OLD = env.str("ENCRYPTION_KEY_OLD", default="")
DEFAULT_SLIPPAGE_BPS = env.int("DEFAULT_SLIPPAGE_BPS", default=500)
DEFAULT_JITO_TIP_LAMPORTS = env.int("DEFAULT_JITO_TIP_LAMPORTS", default=0)
NETWORK_FEE_SOL = env.float("NETWORK_FEE_SOL", default=0.000105)
SAFETY_BUFFER_SOL = env.float("SAFETY_BUFFER_SOL", default=0.01)
TRADING_LATENCY_MS = env.int("TRADING_LATENCY_MS", default=400)
TRADING_LATENCY_MAX_MS = env.int("TRADING_LATENCY_MAX_MS", default=2000)
PAPER_FAILURE_RATE = env.float("PAPER_FAILURE_RATE", default=0.02)
RISK_TIMEZONE = env.timezone("RISK_TIMEZONE")
ORDER_VALID_SECONDS = env.float("ORDER_VALID_SECONDS", default=20.0)
REAL_TRADING = env.bool("REAL_TRADING", default=False)
REAL_UNLOCK_HOURS = env.int("REAL_UNLOCK_HOURS", default=12)
ADDRESS_WAIT_HOURS = env.int("ADDRESS_WAIT_HOURS", default=24)

# --- Language and time --------------------------------------------------------------------------------
LANGUAGE_CODE = env.choice("LANGUAGE_CODE", ["en", "de"], default="en")
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.timezone("TIME_ZONE")
USE_TZ = True

# --- Static files -------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- People, sessions, security -----------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "core:dashboard"
# What views and services mark as secret stays out of error pages, also with DEBUG.
DEFAULT_EXCEPTION_REPORTER_FILTER = "apps.core.error_pages.AlwaysFiltered"
ACCOUNT_ADAPTER = "apps.core.accounts.ClosedSignupAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_FORMS = {"login": "apps.core.accounts.LoginForm"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
# The platform sends no mail: a lost password is set anew with manage.py changepassword.
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Pump Platform"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if HTTPS:
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^health$", r"^metrics$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    },
}

# --- Metrics and logs ---------------------------------------------------------------------------------
# One folder shared by every process; set before the first metric is made.
PROMETHEUS_MULTIPROC_DIR = Path(env.str("PROMETHEUS_MULTIPROC_DIR", default="") or RUNTIME_DIR / "prom")
try:
    multiprocess_start(PROMETHEUS_MULTIPROC_DIR)
except OSError as error:
    stop_start(f"RUNTIME_DIR and PROMETHEUS_MULTIPROC_DIR must be folders that can be written: {error}.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structlog": {"()": "apps.core.logs.formatter", "form": LOG_FORMAT}},
    "filters": {
        "not_health": {"()": "apps.core.logs.NotHealth"},
        "broker_away": {"()": "apps.core.logs.BrokerAway"},
        "outages": {"()": "apps.core.logs.Outages"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "structlog", "filters": ["outages"]},
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING", "filters": ["broker_away"]},
        "celery.worker.strategy": {"level": "WARNING"},
        "py.warnings": {"level": "ERROR"},
        "daphne": {"level": "WARNING"},
        "django": {"handlers": [], "level": "INFO"},
        "django.request": {"level": "CRITICAL"},
        "channels_redis": {"level": "CRITICAL"},
        "django.channels.server": {"level": "WARNING"},
        # Failed requests are logged here, with their request id.
        "django_structlog": {"level": "WARNING"},
        "django_structlog.middlewares.request": {"filters": ["not_health"]},
        "httpx2": {"level": "WARNING"},
        "websockets.server": {"level": "WARNING"},
    },
}
