#!/bin/sh
# Random graphs: 2,000 of them, or as many as asked for.
#   tests/fuzz/run.sh [--ort] [--seed S] [--count N] [--build DIR]
# --ort compares with ONNX Runtime too; npm fetches onnxruntime-node into DIR/fuzz (set NODE_PATH to use one that is installed).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build seed=1 count=2000 ort=''
while [ $# -gt 0 ]; do
    case $1 in
    --ort) ort=1 ;;
    --seed) seed=$2; shift ;;
    --count) count=$2; shift ;;
    --build) build=$2; shift ;;
    *) echo "run.sh: unknown argument '$1'" >&2; exit 2 ;;
    esac
    shift
done
work=$build/fuzz
mkdir -p "$work"
rm -rf "$work/models" "$work/single"
fuzz() { "$build/tests/fuzz" --seed "$seed" --count "$count" --work "$work/run" "$@"; }
status=0
fuzz --coverage ${ort:+--write "$work/models"} || status=1
[ -n "$ort" ] || exit $status

if [ -z "${NODE_PATH:-}" ]; then
    [ -d "$work/node_modules/onnxruntime-node" ] || (cd "$work" && npm install --no-save --no-audit --no-fund onnxruntime-node@1.30.0)
    NODE_PATH=$work/node_modules
    export NODE_PATH
fi
node "$root/tests/fuzz/ort.js" "$work/models"
fuzz --compare "$work/models" || status=1
exit $status
