"""What the server and a worker log while everything goes wrong: no secret is in it. On PostgreSQL, Valkey and
SeaweedFS, each with its password, each killed."""

from __future__ import annotations

import json
from contextlib import contextmanager

import httpx
import pytest

from jobs import keys
from jobs.models import Scope
from tests.api_server import PDF, ApiServer, files
from tests.documents import pdf
from tests.installation import Installation
from tests.mill import CALM
from tests.processes import HOST, ServiceError, wait_until
from tests.protocol import change
from tests.receiver import Answer, Receiver
from tests.services import Postgres, SeaweedFS, Valkey

DATABASE, BROKER, VAULT = "s3cret-database", "s3cret-broker", "s3cret-vault-long-enough"
TOKEN, PASSWORD, METADATA, WRONG_KEY = "s3cret-token", "s3cret-password", "s3cret-metadata", "pm_s3cretkey"


class Setting:
    """All services, a server and a worker; `said` is all that both have logged."""

    def __init__(self, root):
        self.root = root
        self.broker, self.postgres, self.s3, self.web = Valkey(), Postgres(), SeaweedFS(), Receiver()
        self.signed = []
        """Signatures of links, and webhook secrets."""

    @contextmanager
    def opened(self):
        with self.broker, self.postgres, self.s3, self.web:
            url = self.postgres.create_database("logs").replace("postgres@", f"postgres:{DATABASE}@")
            with self.broker.client() as client:
                client.config_set("requirepass", BROKER)
            broker = f"redis://:{BROKER}@{HOST}:{self.broker.port}/0"
            store = {
                "store_url": f"s3://{self.s3.create_bucket('logs')}/mill",
                "s3_endpoint": self.s3.url,
                "s3_access_key": self.s3.access_key,
                "s3_secret_key": self.s3.secret_key,
                "s3_timeout": "2",
            }
            variables = {f"PAGEMILL_{name.upper()}": value for name, value in store.items()}
            settings = CALM | {"PAGEMILL_OUTBOUND_ALLOW": HOST, "PAGEMILL_SECRET_KEY": VAULT}
            with Installation(self.root, url, broker, variables, settings) as self.mill:
                _, self.key = keys.create(self.mill.db, "somebody", [Scope.ADMIN])
                # Both formats tell the same fields, so each process has one of them.
                self.server = ApiServer(
                    url, log_format="json", auth="keys", broker_url=broker, secret_key=VAULT,
                    key_requests_per_second=1000, **store,
                )  # fmt: skip
                with self.server, self.mill.worker() as self.worker:
                    yield self

    @property
    def said(self):
        return self.server.log_text() + self.worker.output()

    def until(self, text):
        wait_until(lambda: text in self.said.lower(), f"{text!r} to be logged")


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    with Setting(tmp_path_factory.mktemp("logs")).opened() as found:
        yield found


@pytest.mark.timeout(400)
def test_no_secret_is_logged_whatever_goes_wrong(setting):
    with setting.server.client(headers={"Authorization": f"Bearer {setting.key}"}) as http:
        secrets_of(setting, http)
        requests_that_are_refused(setting, http)
        jobs_that_go_wrong(setting, http)
        a_bug(setting, http)
        services_that_die(setting, http)
    starts_that_fail(setting)
    found = setting.said
    assert "traceback" in found.lower(), "this is what a bug looks like"
    secrets = [
        DATABASE,
        BROKER,
        VAULT,
        TOKEN,
        PASSWORD,
        METADATA,
        WRONG_KEY,
        "s3cret",
        setting.key,
        setting.s3.secret_key,
    ]
    for secret in [*secrets, *setting.signed]:
        assert secret not in found, "\n".join(line for line in found.splitlines() if secret in line)


def secrets_of(setting, http):
    setting.signed += [http.get("webhooks/secret").json()["secrets"][0]["secret"].removeprefix("whsec_")]
    setting.signed += [http.post("webhooks/secret/rotate").json()["secrets"][0]["secret"].removeprefix("whsec_")]
    link = http.post("uploads", json={"bytes": len(PDF)}).json()["url"]
    setting.signed += [link.partition("X-Amz-Signature=")[2].partition("&")[0]]
    assert all(len(found) > 20 for found in setting.signed)


def options(**values):
    return ("options", (None, json.dumps(values)))


def requests_that_are_refused(setting, http):
    refused = [
        httpx.get(f"{setting.server.url}/v1/jobs", headers={"Authorization": f"Bearer {WRONG_KEY}"}),
        httpx.get(f"{setting.server.url}/v1/jobs", headers={"Authorization": f"Basic {WRONG_KEY}"}),
        http.post(f"jobs?password={PASSWORD}", content=PDF),
        http.post("jobs", files=[*files(PDF), options(password=PASSWORD, nothing=1)]),
        http.post("jobs", files=[*files(PDF), options(password=[PASSWORD])]),
        http.post("jobs", files=[*files(PDF), options(webhook={"url": f"ftp://{TOKEN}@a.example/?{TOKEN}"})]),
        http.post("jobs", files=[*files(PDF), options(metadata={METADATA: "x" * 20_000})]),
        http.post("jobs", content=f'{{"options":{{"password":"{PASSWORD}"'.encode()),
        http.get(f"jobs/{TOKEN}?token={TOKEN}"),
        http.post("jobs", json={"sources": [{"url": f"https://u:{TOKEN}@a.example/?{TOKEN}"}]}),
    ]
    assert {response.status_code for response in refused} <= {400, 401, 404, 415}
    assert TOKEN not in refused[-1].text
    assert all(PASSWORD not in response.text for response in refused)


def jobs_that_go_wrong(setting, http):
    """Sources that are refused and webhooks that nobody takes, a secret in each URL."""
    setting.web.answer = lambda request: Answer(500 if request.path.startswith("/hook") else 403)
    webhook = {"url": setting.web.url(f"/hook/{TOKEN}?token={TOKEN}")}
    sources = [{"url": setting.web.url(f"/a.pdf?token={TOKEN}")}, {"url": f"https://127.0.0.2/b.pdf?token={TOKEN}"}]
    body = {"sources": sources, "options": {"webhook": webhook, "password": PASSWORD, "metadata": {METADATA: METADATA}}}
    made = http.post("jobs", json=body)
    assert made.status_code == 202
    told = http.post("jobs", files=[*files(pdf(1), b"%PDF-1.4 broken"), options(password=PASSWORD, webhook=webhook)])
    for job in (made.json()["id"], told.json()["id"]):
        setting.mill.wait(job)
    wait_until(lambda: any(r.path.startswith("/hook") for r in setting.web.received), "the webhook to be tried")


def a_bug(setting, http):
    """A database that is not what the code expects: an error that nobody foresaw, with its traceback in the log."""
    change(setting.mill.db, "ALTER TABLE job RENAME COLUMN password TO passphrase")
    response = http.post("jobs", files=[*files(PDF), options(password=PASSWORD, metadata={METADATA: METADATA})])
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["connection"] == "close"
    change(setting.mill.db, "ALTER TABLE job RENAME COLUMN passphrase TO password")


def services_that_die(setting, http):
    setting.s3.kill()
    assert http.post("jobs", files=files(PDF)).status_code == 503
    setting.s3.start()
    setting.broker.kill()
    assert http.get("jobs").status_code == 200
    setting.until("redis")
    # Comes back without its password: that it is sent is now an error, which tells what was sent in some libraries.
    setting.broker.start()
    assert http.get("health/ready").json()["checks"]["broker"] in ("ok", "unavailable")
    setting.postgres.kill()
    assert http.get("jobs").status_code == 503
    setting.until("database")
    setting.postgres.start()
    wait_until(lambda: http.get("jobs").status_code == 200, "the server to find its database again")


def starts_that_fail(setting):
    """Processes whose settings name what is not there."""
    nowhere = {"PAGEMILL_DATABASE_URL": f"postgresql://postgres:{DATABASE}@{HOST}:1/logs"}
    for wrong in (
        nowhere,
        {"PAGEMILL_BROKER_URL": f"redis://:{BROKER}@{HOST}:1/0"},
        {"PAGEMILL_BROKER_URL": f"redis://:{BROKER}@{HOST}:x/0"},
        {"PAGEMILL_STORE_URL": "s3://nobodys/mill"},
        {"PAGEMILL_DATABASE_URL": f"postgresql://postgres:{DATABASE}@{HOST}:x/logs"},
    ):
        worker = setting.mill.worker(**wrong, PAGEMILL_SLOT="other").launch()
        wait_until(lambda: len(worker.output()) > 0 or not worker.running, "the worker to say something")  # noqa: B023
        worker.stop()
        said = worker.output()
        worker.remove()
        assert "s3cret" not in said, said
    server = ApiServer(nowhere["PAGEMILL_DATABASE_URL"], broker_url=f"redis://:{BROKER}@{HOST}:x/0", secret_key=VAULT)
    with pytest.raises(ServiceError) as raised:
        server.start()
    assert "PAGEMILL_BROKER_URL" in str(raised.value)
    assert "s3cret" not in str(raised.value)
    server.remove()
