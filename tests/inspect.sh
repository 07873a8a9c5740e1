#!/bin/sh
# inspect.sh QUERN: the counts of `inspect` against the survey's, and, where exported networks are found in $QUERN_TORCH, against torchvision's.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
passed=0 failed=0
one() { # MODEL WEIGHTS MACS
    got=$("$quern" inspect "$1" | sed -n 's/^total: .* nodes, \([0-9]*\) weights, \([0-9]*\) MACs.*/\1 \2/p')
    if [ "$got" = "$2 $3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $1: '$got', expected '$2 $3'"; fi
}
quern=$1
while read -r name weights macs; do
    [ "$name" != "#" ] || continue
    one "$root/tests/data/networks/$name.onnx" "$weights" "$macs"
done < "$root/tests/data/networks/expected.txt"
while read -r name weights macs; do
    [ -f "${QUERN_TORCH:-/nonexistent}/$name/model.onnx" ] || continue
    one "$QUERN_TORCH/$name/model.onnx" "$weights" "$macs"
done << 'END'
vgg16 138344128 15470264320
resnet50 25502912 4089184256
overfeat_fast 145909792 2801403904
mobilenet_v1 4209088 568740352
alexnet 61090496 714188480
googlenet 6609344 1498376192
END
echo "inspect: $passed passed, $failed failed"
[ "$failed" = 0 ]
