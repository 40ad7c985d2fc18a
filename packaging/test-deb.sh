#!/usr/bin/env bash
# Takes the Debian package through its life in a clean Debian tree: install, use, upgrade with data in place,
# remove, purge. Where systemd can be booted in a container (as root, outside of another container), the
# unit runs as it will run; elsewhere the service is started by hand, as its user, with the same paths.
#
# Usage, as root: test-deb.sh, after `make deb`. The tree and all it needs lie in target/test-deb.
# BASE_ONLY_BY_HAND=1 leaves systemd out.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/target/test-deb
base=$work/base
tree=$work/tree
cargo=${CARGO:-cargo}
port=18700
nspawn=
weed=
server=

say() { printf '\n== %s\n' "$*"; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# ---- the tree, alive or not ----

# Runs a command in the tree as root.
inside() {
    if [ -n "$nspawn" ]; then
        nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wdns=/ -- \
            env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
    else
        chroot "$tree" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# Runs a shell line in the tree as a user, in a fresh session with that user's groups.
as() {
    local user=$1
    shift
    inside setpriv --reuid "$user" --regid "$user" --init-groups -- env "HOME=/home/$user" sh -c "cd / && $*"
}

boot() {
    [ -z "${BASE_ONLY_BY_HAND:-}" ] || return 1
    command -v systemd-nspawn >/dev/null || return 1
    local flags=(--quiet --boot --register=no --private-network --directory "$tree")
    [ -d /run/systemd/system ] || flags+=(--keep-unit)
    systemd-nspawn "${flags[@]}" </dev/null >"$work/boot.log" 2>&1 &
    nspawn=$!
    for _ in $(seq 100); do
        sleep 0.2
        kill -0 "$nspawn" 2>/dev/null || break
        leader=$(pgrep -o -P "$nspawn" || true)
        [ -n "$leader" ] || continue
        case $(inside systemctl is-system-running 2>/dev/null || true) in
            running | degraded) return 0 ;;
        esac
    done
    echo "systemd cannot be booted here (see $work/boot.log); the service is started by hand"
    end_boot
    return 1
}

end_boot() {
    if [ -n "$nspawn" ]; then
        inside systemctl poweroff >/dev/null 2>&1 || true
        for _ in $(seq 100); do
            kill -0 "$nspawn" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$nspawn" 2>/dev/null || true
        wait "$nspawn" 2>/dev/null || true
        nspawn=
    fi
}

# ---- the service ----

start() {
    if [ -n "$nspawn" ]; then
        inside systemctl start hayloft
    else
        inside systemd-tmpfiles --create hayloft.conf
        chroot "$tree" env -i PATH=/usr/bin:/bin HOME=/var/lib/hayloft USER=hayloft \
            setpriv --reuid hayloft --regid hayloft --init-groups --inh-caps=-all --no-new-privs \
            /usr/bin/hayloft serve >>"$work/server.log" 2>&1 &
        server=$!
    fi
    answers
}

answers() {
    for _ in $(seq 100); do
        if inside hayloft --json status >"$work/status.json" 2>/dev/null && inside test -S /run/hayloft/admin.sock; then
            return
        fi
        sleep 0.1
    done
    journal
    fail "the server does not answer"
}

stop() {
    if [ -n "$nspawn" ]; then
        inside systemctl stop hayloft
    elif [ -n "$server" ]; then
        kill -TERM "$server"
        wait "$server" || fail "the server did not end in order"
        server=
    fi
}

journal() {
    if [ -n "$nspawn" ]; then
        inside journalctl --no-pager --unit hayloft
    else
        cat "$work/server.log"
    fi
}

clean_up() {
    local code=$?
    trap - EXIT
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
    [ -z "$weed" ] || kill -9 "$weed" 2>/dev/null || true
    end_boot
    # Nothing of this machine may be mounted below what is deleted.
    if mountpoint --quiet "$tree/proc"; then umount "$tree/proc"; fi
    mountpoint --quiet "$tree/proc" || rm -rf --one-file-system "$tree"
    [ "$code" = 0 ] || echo "test-deb: failed; logs are in $work" >&2
    exit "$code"
}

# Everything in the tree but what any installation or any run of Debian changes.
listing() {
    (
        cd "$tree"
        find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp -o -path ./var/lib/dpkg \
            -o -path ./var/log -o -path ./var/cache -o -path ./var/tmp -o -path ./var/lib/apt -o -path ./var/lib/systemd \
            -o -path ./home -o -path ./root -o -path ./var/lib/hayloft -o -path ./srv \) -prune -o -print |
            grep -Ev '^./etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|^./etc/(machine-id|\.updated|\.pwd\.lock|resolv.conf)$|^./var/\.updated$|^./etc/ld.so.cache$' |
            sort
    )
}

# A real S3 server on the container's loopback interface, and a store in it.
s3_store() {
    local net=(nsenter --target "$leader" --net --) key=testkey secret=testsecret
    mkdir -p "$work/weed"
    printf '{"identities":[{"name":"a","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Admin"]}]}' \
        "$key" "$secret" >"$work/weed/s3.json"
    "${net[@]}" "$root/target/tools/venv/bin/weed" mini -dir="$work/weed" -s3.config="$work/weed/s3.json" \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -webdav=false -admin.ui=false -s3.port.iceberg=0 \
        -s3.port.lance=0 -s3.port=28333 >"$work/weed.log" 2>&1 &
    weed=$!
    for _ in $(seq 100); do
        "${net[@]}" curl --silent --fail --noproxy '*' --aws-sigv4 aws:amz:us-east-1:s3 --user "$key:$secret" \
            -X PUT http://127.0.0.1:28333/archive >/dev/null && break
        sleep 0.2
    done
    local create=(hayloft store create cold s3 --bucket archive --endpoint http://127.0.0.1:28333 --path-style
        --serve proxy --credentials systemd:s3_weed)
    if as ann "${create[*]}" 2>"$work/keyless"; then
        fail "there is no such credential yet"
    fi
    cat "$work/keyless"
    printf 'access_key_id = %s\nsecret_access_key = %s\n' "$key" "$secret" >"$tree/etc/hayloft/credentials/weed"
    chmod 600 "$tree/etc/hayloft/credentials/weed"
    inside systemctl restart hayloft
    answers
    as ann "${create[*]}"
    as ann hayloft store check cold
    as ann hayloft scope manage media add-store cold --populate
    as ann hayloft vacuum
    as ann hayloft verify --read
    as ann hayloft scope manage media edit-store cold --no-populate --read-only --drain-to local
    as ann hayloft vacuum
    as ann hayloft scope manage media remove-store cold
    as ann hayloft store delete cold
    kill "$weed"
    weed=
}

# ---- preparation ----

[ "$(id -u)" = 0 ] || fail "this needs root: it makes a Debian tree and starts a service in it"
trap clean_up EXIT
mkdir -p "$work"
need=()
command -v debootstrap >/dev/null || need+=(debootstrap)
command -v lintian >/dev/null || need+=(lintian)
command -v systemd-nspawn >/dev/null || need+=(systemd-container)
if [ ${#need[@]} -gt 0 ]; then
    say "installing ${need[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arch=$(dpkg --print-architecture)
built=$root/target/debian/hayloft_${version}-1_$arch.deb
[ -f "$built" ] || fail "$built does not exist: run make deb"
# cargo-deb clears its directory before it builds another.
old=$work/hayloft_${version}-1_$arch.deb
cp "$built" "$old"
new=$work/hayloft_${version}-1+next_$arch.deb

say "the package as a file"
dpkg-deb --info "$old" | sed -n '/Package:/,$p'
lintian --fail-on error,warning --info "$old"
"$cargo" deb --no-build --strip --locked --quiet --fast --deb-version "${version}-1+next" --output "$new"
cp "$old" "$built"

say "a clean Debian tree"
. /etc/os-release
if [ ! -f "$base/.complete" ]; then
    # The mirror that this machine uses itself.
    # shellcheck disable=SC2016 # apt fills it in
    mirror=$(apt-get indextargets --format '$(SITE)' 'Identifier: Packages' 'Label: Debian' \
        "Codename: $VERSION_CODENAME" | head -n 1)
    [ -n "$mirror" ] || fail "apt has no Debian mirror configured"
    rm -rf "$base"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,man-db,bash-completion \
        "$VERSION_CODENAME" "$base" "$mirror" >"$work/debootstrap.log" 2>&1 || fail "debootstrap: see $work/debootstrap.log"
    touch "$base/.complete"
fi
if mountpoint --quiet "$tree/proc"; then umount "$tree/proc"; fi
rm -rf --one-file-system "$tree"
cp -a --reflink=auto "$base" "$tree"
for user in ann bob; do
    chroot "$tree" useradd --create-home "$user"
done
listing >"$work/before"
cp "$old" "$tree/srv/old.deb"
cp "$new" "$tree/srv/new.deb"

say "the unit"
dpkg-deb --extract "$old" "$work/unpacked"
unit=$(find "$work/unpacked" -name hayloft.service)
mkdir -p "$tree/tmp/verify"
dpkg-deb --extract "$old" "$tree/tmp/verify"
cp "$unit" "$tree/etc/systemd/system/hayloft.service"
cp "$work/unpacked/usr/bin/hayloft" "$tree/usr/bin/hayloft"
said=$(chroot "$tree" systemd-analyze verify --man=no /etc/systemd/system/hayloft.service 2>&1 || true)
[ -z "$said" ] || fail "systemd-analyze verify: $said"
# In tenths.
chroot "$tree" systemd-analyze security --offline=true --threshold=15 --no-pager /etc/systemd/system/hayloft.service |
    tail -n 1
rm -rf "$tree/tmp/verify" "$tree/etc/systemd/system/hayloft.service" "$tree/usr/bin/hayloft" "$work/unpacked"

rm -f "$work/server.log"
if boot; then
    how="under systemd"
else
    how="by hand"
    mount -t proc proc "$tree/proc"
fi

say "install, $how"
inside dpkg --install /srv/old.deb
inside test "$(stat -c %a "$tree/etc/hayloft/config.toml")" = 640
inside sh -c '[ "$(stat -c %U:%G /etc/hayloft/config.toml)" = root:hayloft ]'
inside sh -c '[ "$(stat -c %U:%G:%a /var/lib/hayloft)" = hayloft:hayloft:700 ]'
inside man --where hayloft hayloft-store-create >/dev/null
# An administrator's own setting, which upgrades must leave alone; the port is free in a shared network too.
inside sh -c "echo 'listen = \"127.0.0.1:$port\"' >>/etc/hayloft/config.toml"
stop
start

say "first steps"
inside hayloft status
inside usermod --append --groups hayloft ann
as ann hayloft scope create media
head -c 3000000 /dev/urandom >"$tree/home/ann/photo"
chmod 644 "$tree/home/ann/photo"
as ann hayloft file put media /home/ann/photo photos/one
as ann "hayloft token create --name t --role write --scope media >/home/ann/token"
as ann "hayloft --server http://127.0.0.1:$port --token-file /home/ann/token file put media /home/ann/photo photos/two"
as ann "hayloft file get media photos/two --output /home/ann/back && cmp /home/ann/photo /home/ann/back"
if as bob hayloft status 2>"$work/bob"; then
    fail "somebody outside the group may use the socket"
fi
cat "$work/bob"
if as bob ls /var/lib/hayloft 2>/dev/null || as ann ls /var/lib/hayloft 2>/dev/null; then
    fail "the data directory is open"
fi

say "a store outside the service's directories"
if [ -n "$nspawn" ]; then
    if as ann hayloft store create second local --root /srv/hayloft 2>"$work/closed"; then
        fail "the unit should have kept the server from making /srv/hayloft"
    fi
    cat "$work/closed"
    # What it says is followed to the letter; `systemctl edit` would open an editor.
    grep -x '  install .*' "$work/closed" >"$work/commands"
    grep -x '  systemctl restart .*' "$work/closed" >>"$work/commands"
    inside mkdir -p /etc/systemd/system/hayloft.service.d
    sed -n '/^  \[Service\]$/,/^  [A-Za-z]*=/p' "$work/closed" >"$tree/etc/systemd/system/hayloft.service.d/override.conf"
    inside systemctl daemon-reload
    inside sh -e -c "$(cat "$work/commands")"
else
    inside install -d -o hayloft -g hayloft -m 0700 /srv/hayloft
fi
as ann hayloft store create second local --root /srv/hayloft
as ann hayloft scope manage media add-store second --populate
as ann hayloft vacuum
as ann hayloft verify --read

if [ -n "$nspawn" ] && [ -x "$root/target/tools/venv/bin/weed" ]; then
    say "a store in S3, its key a credential of the service"
    s3_store
fi

if [ -n "$nspawn" ]; then
    say "under systemd: reload, watchdog, a crash"
    inside systemctl reload hayloft
    sleep 1
    journal >"$work/journal"
    grep -q 'log level reloaded' "$work/journal" || fail "the service does not reload"
    main=$(inside systemctl show --property MainPID --value hayloft)
    inside sh -c "kill -KILL $main"
    sleep 3
    answers
    [ "$(inside systemctl show --property NRestarts --value hayloft)" = 1 ] || fail "the service was not restarted"
    inside systemctl show --property WatchdogUSec,Result,StatusText,TimeoutStopUSec hayloft
    journal | tee "$work/journal"
    # The journal has time and unit of its own, colours are the terminal's.
    if grep -q -e "$(printf '\033')" -e ' INFO ' "$work/journal"; then
        fail "the log is not written for the journal"
    fi
    inside journalctl --no-pager --unit hayloft --priority err --identifier hayloft | grep -v '^-- ' && fail "errors in the log"
fi

say "upgrade with data in place"
if [ -z "$nspawn" ]; then stop; fi
inside dpkg --install /srv/new.deb
inside dpkg-query --showformat '${Version} ${Status}\n' --show hayloft | grep -qx "${version}-1+next install ok installed"
if [ -z "$nspawn" ]; then start; else answers; fi
inside grep -qx "listen = \"127.0.0.1:$port\"" /etc/hayloft/config.toml
as ann "hayloft file get media photos/one --output /home/ann/back && cmp /home/ann/photo /home/ann/back"
as ann hayloft verify --read

say "the catalogue of a stopped server"
stop
inside hayloft check-config | tail -n 1 | tee "$work/checked"
grep -q 'is good: format' "$work/checked"
start

say "remove"
if [ -z "$nspawn" ]; then stop; fi
inside dpkg --remove hayloft
inside test ! -e /usr/bin/hayloft
inside test -f /etc/hayloft/config.toml
if [ -n "$nspawn" ] && inside systemctl is-active hayloft; then fail "removed, and running"; fi

say "install again: everything is as it was"
inside dpkg --install /srv/new.deb
if [ -z "$nspawn" ]; then start; else answers; fi
as ann "hayloft file get media photos/one --output /home/ann/back && cmp /home/ann/photo /home/ann/back"

say "purge"
if [ -z "$nspawn" ]; then stop; fi
inside rm -rf /etc/systemd/system/hayloft.service.d
inside sh -c 'rm -f /etc/hayloft/credentials/*'
inside dpkg --purge hayloft
inside test -f /var/lib/hayloft/hayloft.redb
inside test -d /srv/hayloft
inside test ! -e /run/hayloft
end_boot
listing >"$work/after"
if ! diff "$work/before" "$work/after" >"$work/left"; then
    cat "$work/left"
    fail "purge leaves more than the data"
fi
say "all good ($how)"
