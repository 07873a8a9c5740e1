#!/bin/sh
# Compile time, memory, C text and arena of the networks that shared/models/make_torch_models.py exports. Needs python3-torch,
# python3-torchvision and python3-onnx for the export; a folder with exported networks is reused.
#   benchmarks/figures.sh [FOLDER] [NETWORK...]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
shared=${QUERN_SHARED:-$root/../shared}
models=${1:-$root/out/torch}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- resnet18 mobilenet_v2 squeezenet1_1 resnet50
sh "$root/.ci/build" "$root/build" quern
mkdir -p "$models" "$root/out"
cc -O2 "$root/benchmarks/measure.c" -o "$root/out/measure"
echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores; $(cc --version | head -n 1); commit $(git -C "$root" rev-parse --short HEAD)"
for net in "$@"; do
    [ -f "$models/$net/model.onnx" ] || /usr/bin/python3 "$shared/models/make_torch_models.py" "$models" "$net" > /dev/null
    out=$root/out/figures/$net
    rm -rf "$out" && mkdir -p "$out"
    compile="'$root/build/quern' compile '$models/$net/model.onnx' -o '$out' --name $net"
    echo "$net"
    "$root/out/measure" "$compile" | sed 's/^/  ONNX to C:             /'
    "$root/out/measure" "$compile 2> /dev/null && cd '$out' && cc -O3 -I. -c $net.c && { [ ! -f ${net}_weights.S ] || cc -I. -c ${net}_weights.S; } && ld -r -o all.o ./*.o" |
        sed 's/^/  ONNX to linked object: /'
    echo "  C text:                $(wc -c < "$out/$net.c") bytes"
done
