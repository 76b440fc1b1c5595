"""Settings of the project: one stack everywhere, told apart only by environment variables.

`DATABASE_URL` (application role), `DATABASE_OWNER_URL` (owner role, for migrations) and `REDIS_URL` name the servers;
where they are absent the embedded servers of `make run` are used, whose addresses stand in `<DATA_DIR>/embedded.json`.
"""

from __future__ import annotations

import json
import os
import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()
DEBUG = env.bool("DEBUG", default=False)
TESTING = env.bool("PORTAL_TESTING", default=False)


def _embedded(name: str) -> str:
    """The address of an embedded server, from the state file that its launcher keeps."""
    state = DATA_DIR / "embedded.json"
    try:
        return json.loads(state.read_text())[name]
    except (OSError, KeyError, ValueError):
        raise ImproperlyConfigured(
            f"{name.upper()} is not set and no embedded server has been started in {DATA_DIR}. "
            "Run `make run`, or set DATABASE_URL and REDIS_URL."
        ) from None


def _server(name: str) -> str:
    return os.environ.get(name.upper()) or _embedded(name)


def _secret_key() -> str:
    """From the environment, else made once and kept in the data folder, readable by its owner only."""
    if key := os.environ.get("SECRET_KEY"):
        return key
    kept = DATA_DIR / "secret_key"
    if not kept.exists():
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(50))
        except FileExistsError:
            pass  # another process was faster
    return kept.read_text()


def redis_url(offset: int) -> str:
    """The Redis database `offset` places after the configured one: broker, channel layer and inbox never share."""
    parts = urlsplit(REDIS_URL)
    first = int(parts.path.strip("/") or 0)
    return urlunsplit(parts._replace(path=f"/{first + offset}"))


SECRET_KEY = _secret_key()
PORT = env.int("PORT", default=8000)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_COOKIES = env.bool("SECURE_COOKIES", default=False)

# --- servers -----------------------------------------------------------------------------------------------------

DATABASE_APPLICATION_URL = _server("database_url")
DATABASE_OWNER_URL = os.environ.get("DATABASE_OWNER_URL") or (
    DATABASE_APPLICATION_URL if os.environ.get("DATABASE_URL") else _embedded("database_owner_url")
)
REDIS_URL = _server("redis_url")

#: The role that the running product has: it owns nothing, and may not change what is append-only.
DATABASE_APPLICATION_ROLE = urlsplit(DATABASE_APPLICATION_URL).username

_database_url = DATABASE_OWNER_URL if os.environ.get("PORTAL_DATABASE_ROLE") == "owner" else DATABASE_APPLICATION_URL
DATABASES = {
    "default": {
        **environ.Env.db_url_config(_database_url),
        "CONN_MAX_AGE": 0,
        # A pooled connection is tried before it is lent: after a restart of PostgreSQL all of them are dead.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            # A server that vanished without a word is noticed within half a minute, not after hours.
            "connect_timeout": 5,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # The pool's pauses between attempts double; giving up early, it begins anew with the next caller.
            "pool": {
                "min_size": 1,
                "max_size": env.int("DATABASE_POOL", default=8),
                "timeout": 5,
                "reconnect_timeout": 4,
            },
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_BROKER_URL, REDIS_CHANNELS_URL, REDIS_INBOX_URL = redis_url(0), redis_url(1), redis_url(2)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_CHANNELS_URL]},
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_INBOX_URL}}

# --- Celery ------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_BROKER_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A dead worker's messages come back only when kombu scans for them: by default after 100 s.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 60,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "retry_on_timeout": True,
    # A broker that dies while a task runs leaves the worker deaf until this look: by default after 25 s.
    "health_check_interval": 3,
    # Who sends a task asks twice, no more: by default a nudge would hold its delivery's answer until the broker is up.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
}
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
#: An enterprise's charging goes to one of these by hash, so that a burst of one does not bury the others.
CHARGING_QUEUES = [f"charging.{n}" for n in range(4)]
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
NOTICES_QUEUE = "notices"
#: Served by workers of its own alone: a slow mail server must hold up neither charging nor the inbox.
SENDING_QUEUE = "sending"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "sweep-inbox": {"task": "portal.charging.tasks.sweep_inbox", "schedule": timedelta(seconds=3)},
    "close-and-open-cycles": {"task": "portal.charging.tasks.turn_cycles", "schedule": timedelta(minutes=1)},
    "release-reservations": {
        "task": "portal.charging.tasks.sweep_reservations",
        "schedule": timedelta(seconds=30),
    },
    "lift-restrictions": {"task": "portal.charging.tasks.lift_restrictions", "schedule": timedelta(minutes=1)},
    "expire-offers": {"task": "portal.charging.tasks.expire_offers", "schedule": timedelta(seconds=15)},
    "complete-contests": {"task": "portal.provisioning.tasks.complete_contests", "schedule": timedelta(seconds=5)},
    "return-loans": {"task": "portal.charging.tasks.return_loans", "schedule": timedelta(seconds=15)},
    "run-standing-transfers": {
        "task": "portal.charging.tasks.run_standing_transfers",
        "schedule": timedelta(minutes=1),
    },
    "prepare-partitions": {
        "task": "portal.charging.tasks.prepare_partitions",
        "schedule": timedelta(hours=6),
    },
    "sweep-outbox": {
        "task": "portal.notices.tasks.sweep",
        "schedule": timedelta(seconds=3),
        "options": {"queue": NOTICES_QUEUE, "expires": 30},
    },
    "send-deliveries": {
        "task": "portal.notices.tasks.send_mails",
        "schedule": timedelta(seconds=5),
        "options": {"queue": SENDING_QUEUE, "expires": 5},
    },
    "post-webhooks": {
        "task": "portal.notices.tasks.post_webhooks",
        "schedule": timedelta(seconds=5),
        "options": {"queue": SENDING_QUEUE, "expires": 5},
    },
    "escalate-notices": {
        "task": "portal.notices.tasks.escalate",
        "schedule": timedelta(seconds=5),
        "options": {"queue": NOTICES_QUEUE, "expires": 30},
    },
    "foresee-run-outs": {"task": "portal.notices.tasks.foresee", "schedule": timedelta(minutes=15)},
    "watch-usage": {
        "task": "portal.notices.tasks.watch_usage",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 60},
    },
    "forget-days": {"task": "portal.notices.tasks.forget_days", "schedule": timedelta(days=1)},
    "resume-jobs": {"task": "portal.provisioning.tasks.resume_jobs", "schedule": timedelta(seconds=15)},
    "heartbeat": {"task": "portal.charging.tasks.heartbeat", "schedule": timedelta(seconds=5)},
}

# --- Django ------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "channels",
    "mptt",
    "rest_framework",
    "drf_standardized_errors",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_celery_beat",
    "django_htmx",
    "axes",
    "csp",
    "balances",
    "policies",
    "portal",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.access.ScopeMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
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
                "portal.web.context.navigation",
            ],
            "builtins": ["portal.web.templatetags.figures"],
        },
    }
]

AUTH_USER_MODEL = "portal.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "sign-in", "home", "sign-in"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=10)
AXES_LOCKOUT_TEMPLATE = "sessions/locked_out.html"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "username"
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
# Compression takes half a minute: `make run`, whose browser is on the same machine, goes without.
_static_storage = (
    "whitenoise.storage.CompressedManifestStaticFilesStorage"
    if env.bool("COMPRESS_STATIC", default=True)
    else "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage" if TESTING or DEBUG else _static_storage
    },
}
WHITENOISE_USE_FINDERS = TESTING or DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
MEDIA_ROOT = DATA_DIR / "uploads"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_COOKIES else None
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
    }
}

# --- REST --------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["portal.api.permissions.HasVerb"],
    "DEFAULT_PAGINATION_CLASS": "portal.api.pagination.StablePagination",
    "PAGE_SIZE": 50,
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "portal.api.openapi.Schema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "portal.api.problems.problem_handler",
    "DEFAULT_VERSIONING_CLASS": None,
    "DEFAULT_PARSER_CLASSES": ["portal.api.parsers.StrictJSONParser"],
    "DEFAULT_METADATA_CLASS": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Enterprise portal API",
    "VERSION": "1.0.0",
    "DESCRIPTION": "Provision enterprises, send usage, read balances, charges and suspense.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    # A page of so many operations draws only those in sight: the box finds a group, a link leads to one operation.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "filter": True},
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": False,
    "SORT_OPERATIONS": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "portal.api.openapi.close_bodies",
        "portal.api.openapi.add_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ServiceEnum": ["data", "voice", "messaging", "video_conferencing"],
        "VerbEnum": "balances.scope.Verb",
        "RoleEnum": "portal.models.Role",
        "JobStateEnum": "portal.models.JobState",
        "VersionStateEnum": "balances.models.contracts.VersionState",
        "SuspenseStateEnum": "balances.models.usage.SuspenseState",
        "AccountKindEnum": "balances.models.accounts.AccountKind",
        "NewAccountKindEnum": "portal.api.accounts.NEW_KINDS",
        "ConsentKindEnum": "policies.models.ConsentKind",
        "LimitActionEnum": "policies.models.limits.ACTION_CHOICES",
        "RestrictionActionEnum": "policies.models.RestrictionAction",
        "RestrictionStateEnum": "policies.models.RestrictionState",
        "BucketKindEnum": "balances.models.buckets.BucketKind",
        "OfferStateEnum": "balances.models.trading.OfferState",
        "TradeStateEnum": "balances.models.trading.TradeState",
        "OfferActKindEnum": "balances.models.trading.ActKind",
        "LoanStateEnum": "balances.models.trading.LoanState",
        "StandingStateEnum": "balances.models.trading.StandingState",
        "ReleaseRuleEnum": "balances.models.buckets.ReleaseRule",
        "MaskingRuleEnum": "balances.models.masking.MaskingRule",
        "NumberKindEnum": ["msisdn", "imsi"],
        "PersonalAccountKindEnum": "balances.models.personal.PersonalAccountKind",
        "PersonalEntryKindEnum": "balances.models.personal.PersonalEntryKind",
        "PersonalAccountStateEnum": "portal.api.personal_accounts.STATES",
        "OpenReasonEnum": "balances.models.personal.OpenReason",
        "SuspenseReasonEnum": "balances.models.usage.SuspenseReason",
        "NoticeKindEnum": "portal.models.NoticeKind",
        "PolicyStateEnum": "policies.models.PolicyState",
        "DeclaredKindEnum": ["text", "number", "flag", "name", "digits"],
        "OutlookEnum": "portal.api.rebalancing.OUTLOOKS",
    },
}

# --- charging ----------------------------------------------------------------------------------------------------

#: Records charged in one transaction at most, where so many wait: larger groups cost less a record (two thirds of what
#: groups of 4,000 do), but hold the enterprise's row locked for longer, here about a second.
CHARGING_GROUP_RECORDS = env.int("CHARGING_GROUP_RECORDS", default=16_000)
#: Usage may lie this far in the future before it is suspended: clocks of networks differ.
USAGE_FUTURE_TOLERANCE = timedelta(minutes=5)
#: Calls and messages to these are granted whatever limit stands (112, 911: 3GPP TS 22.101, 10.1.1; others by country).
EMERGENCY_NUMBERS = frozenset(env.list("EMERGENCY_NUMBERS", default=["112", "911", "110", "999", "000"]))
USAGE_BATCH_MOST_RECORDS = 10_000
USAGE_BATCH_MOST_BYTES = 32 * 1024 * 1024
USAGE_PART_MOST_ATTEMPTS = 20

# --- notices -----------------------------------------------------------------------------------------------------

#: Where links in messages lead.
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://localhost:{PORT}")
#: `smtp+tls://user:password@host:587`; without it mails are written as files, to be looked at.
vars().update(env.email_url("EMAIL_URL", default="filemail:///"))
EMAIL_FILE_PATH = str(DATA_DIR / "mail")
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Enterprise portal <portal@localhost>")
#: Hosts (`host` or `host:port`) to which webhooks may go without TLS or at a private address; all others may not.
#: After a first failure; each further pause is twice as long, up to an hour.
SENDING_FIRST_PAUSE_SECONDS = env.int("SENDING_FIRST_PAUSE_SECONDS", default=30)
WEBHOOK_ALLOWED_HOSTS = frozenset(env.list("WEBHOOK_ALLOWED_HOSTS", default=[]))

# --- logging -----------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "axes": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
    },
}
