"""Every id that the doctor may tell, in the order of the report: what is wrong there, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Area(StrEnum):
    """What `--only` takes, beside ids."""

    CONFIGURATION = "configuration"
    DATABASE = "database"
    REDIS = "redis"
    STORE = "store"
    GPU = "gpu"
    ENGINE = "engine"
    MACHINE = "machine"
    WORKERS = "workers"
    DOCTOR = "doctor"
    """A check that could not be made."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an id stands for. `do` is one sentence; a finding that knows better says something of its own."""

    area: Area
    what: str
    do: str


_C, _D, _R, _S = Area.CONFIGURATION, Area.DATABASE, Area.REDIS, Area.STORE
_G, _E, _M, _W = Area.GPU, Area.ENGINE, Area.MACHINE, Area.WORKERS
_UPGRADE = "Run `pagemill db upgrade` with this version before anything else of it is started."
_NTP = "Let a time service (chrony, systemd-timesyncd) set the clocks of both machines."

TABLE: Mapping[str, Meaning] = MappingProxyType({
    # configuration
    "config-unknown": Meaning(
        _C, "a `PAGEMILL_…` variable that does not exist: every process refuses to start with it",
        "Correct its name or unset it; all names stand in docs/settings.md."),
    "config-value": Meaning(
        _C, "a variable whose value cannot be", "Correct the value; the finding says what is expected."),
    "config-placeholder": Meaning(
        _C, "a secret that is still a placeholder (`change-me`, `<…>`)",
        "Put a secret of your own there: `python -c 'import secrets; print(secrets.token_urlsafe(48))'`."),
    "config-secret-key": Meaning(
        _C, "the key for secrets at rest is missing or weak: documents with passwords and webhooks are refused",
        "Set PAGEMILL_SECRET_KEY for API and workers alike: "
        "`python -c 'import secrets; print(secrets.token_urlsafe(48))'`."),
    "config-url": Meaning(
        _C, "an address that no part could use", "Correct the address; the finding says what is expected."),
    "config-cleartext": Meaning(
        _C, "a password or key that goes over the network without TLS",
        "Use https://, rediss:// or sslmode=require, or keep that network to yourself."),
    "config-files": Meaning(
        _C, "a file named by a setting that is not there", "Correct the path, or put the file there."),
    "config-contradiction": Meaning(
        _C, "settings that do not fit each other", "Change one of the two, as the finding says."),
    "config-sqlite": Meaning(
        _C, "SQLite with parts on several hosts: it is for one machine",
        "Set PAGEMILL_DATABASE_URL to a PostgreSQL for all hosts."),
    "config-local-store": Meaning(
        _C, "a local folder as the store with parts on several hosts",
        "Set PAGEMILL_STORE_URL to an S3, or make sure that the folder is one and the same mount on every host."),
    "config-api-open": Meaning(
        _C, "an API that anybody who reaches it may use",
        "Set PAGEMILL_AUTH=keys, unless a proxy before it asks everybody who they are."),
    "api-keys": Meaning(
        _C, "an API that asks for keys while there is none: it does not start, or lets nobody in",
        "Make the first key: `pagemill keys create operator --scope admin`."),
    # database
    "database-reachable": Meaning(
        _D, "the database does not answer", "Start it, and correct PAGEMILL_DATABASE_URL where it is another one."),
    "database-version": Meaning(
        _D, "a version that pagemill cannot use, or that gets no corrections any more",
        "Use PostgreSQL 15 or newer; SQLite comes with Python and must be 3.35 or newer."),
    "database-writable": Meaning(
        _D, "a standby, or a database that takes no writes",
        "Name the primary in PAGEMILL_DATABASE_URL, or promote this one."),
    "database-schema": Meaning(_D, "the tables are not those of this version", _UPGRADE),
    "database-durability": Meaning(
        _D, "a power cut would lose what was acknowledged",
        "Set fsync, full_page_writes and synchronous_commit to on in postgresql.conf."),
    "database-connections": Meaning(
        _D, "too few connections are left for one more process",
        "Raise max_connections, lower PAGEMILL_DATABASE_POOL, or put a pooler in session mode before it."),
    "database-latency": Meaning(
        _D, "a round trip takes long: each group of pages needs several",
        "Run the database in the network of the workers, or look what keeps it busy."),
    "database-clock": Meaning(_D, "this host's clock and the database's differ", _NTP),
    "database-space": Meaning(
        _D, "the disk of the database is nearly full", "Free space there, or move the database to a larger disk."),
    # redis
    "redis-reachable": Meaning(
        _R, "Redis does not answer", "Start it, and correct PAGEMILL_BROKER_URL where it is another one."),
    "redis-auth": Meaning(
        _R, "the password is wrong, or everybody on the network gets in without one",
        "Put the password into PAGEMILL_BROKER_URL: redis://:PASSWORD@HOST:6379/0, as requirepass has it."),
    "redis-version": Meaning(_R, "a version that is too old", "Use Valkey 7.2 or newer, or Redis 6.2 or newer."),
    "redis-cluster": Meaning(
        _R, "Redis Cluster: Celery cannot use it", "Use a single Redis or Valkey, or Sentinel."),
    "redis-writable": Meaning(
        _R, "messages cannot be written: a replica, no memory left, or a disk that failed",
        "Name the master in PAGEMILL_BROKER_URL; the finding tells what Redis said."),
    "redis-eviction": Meaning(
        _R, "Redis may throw messages away when its memory is full",
        "Set `maxmemory-policy noeviction` in its configuration: `CONFIG SET maxmemory-policy noeviction`."),
    "redis-persistence": Meaning(
        _R, "a restart forgets all messages, or saving them failed: pages wait a minute until they are rung again",
        "Set `appendonly yes` and `appendfsync everysec` in its configuration: `CONFIG SET appendonly yes`."),
    "redis-memory": Meaning(
        _R, "its memory is nearly used up", "Raise maxmemory, or remove what others keep in this Redis."),
    "redis-clients": Meaning(_R, "its connections are nearly used up", "Raise maxclients in its configuration."),
    "redis-latency": Meaning(
        _R, "a round trip takes long: it bounds the messages per second of every worker",
        "Run Redis in the network of the workers."),
    "redis-clock": Meaning(_R, "this host's clock and the one of Redis differ", _NTP),
    # store
    "store-reachable": Meaning(
        _S, "the store does not answer, or its folder is not there",
        "Start it, and correct PAGEMILL_STORE_URL or PAGEMILL_S3_ENDPOINT."),
    "store-access": Meaning(
        _S, "the store refuses the access key",
        "Correct PAGEMILL_S3_ACCESS_KEY and PAGEMILL_S3_SECRET_KEY, and let the key get, put, list and delete there."),
    "store-bucket": Meaning(
        _S, "the bucket does not exist", "Create it, or correct PAGEMILL_STORE_URL."),
    "store-write": Meaning(_S, "objects cannot be written, read back, listed or removed",
        "Give the key (or the user of this process) the right to do what the finding names."),
    "store-range": Meaning(
        _S, "parts of objects cannot be read", "Use an S3 that answers Range requests with 206."),
    "store-multipart": Meaning(
        _S, "large objects cannot be written in parts",
        "Allow multipart uploads to the key, and bodies of 8 MiB in whatever proxy stands before the store."),
    "store-conditional": Meaning(
        _S, "`If-None-Match: *` is ignored: a second writer replaces an object that is there. pagemill's keys carry the"
        " attempt and do not need it; it tells of a proxy that drops headers, or of an S3 with gaps",
        "Let the proxy pass If-None-Match on, or take a store that honours it (AWS, SeaweedFS, RustFS, MinIO do)."),
    "store-presign-get": Meaning(
        _S, "links to results cannot be fetched",
        "Set PAGEMILL_S3_PUBLIC_ENDPOINT to the address by which clients reach the store, with the Host passed on."),
    "store-presign-put": Meaning(
        _S, "links for large uploads cannot be used",
        "Set PAGEMILL_S3_PUBLIC_ENDPOINT to the address by which clients reach the store; let PUT through."),
    "store-clock": Meaning(
        _S, "this host's clock and the store's differ: beyond 15 minutes every request is refused", _NTP),
    "store-latency": Meaning(
        _S, "writing a small object takes long", "Run the store in the network of the workers, or on quicker disks."),
    "store-space": Meaning(
        _S, "the disk of the local store is nearly full", "Free space there, or move the store to a larger disk."),
    # gpu
    "gpu-driver": Meaning(
        _G, "no NVIDIA driver answers",
        "Install the driver; in a container, run it with the NVIDIA Container Toolkit (`--gpus all`)."),
    "gpu-device": Meaning(
        _G, "the GPU of PAGEMILL_DEVICE is not visible here",
        "Correct PAGEMILL_DEVICE or CUDA_VISIBLE_DEVICES; in a container, pass the device on (`--gpus all`, or "
        "`deploy.resources.reservations.devices` in compose)."),
    "gpu-libcuda": Meaning(
        _G, "libcuda.so.1 cannot be loaded",
        "In a container, run it with the NVIDIA Container Toolkit and NVIDIA_DRIVER_CAPABILITIES=compute,utility; "
        "elsewhere run `ldconfig` after installing the driver."),
    "gpu-cuda": Meaning(
        _G, "the driver is too old for the CUDA that torch was built with",
        "Update the NVIDIA driver, or install a torch (and vllm) built for an older CUDA."),
    "gpu-memory": Meaning(
        _G, "less memory is free on the GPU than the engine will take",
        "End what else runs there (`nvidia-smi`), or lower PAGEMILL_VLLM_GPU_MEMORY_UTILIZATION."),
    "gpu-health": Meaning(
        _G, "the GPU has had memory errors that could not be corrected",
        "Drain its worker, reset the GPU (`nvidia-smi --gpu-reset`), and replace the card where they come back."),
    # engine
    "engine-libraries": Meaning(
        _E, "what the engine imports is not installed",
        "Install its extra, in a checkout: `pip install '.[cpu]'`, or `'.[paddleocr-vl,vllm]'`."),
    "engine-start": Meaning(
        _E, "the engine does not start, or does not read a page (only with `--engine-start`)",
        "The finding tells its last words; `pagemill worker --engine NAME` shows all of them."),
    # machine
    "disk-scratch": Meaning(
        _M, "the folder for sources being read is full, small, or cannot be written",
        "Set PAGEMILL_SCRATCH to a folder on a disk with room, or lower PAGEMILL_SCRATCH_BYTES."),
    "machine-shm": Meaning(
        _M, "shared memory (`/dev/shm`) is small: torch and vLLM keep tensors there",
        "In a container, start it with `--shm-size 8g` (`shm_size: 8gb` in compose)."),
    "machine-files": Meaning(
        _M, "a process may open few files",
        "Raise it: `ulimit -n 65536`, LimitNOFILE=65536 in systemd, `ulimits.nofile` in compose."),
    "machine-processes": Meaning(
        _M, "few processes and threads may be started",
        "Raise it: `ulimit -u 32768`, TasksMax= in systemd, `pids_limit` in compose."),
    "machine-memlock": Meaning(
        _M, "little memory may be locked, which copies to the GPU want",
        "In a container, start it with `--ulimit memlock=-1`; LimitMEMLOCK=infinity in systemd."),
    "machine-memory": Meaning(
        _M, "less memory than the settings let the render processes take",
        "Lower PAGEMILL_RENDER_PROCESSES or PAGEMILL_RENDER_MEMORY, or give the machine (container) more."),
    "machine-ports": Meaning(
        _M, "another program listens where the API is to listen",
        "End it, or set PAGEMILL_API_PORT."),
    # workers
    "workers-alive": Meaning(
        _W, "no worker runs while jobs wait", "Start one: `pagemill worker --engine NAME`."),
    "workers-engines": Meaning(
        _W, "jobs wait for an engine that no living worker serves",
        "Start a worker with that engine: `pagemill worker --engine NAME`, or cancel the jobs."),
    "workers-silent": Meaning(
        _W, "a worker that counts as alive has not been heard of, and nobody took its pages back",
        "Look whether it hangs (`pagemill workers`) and start it anew; any living worker then takes its pages back."),
    "workers-failed": Meaning(
        _W, "the last worker in a slot ended with a reason",
        "The finding tells the reason; mend it and start that worker again."),
    # doctor
    "check-failed": Meaning(
        Area.DOCTOR, "a check broke off", "Please report it with the finding; what else was found stands."),
    "check-hung": Meaning(
        Area.DOCTOR, "a check did not end in its time: what it asks hangs",
        "Look at the service it asks; `--timeout` gives the checks more time."),
})  # fmt: skip
