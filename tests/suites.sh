# suites.sh: the groups of tests, shared by tests/run.sh and .ci/run. Each prints lines "name: N passed, N failed[, N skipped]" into $log.
# shellcheck shell=sh disable=SC2154,SC2086,SC2046

say() { printf '%s\n' "$*" | tee -a "$log"; }
# Runs a command, shows its output, keeps its summary line; a command without one counts as one failure.
counted() {
    name=$1
    shift
    status=0
    since=$(date +%s)
    said=$(mktemp "$work/out.XXXXXX")
    "$@" > "$said" 2>&1 < /dev/null || status=$?
    echo "$name: $(($(date +%s) - since)) s"
    line=$(grep -E '^[a-z_]+: [0-9]+ passed, [0-9]+ failed' "$said" | tail -n 1 || true)
    if [ "$status" != 0 ]; then grep -vE ': passed|^$' "$said" | tail -n 60; fi
    if [ -z "$line" ]; then line="$name: 0 passed, 1 failed"; tail -n 20 "$said"; fi
    rm -f "$said"
    say "$name: ${line#*: }"
}
# Groups that use one processor each, at the same time: together 'cli B' 'hostile B; abi B'. What they print follows group by group.
together() {
    side=0
    for groups; do
        side=$((side + 1))
        (eval "$groups") > "$work/side.$side" 2>&1 &
    done
    wait
    cat "$work"/side.*
    rm -f "$work"/side.*
}
# One check: passes when the command succeeds.
check() {
    name=$1
    shift
    if "$@" > "$work/out" 2>&1 < /dev/null; then
        say "$name: 1 passed, 0 failed"
    else
        cat "$work/out"
        say "$name: 0 passed, 1 failed"
    fi
}
skip() { say "$1: 0 passed, 0 failed, 1 skipped ($2)"; }

unit() { counted "unit ($(basename "$1"))" "$1/tests/unit_tests"; }

# Folders with stored data that are present here, as NAME=FOLDER, the newest first.
corpora() {
    if [ -d "$work/newest/data" ]; then echo "new=$work/newest/data"; fi
    if [ -d /usr/share/libonnx-testdata/data ]; then echo onnx=/usr/share/libonnx-testdata/data; fi
    echo "ml=$root/tests/data/ml"
    echo "lists=$root/tests/data/lists"
    echo "types=$root/tests/data/types"
    if [ -d "$shared/models" ]; then echo "models=$shared/models"; fi
}
# corpus_all BUILD CC FLAGS EVERY
corpus_all() {
    [ -d "$shared/models" ] || skip "models of $shared" "the folder is absent; set QUERN_SHARED"
    newest=$shared/onnx-backend-tests/onnx-backend-test-data.tar.xz
    if [ ! -f "$newest" ]; then
        skip "newest data of ONNX" "$newest is absent; set QUERN_SHARED"
    elif [ ! -d "$work/newest" ]; then
        mkdir "$work/newest"
        tar -xJf "$newest" -C "$work/newest"
    fi
    counted "corpus ($2, every $4)" "$1/tests/corpus" --work "$work/corpus" --cc "$2" --cflags "$3" --every "$4" --status "$root/tests/onnx/status.txt" --conformance "$work/conformance" $(corpora)
    rm -rf "$work/corpus"
}
# The table of all cases, after corpus_all with every one of them.
conformance() {
    if [ -d "$work/newest/data" ] && [ -d /usr/share/libonnx-testdata/data ]; then
        check "docs/conformance.md is fresh" diff -u "$root/docs/conformance.md" "$work/conformance"
    else
        skip "docs/conformance.md is fresh" "data are missing"
    fi
}
# sanitized BUILD CC EVERY: compiler and emitted code under ASan and UBSan
sanitized() {
    sh "$root/.ci/build" "$1" all -DCMAKE_C_COMPILER=$2 -DQUERN_TESTS=ON -DQUERN_SANITIZE=ON -DQUERN_WERROR=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
    export ASAN_OPTIONS=detect_leaks=0
    SCHED_COUNT=50 CK_TIMEOUT_MULTIPLIER=5 counted "unit ($(basename "$1"))" "$1/tests/unit_tests"
    corpus_all "$1" $2 '-std=c99 -O1 -g -Wall -Wextra -Werror -pedantic -fsanitize=address,undefined -fno-sanitize-recover=undefined' "$3"
    unset ASAN_OPTIONS
}
inspect() { counted inspect sh "$root/tests/inspect.sh" "$1/quern"; }
isa() { counted isa sh "$root/tests/isa/run.sh" "$1/quern"; }
instrument() { counted instrument sh "$root/tests/instrument/run.sh" "$1/quern"; }
page() { counted page sh "$root/tests/page.sh" "$1/quern"; }
abi() { counted abi sh "$root/tests/abi/run.sh" "$1/quern" "$1/tests/abi_driver"; }
fuzz() { counted fuzz "$1/tests/fuzz" --count 60 --work "$work/fuzz"; }
hostile() { counted hostile sh "$root/tests/hostile/run.sh" "$1/quern"; }
cli() { counted cli sh "$root/tests/cli/run.sh" "$1/quern"; }
digits() { check "examples/digits" sh "$root/examples/digits/run.sh"; }

# Generated documents are fresh, scripts are clean, no file of the tree names a machine's path.
meta() {
    for doc in ops options target-file; do
        case $doc in
        ops) "$1/quern" ops --markdown > "$work/doc" ;;
        options) "$1/quern" --options-markdown > "$work/doc" ;;
        target-file) "$1/quern" targets --markdown > "$work/doc" ;;
        esac
        check "docs/$doc.md is fresh" diff -u "$root/docs/$doc.md" "$work/doc"
    done
    sh "$root/tests/tour.sh" "$1/quern" > "$work/doc" || true
    check "docs/tour.md is fresh" diff -u "$root/docs/tour.md" "$work/doc"
    # shellcheck disable=SC2046
    check "shell scripts" shellcheck -x "$root/.ci/run" "$root/.ci/install" "$root/.ci/build" $(find "$root/tests" "$root/benchmarks" "$root/examples" -name "*.sh")
    check "packages" sh -c "! grep -vxFf '$root/.ci/packages' '$root/.ci/packages-build'"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\ncase "$*" in *check* | *ompi*) exit 1 ;; esac\nexec pkg-config "$@"\n' > "$work/pkg-config"
    chmod +x "$work/pkg-config"
    check "configured with the packages to build only" cmake -S "$root" -B "$work/bare" -DPKG_CONFIG_EXECUTABLE="$work/pkg-config"
}

total() {
    awk -F': ' '
        match($0, /: [0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?/) {
            split(substr($0, RSTART + 2, RLENGTH - 2), f, /[ ,]+/)
            p += f[1]; x += f[3]; s += f[5]
        }
        END { printf "%d skipped\n%d passed, %d failed\n", s, p, x; exit !(x == 0 && p > 0) }' "$log"
}
