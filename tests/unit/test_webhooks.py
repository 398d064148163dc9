"""Webhooks without a database: signatures, the schedule, what a receiver's answer means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook

from jobs.models import WebhookState
from jobs.options import JobOptions
from workers.webhooks import JITTER, MAX_RETRY_AFTER, SCHEDULE, Outcome, _retry_after, sign, verdict

REFERENCE = {
    "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    "message_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "at": datetime.fromtimestamp(1614265330, UTC),
    "body": '{"test": 2432232314}',
}
"""Of the Standard Webhooks specification."""


def test_the_specifications_own_vector():
    assert sign(**REFERENCE) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_secret_signs():
    second = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    one, two = sign(**REFERENCE | {"secrets": [*REFERENCE["secrets"], second]}).split(" ")
    assert one == sign(**REFERENCE)
    assert two == Webhook(second).sign(REFERENCE["message_id"], REFERENCE["at"], REFERENCE["body"])


def test_a_failure_is_tried_again_by_the_schedule_and_then_given_up():
    down = Outcome(500, "the receiver answered 500")
    for failures, pause in enumerate(SCHEDULE):
        state, delay = verdict(down, failures)
        assert state is WebhookState.PENDING
        assert pause <= delay <= pause * (1 + JITTER)
    assert verdict(down, len(SCHEDULE)) == (WebhookState.FAILED, 0.0)
    assert sum(SCHEDULE) < 18 * 3600


def test_what_was_answered_decides():
    assert verdict(Outcome(204), 5)[0] is WebhookState.DELIVERED
    assert verdict(Outcome(410, "gone"), 0)[0] is WebhookState.STOPPED
    assert verdict(Outcome(error="refused: no", final=True), 0)[0] is WebhookState.FAILED


def test_a_receiver_may_ask_for_more_patience_within_bounds():
    assert verdict(Outcome(503, "busy", retry_after=60.0), 0)[1] == 60.0
    assert verdict(Outcome(503, "busy", retry_after=1.0), 1)[1] >= SCHEDULE[1]
    assert verdict(Outcome(503, "busy", retry_after=1e9), 0)[1] == MAX_RETRY_AFTER


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120), ("", 0), ("soon", 0), ("-5", 0), ("1.5", 0), ("9" * 30, 999_999_999)]
)
def test_retry_after_in_seconds(header, seconds):
    assert _retry_after(header) == seconds


def test_retry_after_as_a_date():
    now = datetime.now(UTC)
    assert 3500 < _retry_after(format_datetime(now + timedelta(hours=1), usegmt=True)) <= 3600
    assert _retry_after(format_datetime(now - timedelta(hours=1), usegmt=True)) == 0


@pytest.mark.parametrize(
    "webhook", [{"url": "ftp://x"}, {"url": "https://a:b@x/"}, {}, {"url": "https://x", "secret": "s"}, "https://x"]
)
def test_a_webhook_is_checked_at_the_door(webhook):
    with pytest.raises(ValueError, match=r"webhook"):
        JobOptions.model_validate({"webhook": webhook})


def test_a_webhook_is_echoed():
    options = JobOptions.model_validate({"webhook": {"url": "https://Example.org/ä?x=1#top"}})
    assert options.stored()["webhook"] == {"url": "https://example.org/%C3%A4?x=1"}
