#!/bin/sh
# Installs what is missing, builds, runs all tests, ends with "N passed, N failed". Works offline when nothing is missing.
#   tests/run.sh          unit tests, ONNX conformance data, real models, examples
#   tests/run.sh --full   the same under gcc, clang and both sanitizers
#   tests/run.sh --conformance   only ONNX's cases and real models; rewrites docs/conformance.md
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
shared=${QUERN_SHARED:-$root/../shared}
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$work/log
: > "$log"
full=''
[ "${1:-}" != --full ] || full=1

sh "$root/.ci/install" "$root/.ci/packages"
. "$root/tests/suites.sh"

build_dir=$root/build
sh "$root/.ci/build" "$build_dir" all -DQUERN_TESTS=ON -DQUERN_WERROR=ON
if [ "${1:-}" = --conformance ]; then
    corpus_all "$build_dir" cc '-std=c99 -O1 -Wall -Wextra -Werror -pedantic' 1
    cp "$work/conformance" "$root/docs/conformance.md"
    total
    exit
fi
unit "$build_dir"
meta "$build_dir"
# shellcheck disable=SC2016 # each side expands the name
together 'cli "$build_dir"; inspect "$build_dir"; instrument "$build_dir"; abi "$build_dir"' 'hostile "$build_dir"; page "$build_dir"; isa "$build_dir"'
fuzz "$build_dir"
corpus_all "$build_dir" cc '-std=c99 -O1 -Wall -Wextra -Werror -pedantic' 1
conformance
digits
every=${QUERN_TENTH:-}
[ -z "$full" ] || every=1
if [ -n "$every" ]; then
    sanitized "$root/build-asan" gcc "$every"
    sanitized "$root/build-clang" clang "$every"
fi
total
