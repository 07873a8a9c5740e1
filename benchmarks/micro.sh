#!/bin/sh
# Micro-kernels that come from a mapping against hand-written ones, timed in turn in one process (micro.c). The hand-written
# kernels are in $QUERN_SHARED/reference/kernels; the machine needs AVX-512.
#   benchmarks/micro.sh [CASE]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
shared=${QUERN_SHARED:-$root/../shared}
build=${QUERN_BUILD:-$root/build}
grep -q avx512f /proc/cpuinfo || { echo "skipped: this machine has no AVX-512"; exit 77; }
sh "$root/.ci/build" "$build" qn_passes qn_codegen
work=$root/out/micro
mkdir -p "$work"
# shellcheck disable=SC2046
cc -std=gnu11 -O2 -I"$root" "$root/benchmarks/micro.c" "$build/libqn_passes.a" "$build/libqn_codegen.a" "$build/libqn_ir.a" \
    $(ls "$build/libqn_runtime.a" 2> /dev/null || true) $(pkg-config --libs libcyaml) -lm -ldl -o "$work/micro"
echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; $(${CC:-cc} --version | head -n 1); commit $(git -C "$root" rev-parse --short HEAD)"
"$work/micro" "$root/benchmarks/micro" "$shared/reference/kernels" "$work" "$@"
