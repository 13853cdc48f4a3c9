"""Every setting, declared once: read from the environment, `.env` or files (`settings_sources`), validated at start.

A bad one raises `SettingsError` with one line that names the variable, what was wrong and an example.
"""

import base64
import binascii
import functools
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from smsclick._broker import urls as broker_urls
from smsclick._broker.address import Broker, parse_broker
from smsclick._database.urls import parse_url
from smsclick._net import certificates, setting_urls, urls
from smsclick._values.bind_address import BindAddress
from smsclick._values.callback import TaskTarget, parse_callback
from smsclick._values.quiet_hours import QuietHours
from smsclick._values.settings_sources import FILE, FromFile, Layer, Problem, environment_file
from smsclick.errors import InvalidField, SettingsError

__all__ = ["Settings", "get_settings", "load_settings", "variables"]

_LONGEST_SECONDS = 10 * 366 * 86_400.0
_Seconds = Annotated[float, Field(gt=0, le=_LONGEST_SECONDS)]
"""A duration that can be added to a date without leaving the calendar."""

_SLOWEST_LIMIT, _FASTEST_LIMIT = 0.1, 10_000.0
"""In calls a second over all workers. Under a slower limit claims would expire; a faster one would limit nothing."""


class Settings(BaseSettings):
    """The settings of one process. Durations are in seconds; the defaults are the contract's."""

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    api_key: SecretStr | Problem | None = Field(
        None, validation_alias="SMSCLICK_API_KEY", examples=["1EgdzRnSFX83mPh2WK7yTI"]
    )
    base_url: str = Field(
        "https://app.smsclick.com.mx/sms-services",
        validation_alias="SMSCLICK_BASE_URL",
        examples=["https://app.smsclick.com.mx/sms-services"],
    )
    ca_bundle: Path | None = Field(None, validation_alias="SMSCLICK_CA_BUNDLE", examples=["/etc/ssl/certs/company.pem"])
    proxy: SecretStr = Field(
        SecretStr(""), validation_alias="SMSCLICK_PROXY", examples=["http://user:password@proxy.example.com:3128"]
    )
    timezone: str = Field("America/Mexico_City", validation_alias="SMSCLICK_TIMEZONE", examples=["America/Mexico_City"])
    database_url: str = Field(
        "sqlite:///var/smsclick.db",
        validation_alias="DATABASE_URL",
        examples=["postgresql+psycopg://user:password@host/database"],
        repr=False,
    )
    broker_url: str = Field("", validation_alias="CELERY_BROKER_URL", examples=["redis://127.0.0.1:6379/0"], repr=False)
    alert_urls: SecretStr = Field(
        SecretStr(""), validation_alias="ALERT_URLS", examples=["json://alerts.example.com/sms"]
    )
    language: Literal["es", "en"] = Field("es", validation_alias="SMSCLICK_LANGUAGE", examples=["es"])
    installation: str = Field("", validation_alias="SMSCLICK_INSTALLATION", examples=["tienda-produccion"])
    log_format: Literal["text", "json"] = Field("text", validation_alias="SMSCLICK_LOG_FORMAT", examples=["json"])
    runbook_url: str = Field("", validation_alias="SMSCLICK_RUNBOOK_URL", examples=["https://wiki.example.com/sms/"])
    heartbeat_url: SecretStr = Field(
        SecretStr(""), validation_alias="SMSCLICK_HEARTBEAT_URL", examples=["https://hc-ping.com/2f1c0c6e"]
    )
    connect_timeout: _Seconds = Field(5, validation_alias="SMSCLICK_CONNECT_TIMEOUT", examples=["5"])
    read_timeout: _Seconds = Field(30, validation_alias="SMSCLICK_READ_TIMEOUT", examples=["30"])
    lease_seconds: _Seconds = Field(120, validation_alias="SMSCLICK_LEASE_SECONDS", examples=["120"])
    settle_seconds: _Seconds = Field(600, validation_alias="SMSCLICK_SETTLE_SECONDS", examples=["600"])
    poll_seconds: Annotated[tuple[float, ...], NoDecode] = Field(
        (15, 30, 60, 120, 300, 900, 3600),
        validation_alias="SMSCLICK_POLL_SECONDS",
        examples=["15,30,60,120,300,900,3600"],
    )
    tracking_seconds: _Seconds = Field(604_800, validation_alias="SMSCLICK_TRACKING_SECONDS", examples=["604800"])
    sweep_seconds: _Seconds = Field(5, validation_alias="SMSCLICK_SWEEP_SECONDS", examples=["5"])
    balance_seconds: _Seconds = Field(60, validation_alias="SMSCLICK_BALANCE_SECONDS", examples=["60"])
    low_balance: NonNegativeInt = Field(0, validation_alias="SMSCLICK_LOW_BALANCE", examples=["1000"])
    max_per_second: NonNegativeFloat = Field(0, validation_alias="SMSCLICK_MAX_PER_SECOND", examples=["50"])
    quiet_hours: Annotated[QuietHours | None, NoDecode] = Field(
        None, validation_alias="SMSCLICK_QUIET_HOURS", examples=["22:00-08:00"]
    )
    retention_days: Annotated[int, Field(ge=0, le=36_600)] = Field(
        0, validation_alias="SMSCLICK_RETENTION_DAYS", examples=["90"]
    )

    callback: SecretStr = Field(
        SecretStr(""), validation_alias="SMSCLICK_CALLBACK", examples=["celery:app.tasks.sms_changed@queue"]
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""), validation_alias="SMSCLICK_WEBHOOK_SECRET", examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
    )
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), validation_alias="SMSCLICK_WEBHOOK_HOSTS", examples=["hooks.example.com,*.example.org"]
    )
    webhook_allow_private: bool = Field(
        False,  # noqa: FBT003 - a default
        validation_alias="SMSCLICK_WEBHOOK_ALLOW_PRIVATE",
        examples=["false"],
    )
    web_bind: BindAddress = Field("127.0.0.1:8080", validation_alias="SMSCLICK_WEB_BIND", examples=["127.0.0.1:8080"])

    @field_validator("api_key", mode="before")
    @classmethod
    def _api_key(cls, value: object) -> object:
        """Keep a bad key as a `Problem`: a producer needs no key, so it is refused only when it is used."""
        if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9._~+/=-]{1,200}", value):
            return Problem(
                f"{getattr(value, 'variable', 'SMSCLICK_API_KEY')}: holds blanks or signs that no key has; copy it "
                "again from SMSClick's panel (HERRAMIENTAS > Componentes/APIS)"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        setting_urls.check_base(value)
        return value.rstrip("/")

    @field_validator("ca_bundle")
    @classmethod
    def _ca_bundle(cls, value: Path | None) -> Path | None:
        if value is not None:
            if "\n" in str(value):
                raise ValueError("must be the path of a file, not its content")
            certificates.context(value)
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url:
            setting_urls.check_proxy(url)
        return SecretStr(url.rstrip("/"))

    @field_validator("installation")
    @classmethod
    def _installation(cls, value: str) -> str:
        if value and not re.fullmatch(r"[\w.@-]{1,60}", value):
            raise ValueError("must be a name of at most 60 letters, digits and the signs . @ _ -")
        return value

    @field_validator("runbook_url")
    @classmethod
    def _runbook_url(cls, value: str) -> str:
        if value:
            setting_urls.check_runbook(value)
        return value and value.rstrip("/") + "/"

    @field_validator("heartbeat_url")
    @classmethod
    def _heartbeat_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            setting_urls.check_heartbeat(value.get_secret_value())
        return value

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is not the name of a time zone") from None
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        return parse_url(value).render_as_string(hide_password=False)

    @field_validator("broker_url")
    @classmethod
    def _broker_url(cls, value: str) -> str:
        value = broker_urls.normalized(value)
        secured = parse_broker(value).secured
        if secured is not None:
            secured.require_files()
        return value

    @field_validator("poll_seconds", mode="before")
    @classmethod
    def _poll_seconds(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part for part in value.replace(" ", "").split(",") if part)
        return value

    @field_validator("poll_seconds")
    @classmethod
    def _poll_positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or not all(0 < each <= _LONGEST_SECONDS for each in value):
            raise ValueError("must be positive seconds, separated by commas")
        return value

    @field_validator("max_per_second")
    @classmethod
    def _max_per_second(cls, value: float) -> float:
        if value and not _SLOWEST_LIMIT <= value <= _FASTEST_LIMIT:
            raise ValueError(f"must be 0 (no limit) or from {_SLOWEST_LIMIT:g} to {_FASTEST_LIMIT:g} calls a second")
        return value

    @field_validator("quiet_hours", mode="before")
    @classmethod
    def _quiet_hours(cls, value: object) -> object:
        return QuietHours.parse(value) if isinstance(value, str) else value

    @field_validator("callback")
    @classmethod
    def _callback(cls, value: SecretStr) -> SecretStr:
        word = value.get_secret_value().strip()
        if word:
            try:
                parse_callback(word)
            except InvalidField as error:
                raise ValueError(error.refusal.sentence()) from None
            if len(word) > 500:
                raise ValueError("has more than 500 characters")
        return SecretStr(word)

    @field_validator("webhook_secret")
    @classmethod
    def _webhook_secret(cls, value: SecretStr) -> SecretStr:
        for word in value.get_secret_value().split():
            try:
                key = base64.b64decode(word.removeprefix("whsec_"), validate=True)
            except binascii.Error:
                key = b""
            if not word.startswith("whsec_") or not 24 <= len(key) <= 64:
                raise ValueError("must be whsec_ and 24 to 64 random bytes in Base64; several are separated by blanks")
        return value

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _webhook_hosts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part for part in value.lower().replace(" ", "").split(",") if part)
        return value

    @field_validator("webhook_hosts")
    @classmethod
    def _webhook_hosts_are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"(\*\.)?[0-9a-z_][0-9a-z_.:-]*", each) for each in value):
            raise ValueError("must be names of hosts, without https:// and path, separated by commas")
        return value

    # Pydantic runs the last declared validator first.
    @field_validator("*", mode="before")
    @classmethod
    def _readable(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, Problem) and info.field_name != "api_key":
            raise _UnreadableError(value.line)
        return value

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Self:
        word = self.callback.get_secret_value()
        if word and not isinstance(parse_callback(word), TaskTarget) and not self.webhook_secrets:
            raise ValueError(
                "SMSCLICK_WEBHOOK_SECRET: not set, but SMSCLICK_CALLBACK is a webhook, whose calls are signed; "
                'make one with: echo "whsec_$(openssl rand -base64 32)"'
            )
        return self

    @model_validator(mode="after")
    def _a_proxy_makes_tunnels(self) -> Self:
        if (
            self.proxy.get_secret_value()
            and not self.base_url.startswith("https://")
            and not urls.is_loopback(self.base_url)
        ):
            raise ValueError(
                "SMSCLICK_PROXY: needs SMSCLICK_BASE_URL to begin with https://, or the proxy would read the key and "
                "every text, for example SMSCLICK_BASE_URL=https://app.smsclick.com.mx/sms-services"
            )
        return self

    @model_validator(mode="after")
    def _lease_outlasts_the_call(self) -> Self:
        longest = self.connect_timeout + self.read_timeout
        if self.lease_seconds <= longest:
            raise ValueError(
                f"SMSCLICK_LEASE_SECONDS: must exceed SMSCLICK_CONNECT_TIMEOUT + SMSCLICK_READ_TIMEOUT "
                f"({longest:g} s), or a living call would lose its claim; got {self.lease_seconds:g}, "
                f"for example SMSCLICK_LEASE_SECONDS={max(120, 3 * longest):g}"
            )
        return self

    @property
    def broker(self) -> Broker:
        """The parts of the broker's address."""
        return parse_broker(self.broker_url)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The secrets that sign each webhook call; several while one replaces another."""
        return tuple(self.webhook_secret.get_secret_value().split())

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the provider's dates."""
        return ZoneInfo(self.timezone)

    def require_api_key(self) -> str:
        """Return the APIKEY, from the variable or its file.

        Raises:
            SettingsError: neither gives a key.
        """
        if isinstance(self.api_key, Problem):
            raise SettingsError(self.api_key.line)
        if self.api_key is None:
            raise SettingsError(
                "SMSCLICK_API_KEY: not set",
                advice="put your key there, or its file's path in SMSCLICK_API_KEY_FILE "
                "(SMSClick's panel: HERRAMIENTAS > Componentes/APIS)",
            )
        return self.api_key.get_secret_value()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - our own sources read files and odd encodings too
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a folder of files; ours are named one by one
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings; the first source that has a value wins."""
        environment = {name.upper(): value for name, value in os.environ.items()}
        sources = (init_settings(), environment, environment_file(variables()))
        return tuple(Layer(settings_cls, given) for given in sources)


class _UnreadableError(ValueError):
    """A value cannot be read; the text is the whole line for a person."""


def variables() -> frozenset[str]:
    """Return the names of all environment variables that are settings, `NAME_FILE` included."""
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    return frozenset(names | {name + FILE for name in names})


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - any field, validated by pydantic
    """Read the settings from the environment and `.env`.

    Args:
        **overrides: values that replace those, by the names of the variables.

    Raises:
        SettingsError: a setting is missing or wrong; one line names every such variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_line(item) for item in error.errors())) from None


@functools.cache
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()


def _line(item: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, a TypedDict
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return message
    if isinstance(item.get("ctx", {}).get("error"), _UnreadableError):
        return message
    variable = str(item["loc"][0])
    field = next(field for field in Settings.model_fields.values() if field.validation_alias == variable)
    example = field.examples[0] if field.examples else ""
    message = f"{message[0].lower()}{message[1:]}"
    if isinstance(item["input"], FromFile):
        return f"{item['input'].variable}: the content {message}, for example {example}"
    return f"{variable}: {message}, for example {variable}={example}"
