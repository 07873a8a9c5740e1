#!/bin/sh
# Streaming kernels as the passes make them against hand-written ones and against copying as many bytes (stream.c, stream.def). The
# hand-written kernels are in $QUERN_SHARED/reference/kernels; the machine needs the vectors of TARGET.
#   benchmarks/stream.sh [TARGET [CASE]]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
shared=${QUERN_SHARED:-$root/../shared}
build=${QUERN_BUILD:-$root/build}
target=${1:-x86_avx512}
[ $# -gt 0 ] && shift
if [ "$target" = x86_avx512 ] && ! grep -q avx512f /proc/cpuinfo; then
    echo "skipped: this machine has no AVX-512"
    exit 77
fi
sh "$root/.ci/build" "$build" qn_passes qn_codegen
work=$root/out/stream
mkdir -p "$work"
# shellcheck disable=SC2046
cc -std=gnu11 -O2 -I"$root" -I"$root/benchmarks" "$root/benchmarks/stream.c" "$build/libqn_passes.a" "$build/libqn_codegen.a" \
    "$build/libqn_passes.a" "$build/libqn_ir.a" $(ls "$build/libqn_runtime.a" 2> /dev/null || true) $(pkg-config --libs libcyaml) -lm -ldl \
    -o "$work/stream"
echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; $(${CC:-cc} --version | head -n 1); commit $(git -C "$root" rev-parse --short HEAD)"
"$work/stream" "$shared/reference/kernels" "$work" "$target" "$@"
