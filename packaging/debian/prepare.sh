#!/bin/sh
# Makes what the package holds besides the sources: manual pages, completions, the copyright file.
#
# Usage: prepare.sh PROGRAM DIRECTORY, where PROGRAM is a hayloft that runs on this machine.
set -eu
program=$1
out=$2
here=$(dirname "$0")

rm -rf "$out"
mkdir -p "$out/man"
"$program" man "$out/man"
gzip -9n "$out"/man/*
"$program" completions bash >"$out/hayloft.bash"
"$program" completions zsh >"$out/hayloft.zsh"
"$program" completions fish >"$out/hayloft.fish"
cargo metadata --locked --format-version 1 --filter-platform "${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}" |
    python3 "$here/copyright.py" "$here/copyright" "$out/copyright"
gzip -9nc "$here/../../CHANGELOG.md" >"$out/changelog.gz"
