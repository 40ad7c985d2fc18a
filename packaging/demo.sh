#!/usr/bin/env bash
# The demo: a small local disk, a cloud account that takes the overflow, and the way back out of it.
#
# Usage: demo.sh HAYLOFT WEED DIRECTORY      (`make demo` calls it; KEEP=1 leaves the server running)
#
# Everything stays below DIRECTORY and on the loopback interface. Exits non-zero on any difference.
set -euo pipefail

HAYLOFT=$1 WEED=$2 DIR=$3
BUCKET=hayloft-demo KEY=demokey SECRET=demosecret SCOPE=demo
# What is uploaded at most. The local disk is allowed to keep a third of it.
MAX_FILES=500 MAX_BYTES=240000000
# How long a download link to the cloud works; a file there is deleted only after that.
PRESIGN_TTL=10s

step=start
pids=()

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; step=$*; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n== %s\n' "$*"; step=$*; }

fail() { echo "error: $*" >&2; exit 1; }

# Shows a command and runs it.
run() { printf '$ hayloft'; printf ' %q' "$@"; printf '\n'; "$HAYLOFT" "$@"; }

finish() {
    local code=$?
    set +e
    if [ "$code" -ne 0 ]; then
        echo "DEMO FAILED at: $step (exit code $code). The end of the logs in $DIR:" >&2
        tail -n 15 "$DIR"/*.log >&2
    elif [ -n "${KEEP:-}" ]; then
        return 0
    fi
    [ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null
    wait
    rm -rf "$SOCKETS"
    exit "$code"
}
trap finish EXIT

# A value out of JSON on standard input: `json 'd["bytes"]'`.
json() { python3 -c 'import json, sys; d = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# So many free ports; SeaweedFS uses the one 10,000 above too.
free_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys
held, ports = [], []
while len(ports) < int(sys.argv[1]):
    port = random.randrange(15000, 32000)
    try:
        pair = []
        for number in (port, port + 10000):
            s = socket.socket()
            pair.append(s)
            s.bind(("127.0.0.1", number))
    except OSError:
        for s in pair:
            s.close()
        continue
    held += pair
    ports.append(port)
print(*ports)
PYTHON
}

# A signed request to the S3 server, made by curl: another implementation than the one shown here.
s3() { curl --silent --show-error --fail --noproxy '*' --aws-sigv4 aws:amz:us-east-1:s3 --user "$KEY:$SECRET" "$@"; }

objects() { s3 "$S3/$BUCKET?list-type=2" | grep -o '<Key>[^<]*</Key>' || true; }

wait_for() {
    local what=$1 pid=$2
    shift 2
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return 0
        kill -0 "$pid" 2>/dev/null || fail "$what ended while starting"
        sleep 0.2
    done
    fail "$what did not answer within a minute"
}

# Downloads every file by plain HTTP, following redirects, and compares all digests. Sets `direct`
# and `redirected` to how many files came which way.
download_and_compare() {
    rm -rf "$DIR/back"
    mkdir "$DIR/back"
    python3 - "$DIR" "$URL/files/$SCOPE" <<'PYTHON' >"$DIR/downloads.curl"
import os, sys, urllib.parse
directory, base = sys.argv[1:]
token = open(os.path.join(directory, "token")).read().strip()
print(f'header = "Authorization: Bearer {token}"')
quoted = lambda s: s.replace("\\", "\\\\").replace('"', '\\"')
for line in open(os.path.join(directory, "paths"), encoding="utf-8"):
    path = line.rstrip("\n")
    print(f'url = "{base}/{urllib.parse.quote(path)}"')
    print(f'output = "{quoted(os.path.join(directory, "back", path))}"')
PYTHON
    curl --silent --show-error --fail --noproxy '*' --globoff --location --create-dirs \
        --write-out '%{num_redirects}\n' --config "$DIR/downloads.curl" >"$DIR/redirects"
    direct=$(grep -c '^0$' "$DIR/redirects" || true)
    redirected=$(grep -c '^1$' "$DIR/redirects" || true)
    (cd "$DIR/back" && sha256sum --quiet --check "$DIR/sha256") || fail "a download differs from its source"
    [ "$((direct + redirected))" -eq "$files" ] || fail "not every file came back"
    echo "$files files are identical to their sources: $direct from the local disk, $redirected by redirect from the cloud."
}

rm -rf "$DIR"
mkdir -p "$DIR"
umask 077
# A socket's path must be short, and DIR may be long.
SOCKETS=$(mktemp -d "${TMPDIR:-/tmp}/hayloft-demo.XXXXXX")
unset HAYLOFT_SERVER HAYLOFT_TOKEN
export HAYLOFT_CONFIG=$DIR/config.toml

say "Choosing real files of this machine"
(cd /usr && find bin lib share -xdev -type f -readable -size +64k -size -8000k -printf '%s %p\n') |
    LC_ALL=C sort -k 2 | grep -v '[[:cntrl:]\\]' | shuf --random-source=<(yes) |
    awk -v max_files=$MAX_FILES -v max_bytes=$MAX_BYTES '
        n < max_files && sum + $1 <= max_bytes { n++; sum += $1; print substr($0, index($0, " ") + 1) }' >"$DIR/paths"
files=$(wc -l <"$DIR/paths")
[ "$files" -ge 100 ] || fail "only $files suitable files below /usr"
mkdir "$DIR/files"
(cd /usr && tr '\n' '\0' <"$DIR/paths" | xargs -0 cp --parents --no-preserve=mode -t "$DIR/files")
(cd "$DIR/files" && tr '\n' '\0' <"$DIR/paths" | xargs -0 sha256sum) >"$DIR/sha256"
bytes=$(tr '\n' '\0' <"$DIR/paths" | (cd "$DIR/files" && xargs -0 cat) | wc -c)
local_limit=$((bytes / 3))
echo "$files files, $((bytes / 1000000)) MB, out of /usr"

say "Starting SeaweedFS, a real S3 server, as the cloud"
read -r s3_port filer master volume admin port <<<"$(free_ports 6)"
S3=http://127.0.0.1:$s3_port URL=http://127.0.0.1:$port
mkdir "$DIR/cloud"
printf '{"identities":[{"name":"demo","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Admin","Read","Write","List","Tagging"]}]}' \
    "$KEY" "$SECRET" >"$DIR/s3.json"
"$WEED" mini -dir="$DIR/cloud" -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false \
    -s3.config="$DIR/s3.json" -webdav=false -admin.ui=false -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.port="$s3_port" -filer.port="$filer" -master.port="$master" -volume.port="$volume" \
    -admin.port="$admin" >"$DIR/cloud.log" 2>&1 &
pids+=($!)
wait_for SeaweedFS $! s3 "$S3/"
wait_for SeaweedFS "${pids[0]}" s3 -X PUT "$S3/$BUCKET"
echo "bucket $BUCKET at $S3"

say "Starting Hayloft"
cat >"$HAYLOFT_CONFIG" <<TOML
data_dir = "$DIR/hayloft"
listen = "127.0.0.1:$port"
admin_socket = "$SOCKETS/admin.sock"
[maintenance]
schedule = "off"
TOML
"$HAYLOFT" serve >"$DIR/hayloft.log" 2>&1 &
pids+=($!)
wait_for Hayloft $! curl --silent --fail --noproxy '*' "$URL/readyz"
echo "Hayloft at $URL"

say "A scope with a small local limit, and the cloud for what does not fit"
printf '%s\n' "$SECRET" >"$DIR/secret"
run store create cloud s3 --bucket "$BUCKET" --prefix hay --endpoint "$S3" --path-style --region us-east-1 \
    --presign-ttl "$PRESIGN_TTL" --access-key-id "$KEY" --secret-access-key-file "$DIR/secret"
run store check cloud
run scope create "$SCOPE" --store cloud
run scope manage "$SCOPE" edit-store local --soft-max-size "$local_limit"
"$HAYLOFT" token create --name demo --role read --scope "$SCOPE" >"$DIR/token" 2>/dev/null

say "Uploading"
run import directory "$SCOPE" "$DIR/files"

say "Before the vacuum: everything is on the local disk, above its limit"
run scope show "$SCOPE"

say "The vacuum moves what was not used for longest"
run vacuum
say "After the vacuum"
run scope show "$SCOPE"
used=$("$HAYLOFT" --json scope show "$SCOPE" | json '[s for s in d["stores"] if s["store"] == "local"][0]["bytes"]')
[ "$used" -le "$local_limit" ] || fail "the local store still holds $used bytes"
again=$("$HAYLOFT" --json vacuum --dry-run | json 'len(d["moves"])')
[ "$again" -eq 0 ] || fail "a second run would make $again more moves"
echo "A second run would do nothing."

say "Downloading every file, from both places"
download_and_compare
[ "$direct" -gt 0 ] && [ "$redirected" -gt 0 ] || fail "both ways should have been taken"

say "Leaving the cloud: no new files there, and room for everything here"
run scope manage "$SCOPE" edit-store cloud --read-only
run scope manage "$SCOPE" edit-store local --soft-max-size none --populate
if run store evacuation cloud; then fail "the cloud cannot be given up yet"; fi
run vacuum
run store evacuation cloud || fail "the cloud should be superfluous now"

say "Emptying the account"
run scope manage "$SCOPE" edit-store local --no-populate
run scope manage "$SCOPE" edit-store cloud --drain-to local
run vacuum
run scope show "$SCOPE"
run scope manage "$SCOPE" remove-store cloud
echo "(Objects go when the last download link to them has expired: $PRESIGN_TTL here.)"
deleted=
for _ in $(seq 30); do
    if run store delete cloud; then deleted=yes; break; fi
    sleep 2
done
[ -n "$deleted" ] || fail "the store could not be deleted within a minute"
left=$(objects)
[ -z "$left" ] || fail "the bucket still holds: $left"
echo "The bucket is empty."

say "Downloading every file again, and checking the catalogue against the disk"
download_and_compare
[ "$redirected" -eq 0 ] || fail "$redirected files were still served by the cloud"
run verify --read

say "The demo is complete: nothing was lost, nothing was left behind"
if [ -n "${KEEP:-}" ]; then
    echo "Hayloft is still running at $URL (process ${pids[1]}; SeaweedFS: ${pids[0]})."
    echo "  sign in:   $("$HAYLOFT" token link 2>/dev/null)"
    echo "  commands:  HAYLOFT_CONFIG=$HAYLOFT_CONFIG $HAYLOFT scope show $SCOPE"
    echo "  end it:    kill ${pids[*]}"
fi
