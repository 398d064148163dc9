"""Settings: small frozen groups read from the environment (`PAGEMILL_…`). Each process reads only its own.

A module for each area; `loading` is the one place that reads environment variables. An unknown `PAGEMILL_…` variable is
an error: a typo must not silently mean the default. All times are seconds unless the name says otherwise.
"""

from __future__ import annotations

from jobs.settings.access import AccessSettings, OutboundSettings
from jobs.settings.engines import EngineSettings, OpenAiSettings, VllmSettings, VlSettings
from jobs.settings.group import MIB
from jobs.settings.http import ApiSettings, ClientSettings
from jobs.settings.inbox import InboxSettings
from jobs.settings.limits import LimitSettings, TimerSettings
from jobs.settings.loading import GROUPS, environment, examine, known_variables, load, preset, unknown_variables
from jobs.settings.stores import BlobSettings, BrokerSettings, DatabaseSettings, SecretSettings
from jobs.settings.watching import FlowerSettings, LogSettings, MetricsSettings
from jobs.settings.worker import WorkerSettings

__all__ = [
    "GROUPS",
    "MIB",
    "AccessSettings",
    "ApiSettings",
    "BlobSettings",
    "BrokerSettings",
    "ClientSettings",
    "DatabaseSettings",
    "EngineSettings",
    "FlowerSettings",
    "InboxSettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "OpenAiSettings",
    "OutboundSettings",
    "SecretSettings",
    "TimerSettings",
    "VlSettings",
    "VllmSettings",
    "WorkerSettings",
    "environment",
    "examine",
    "known_variables",
    "load",
    "preset",
    "unknown_variables",
]
