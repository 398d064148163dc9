"""Secrets that nobody has chosen: `change-me-…` of .env.example, `<your password>` of other people's examples.

`load` (jobs/settings/loading.py) refuses them, so that no part of pagemill starts with one. What pagemill does not read
itself (the passwords of PostgreSQL, Redis and Grafana) is refused before a volume is made with it:

    python -m jobs.placeholders POSTGRES_PASSWORD REDIS_PASSWORD …
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from jobs.errors import InvalidRequest, PagemillError

_PLACEHOLDER = re.compile(r"(?:^|[:,])\s*(?:change[-_ ]?me|\$\{\w|<[^<>]*>\s*(?:,|$))", re.IGNORECASE)
"""At the beginning, or after the colon of `user:password`; `${…}` is what nobody filled in."""

_URLS = frozenset({"database_url", "broker_url"})
"""Settings that hold a password inside."""
_IN_URLS = frozenset({"POSTGRES_PASSWORD", "REDIS_PASSWORD"})
"""Variables of compose.yaml that it puts into URLs as they are."""
_NOT_IN_A_URL = re.compile(r"[@/#?%\[\];\s]")
_NAMES = frozenset({"s3_access_key"})
"""Half a secret: kept as plain text because people must see it."""


def is_placeholder(value: str) -> bool:
    return _PLACEHOLDER.search(value) is not None


def visible() -> set[str]:
    """Variables that are half a secret: no placeholders, and no reason to hide them."""
    return {f"PAGEMILL_{name.upper()}" for name in _NAMES}


def refuse_placeholders(group: BaseSettings) -> None:
    """Raises InvalidRequest naming the variable of the first secret that is a placeholder, and not what it says."""
    for name, field in type(group).model_fields.items():
        if any(map(is_placeholder, _secrets(name, getattr(group, name)))):
            alias = field.validation_alias
            raise _refusal(alias if isinstance(alias, str) else f"PAGEMILL_{name.upper()}")


def check(environment: Mapping[str, str], variables: Sequence[str]) -> None:
    """Raises InvalidRequest naming the first of these variables that is absent, empty, a placeholder, or a password
    with which the URL that compose.yaml makes of it would be another one."""
    for variable in variables:
        value = environment.get(variable, "")
        if not value.strip():
            raise InvalidRequest(f"{variable} is not set", where=variable)
        if any(map(is_placeholder, (value, *_passwords(value)))):
            raise _refusal(variable)
        if variable in _IN_URLS and _NOT_IN_A_URL.search(value):
            raise InvalidRequest(
                f"{variable} becomes part of a URL and must have none of @ / # ? % [ ] ; and no blanks; `openssl rand"
                " -hex 32` prints a good one",
                where=variable,
            )


def _refusal(variable: str) -> InvalidRequest:
    return InvalidRequest(
        f"{variable} holds a placeholder; put a secret of your own there, as `openssl rand -hex 32` prints one",
        where=variable,
    )


def _secrets(name: str, value: object) -> Iterator[str]:
    """What is secret in a setting, in clear."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and name in _NAMES:
        yield value
    elif isinstance(value, str) and name in _URLS:
        yield from _passwords(value)


def _passwords(urls: str) -> Iterator[str]:
    """Of a URL, or of several Sentinels' with semicolons between. A URL that is none is its reader's to refuse."""
    for url in urls.split(";"):
        try:
            parts = urlsplit(url)
        except ValueError:
            continue
        if parts.password:
            yield unquote(parts.password)
        yield from (value for name, value in parse_qsl(parts.query) if name == "password")


def main(variables: Sequence[str]) -> int:
    """Exit status 0, or 1 with a line that names the variable."""
    from jobs.settings import environment

    try:
        check(environment(), variables)
    except PagemillError as error:
        sys.stderr.write(f"pagemill: {error.code}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
