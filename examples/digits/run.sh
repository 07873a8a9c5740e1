#!/bin/sh
# Installs what is missing, builds Quern, compiles a trained digit network to C, builds and runs that. Works offline when nothing is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${QUERN_OUT:-$root/out/digits}

sh "$root/.ci/install" "$root/.ci/packages-build"
sh "$root/.ci/build" "$root/build" quern

mkdir -p "$out"
"$root/build/quern" compile "$here/digits.onnx" -o "$out" --name digits
cc=${CC:-cc}
$cc -O3 -I"$out" -c "$out/digits.c" -o "$out/digits.o"
$cc -O3 -I"$out" "$here/main.c" "$out/digits.o" -lm -o "$out/digits"
echo "code: $(size "$out/digits.o" | awk 'NR == 2 { print $1 " bytes of code and weights" }'), C sources in $out"
exec "$out/digits" "$here/images.idx3-ubyte" "$here/labels.idx1-ubyte"
