#!/bin/sh
# Put a large file straight into the object store by a link, then submit it.
#   PAGEMILL_URL=… PAGEMILL_API_KEY=… sh large_file.sh archive.pdf
set -eu
server="${PAGEMILL_URL:-http://127.0.0.1:8470}"
api="$server/v1"
key="Authorization: Bearer ${PAGEMILL_API_KEY:-}"
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -1; }

size=$(wc -c < "$1" | tr -d ' ')
place=$(curl -sS --fail-with-body -H "$key" --json "{\"name\":\"$(basename "$1")\",\"bytes\":$size}" "$api/uploads")
url=$(printf %s "$place" | field url)
case "$url" in
  /*) curl -sS --fail-with-body -H "$key" -T "$1" "$server$url" ;; # the store is a folder: through the server
  *) curl -sS --fail-with-body -T "$1" "$url" ;;                         # without the key: the link is enough
esac
upload=$(printf %s "$place" | field id)
curl -sS --fail-with-body -H "$key" -H "Prefer: wait=60" --json "{\"sources\":[{\"upload\":\"$upload\"}]}" "$api/jobs"
