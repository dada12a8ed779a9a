#!/bin/sh
# Looks for differences between the library and a kernel: writes scenarios, has a kernel play them, plays them here, says
# where the two differ.
#
# usage: loop.sh KERNEL_PLAYER FAMILIES SEEDS
#   KERNEL_PLAYER  a program, called as KERNEL_PLAYER -o DIR SCENARIO...; it writes DIR/NAME, a recording, for each
#   FAMILIES       names, as `scenarios --help` lists them; quoted, with blanks between them
#   SEEDS          a number, or two with a hyphen between: 1-20
#
# Scenarios and recordings stay in target/scenarios and target/recorded.
set -eu
if [ $# -ne 3 ]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
case $3 in
  *[!0-9-]* | -* | *- | *-*-* | '') echo "loop.sh: $3 are no seeds: a number, or two with a hyphen between" >&2; exit 2 ;;
esac
families=$2 first=${3%-*} last=${3#*-}
# A player beside the caller is found from the top of the tree, too.
case $1 in
  */*) player=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") ;;
  *) player=$1 ;;
esac
command -v "$player" >/dev/null || { echo "loop.sh: there is no program $1" >&2; exit 2; }
cd "$(dirname "$0")/../.."
cargo build --quiet --release --locked --example scenarios --example conformance
rm -rf target/scenarios target/recorded
for family in $families; do
  target/release/examples/scenarios "$family" "$first" --count $((last - first + 1)) --out target/scenarios >/dev/null
done
mkdir -p target/recorded
"$player" -o target/recorded target/scenarios/*.jsonl || { echo "loop.sh: the player has failed: status $?" >&2; exit 1; }
target/release/examples/conformance target/recorded/*.jsonl
