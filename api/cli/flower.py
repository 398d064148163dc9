"""`pagemill flower`: Flower with a login, what it shows set for our messages, and nothing that it could do."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from api.auth import is_loopback
from api.cli.embedded import python_environment
from api.cli.looking import flower_argv, flower_environment
from jobs.errors import InvalidRequest
from jobs.settings import BrokerSettings, FlowerSettings, environment, load


def flower(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on (PAGEMILL_FLOWER_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port to listen on (PAGEMILL_FLOWER_PORT).")
    ] = None,
    url_prefix: Annotated[
        str | None, typer.Option("--url-prefix", help="Path below which a proxy serves it (FLOWER_URL_PREFIX).")
    ] = None,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Let whoever may look also stop workers and revoke messages.")
    ] = False,
) -> None:
    """Show workers and messages in a browser (Flower). It looks on and is never the truth: docs/flower.md.

    On more than this machine it does not start without a login: PAGEMILL_FLOWER_AUTH=name:password. Whatever else
    Flower knows is set by FLOWER_… variables; a flowerconfig.py is not read.

    Example:

      PAGEMILL_BROKER_URL=redis://… PAGEMILL_FLOWER_AUTH=ops:… pagemill flower --host 0.0.0.0
    """
    load(BrokerSettings)  # a wrong one is told now
    settings, given = load(FlowerSettings), environment()
    address = host or given.get("FLOWER_ADDRESS") or settings.flower_host
    # In Kubernetes a service named flower makes it tcp://10.0.0.1:5555, which Flower would fail on.
    own_port = given.get("FLOWER_PORT", "")
    chosen = {
        "FLOWER_ADDRESS": address,
        "FLOWER_PORT": str(port or (own_port if own_port.isdecimal() else settings.flower_port)),
    }
    if settings.login:
        chosen["FLOWER_BASIC_AUTH"] = settings.login
    if url_prefix is not None:
        chosen["FLOWER_URL_PREFIX"] = url_prefix
    if allow_actions:
        chosen["FLOWER_READ_ONLY"] = "false"
    env = flower_environment(given | chosen)
    check_login(env)
    # Flower takes this process's place: signals and the exit status are its own.
    os.execve(sys.executable, flower_argv(), python_environment(env))  # noqa: S606


def check_login(env: Mapping[str, str]) -> None:
    """Raises InvalidRequest where others than this machine reach Flower and it asks for no login, or for one that is
    none."""
    basic = env.get("FLOWER_BASIC_AUTH", "")
    for login in filter(None, basic.split(",")):
        name, colon, password = login.partition(":")
        if not (name and colon and password):
            raise InvalidRequest("a login is name:password", where="PAGEMILL_FLOWER_AUTH")
    if basic.strip(", ") or (env.get("FLOWER_AUTH") and env.get("FLOWER_AUTH_PROVIDER")):
        return
    address = env.get("FLOWER_ADDRESS", "")
    if env.get("FLOWER_UNIX_SOCKET") or is_loopback(address):
        return
    raise InvalidRequest(
        f"at {address or 'every address'} Flower would show everybody's jobs to whoever reaches it: set"
        " PAGEMILL_FLOWER_AUTH=name:password (or OAuth: FLOWER_AUTH and FLOWER_AUTH_PROVIDER)",
        where="PAGEMILL_FLOWER_AUTH",
    )
