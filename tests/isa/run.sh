#!/bin/sh
# run.sh QUERN: instruction sets. Inner loops of usual layers keep their sums in registers, read off listings (loops.awk); a build
# for vectors says so on a machine without them; --precise gives the same bits from every target, compiler and number of threads.
# Other processors by qemu-user; what is not installed is skipped. Ends with "isa: N passed, N failed, N skipped".
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
quern=$1
shared=${QUERN_SHARED:-$root/../shared}
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-isa.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL $1"; [ ! -s "$work/log" ] || head -n 12 "$work/log" | sed 's/^/    /'; }
skip() { skipped=$((skipped + 1)); echo "skipped: $1"; }
has() { command -v "${1%% *}" > /dev/null 2>&1; }

# ---- inner loops. loops TARGET OBJDUMP ALLOW CC...: of the graphs $graphs of tests/data/kernels, whose weights repeat few values and would
# be kept as bytes
graphs='residual separable sequence'
loops() {
    target=$1 dump=$2 allow=$3
    shift 3
    if ! has "$1" || ! has "$dump"; then skip "inner loops of $target with $*"; return; fi
    for graph in $graphs; do
        name="inner loops of $graph for $target with $*"
        if "$quern" compile "$root/tests/data/kernels/$graph.onnx" --name k -o "$work/k" --target "$target" --weights file --passes -bytes > "$work/log" 2>&1 &&
            "$@" -c "$work/k/k.c" -o "$work/k.o" > "$work/log" 2>&1 && "$dump" -d --no-show-raw-insn "$work/k.o" > "$work/list" &&
            awk -v want='^(conv|dw|gemm|lstm)' -v allow="$allow" -f "$root/tests/isa/loops.awk" "$work/list" > "$work/log"; then ok
        else bad "$name"; fi
    done
}
loops x86_avx512 objdump 0 gcc -O2
loops x86_avx512 objdump 0 gcc -O2 -std=c99
loops x86_avx512 objdump 8 clang -O2 # clang 14 parts with up to four of 28 sums where addresses are not to its liking
loops x86_avx2 objdump 0 gcc -O2
loops x86_avx2 objdump 0 gcc -O2 -std=c99
loops aarch64_neon aarch64-linux-gnu-objdump 0 aarch64-linux-gnu-gcc -O2
graphs=bytes
loops x86_avx512_vnni objdump 0 gcc -O3
loops x86_avx512_vnni objdump 2 gcc -O2 # gcc 12 keeps one of the weights of one kernel on the stack
loops x86_avx512_vnni objdump 8 clang -O2
loops x86_avx2_vnni objdump 2 gcc -O2 # one product of 16 rows has two words too many
loops aarch64_dotprod aarch64-linux-gnu-objdump 0 aarch64-linux-gnu-gcc -O2
if objdump -d "$work/k.o" 2> /dev/null | grep -q vpdpbusd || aarch64-linux-gnu-objdump -d "$work/k.o" 2> /dev/null | grep -q sdot
then ok; else bad 'products of bytes by the instruction for them'; fi
# the check itself can fail: sums as an array, in a loop that is not written out
cat > "$work/k.c" << 'C'
typedef float v16 __attribute__((vector_size(64)));
void conv(v16 *y, const v16 *w, const float *x, long n) {
    v16 s[40] = {0};
    for (long k = 0; k < n; k++)
        for (long i = 0; i < 40; i++) s[i] += w[k] * x[i + 40 * k];
    for (long i = 0; i < 40; i++) y[i] = s[i];
}
C
if gcc -O3 -mavx512f -c "$work/k.c" -o "$work/k.o" && objdump -d --no-show-raw-insn "$work/k.o" | awk -v want='^conv' -f "$root/tests/isa/loops.awk" > "$work/log"
then bad 'the check of inner loops sees sums in memory'; else ok; fi

# ---- programs. build NAME TARGET OPTIONS CC...: $work/NAME.run, from $model
build() {
    name=$1 target=$2 options=$3
    shift 3
    rm -rf "$work/o"
    # shellcheck disable=SC2086 # options and a compiler's flags are words
    "$quern" compile "$model" --name net -o "$work/o" --target "$target" $options --emit-main --weights c > "$work/log" 2>&1 &&
        "$@" -static "$work/o/net.c" "$work/o/net_main.c" -pthread -lm -o "$work/$name.run" > "$work/log" 2>&1
}
# inputs DATA: the values of its inputs as raw files $work/in.N (they are the end of a tensor's file), in the header's order
inputs() {
    n=0
    rm -f "$work"/in.*
    sed -n 's/^#define net_IN_.*_BYTES \([0-9]*\)$/\1/p' "$work/o/net.h" > "$work/sizes"
    while read -r bytes; do
        tail -c "$bytes" "$1/input_$n.pb" > "$work/in.$n"
        n=$((n + 1))
    done < "$work/sizes"
}
# outputs NAME RUNNER: what the program prints, without the time
outputs() {
    # shellcheck disable=SC2086
    $2 "$work/$1.run" "$work"/in.* > "$work/$1.all" 2> "$work/log"
    status=$?
    sed '/ ms$/d' "$work/$1.all" > "$work/$1.out"
    return $status
}

# ---- a machine without the instructions: error 8 (E_TARGET), or the next best code
model=$root/examples/digits/digits.onnx data=$root/tests/data/digits/test_data_set_0
old='qemu-x86_64 -cpu Nehalem'
if has "$old"; then
    build wide x86_avx512 '' gcc -O2 && inputs "$data"
    outputs wide "$old"
    status=$?
    if [ "$status" = 1 ] && grep -q 'error 8' "$work/log"; then ok; else bad "AVX-512 on an old machine ends with status $status"; fi
    build all c99+avx2+avx512 --precise gcc -O2
    if outputs all "$old" && cp "$work/all.out" "$work/first" && outputs all '' && cmp "$work/first" "$work/all.out" > "$work/log"; then ok
    else bad 'one file, on an old machine and on this one'; fi
else
    skip 'qemu-x86_64'
fi
arm=aarch64-linux-gnu-gcc
if has $arm && has qemu-aarch64; then
    build dot aarch64_dotprod '' $arm -O2
    outputs dot 'qemu-aarch64 -cpu cortex-a53'
    status=$?
    if [ "$status" = 1 ] && grep -q 'error 8' "$work/log"; then ok; else bad "dot products on a Cortex-A53 end with status $status"; fi
    if outputs dot 'qemu-aarch64 -cpu max'; then ok; else bad 'dot products on a processor that has them'; fi
fi

# ---- half precision: error 8 without it; elsewhere within 1e-2 of float32
near() { # outputs of two programs: the difference is small beside the largest value
    awk 'function size(x) { return x < 0 ? -x : x } NR == FNR { for (i = 1; i <= NF; i++) { first[FNR, i] = $i; if ($i + 0 == $i && size($i) > most) most = size($i) } next }
        { for (i = 1; i <= NF; i++) if ($i + 0 == $i) { n++; if (size($i - first[FNR, i]) > 1e-2 * (1 + most)) bad = 1 } }
        END { exit bad || n < 5 }' "$1" "$2"
}
build first c99 '' gcc -O2 && inputs "$data" && outputs first ''
# half NAME: runs $runner, and $old, which lacks the instructions
half() {
    if outputs half "$runner" && near "$work/first.out" "$work/half.out"; then ok; else bad "half precision, $1"; fi
    [ -n "$old" ] || return 0
    outputs half "$old"
    status=$?
    if [ "$status" = 1 ] && grep -q 'error 8' "$work/log"; then ok; else bad "half precision on a machine without it, $1: status $status"; fi
}
if has qemu-x86_64; then old='qemu-x86_64 -cpu Nehalem'; else old=''; fi
if grep -qw avx512_fp16 /proc/cpuinfo 2> /dev/null; then
    runner=''
    build half x86_avx512_fp16 --fast-f16 gcc -O2 -std=c99 -Wall -Wextra -Werror -pedantic && half 'x86, gcc'
    if has clang; then build half x86_avx512_fp16 '--fast-f16 --threads 2' clang -O2 -mavx512fp16 -Wall -Wextra -Werror -pedantic && old='' && half 'x86, clang'; fi
else
    skip 'half precision on x86'
fi
runner=''
if has qemu-x86_64; then runner='qemu-x86_64 -cpu Nehalem'; fi
old=''
build half c99+avx512_fp16 --fast-f16 gcc -O2 && half 'the portable code of two targets'
if has $arm && has qemu-aarch64; then
    runner='qemu-aarch64 -cpu max' old='qemu-aarch64 -cpu cortex-a53'
    build half aarch64_fp16 --fast-f16 $arm -O2 -Wall -Wextra -Werror -pedantic && half aarch64
else
    skip 'half precision on aarch64'
fi

# ---- the same bits everywhere
same() {
    model=$1 data=$2 what="--precise: $(basename "$(dirname "$1")")"
    if ! build first c99 --precise gcc -O2 || ! inputs "$data" || ! outputs first ''; then bad "$what"; return; fi
    while read -r target options runner cc; do
        [ "$runner" != - ] || runner=''
        if [ "$options" = - ]; then options=""; else options=$(echo "$options" | tr , " "); fi
        runner=$(echo "$runner" | tr , ' ')
        if ! has "$cc" || { [ "$runner" ] && ! has "$runner"; }; then skip "$what, $target with $cc"; continue; fi
        # shellcheck disable=SC2086
        if build other "$target" "--precise $options" $cc && outputs other "$runner" && cmp "$work/first.out" "$work/other.out" > "$work/log"
        then ok; else bad "$what, $target with $cc"; fi
    done << 'ROWS'
x86_avx2 - - gcc -O2
x86_avx512 --threads,2 - gcc -O2 -std=c99
x86_avx512 - - clang -O1
c99 - - clang -O3
aarch64_neon - qemu-aarch64 aarch64-linux-gnu-gcc -O2
ROWS
}
same "$root/examples/digits/digits.onnx" "$root/tests/data/digits/test_data_set_0"
# convolutions with Winograd's transforms, a transformer, recurrent networks
for name in espcn_nn_resize vit_mnist gru_mnist dtln_1; do
    dir=$shared/models/$name
    if [ -f "$dir/model.onnx" ]; then same "$dir/model.onnx" "$dir/test_data_set_0"; else skip "--precise: $name (set QUERN_SHARED)"; fi
done

echo "isa: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
