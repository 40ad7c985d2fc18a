#!/bin/sh
# Installs what the browser tests need: Chromium, Node.js 20 or newer, and the npm packages of the
# lock file beside this script. `install.sh TOOLS`; TOOLS gets a Node.js when Debian's is too old.
set -eu
tools=$1
cd "$(dirname "$0")"

missing=
for pair in chromium:chromium node:nodejs npm:npm; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
if [ -n "$missing" ]; then
    test "$(id -u)" = 0 || { echo "Install them first: sudo apt-get install$missing" >&2; exit 1; }
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing
fi

if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ] && [ ! -x "$tools/node/bin/node" ]; then
    npm install --silent --no-save --no-audit --no-fund --prefix "$tools/npm" "node-linux-$(node -p process.arch)@22"
    ln -sfn "$tools/npm/node_modules/node-linux-$(node -p process.arch)" "$tools/node"
fi

# npm writes this file last.
done=node_modules/.package-lock.json
if [ ! -e "$done" ] || [ package-lock.json -nt "$done" ]; then
    npm ci --silent --ignore-scripts --no-audit --no-fund
    touch "$done"
fi
