"""What services count of themselves: Redis its commands and bytes, PostgreSQL its log ahead and its statements; the
kernel what went over connections.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from typing import Any

import psycopg

from tests.bench.report import NotMeasured

_BYTES = re.compile(r"bytes_(?:acked|received):(\d+)")
_STATEMENT = re.compile(r"^([^|]*)\|LOG:  (?:statement|execute [^:]*): (\w+)")
_LOGGED = {"log_statement": "all", "log_line_prefix": "%d|"}


def redis(client: Any) -> Counter[str]:
    """`bytes` both ways, `commands`, and those by which messages (`lpush`) and events (`publish`) are sent. What the
    asking itself adds is nothing beside a load."""
    stats = client.info("stats")
    calls = {name.removeprefix("cmdstat_"): value["calls"] for name, value in client.info("commandstats").items()}
    counted = Counter({name: calls.get(name, 0) for name in ("lpush", "publish", "brpop")})
    counted["commands"] = sum(calls.values())
    counted["bytes"] = stats["total_net_input_bytes"] + stats["total_net_output_bytes"]
    return counted


def postgresql(connection: psycopg.Connection[tuple[object, ...]]) -> Counter[str]:
    """`wal`: bytes written ahead, `images`: whole pages among them (8 KiB, the first change after a checkpoint),
    `flushes` of it to the disk."""
    row = connection.execute(
        """SELECT pg_current_wal_insert_lsn() - '0/0', (SELECT wal_fpi FROM pg_stat_wal),
             (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal')"""
    ).fetchone()
    assert row is not None
    return Counter(dict(zip(("wal", "images", "flushes"), (int(str(value)) for value in row), strict=True)))


def connections(port: int) -> dict[str, int]:
    """Bytes both ways of each open TCP connection to this port of this machine, by its two ends, as `ss` tells them."""
    if shutil.which("ss") is None:
        raise NotMeasured("ss is not installed (iproute2): it tells the bytes of connections")
    told = subprocess.run(
        ["ss", "-tinH", "state", "established", "sport", "=", f":{port}"], capture_output=True, text=True, check=True
    )
    return parse_connections(told.stdout)


def parse_connections(told: str) -> dict[str, int]:
    """The lines of `ss -tinH`: one that names the ends, one that is indented with what is known."""
    found: dict[str, int] = {}
    ends = ""
    for line in told.splitlines():
        if not line[:1].isspace():
            ends = " ".join(line.split()[2:4])
        else:
            found[ends] = sum(int(number) for number in _BYTES.findall(line))
    return found


def passed(before: dict[str, int], after: dict[str, int]) -> int:
    """Bytes between two looks at connections; of those that were closed in between nothing is known."""
    return sum(count - before.get(ends, 0) for ends, count in after.items())


def log_statements(connection: psycopg.Connection[tuple[object, ...]], *, on: bool) -> None:
    """Have every statement logged, or not."""
    for name, value in _LOGGED.items():
        connection.execute(f"ALTER SYSTEM SET {name} = '{value}'" if on else f"ALTER SYSTEM RESET {name}")
    connection.execute("SELECT pg_reload_conf()")


def statements(lines: Iterable[str], database: str) -> Counter[str]:
    """Statements of a database in a log of PostgreSQL, by their first word, in capitals."""
    found = (_STATEMENT.match(line) for line in lines)
    return Counter(match[2].upper() for match in found if match is not None and match[1] == database)
