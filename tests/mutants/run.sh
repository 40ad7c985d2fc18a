#!/bin/sh
# Lays out the small target under target/mutants and runs cargo-mutants there. A run that was stopped
# goes on where it was (--iterate): what was caught once is not tried again. After a change of the
# planner, `rm -r target/mutants/mutants.out` starts anew.
set -eu
here=$(dirname "$0")
root=$(cd "$here/../.." && pwd)
work=${WORK:-$root/target/mutants}

lay_out() {
    mkdir -p "$work/src" "$work/tests/it"
    rm -rf "$work/src/domain" "$work/src/planner" "$work/tests/it/planner" "$work/tests/scenarios"
    cp -rp "$root/src/domain" "$root/src/planner" "$work/src/"
    cp -rp "$root/tests/it/planner" "$root/tests/it/planner.rs" "$work/tests/it/"
    cp -rp "$root/tests/scenarios" "$work/tests/"
    # A run that was stopped has built a mutant: the files have to be newer than that.
    find "$work/src" -name '*.rs' -exec touch {} +
    cp -p "$here/lib.rs" "$work/src/lib.rs"
    cp -p "$here/tests.rs" "$work/tests/it/main.rs"
    cp -p "$here/Cargo.toml" "$work/Cargo.toml"
    test -e "$work/Cargo.lock" || cp -p "$root/Cargo.lock" "$work/Cargo.lock"
}

lay_out
cd "$work"
test "${1:-}" != "layout" || exit 0
# The same cases for every mutant, and none made smaller. A mutant that never ends meets the time-out.
export PROPTEST_CASES="${PROPTEST_CASES:-32}" PROPTEST_RNG_SEED=20261122 PROPTEST_MAX_SHRINK_ITERS=0
export RUST_BACKTRACE=0
exec cargo mutants --in-place --iterate --file 'src/planner/**' --timeout 60 --no-shuffle \
    --cap-lints true "$@" -- --test it
