#!/bin/sh
# How fast the interpreter copies, transposes, packs and multiplies (interp.c), beside memcpy in the same run.
#   benchmarks/interp.sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${QUERN_BUILD:-$root/build}
sh "$root/.ci/build" "$build" qn_ir
mkdir -p "$root/out"
cc -std=gnu11 -O2 -I"$root" "$root/benchmarks/interp.c" "$build/libqn_ir.a" -lm -o "$root/out/interp"
echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; $(${CC:-cc} --version | head -n 1); commit $(git -C "$root" rev-parse --short HEAD)"
"$root/out/interp"
