#!/bin/sh
# Asks a fresh instance everything that its OpenAPI document allows, and much that it does not.
#
#     run.sh HAYLOFT SCHEMATHESIS [SECONDS]
#
# Ends with schemathesis' exit code; the instance and its data go in any case.
set -eu

hayloft=$(realpath "$1")
schemathesis=$(realpath "$2")
seconds=${3:-240}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
server=

end() {
    code=$?
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if [ "$code" -ne 0 ] && [ -s "$dir/server.log" ]; then
        echo "--- the server's log, warnings and errors" >&2
        grep -E 'WARN|ERROR|panicked' "$dir/server.log" | tail -n 40 >&2 || true
    fi
    rm -rf "$dir"
    exit "$code"
}
trap end EXIT
trap 'exit 130' INT TERM

# Below the ports that the system gives to outgoing connections, so that none takes it before the server does.
port=$(python3 - <<'PYTHON'
import random, socket
while True:
    port = random.randrange(16000, 20000)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PYTHON
)
cat > "$dir/config.toml" <<CONFIG
data_dir = "$dir/data"
admin_socket = "$dir/admin.sock"
listen = "127.0.0.1:$port"
[maintenance]
schedule = "off"
CONFIG
h() { "$hayloft" --config "$dir/config.toml" "$@" 2> "$dir/complaint" || { cat "$dir/complaint" >&2; return 1; }; }

# The program itself, not a function in a shell of its own: this is the process to end.
"$hayloft" --config "$dir/config.toml" serve 2> "$dir/server.log" &
server=$!
i=0
until python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/readyz')" 2>/dev/null; do
    i=$((i + 1))
    if [ "$i" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
        cat "$dir/server.log" >&2
        exit 1
    fi
    sleep 0.1
done

# A little of everything, under the names that the configuration gives to path parameters.
h scope create media > "$dir/out"
h scope create spare --no-local > "$dir/out"
h store create disk local --root "$dir/disk" --max-size 1GB > "$dir/out"
h scope manage media add-store disk > "$dir/out"
for i in 1 2 3; do
    echo "file $i" > "$dir/file"
    h file put media "$dir/file" "a/$i.txt" > "$dir/out"
done
h file delete media a/3.txt > "$dir/out"
h vacuum > "$dir/out"
digest=$(h --json file show media a/1.txt | python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])')
HAYLOFT_TEST_TOKEN=$(h --json token create --name schemathesis --role admin |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
HAYLOFT_TEST_DIGEST=$digest
export HAYLOFT_TEST_TOKEN HAYLOFT_TEST_DIGEST

cd "$dir"
python3 - "http://127.0.0.1:$port/api/openapi.json" > openapi.json <<'PYTHON'
import os, sys, urllib.request
headers = {"Authorization": "Bearer " + os.environ["HAYLOFT_TEST_TOKEN"]}
ask = urllib.request.Request(sys.argv[1], headers=headers)
sys.stdout.buffer.write(urllib.request.urlopen(ask).read())
PYTHON
"$schemathesis" --config-file "$here/schemathesis.toml" run openapi.json \
    --url "http://127.0.0.1:$port" --max-time "$seconds"
# Whatever was asked, the instance is sound.
kill -0 "$server"
# Files may be lost: stores were deleted by force. Counters and everything else must be right.
h --json verify --read > "$dir/verify.json" || true
python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); bad = r["counters"] or r["corrupt"]; sys.exit(str(bad) if bad else 0)' "$dir/verify.json"
if grep -q panicked "$dir/server.log"; then
    echo "the server panicked" >&2
    exit 1
fi
