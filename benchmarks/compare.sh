#!/bin/sh
# Times Quern against ONNX Runtime (npm's onnxruntime-node, installed into out/compare) on model folders (model.onnx and
# test_data_set_0), in turns within one run, and checks that the outputs agree.
#   benchmarks/compare.sh [options] FOLDER...
#     --target T       of quern compile (default host)
#     --threads LIST   such as 1 or 1,2 (default 1,2)
#     --seconds S      to spend on a model (default 6); --rounds N at most (default 41); --block MS length of a turn (default 30)
#     --clock cpu      one thread: processor time of the thread, for a busy machine (default wall)
#     --flags 'WORDS'  further options of quern compile
#     --node           ONNX Runtime through its Node binding instead of its library
#     --json FILE      everything measured
#     --add FILE       what an earlier run wrote with --json: its rows come first; repeatable, without folders nothing is measured
#     --write FILE     puts the table between the marker lines of FILE (docs/performance.md; made if absent)
# Environment: QUERN_ORT_ISA=avx2 (ONNX Runtime sees a processor without AVX-512; Linux, Intel), QUERN (the binary; default: built into build/), CC, BENCHNCNN and NCNN_PARAMS, ONNX2C, EMX_ONNX_CGEN, NN512.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/out/compare
version=1.30.0
mkdir -p "$work"
run=$(mktemp -d "$work/run.XXXXXX") # several comparisons may run at once
trap 'rm -rf "$run"' EXIT
trap 'exit 1' INT TERM
if [ -z "${QUERN:-}" ]; then
    sh "$root/.ci/build" "$root/build" quern > "$run/build.log" 2>&1 || { cat "$run/build.log"; exit 1; }
    QUERN=$root/build/quern
fi
package=$work/node_modules/onnxruntime-node
if ! [ -f "$package/package.json" ]; then
    # Its install script fetches GPU extras only.
    (cd "$work" && npm install --ignore-scripts --no-audit --no-fund --no-save "onnxruntime-node@$version") >&2
fi
case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
library=$(find "$package" -path "*linux/$arch/libonnxruntime.so*" | head -n 1)
[ -n "$library" ] || { echo "compare: $package has no library for $arch" >&2; exit 1; }
${CC:-cc} -std=gnu11 -O2 "$root/benchmarks/compare/"*.c -o "$run/child" -ldl
node "$root/benchmarks/compare/compare.js" --quern "$QUERN" --child "$run/child" --library "$library" --version "$version" --work "$run" --package "$package" "$@"
