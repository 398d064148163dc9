#!/bin/sh
# Submit many documents by where they lie, a JSON object a line; they are entered in the background.
#   PAGEMILL_URL=… PAGEMILL_API_KEY=… sh manifest.sh < manifest.ndjson
# where the first line may be {"options":{"dpi":150}} and the others are like {"url":"s3://scans/a.pdf","name":"a.pdf"}.
set -eu
curl -sS --fail-with-body -H "Authorization: Bearer ${PAGEMILL_API_KEY:-}" \
  -H "Content-Type: application/x-ndjson" --data-binary @- "${PAGEMILL_URL:-http://127.0.0.1:8470}/v1/jobs"
