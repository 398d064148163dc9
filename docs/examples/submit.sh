#!/bin/sh
# Submit a file, wait for its end, print its Markdown.
#   PAGEMILL_URL=http://127.0.0.1:8470 PAGEMILL_API_KEY=pm_… sh submit.sh scan.pdf
set -eu
server="${PAGEMILL_URL:-http://127.0.0.1:8470}"
api="$server/v1"
key="Authorization: Bearer ${PAGEMILL_API_KEY:-}"

# Sent again with the same Idempotency-Key (after a network error, say), it makes no second job.
curl -sS --fail-with-body -D headers.txt -o job.json \
  -H "$key" -H "Idempotency-Key: $(uuidgen 2>/dev/null || date +%s%N)" -H "Prefer: wait=60" \
  -F "file=@$1" -F 'options={"metadata":{"case":"2024-117"},"priority":"interactive"};type=application/json' \
  "$api/jobs" || { cat job.json >&2; exit 22; } # every error has a code, and says whether trying again may help
job="$server$(tr -d '\r' < headers.txt | sed -n 's/^[Ll]ocation: //p')"

# 202: not finished in those 60 seconds. Each of these waits up to 60 more.
until grep -q '"state":"\(succeeded\|partial\|failed\|canceled\)"' job.json; do
  curl -sS --fail-with-body -o job.json -H "$key" -H "Prefer: wait=60" "$job"
done
curl -sS --fail-with-body -H "$key" -H "Accept: text/markdown" "$job/result"
