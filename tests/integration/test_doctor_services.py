"""The doctor's looks at services that a whole installation cannot show: replicas, Clusters, what a killed one left."""

from __future__ import annotations

import pytest

from jobs.blobs import s3_probing
from jobs.blobs.s3_probing import S3Probe, S3Refusal
from jobs.doctor.broker import redis
from jobs.doctor.checks import checks
from jobs.doctor.database import database
from jobs.doctor.fleet import engine_here
from jobs.doctor.run import Check, run
from jobs.doctor.scene import Scene
from jobs.doctor.store_s3 import store_s3
from jobs.settings import BrokerSettings, DatabaseSettings, EngineSettings, TimerSettings, WorkerSettings
from tests.processes import HOST, free_port
from tests.protocol import age_heartbeat, register
from tests.services import SeaweedFS, Valkey


def asked(look, *settings):
    """What is not well, by id."""
    scene = Scene({type(group): group for group in settings})
    found = run(scene, [Check("probe", (), look)], 60.0)
    return {one.id: one for one in found if one.level not in ("ok", "skipped") and not one.id.endswith("latency")}


class Cluster(Valkey):
    def _command(self):
        return [*super()._command(), "--cluster-enabled", "yes"]


def test_a_cluster_and_a_replica():
    with Cluster(persistent=True) as cluster:
        found = asked(redis, BrokerSettings(broker_url=cluster.url))
        assert found.keys() == {"redis-cluster", "redis-writable"}
        assert "Hash slot" in found["redis-writable"].found
    with Valkey(persistent=True) as replica, replica.client() as client:
        client.replicaof(HOST, str(free_port()))
        found = asked(redis, BrokerSettings(broker_url=replica.url))
        assert found.keys() == {"redis-writable"}
        assert "replica" in found["redis-writable"].found


def test_tls_with_a_redis_that_speaks_none(valkey):
    found = asked(redis, BrokerSettings(broker_url=valkey.url.replace("redis://", "rediss://")))
    assert found.keys() == {"redis-reachable"}
    assert "redis:// and not rediss://" in found["redis-reachable"].found


def test_a_user_of_redis_who_may_not_look(valkey):
    """As with services that are rented: what CONFIG would tell is skipped, nothing breaks."""
    with valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "guest", "on", ">w0rd", "~*", "&*", "+@all", "-config", "-info")
        try:
            scene = Scene({BrokerSettings: BrokerSettings(broker_url=f"redis://guest:w0rd@{HOST}:{valkey.port}/0")})
            found = {one.id: one for one in run(scene, checks(scene, ["redis"]), 60.0)}
        finally:
            client.execute_command("ACL", "DELUSER", "guest")
    assert found["redis-auth"].level == "ok"
    assert found["redis-eviction"].level == "skipped"
    assert "INFO" in found["redis-eviction"].found
    assert "check-failed" not in found


def test_a_database_that_takes_no_writes_and_has_no_connection_left(postgres, postgres_store_url):
    name = postgres_store_url.rpartition("/")[2]
    url = postgres_store_url
    with postgres.connect() as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    found = asked(database, DatabaseSettings(database_url=url))
    assert found.keys() == {"database-writable", "database-durability"}  # the tests' server has fsync off
    found = asked(database, DatabaseSettings(database_url=url, database_pool=1000))
    assert found["database-connections"].level == "warning"
    assert found["database-connections"].limit == 1008


def test_a_user_who_may_not_write(postgres, postgres_store_url):
    name = postgres_store_url.rpartition("/")[2]
    with postgres.connect(name) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        try:
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
            url = postgres_store_url.replace("postgres@", "reader@")
            found = asked(database, DatabaseSettings(database_url=url))
        finally:
            connection.execute("DROP OWNED BY reader")
            connection.execute("DROP ROLE reader")
    assert "may not write" in found["database-writable"].found


def test_a_database_of_a_newer_version(db):
    with db.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    url = db.engine.url.render_as_string(hide_password=False)
    found = asked(database, DatabaseSettings(database_url=url))["database-schema"]
    assert (found.level, found.actual) == ("error", "9999")
    assert "newer" in found.found
    assert "newer version of pagemill" in found.do


def test_an_engine_that_a_worker_here_holds(db):
    """Then the GPU's memory is rightly taken."""
    url = db.engine.url.render_as_string(hide_password=False)
    groups = [
        DatabaseSettings(database_url=url),
        WorkerSettings(host="host"),
        TimerSettings(),
        EngineSettings(name="echo"),
    ]
    scene = Scene({type(group): group for group in groups})
    assert not engine_here(scene)
    worker = register(db)
    assert engine_here(scene)
    assert not engine_here(Scene(scene.groups | {WorkerSettings: WorkerSettings(host="another")}))
    age_heartbeat(db, worker)
    assert not engine_here(scene)


# --- S3


@pytest.fixture
def bucket(seaweedfs):
    return seaweedfs.create_bucket("doctor-probes")


def keys(seaweedfs, bucket):
    return [found["Key"] for found in seaweedfs.client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_probe_that_breaks_off_leaves_nothing(seaweedfs, bucket):
    probe = S3Probe(seaweedfs.settings(bucket, "mill"), 20.0)
    probe.write()
    probe.copy()
    assert len(keys(seaweedfs, bucket)) == 2
    probe.close()
    assert keys(seaweedfs, bucket) == []


def test_what_a_killed_doctor_left_goes_with_the_next_one(seaweedfs, bucket, monkeypatch):
    left, others = "mill/doctor/0123/probe", "mill/uploads/x"
    for key in (left, others):
        seaweedfs.client.put_object(Bucket=bucket, Key=key, Body=b"x")
    probe = S3Probe(seaweedfs.settings(bucket, "mill"), 20.0)
    probe.write()
    probe.remove()
    assert keys(seaweedfs, bucket) == [left, others]  # it may be at work still
    monkeypatch.setattr(s3_probing, "STALE", -10.0)
    probe.write()
    probe.remove()
    probe.close()
    assert keys(seaweedfs, bucket) == [others]
    seaweedfs.client.delete_object(Bucket=bucket, Key=others)


def test_an_endpoint_where_nobody_listens(seaweedfs, bucket):
    probe = S3Probe(seaweedfs.settings(bucket, s3_endpoint=f"http://{HOST}:{free_port()}"), 2.0)
    with pytest.raises(S3Refusal) as refused:
        probe.look()
    assert (refused.value.code, refused.value.status) == ("", 0)
    probe.close()


class Obliging(SeaweedFS):
    """As it comes: a bucket is made with its first object."""

    def _command(self):
        return [*super()._command(), "-s3.autoCreateBucket=true"]


def all_said(look, *settings):
    found = run(Scene({type(group): group for group in settings}), checks_of(look), 60.0)
    return {one.id: one for one in found}


def checks_of(look):
    return [Check("probe", ("store-bucket", "store-write", "store-range"), look)]


def test_a_bucket_that_is_missing(seaweedfs):
    found = all_said(store_s3, seaweedfs.settings("doctor-nowhere"))
    assert found["store-access"].level == "ok"
    assert (found["store-bucket"].level, found["store-bucket"].actual) == ("error", "doctor-nowhere")
    assert {one.found for one in found.values() if one.level == "skipped"} == {"there is no bucket"}


def test_a_bucket_that_the_store_makes_itself():
    with Obliging() as obliging:
        settings = obliging.settings("doctor-later")
        found = all_said(store_s3, settings)
        assert found["store-bucket"].level == "warning"
        assert "first object" in found["store-bucket"].found
        assert found["store-write"].level == "ok"
        assert all_said(store_s3, settings)["store-bucket"].level == "ok"
