#!/bin/sh
# Largest resident set of one run of each model, as a program of its own (--emit-main), against what it may be: weights, arena, inputs, outputs
# and 6 MB for the program; and the weights against those of the model's file. Free dimensions are 1.
#   benchmarks/memory.sh [--threads N] [--target T] FOLDER...          lines: name, resident MB, allowed MB, weights / file; "above" where it is more
# Environment: QUERN (default: built into build/), CC.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
threads=1 target=host
while [ $# -gt 0 ]; do
    case $1 in
        --threads) threads=$2; shift 2 ;;
        --target) target=$2; shift 2 ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || { sed -n 's/^# //p' "$0" | head -n 4 >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-memory.XXXXXX")
trap 'rm -rf "$work"' EXIT
[ -n "${QUERN:-}" ] || { sh "$root/.ci/build" "$root/build" quern > /dev/null; QUERN=$root/build/quern; }
${CC:-cc} -O2 "$root/benchmarks/measure.c" -o "$work/measure"
above=0
for folder in "$@"; do
    net=$work/net name=$(basename "$folder") dims=''
    rm -rf "$net"
    for round in 1 2; do # the second with the dimensions that the first asked for
        # shellcheck disable=SC2086 # options are words
        if "$QUERN" compile "$folder/model.onnx" -o "$net" --name net --target "$target" --threads "$threads" --emit-main $dims 2> "$work/log"; then break; fi
        dims=$(grep -o -e '--dim [^ ;]*' "$work/log" | tr -d "'" | sort -u | tr '\n' ' ')
        [ "$round" = 1 ] || { echo "$name: $(head -n 1 "$work/log")"; continue 2; }
    done
    set -- "$net"/net*.c
    [ ! -f "$net/net_weights.S" ] || set -- "$@" "$net/net_weights.S"
    (cd "$net" && ${CC:-cc} -O1 -I. "$@" -lm -pthread -o run) 2> "$work/log" || { echo "$name: does not compile: $(head -n 1 "$work/log")"; continue; }
    got=$("$work/measure" "cd '$net' && ./run > /dev/null" | sed 's/.*, //; s/ MiB.*//')
    awk -v name="$name" -v got="$got" -v onnx="$(wc -c < "$folder/model.onnx")" '
        function num(key) { return match($0, "\"" key "\": [0-9]+") ? substr($0, RSTART + length(key) + 4, RLENGTH - length(key) - 4) + 0 : 0 }
        { w += num("weights_bytes"); a += num("arena_bytes"); io += num("max_bytes") }
        END {
            allowed = (w + a + io) / 1e6 + 6; got *= 1.048576
            printf "%-28s %8.1f MB, allowed %8.1f; weights %.2f of the file%s\n", name, got, allowed, w / onnx, (got > allowed ? "  above" : "")
            exit (got > allowed)
        }' "$net/net.json" || above=$((above + 1))
done
echo "memory: $above above"
