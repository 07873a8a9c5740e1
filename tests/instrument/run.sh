#!/bin/sh
# run.sh QUERN [NETWORK|all]: instrumented C says what the model predicts. Each layer of layers.txt gets a mapping on three machines (the
# best of a short search), is compiled with --instrument and linked with counter.c, which compares every number. Without a network a few
# small layers are taken (seconds); `all` is every one of them (about a quarter of an hour). Ends with "instrument: N passed, N failed".
# shellcheck disable=SC2086 # options and flags are several words
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
quern=$1 which=${2:-some}
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-instrument.XXXXXX")
trap 'rm -rf "$work"' EXIT
export QUERN_CACHE=off
passed=0 failed=0
flags="-std=c99 -O2 -Wall -Wextra -Werror -pedantic"
jansson=$(pkg-config --cflags --libs jansson)

# An output-separate 16 x 16 weight-stationary array: two scratchpads, one register a PE.
cat > "$work/ws_16x16.json" << 'J'
{"ws_16x16": {"pe_count": 256, "pe_mesh": {"X": 16, "Y": 16}, "mac_energy": 1, "levels_outer_to_inner": [
  {"name": "DRAM", "instances": 1, "capacity_words_per_instance": null, "keeps": ["W", "I", "O"], "energy_per_access": 200},
  {"name": "SPM", "instances": 1, "capacity_words_per_instance": 131072, "keeps": ["W", "I"], "energy_per_access": 6},
  {"name": "Acc", "instances": 1, "capacity_words_per_instance": 32768, "keeps": ["O"], "energy_per_access": 6},
  {"name": "WReg", "instances": 256, "capacity_words_per_instance": 1, "keeps": ["W"], "energy_per_access": 1}]}}
J
# case NAME ARCH LEVELS...: the layer $work/layer.yaml on a machine with these levels
case_of() {
    name=$1 arch=$2
    shift 2
    rm -f "$work"/best.*
    if "$quern" explore "$work/layer.yaml" $arch --objective energy --evals "$evals" --threads 1 --json > "$work/best.json" 2> "$work/log" &&
        sed -n 's/^ *"mapping_text": "\(.*\)",$/\1/p' "$work/best.json" > "$work/best.map" &&
        "$quern" compile "$work/layer.yaml" $arch --mapping "$work/best.map" --instrument --name layer -o "$work" > "$work/log" 2>&1 &&
        cc $flags -I"$work" -c "$work/layer.c" -o "$work/layer.o" > "$work/log" 2>&1 &&
        cc $flags -I"$work" "$root/tests/instrument/counter.c" "$work/layer.o" -o "$work/counter" $jansson > "$work/log" 2>&1 &&
        "$work/counter" "$work/best.json" "$@" > "$work/log" 2>&1; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name $arch: $(cat "$work/best.map" 2>&1)"
        head -n 12 "$work/log" | sed 's/^/    /'
    fi
}
evals=20000
[ "$which" = some ] && evals=2000
while read -r network kind g m c e f r s u times; do
    case $network in '#'*) continue ;; esac
    case $which in
    some) [ $((g * m * c * e * f * r * s)) -lt 400000 ] || continue ;;
    all) ;;
    *) [ "$network" = "$which" ] || continue ;;
    esac
    shape="C: $c, E: $e, F: $f, R: $r, S: $s, U: $u"
    if [ "$kind" = conv ]; then shape="G: $g, M: $m, $shape"; else shape="kind: $kind, $shape"; fi
    printf '{name: layer, %s}\n' "$shape" > "$work/layer.yaml"
    name="$network ($times times): $shape:"
    case_of "$name" '--target eyeriss' 'DRAM=1*0' 'GLB=1*51200' 'SpadI=168*12' 'SpadW=168*224' 'SpadO=168*24'
    case_of "$name" "--arch $work/ws_16x16.json" 'DRAM=1*0' 'SPM=1*131072' 'Acc=1*32768' 'WReg=256*1'
    case_of "$name" '--target x86_avx2' 'DRAM=1*0' 'L3=1*2097152' 'L2=8*65536' 'L1=8*8192' 'regs=8*120'
done < "$root/tests/instrument/layers.txt"
echo "instrument: $passed passed, $failed failed"
[ "$failed" = 0 ]
