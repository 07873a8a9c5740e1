#!/bin/sh
# Emitted models against the rules of their interface. Usage: run.sh QUERN DRIVER [MODEL.onnx...]
# Each model is compiled with its weights in all three places, for one and for several threads, built strictly as C99 with warnings as
# errors, looked at with nm, and run by DRIVER; with threads also without them, with OpenMP and under the thread sanitizer. Ends with "N passed, N failed".
set -u
quern=$1 driver=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
data=/usr/share/libonnx-testdata/data
[ $# -gt 0 ] || set -- "$here/../../examples/digits/digits.onnx" "$data"/node/test_softmax_example/model.onnx \
    "$data"/node/test_basic_conv_with_padding/model.onnx "$data"/node/test_add_bcast/model.onnx "$data"/node/test_split_equal_parts_1d_opset13/model.onnx
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-abi-XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc} cxx=${CXX:-c++}
strict="-std=c99 -O2 -Wall -Wextra -Werror -pedantic -Wshadow"
passed=0 failed=0
step() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAILED: $what"
        sed -n 1,20p "$work/log"
    fi
}
only_prefixed() { # OBJECT ID: global symbols begin with ID_; nothing is in writable sections
    ! nm -g --defined-only "$1" | awk '{ print $3 }' | grep -v "^$2_" && ! nm "$1" | awk 'NF == 3 && $2 ~ /^[dDbBC]$/ { print }' | grep . &&
        ! nm -u "$1" | grep -E ' (malloc|calloc|free|printf|puts|fopen)$'
}
no_paths() { ! grep -l "$work\|$here\|/home/\|/tmp/" "$@"; }
same_bytes() { diff -r "$1" "$2"; }
no_threads() { ! nm -u "$1" | grep -E ' (pthread_|clock_gettime)'; }
echo 'int main(void) { return 0; }' >"$work/empty.c"
openmp=false
! "$cc" -fopenmp -o "$work/empty" "$work/empty.c" 2>/dev/null || openmp=true
tsan=$work/driver_tsan # where the compiler has the sanitizer
"$cc" -fsanitize=thread -g -O1 -o "$tsan" "$here/driver.c" -ljansson -ldl -pthread 2>/dev/null && "$tsan" >/dev/null 2>&1
[ $? = 2 ] || tsan=
number=0
objects=
driven() { # WHAT FLAGS...: the model again, built otherwise; the same driver
    kind=$1
    shift
    # shellcheck disable=SC2086
    step "$model: $kind" "$cc" $strict -fPIC -I"$out" "$@" -shared -o "$work/$id.so" "$out/$id.c" $sources -lm
    # shellcheck disable=SC2086
    step "$model: $kind, run" "$driver" "$work/$id.so" $id "$out/$id.json" $weights
}
no_mmap() { ! nm -u "$1" | grep -E ' (mmap|madvise|open|pthread_)'; }
# x[1,1024] times weights of 1024 x 1100, 4.5 MB that are no multiples of a number: enough for a copy in huge pages.
large=$work/large.onnx
printf '\000\000\200\077\000\000\000\277\333\017\111\100' >"$work/part"
bytes=12
while [ $bytes -lt 4505600 ]; do
    cat "$work/part" "$work/part" >"$work/twice" && mv "$work/twice" "$work/part"
    bytes=$((bytes * 2))
done
{
    printf '\010\010\102\002\020\015\072\327\200\223\002\012\021\012\001x\012\001w\022\001y\042\006MatMul\022\001g'
    printf '\052\220\200\223\002\010\200\010\010\314\010\020\001\102\001w\112\200\200\223\002'
    head -c 4505600 "$work/part"
    printf '\132\024\012\001x\022\017\012\015\010\001\022\011\012\002\010\001\012\003\010\200\010'
    printf '\142\024\012\001y\022\017\012\015\010\001\022\011\012\002\010\001\012\003\010\314\010'
} >"$large"
# softmax(transpose(softmax(x[1024,1200]))): 4.9 MB between its kernels, enough for huge pages of the arena.
wide=$work/wide.onnx
{
    printf '\010\010\102\002\020\015\072\146\012\017\012\001x\022\001t\042\007Softmax'
    printf '\012\021\012\001t\022\001u\042\011Transpose\012\017\012\001u\022\001y\042\007Softmax\022\001g'
    printf '\132\025\012\001x\022\020\012\016\010\001\022\012\012\003\010\200\010\012\003\010\260\011'
    printf '\142\025\012\001y\022\020\012\016\010\001\022\012\012\003\010\260\011\012\003\010\200\010'
} >"$wide"
lists=$here/../data/lists/map_ragged/model.onnx # a sequence as input and output
first=$1
set -- "$@" "$large" "$wide" "$lists"
for model; do
    [ -f "$model" ] || continue
    modes='c 1,asm 1,file 1,c 2,asm 3,file 2,c 40'
    [ "$model" != "$large" ] || modes='asm 1,asm 2,file 2'
    [ "$model" != "$wide" ] || modes='c 1,c 2'
    [ "$model" != "$lists" ] || modes='c 1,file 1'
    echo "$modes" | tr , '\n' >"$work/modes"
    while read -r mode threads; do
        number=$((number + 1))
        id=m$number out=$work/m$number
        set -- "$model" --name $id --weights "$mode" --threads "$threads"
        [ "$model" != "$lists" ] || set -- "$@" --dim 's[]=3' --dim 's[][0]=5'
        step "$model: compile --weights $mode --threads $threads" "$quern" compile "$@" -o "$out"
        [ -f "$out/$id.json" ] || continue
        step "$model: again" "$quern" compile "$@" -o "$out.again"
        step "$model: the same bytes" same_bytes "$out" "$out.again"
        step "$model: no paths" no_paths "$out"/*
        # shellcheck disable=SC2086
        step "$model: C99, $mode" "$cc" $strict -fPIC -I"$out" -c "$out/$id.c" -o "$work/$id.o"
        step "$model: C++ header" sh -c "echo '#include \"$id.h\"' | $cxx -Wall -Wextra -Werror -pedantic -fsyntax-only -I'$out' -x c++ -"
        step "$model: symbols, $mode" only_prefixed "$work/$id.o" $id
        sources=
        [ ! -f "$out/${id}_weights.S" ] || {
            step "$model: assemble" "$cc" -I"$out" -c "$out/${id}_weights.S" -o "$work/${id}_weights.o"
            sources="$work/${id}_weights.o"
        }
        # shellcheck disable=SC2086
        step "$model: link" "$cc" -shared -o "$work/$id.so" "$work/$id.o" $sources -lm -pthread
        weights=
        [ "$mode" != file ] || weights=$out/$id.weights
        # shellcheck disable=SC2086
        step "$model: $mode, $threads threads" "$driver" "$work/$id.so" $id "$out/$id.json" $weights
        objects="$objects $work/$id.o $sources"
        [ "$model" != "$wide" ] || step "$model: a large arena asks for huge pages" grep -q 'qn_pages_join(&' "$out/$id.c"
        if grep -q 'struct qn_image\|struct qn_pages' "$out/$id.c"; then
            driven 'without huge pages' -D${id}_NO_OS
            step "$model: no mapping" no_mmap "$work/$id.so"
        else step "$model: large weights are copied" [ "$model$mode" != "${large}asm" ]; fi
        grep -q 'struct qn_pool' "$out/$id.c" || continue
        driven 'without threads' -D${id}_NO_THREADS
        step "$model: no thread function" no_threads "$work/$id.so"
        driven 'without a system' -D${id}_NO_OS
        step "$model: no thread function" no_threads "$work/$id.so"
        driven 'OpenMP left out' -D${id}_OPENMP
        if [ "$tsan" ] && [ "$threads" -le 3 ]; then
            plain_driver=$driver driver=$tsan
            driven 'thread sanitizer' -fsanitize=thread -g
            driver=$plain_driver
        fi
        ! $openmp || driven OpenMP -D${id}_OPENMP -fopenmp
    done <"$work/modes"
done
# Every model in one program: no symbol twice.
echo 'int main(void) { return 0; }' >"$work/all.c"
# shellcheck disable=SC2086
step 'all models in one program' "$cc" -o "$work/all" "$work/all.c" $objects -lm -pthread
# An output folder that cannot be one; a full disk.
echo x >"$work/file"
step 'a file instead of a folder is refused' sh -c "! '$quern' compile '$first' -o '$work/file' 2>/dev/null"
step 'a full disk leaves nothing' sh -c "ulimit -f 1; '$quern' compile '$first' -o '$work/full' --name x 2>/dev/null; [ \$? = 1 ] && [ ! -e '$work/full' ]"
echo "abi: $passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
