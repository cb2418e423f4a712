"""Settings. Everything that differs between machines comes from the environment; defaults are the embedded portal."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.utils.csp import CSP
from psycopg.conninfo import conninfo_to_dict

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(os.environ.get("PORTAL_STATE", BASE_DIR / ".portal")).resolve()
CATALOG_DIR = Path(os.environ.get("PORTAL_CATALOG", BASE_DIR / "catalog" / "edye")).resolve()
# Git repositories from which a catalog may be read: name=repository#ref:folder, separated by commas.
CATALOG_SOURCES = os.environ.get("PORTAL_CATALOG_SOURCES", "").split(",")
DATA_CENTERS = os.environ.get("PORTAL_DATA_CENTERS", "us-central,us-east").split(",")  # each has a queue and collectors
CONNECTIONS_FILE = Path(os.environ.get("PORTAL_CONNECTIONS", STATE_DIR / "lab" / "connections.json"))


def _secret_key() -> str:
    """The signing key: from the environment, or from a file that only this account can read."""
    if key := os.environ.get("PORTAL_SECRET_KEY"):
        return key
    path = Path(os.environ.get("PORTAL_SECRET_KEY_FILE", STATE_DIR / "secrets" / "django.key"))
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(os.urandom(48).hex())
    return path.read_text().strip()


def _database(url: str) -> dict[str, Any]:
    """``postgresql://user:password@host:port/name?sslmode=require``, and what else libpq reads, as Django wants it."""
    told = conninfo_to_dict(url)
    own = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    return {
        "ENGINE": "django.db.backends.postgresql",
        **{ours: str(told.pop(theirs, "")) for ours, theirs in own.items()},
        "CONN_HEALTH_CHECKS": True,
        # What is asked by ``portal.prepared`` is kept by the server from its first time on.
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 8, "timeout": 10}, "prepare_threshold": 0, **told},
    }


SECRET_KEY = _secret_key()
DEBUG = os.environ.get("PORTAL_DEBUG") == "1"
PUBLIC_URL = os.environ.get("PORTAL_PUBLIC_URL", f"http://127.0.0.1:{os.environ.get('PORT', '8400')}")
ALLOWED_HOSTS = os.environ.get("PORTAL_ALLOWED_HOSTS", "127.0.0.1,localhost").split(",")
SECURE_COOKIES = PUBLIC_URL.startswith("https://")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django_htmx",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "django_otp_webauthn",
    "mozilla_django_oidc",
    "pgtrigger",
    "portal",
    "identity",
    "operations",
    "inventory",
    "observability",
    "incidents",
    "access",
    "deployments",
]

MIDDLEWARE = [
    "portal.http.RequestContextMiddleware",
    # Pages and style sheets travel compressed; Django pads pages against guessing secrets from their length.
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "portal.static.StaticFilesMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "portal.http.SameOriginMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "identity.middleware.SignedInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.http.RefusalMiddleware",
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
                "portal.ui.shell",
            ],
            "builtins": ["portal.templatetags.ui"],
        },
    }
]

FORM_RENDERER = "portal.ui.widgets.Renderer"

DATABASES = {
    "default": _database(os.environ.get("DATABASE_URL", "postgresql://portal:portal@127.0.0.1:15432/portal")),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "identity.Account"
AUTHENTICATION_BACKENDS = ["identity.backends.ScopeBackend", "identity.oidc.OidcBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "UserAttributeSimilarityValidator")
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "sign-in"

# Guardian keeps the rows; identity.backends answers from effective scopes, which know when a right ends.
ANONYMOUS_USER_NAME = None
# Browsers treat http://localhost as secure, so passkeys work on the embedded default without TLS (E031).
SILENCED_SYSTEM_CHECKS = ["guardian.W001", "models.W045"] + ([] if SECURE_COOKIES else ["otp_webauthn.E031"])

SESSION_ENGINE = "identity.sessions"  # knows its account, so that a person can list and end their own
SESSION_COOKIE_NAME = "__Host-session" if SECURE_COOKIES else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if SECURE_COOKIES else "csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_FAILURE_VIEW = "portal.http.csrf_failure"
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL, PUBLIC_URL.replace("127.0.0.1", "localhost")]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31536000 if SECURE_COOKIES else 0
X_FRAME_OPTIONS = "DENY"
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    # Tabler's CSS draws check marks and chevrons from data: images.
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.NONE],
}

# Up to this size an upload stays in memory; beyond it a catalog, which may hold secrets, is refused, not spooled.
FILE_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler", "inventory.uploads.Spooled"]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("vendor/tabler", BASE_DIR / "node_modules" / "@tabler" / "core" / "dist" / "css"),
]
# Files are found where they lie and served by the web process: no build step.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG
SERVESTATIC_ALLOW_ALL_ORIGINS = False
SERVESTATIC_MAX_AGE = 300

# Only artifacts below these addresses are fetched: a CI server must not be able to name any file or host.
ARTIFACT_SOURCES = os.environ.get("PORTAL_ARTIFACT_SOURCES", f"file://{STATE_DIR}/lab/artifacts/").split(",")

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:16379/0")
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ALWAYS_EAGER = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 120, "socket_connect_timeout": 2, "socket_timeout": 30}
# The schedule is declared in code, and a missed tick is worth nothing: no file that could be damaged.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_TIMEZONE = "UTC"

# Mail goes to files until a server is named: a demo must never write to real people.
_smtp = os.environ.get("PORTAL_SMTP_HOST")
MAILERS = {
    "default": {
        "BACKEND": f"django.core.mail.backends.{'smtp' if _smtp else 'filebased'}.EmailBackend",
        "OPTIONS": {"host": _smtp, "timeout": 10} if _smtp else {"file_path": str(STATE_DIR / "mail")},
    }
}
DEFAULT_FROM_EMAIL = os.environ.get("PORTAL_EMAIL_FROM", "portal@localhost")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "identity.authentication.TokenAuthentication",
        "identity.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "portal.paging.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "portal.api.problem",
    "PAGE_SIZE": 50,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "EDYE Infrastructure Portal",
    "DESCRIPTION": "Inventory, health, incidents, operations, access and deployments of one platform.",
    "VERSION": "1",
    "DEFAULT_GENERATOR_CLASS": "portal.schema.OnceMade",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
}

OTP_TOTP_ISSUER = "EDYE Infrastructure Portal"
OTP_TOTP_SYNC = False  # following the drift of one early code would shut out the next that comes a little late
OTP_WEBAUTHN_RP_NAME = "EDYE Infrastructure Portal"
# An address is not a valid relying party: on loopback, passkeys belong to the name "localhost".
_loopback = urlsplit(PUBLIC_URL).hostname == "127.0.0.1"
OTP_WEBAUTHN_RP_ID = "localhost" if _loopback else urlsplit(PUBLIC_URL).hostname
OTP_WEBAUTHN_ALLOWED_ORIGINS = [PUBLIC_URL.replace("127.0.0.1", "localhost")]

OIDC_ENABLED = bool(os.environ.get("OIDC_ISSUER"))
OIDC_ISSUER = os.environ.get("OIDC_ISSUER", "")
OIDC_RP_CLIENT_ID = os.environ.get("OIDC_CLIENT_ID", "")
OIDC_RP_CLIENT_SECRET = os.environ.get("OIDC_CLIENT_SECRET", "")
OIDC_OP_AUTHORIZATION_ENDPOINT = os.environ.get("OIDC_AUTHORIZATION_ENDPOINT", f"{OIDC_ISSUER}/auth")
OIDC_OP_TOKEN_ENDPOINT = os.environ.get("OIDC_TOKEN_ENDPOINT", f"{OIDC_ISSUER}/token")
OIDC_OP_USER_ENDPOINT = os.environ.get("OIDC_USER_ENDPOINT", f"{OIDC_ISSUER}/me")
OIDC_OP_JWKS_ENDPOINT = os.environ.get("OIDC_JWKS_ENDPOINT", f"{OIDC_ISSUER}/jwks")
OIDC_RP_SIGN_ALGO = os.environ.get("OIDC_SIGN_ALGORITHM", "RS256")
OIDC_RP_SCOPES = "openid profile email"
OIDC_USE_PKCE = True
OIDC_PKCE_CODE_CHALLENGE_METHOD = "S256"
OIDC_USE_NONCE = True
OIDC_TIMEOUT = 5

# Local variables of a traceback may hold a secret, so they are left out.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tracebacks,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": [
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _tracebacks,
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    # A line for every address asked and every tick of a reconciler would bury what matters.
    "loggers": {
        name: {"level": "WARNING"}
        for name in ("celery.beat", "celery.worker.strategy", "celery.app.trace", "httpx", "httpcore", "apprise")
    },
    "root": {"handlers": ["stderr"], "level": os.environ.get("PORTAL_LOG_LEVEL", "INFO")},
}
FILTERS_EMPTY_CHOICE_LABEL = "Any"
