#!/bin/sh
# Streaming kernels against the memory they stream through: per kind and level of memory the share of the bandwidth that `quern bench`
# measures in the same run (in %; its roofline over the fastest run). One model a kind and size (bandwidth.py, which needs python3-onnx); with
# `--wrap 'chrt -f 50'` nothing else interrupts them. (stream.sh has fewer kinds, against hand-written kernels.)
#   benchmarks/bandwidth.sh [--target T] [--threads N] [--wrap 'COMMAND'] [--levels 'L1 L2 L3 DRAM'] [KIND...]
# Environment: QUERN (default: built into build/), CC, PYTHON.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target=host threads=1 wrap='' levels='L1 L2 L3'
while [ $# -gt 0 ]; do
    case $1 in
        --target) target=$2; shift 2 ;;
        --threads) threads=$2; shift 2 ;;
        --wrap) wrap=$2; shift 2 ;;
        --levels) levels=$2; shift 2 ;;
        --*) sed -n 's/^# //p' "$0" | head -n 5 >&2; exit 2 ;;
        *) break ;;
    esac
done
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-bandwidth.XXXXXX")
trap 'rm -rf "$work"' EXIT
[ -n "${QUERN:-}" ] || { sh "$root/.ci/build" "$root/build" quern > /dev/null; QUERN=$root/build/quern; }
# half of a private cache, a part of the shared one, four times of what DRAM is behind
size() { getconf "LEVEL$1_CACHE_SIZE" 2> /dev/null | grep -v '^0*$' || echo "$2"; }
for level in $levels; do
    case $level in
        L1) bytes=$(($(size 1_D 32768) / 2)) ;;
        L2) bytes=$(($(size 2 1048576) / 2)) ;;
        L3) bytes=$(($(size 2 1048576) * 8)) ;;
        DRAM) bytes=$(($(size 3 16777216) * 5 / 4)) ;;
    esac
    ${PYTHON:-python3} "$root/benchmarks/bandwidth.py" "$work/$level" "$bytes" "$@"
    for model in "$work/$level"/*.onnx; do
        kind=$(basename "$model" .onnx)
        # shellcheck disable=SC2086 # a command's words
        $wrap "$QUERN" bench "$model" --target "$target" --threads "$threads" --runs 31 --json > "$work/json" 2> "$work/log" || { echo "$kind, $level: $(head -n 1 "$work/log")" >&2; continue; }
        awk -v kind="$kind" -v level="$level" '
            { gsub(/[",]/, "") }
            $1 == "roofline_ms:" && !roof { roof = $2 }
            $1 == "minimum_ms:" && !least { least = $2 }
            $1 == "triad_bytes_per_s:" { triad = triad " " sprintf("%.0f", $2 / 1e9) }
            $1 == "read_bytes_per_s:" { read = read " " sprintf("%.0f", $2 / 1e9) }
            END { printf "%s %s %.0f %.3f read%s triad%s\n", kind, level, 100 * roof / least, 1e3 * least, read, triad }' "$work/json"
    done
done > "$work/all"
commit=$(git -C "$root" rev-parse --short HEAD)
echo "Machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors; $(${CC:-cc} --version | head -n 1) -O3; commit $commit; target $target, threads: $threads."
echo "GB/s of L1, L2, L3, DRAM: $(sed 's/.* read/read/; s/ triad/, triad/' "$work/all" | sort | sed -n "$(($(wc -l < "$work/all") / 2 + 1))p")."
echo
awk -v levels="$levels" '
    { share[$1, $2] = $3; us[$1, $2] = $4; if (!($1 in seen)) { seen[$1] = ++n; kind[n] = $1 } }
    END {
        count = split(levels, l, " ")
        printf "| kernel |"; for (i = 1; i <= count; i++) printf " %s | us |", l[i]; print ""
        printf "| --- |"; for (i = 1; i <= count; i++) printf " ---: | ---: |"; print ""
        for (k = 1; k <= n; k++) {
            printf "| %s |", kind[k]
            for (i = 1; i <= count; i++) printf " %s | %s |", share[kind[k], l[i]], us[kind[k], l[i]]
            print ""
        }
    }' "$work/all"
