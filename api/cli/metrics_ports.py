"""The ports for metrics of several processes that one command starts: counted up from the one that is set."""

from __future__ import annotations

from jobs.errors import InvalidRequest

VARIABLE = "PAGEMILL_METRICS_PORT"
_LAST = 65535


def first_port(setting: str | None, count: int, who: str = "workers") -> int:
    """The port of the first of `count` processes, called `who` in a refusal; the others have the next ones. 0: none is
    to listen, or each on a port of the system's choice. Raises InvalidRequest for what is no port, or too high a one.
    """
    if not setting:
        return 0
    if not (setting.isascii() and setting.isdigit()):
        raise InvalidRequest(f"{VARIABLE}: a port is a number", where=VARIABLE, actual=setting)
    port = int(setting)
    if port and port + count - 1 > _LAST:
        text = f"{count} {who} take the ports {port} to {port + count - 1}, and the last is {_LAST}"
        raise InvalidRequest(text, where=VARIABLE, actual=port, limit=_LAST - count + 1)
    return port
