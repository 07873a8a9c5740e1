#!/bin/sh
# run.sh QUERN: models made to break the compiler. Each ends with exit status 0 and C that builds, or with 1 and located errors, in at most
# 5 seconds and max(256 MiB, 16 x file). Ends with "hostile: N passed, N failed".
set -u
here=$(cd "$(dirname "$0")" && pwd)
quern=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-hostile.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
${CC:-cc} -O1 "$here/make.c" -o "$work/make" && ${CC:-cc} -O1 "$here/limited.c" -o "$work/limited" || exit 1
cd "$work" || exit 1
seconds=${QUERN_HOSTILE_SECONDS:-5}

verdict() { # OK NAME TEXT
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $2: $3"; head -n 4 log | cut -c 1-300; fi
}
# try NAME WANTED FILE [OPTIONS]: WANTED is an exit status or "any" (0 or 1)
try() {
    name=$1 want=$2 file=$3
    shift 3
    mib=$(($(wc -c < "$file") * 16 / 1048576))
    [ "$mib" -gt "${QUERN_HOSTILE_MIB:-256}" ] || mib=${QUERN_HOSTILE_MIB:-256}
    rm -rf o
    ./limited "$seconds" "$mib" "$quern" compile "$file" -o o --name m "$@" > log 2>&1 < /dev/null
    got=$?
    case "$want $got" in
    'any 0' | 'any 1' | '0 0' | '1 1') verdict 0 "$name" '' ;;
    *) verdict 1 "$name" "exit status $got, expected $want" ;;
    esac
    if [ "$got" = 1 ]; then
        if grep -q 'error: ' log; then verdict 0 "$name" ''; else verdict 1 "$name" 'refused without an error'; fi
        if [ -z "$(ls -A o 2> /dev/null)" ]; then verdict 0 "$name" ''; else verdict 1 "$name" 'refused, but files were left'; fi
    fi
}
builds() { # NAME: the C of the last try builds without warnings, in C99 and (header) C++
    ${CC:-cc} -std=c99 -O1 -Wall -Wextra -Werror -pedantic -Io -c o/m.c -o m.o > log 2>&1
    verdict $? "$1" 'the emitted C does not build'
}

./make names > f.onnx && try 'names that break C' 0 f.onnx --emit-main && builds 'names that break C'
./make chain 20 > f.onnx && try 'a short chain' 0 f.onnx && builds 'a short chain'
./make chain 200000 > f.onnx && try 'a chain of 200,000 nodes' 0 f.onnx
./make concat 10000 > f.onnx && try 'a Concat of 10,000 operands' 0 f.onnx
./make empty 2000000 > f.onnx && try 'two million empty nodes' 1 f.onnx
for n in 30 101 3000 100000; do ./make nest $n > f.onnx && try "graphs nested $n deep" 1 f.onnx; done
./make cycle > f.onnx && try 'a cycle' 1 f.onnx
./make missing > f.onnx && try 'missing input and unknown ops' 1 f.onnx
if grep -q nowhere log && grep -q Nothing log && grep -q Nix log; then verdict 0 all ''; else verdict 1 'all errors are reported' 'one is missing'; fi
./make twice > f.onnx && try 'one name defined twice' 1 f.onnx
for k in 0 1 2; do ./make dims $k > f.onnx && try "extents, kind $k" 1 f.onnx; done
for k in 3 4; do ./make dims $k > f.onnx && try "extents, kind $k" any f.onnx; done
./make raw 16 > f.onnx && try 'raw_data of the right length' 0 f.onnx
for n in 0 15 17 64; do ./make raw $n > f.onnx && try "raw_data of $n bytes instead of 16" 1 f.onnx; done
for n in 0 8 14 27 99 -5; do ./make dtype $n > f.onnx && try "element type $n" 1 f.onnx; done
for n in 10 20 26 40 62 64; do ./make bomb $n > f.onnx && try "doubling $n times" any f.onnx; done

echo "hostile: $passed passed, $failed failed"
[ "$failed" = 0 ]
