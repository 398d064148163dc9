#!/bin/sh
# Show how a job goes, as server-sent events, until it has ended. A browser's EventSource does the same.
#   PAGEMILL_URL=… PAGEMILL_API_KEY=… sh follow.sh job_…
set -eu
curl -sSN --fail-with-body -H "Authorization: Bearer ${PAGEMILL_API_KEY:-}" "${PAGEMILL_URL:-http://127.0.0.1:8470}/v1/jobs/$1/events"
