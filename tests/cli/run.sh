#!/bin/sh
# run.sh QUERN: the command line's contract: exit statuses, diagnostics, reproducible and whole outputs. Ends with "cli: N passed, N failed".
# shellcheck disable=SC2016
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
quern=$1
model=$root/examples/digits/digits.onnx
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-cli.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
passed=0 failed=0
export quern model work root
export QUERN_CACHE=off

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL $1"; [ ! -s "$work/log" ] || sed 's/^/    /' "$work/log" | head -n 8; }
# status WANTED NAME COMMAND: the command ends with that exit status
status() {
    want=$1 name=$2
    shift 2
    (eval "$*") > "$work/log" 2>&1 < /dev/null
    got=$?
    if [ "$got" = "$want" ]; then ok; else bad "$name: exit status $got, expected $want"; fi
}
# prints TEXT NAME COMMAND: the text is in what the command prints (both streams)
prints() {
    text=$1 name=$2
    shift 2
    (eval "$*") > "$work/log" 2>&1 < /dev/null
    if grep -qF -- "$text" "$work/log"; then ok; else bad "$name: '$text' is not printed"; fi
}

# ---- usage
status 2 'no command' '$quern'
status 0 'help' '$quern --help'
status 0 'version' '$quern --version'
for c in compile run verify bench inspect explore ops targets passes; do
    status 0 "$c --help" "\$quern $c --help"
    prints 'usage: quern' "$c --help" "\$quern $c --help"
done
status 2 'unknown command' '$quern mill $model'
status 2 'unknown option' '$quern compile $model -o $work/o --no-such'
status 2 'no model' '$quern compile -o $work/o'
status 2 'no output folder' '$quern compile $model'
status 2 'two models' '$quern compile $model $model -o $work/o'
status 2 'bad --dim' '$quern compile $model -o $work/o --dim batch'
status 2 'bad --weights' '$quern compile $model -o $work/o --weights tape'
status 2 'option without value' '$quern compile $model -o'
status 2 'no data' '$quern verify $model'

# ---- refusals name the place
status 1 'absent file' '$quern compile $work/none.onnx -o $work/o'
prints 'none.onnx: error: ' 'absent file is named' '$quern compile $work/none.onnx -o $work/o'
: > "$work/empty.onnx"
status 1 'empty file' '$quern compile $work/empty.onnx -o $work/o'
head -c 3000 /dev/urandom > "$work/random.onnx"
status 1 'random bytes' '$quern compile $work/random.onnx -o $work/o'
status 1 'a folder' '$quern compile $work -o $work/o'
mkfifo "$work/fifo.onnx"
status 1 'a FIFO' 'timeout 5 $quern compile $work/fifo.onnx -o $work/o'
status 1 'unknown dim' '$quern compile $model -o $work/o --dim nothing=1'
status 1 'unknown pass' '$quern compile $model -o $work/o --passes fold,nothing'
status 1 'unknown target' '$quern compile $model -o $work/o --target abacus'
if [ -z "$(ls -A "$work/o" 2> /dev/null)" ]; then ok; else bad 'a refused model leaves no files'; fi

# ---- compile
status 0 'compile' '$quern compile $model -o $work/a --name net'
status 0 'compile again' '$quern compile $model -o $work/b --name net'
if diff -r "$work/a" "$work/b" > "$work/log"; then ok; else bad 'two runs give the same bytes'; fi
if grep -rqF -e "$work" -e "$root" "$work/a" > "$work/log"; then bad 'no absolute path in the output'; else ok; fi
status 0 'default name builds' '$quern compile $model -o $work/n && cc -std=c99 -Wall -Wextra -Werror -pedantic -O1 -I$work/n -c $work/n/digits.c -o $work/n.o'
echo keep > "$work/a/other.txt"
status 0 'other files stay' '$quern compile $model -o $work/a --name net && grep -q keep $work/a/other.txt'
for w in c asm file; do
    status 0 "--weights $w" "\$quern compile \$model -o \$work/w$w --name net --weights $w"
    status 0 "verify --weights $w" "\$quern verify \$model --weights $w --data \$root/tests/data/digits"
done
status 0 '--emit-main' '$quern compile $model -o $work/m --name net --emit-main && cc -I$work/m $work/m/net_main.c $work/m/net.c -lm -o $work/m/run && $work/m/run && grep -q "free(blocks" $work/m/net_main.c'
status 0 'verify, interpreted' '$quern verify $model --interpret --data $root/tests/data/digits'
prints '1 data sets agree, 0 do not' 'verify counts' '$quern verify $model --data $root/tests/data/digits/test_data_set_0'
cp -r "$root/tests/data/digits" "$work/wrong"
for s in "$work"/wrong/test_data_set_*; do head -c 40 "$s/output_0.pb" > "$s/short" && cp "$s/input_0.pb" "$s/output_0.pb"; done
status 1 'verify finds a wrong output' '$quern verify $model --data $work/wrong'
status 0 'run' '$quern run $model'

# ---- half precision
prints 'does not compute in half precision; expected --target x86_avx512_fp16' '--fast-f16, no such target' '$quern compile $model -o $work/h --fast-f16'
prints 'leave one out' '--fast-f16 and --precise' '$quern compile $model -o $work/h --fast-f16 --precise --target x86_avx512_fp16'
for t in x86_avx512_fp16 aarch64_fp16 c99+avx512_fp16; do
    status 0 "verify --fast-f16, $t" "\$quern verify \$model --data \$root/tests/data/digits --fast-f16 --target $t --interpret"
done
prints 'of the largest value' 'verify --fast-f16 says how large the error is' '$quern verify $model --data $root/tests/data/digits --fast-f16 --target x86_avx512_fp16 --interpret'
prints 'largest difference from float32' 'compile --fast-f16 says how large the error is' '$quern compile $model -o $work/h --fast-f16 --target x86_avx512_fp16'
prints '"fast_f16": {"max_abs": 0.0' 'its manifest does' 'cat $work/h/*.json'
status 0 'compile --fast-f16 without a compiler' 'CC=false $quern compile $model -o $work/h --fast-f16 --target x86_avx512_fp16'
prints 'on the data set' 'compile --fast-f16 --data' '$quern compile $model -o $work/h --fast-f16 --target aarch64_fp16 --data $root/tests/data/digits/test_data_set_0'

# ---- values that are no tensors
lists=$root/tests/data/lists
export lists
free="--dim 's[]=0..4' --dim 's[][0]=0..8'"
for i in '' --interpret '--target host' --per-node; do
    status 0 "verify, sequences of any length $i" "\$quern verify \$lists/map_ragged/model.onnx --data \$lists/map_ragged $free $i"
done
status 0 'verify, a loop over a sequence of any length' "\$quern verify \$lists/loop_until/model.onnx --data \$lists/loop_until --dim 's[]=1..4' --dim k=1..4"
status 0 'verify, a map of any size' "\$quern verify \$lists/cast_map_dense/model.onnx --data \$lists/cast_map_dense --dim 'm[]=1..9'"
status 0 'verify, strings in sequences of any length' "\$quern verify \$lists/strings_joined/model.onnx --data \$lists/strings_joined --dim 's[]=2..4' --dim 's[][0]=0..4'"
status 0 'verify, a map from strings of any size' "\$quern verify \$lists/dict_vectorizer_strings/model.onnx --data \$lists/dict_vectorizer_strings --dim 'm[]=0..6'"
prints "add --dim 's[]=1'" 'a sequence of unknown length' '$quern compile $lists/map_ragged/model.onnx -o $work/o'
prints "at most 4096" 'a sequence too long' "\$quern compile \$lists/odd_bytes/model.onnx -o \$work/o --dim 's[]=5000'"
prints 'the model expects' 'verify, elements of another shape' "\$quern verify \$lists/map_ragged/model.onnx --data \$lists/map_ragged --dim 's[]=0..4' --dim 's[][0]=7'"
prints 'y[2].values: float32[4]' 'run prints maps' '$quern run $lists/zip_map_ints/model.onnx --input x=$lists/zip_map_ints/test_data_set_0/input_0.pb'
prints '"one" "zwei" ""' 'run prints strings' '$quern run $lists/strings/model.onnx --input s=$lists/strings/test_data_set_0/input_0.pb'
for c in zip_map_ints:x places:s optional_default:o map_as_it_is:m; do # what run writes is what verify reads
    d=$lists/${c%:*}/test_data_set_0
    i=0
    set --
    for x in $(case $c in places*) echo s t at out one ;; optional*) echo o x ;; *) echo "${c#*:}" ;; esac); do
        set -- "$@" --input "$x=$d/input_$i.pb"
        i=$((i + 1))
    done
    status 0 "run writes lists, $c" "\$quern run \$lists/${c%:*}/model.onnx $* --output-dir \$work/r"
    first=$(cd "$work/r" && find . -name "*.pb" | sort | tail -n 1)
    mkdir -p "$work/again" && rm -f "$work"/again/* && cp "$d"/input_*.pb "$work/again"
    case $c in places*) cp "$work/r/v.pb" "$work/again/output_0.pb" ;; optional*) cp "$d/output_0.pb" "$d/output_1.pb" "$work/again" && cp "$work/r/$first" "$work/again/output_2.pb" ;; *) cp "$work/r/$first" "$work/again/output_0.pb" ;; esac
    status 0 "… and verify reads them, $c" "\$quern verify \$lists/${c%:*}/model.onnx --data \$work/again"
    rm -rf "$work/r"
done
status 0 'bench, a sequence' "\$quern bench \$lists/places/model.onnx --runs 2 --data \$lists/places"
status 0 '--emit-main, a map' '$quern compile $lists/zip_map_ints/model.onnx -o $work/lm --name net --emit-main --dim N=3 && cc -Wall -Werror -I$work/lm $work/lm/net_main.c $work/lm/net.c -lm -o $work/lm/run && $work/lm/run | grep "y, dims list: 3 4 4 4"'

# ---- verify as a debugging tool
one='--data $root/tests/data/digits/test_data_set_0'
prints 'interpreter 0 abs' 'verify --per-node' "\$quern verify \$model $one --per-node"
prints 'unoptimised' 'verify --per-node compares with the graph before the passes' "\$quern verify \$model $one --per-node"
status 0 'verify --per-node, vectors' "\$quern verify \$model $one --per-node --target host"
mkdir "$work/reference"
status 0 'a reference tensor' '$quern run $model --output-dir $work/reference && ls $work/reference/*.npy'
prints 'differs from the reference' 'verify --reference' "\$quern verify \$model $one --per-node --reference \$work/reference"
prints 'holds none of the tensors' 'verify --reference, an empty folder' "mkdir \$work/none; \$quern verify \$model $one --per-node --reference \$work/none"
status 0 'verify --per-node, a loop of the program' 'l=$root/tests/data/control/long_loop.onnx; $quern run $l --interpret --output-dir $work/long && mv $work/long/y.npy $work/long/output_0.npy && $quern verify $l --data $work/long --per-node'
mkdir "$work/exact"
cp "$root/tests/data/digits/test_data_set_0/input_0.pb" "$work/exact"
status 0 'outputs before the passes' '$quern run $model --interpret --passes fold --input Input3=$work/exact/input_0.pb --output-dir $work/exact/o && mv $work/exact/o/*.npy $work/exact/output_0.npy'
prints "without rule 'conv_add'" 'verify --bisect names the rule' '$quern verify $model --data $work/exact --interpret --atol 0 --rtol 0 --bisect'
prints 'without any optional pass' 'verify --bisect, wrong data' "\$quern verify \$model --data \$work/wrong --interpret --bisect"
status 0 'run --output-dir' '$quern run $model --output-dir $work/out && ls $work/out/*.npy'
status 1 'run, unknown input' '$quern run $model --input nothing=$work/x.npy'

# ---- operators of one's own
own=$root/examples/custom_op
export own
run_own='$quern run $own/warp.onnx --input x=$own/x.npy'
status 1 'an operator that is not known' "$run_own"
for how in '--op $own/warp.qir' '--op $own/warp.qir --target host' '--op $own/warp.qir --interpret' '--op $own/warp_nest.qir' \
    '--op $own/warp_nest.qir --interpret' '--op com.example::Warp=my_warp --cflags "-O1 $own/warp.c"' '--op Warp=my_warp --cflags "-O1 $own/warp.c"'; do
    prints '-1.6699' "run $how" "$run_own $how"
done
prints 'which only compiled code can' 'a C function is not interpreted' "$run_own --op Warp=my_warp --interpret"
prints 'is built in' '--op cannot replace' "$run_own --op Relu=f"
prints 'a C identifier' '--op NAME=nonsense' "$run_own --op 'Warp=1+1'"
for name in sin int; do prints "'$name' is a name of C" "--op, the function $name" "$run_own --op Warp=$name"; done
prints 'is given twice' '--op, twice' "$run_own --op \$own/warp.qir --op \$own/warp.qir"
prints 'the graph given with --op takes int8[3]' '--op, a graph of another type' "sed 's/(x: ?)/(x: int8[3])/' \$own/warp.qir > \$work/typed.qir; $run_own --op \$work/typed.qir"
prints 'cannot open' '--op, absent file' "$run_own --op \$work/none.qir"
prints 'float32[2,9]' '--op, another shape' "sed 's/2,8/2,9/g' \$own/warp_nest.qir > \$work/nest.qir; $run_own --op \$work/nest.qir"
prints 'expected `graph' '--op, another text' "echo hello > \$work/hello.qir; $run_own --op \$work/hello.qir"

# ---- whole or not at all
mkdir "$work/locked" && chmod a-w "$work/locked"
if [ "$(id -u)" != 0 ]; then status 1 'folder that cannot be written' '$quern compile $model -o $work/locked'; else ok; fi
status 1 'output folder is a file' '$quern compile $model -o $work/empty.onnx'
status 1 'output below a file' '$quern compile $model -o $work/empty.onnx/x'
status 1 'standard output full' '$quern inspect $model > /dev/full'
status 0 'standard output closed' '$quern inspect $model | head -n 1'
mkdir "$work/limit"
status 1 'file size limit' '(trap "" XFSZ; ulimit -f 8; $quern compile $model -o $work/limit --name net)'
if [ -z "$(ls -A "$work/limit")" ]; then ok; else ls "$work/limit" > "$work/log"; bad 'a full disk leaves nothing behind'; fi

# ---- bench: what is printed, never how long it took
bench='$quern bench $model --runs 3'
status 2 'bench without a model' '$quern bench'
status 2 'bench --runs 0' '$quern bench $model --runs 0'
status 1 'bench, absent data' "$bench --data \$work/none"
mkdir "$work/few" && cp "$root"/tests/data/digits/test_data_set_0/output_0.pb "$work/few"
prints 'holds 0 inputs, the model has 1' 'bench, data without inputs' "$bench --data \$work/few"
cp "$root"/tests/data/digits/test_data_set_0/output_0.pb "$work/few/input_0.pb"
prints 'another type or shape' 'bench, wrong data' "$bench --data \$work/few"
status 1 'bench, compiler fails' "$bench --cc false"
prints 'roofline' 'bench' "$bench"
prints 'of 3 samples' 'bench --runs' "$bench --data \$root/tests/data/digits"
prints 'sum of the kernels' 'bench --per-layer' "$bench --per-layer --weights file"
status 0 'bench --json' "$bench --json 2> \$work/err > \$work/bench.json && [ ! -s \$work/err ]"
status 0 'bench --json alone on standard output' '[ "$(head -c 1 $work/bench.json)$(tail -c 2 $work/bench.json)" = "{}" ] && grep -q "\"median_ms\"" $work/bench.json && ! grep -q "\"layers\"" $work/bench.json'
status 0 'bench --json --per-layer' "$bench --json --per-layer --threads 2 > \$work/bench.json && grep -q percent_of_bandwidth \$work/bench.json"
if grep -q profile "$work/a/net.c"; then bad 'emitted code has no profiling hook'; else ok; fi
branch='$quern bench $root/tests/data/control/branch.onnx --runs 3'
prints 'not run' 'bench --per-layer, a branch' "$branch --per-layer"
status 0 'bench --per-layer, figures of a branch' "$branch --per-layer > \$work/branch && ! grep -E -- 'inf|nan| -[0-9]' \$work/branch"
status 0 'bench --json counts what runs' "$branch --json | grep -q '\"macs_done\": 2048'"
mkdir "$work/tmp"
status 0 'bench leaves no files' "TMPDIR=\$work/tmp $bench && [ -z \"\$(ls -A \$work/tmp)\" ]"

# ---- looking inside
prints 'MACs' 'inspect' '$quern inspect $model'
status 0 'inspect --json' '$quern inspect $model --json | grep -q "\"macs\""'
status 0 'ops' '$quern ops | grep -q Conv'
status 0 'passes' '$quern passes | grep -q fold'
status 0 '--dump-after' '$quern compile $model -o $work/d --dump-after fold | grep -q "^graph"'
prints 'fold' '--time-passes' '$quern compile $model -o $work/d --time-passes'
status 0 '--no-rule' '$quern compile $model -o $work/d --passes -fuse'

# ---- tuning: measured once, kept, exported; a cache or a file that cannot be used is a warning
conv=$model
export conv
tune='QUERN_CACHE=$work/tune.sqlite $quern compile $conv --target host --name net'
status 2 'tune-export without choices' '$quern compile $conv -o $work/t --tune-export $work/t.txt'
status 0 'tune' "$tune -o \$work/t1 --tune --tune-export \$work/t.txt && head -n 1 \$work/t.txt | grep -q '^# quern tuned 1'"
status 0 'tune, kept' "mkdir -p \$work/none && TMPDIR=\$work/none/none $tune -o \$work/t2 --tune 2> \$work/err && ! grep -q warning \$work/err"
status 0 'tuned twice, the same bytes' 'diff -r $work/t1 $work/t2'
status 0 'tune-from' "$tune -o \$work/t3 --tune-from \$work/t.txt --tune-export \$work/t4.txt && diff -r \$work/t1 \$work/t3 && cmp \$work/t.txt \$work/t4.txt"
status 1 'tune-from, absent' "$tune -o \$work/t4 --tune-from \$work/absent"
prints 'is no file of --tune-export' 'tune-from, another file' "$tune -o \$work/t4 --tune-from \$conv"
if grep -q Conv "$work/t.txt"; then
    sed 's/	[^	]*$/	nonsense/' "$work/t.txt" > "$work/stale.txt"
    prints 'is no choice' 'tune-from, stale' "$tune -o \$work/t4 --tune-from \$work/stale.txt"
    echo 'no tabs' >> "$work/t.txt"
    prints 'is not kernel, target and choice' 'tune-from, a wrong line' "$tune -o \$work/t4 --tune-from \$work/t.txt"
    prints 'choices are taken' 'tune, nothing can be measured' "QUERN_CACHE=off TMPDIR=\$work/none/none \$quern compile \$conv --target host -o \$work/t4 --tune"
fi
head -c 3000 /dev/urandom > "$work/tune.sqlite"
prints 'the cache is ignored' 'tune, damaged cache' "$tune -o \$work/t4 --tune"
status 0 'tune, damaged cache is no failure' "$tune -o \$work/t4 --tune"
rm -f "$work/tune.sqlite"
status 0 'two at once' "{ $tune -o \$work/t5 --tune & } && $tune -o \$work/t6 --tune && wait && QUERN_CACHE=\$work/tune.sqlite \$quern compile \$conv --target host --name net -o \$work/t7 --tune"

# ---- several targets in one file, and machines that lack them
data=$root/tests/data/digits
export data
for lacks in '' '-Dd_HAS_X86_AVX512=0' '-Dd_HAS_X86_AVX512=0 -Dd_HAS_X86_AVX2=0'; do
    status 0 "three targets, $lacks" "\$quern verify \$model --name d --data \$data --target c99+avx2+avx512 --cflags '-O1 $lacks'"
done
prints 'invoke returned: 8' 'no target fits the machine' '$quern run $model --name d --target avx2+avx512 --cflags "-O1 -Dd_HAS_X86_AVX512=0 -Dd_HAS_X86_AVX2=0"'
status 0 'several targets are one manifest' '$quern compile $model --name d -o $work/o --target avx512+c99+x86_avx2 && grep -q "\"target\": \"c99+x86_avx2+x86_avx512\"" $work/o/d.json && grep -q "\"cflags\": \"\"" $work/o/d.json'
status 1 'a target twice' '$quern compile $model -o $work/o --target avx2+x86_avx2'
status 1 'a target without processors' '$quern compile $model -o $work/o --target avx2+toy_pad'
status 1 'a missing target' '$quern compile $model -o $work/o --target avx2+'
status 0 'targets' '$quern targets | grep -q eyeriss'

# ---- exploring: what was found is remembered, and the same for any number of threads and ranks
explore='$quern explore $root/tests/data/networks/lenet_survey.onnx --target eyeriss --evals 5000'
status 0 'explore' "$explore > \$work/found"
status 0 'explore --threads 3' "$explore --threads 3 | cmp - \$work/found"
export QUERN_CACHE="$work/cache.sqlite"
status 0 'explore, empty cache' "$explore --json > \$work/j && ! grep -q '\"cached\": true' \$work/j && $explore | cmp - \$work/found"
if [ -s "$QUERN_CACHE" ]; then status 0 'explore, cached' "$explore --json | grep -q '\"cached\": true'"; fi
echo damaged > "$work/damaged"
status 0 'explore, damaged cache' "QUERN_CACHE=\$work/damaged; export QUERN_CACHE; $explore | cmp - \$work/found"
QUERN_CACHE=off
if command -v mpirun > /dev/null 2>&1 && [ -e "$(dirname "$quern")/libquern_mpi.so" ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    status 0 'mpirun -n 3 quern explore' "mpirun -n 3 $explore | cmp - \$work/found"
    one="$explore --layer conv3"
    status 0 'mpirun, one layer' "$one --json > \$work/1 && mpirun -n 2 $one --json > \$work/2 && grep -v seconds \$work/1 > \$work/3 && grep -v seconds \$work/2 | cmp - \$work/3"
fi

# an exhaustive walk is shared by threads and ranks too
printf 'name: small\nM: 8\nC: 6\nE: 4\nR: 3\n' > "$work/small.yaml"
small='$quern explore $work/small.yaml --target survey_os --no-bypass --json'
prints '"status": "optimal"' 'a small space is walked to its end' "$small --threads 1 | tee \$work/walked"
status 0 'a walk of three threads' "$small --threads 3 | grep -v seconds > \$work/1 && grep -v seconds \$work/walked | cmp - \$work/1"
if [ -n "${OMPI_ALLOW_RUN_AS_ROOT-}" ]; then
    status 0 'a walk of two ranks' "mpirun -n 2 $small --threads 1 | grep -v seconds > \$work/1 && grep -v seconds \$work/walked | cmp - \$work/1"
fi

# ---- a whole model by the mappings that were found, or that a user wrote
for target in c99 x86_avx2; do
    status 0 "mappings for $target" "\$quern explore \$model --target $target --evals 500 --save \$work/maps.yaml"
    status 0 "a model by its mappings, $target" "\$quern verify \$model --target $target --mapping \$work/maps.yaml --data \$root/tests/data/digits"
done
cat > "$work/maps.yaml" << 'END'
mappings:
  Convolution110: "DRAM[M3~ E2] L1[E7 F14 C8 R5] regs:O[S5 M6]"
  Times212: [{level: DRAM, temporal_outer_to_inner: [[C, 4]]}, {level: regs, temporal_outer_to_inner: [[C, 64], [M, 10]], keeps: [O]}]
END
status 0 'a ragged mapping by hand' '$quern verify $model --mapping $work/maps.yaml --data $root/tests/data/digits'
prints 'MappedSum Convolution110' 'the mapped layer is there' '$quern compile $model --mapping $work/maps.yaml -o $work/o && cat $work/o/digits.c'
printf 'mappings: {nothing: "DRAM[M2]"}\n' > "$work/maps.yaml"
prints 'no convolution or matrix product called' 'a mapping of no layer' '$quern compile $model --mapping $work/maps.yaml -o $work/o'
printf 'mappings: {Times212: "DRAM[M2]"}\n' > "$work/maps.yaml"
prints 'maps.yaml:1:22: error: the factors of M multiply to 2; its extent is 10' 'a mapping with wrong factors' '$quern compile $model --mapping $work/maps.yaml -o $work/o'
status 1 'a mapping with wrong factors' '$quern compile $model --mapping $work/maps.yaml -o $work/o'

# ---- extents that are known at run time
tour=$root/docs/tour/tour.onnx
export tour
printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 6, 6), }" > "$work/two.npy"
awk 'BEGIN { for (i = 0; i < 72; i++) printf "%c%c%c%c", 0, 0, i % 2 ? 128 : 0, 63 }' | LC_ALL=C head -c 288 >> "$work/two.npy"
status 0 'one batch' '$quern run $tour --input x=$work/two.npy --interpret > $work/fixed'
status 0 'a bounded batch' '$quern run $tour --dim batch=1..4 --input x=$work/two.npy > $work/bounded'
status 0 'the same values' 'cmp $work/fixed $work/bounded'
status 0 'the same values, interpreted' '$quern run $tour --dim batch=1..4 --input x=$work/two.npy --interpret | cmp - $work/fixed'
status 1 'above the bound' '$quern run $tour --dim batch=1..1 --input x=$work/two.npy'
prints 'the lower bound is above' 'an empty range' '$quern compile $tour -o $work/dyn --dim batch=4..1'
status 0 'compile with a bound' '$quern compile $tour -o $work/dyn --dim batch=1..4 && cc -std=c99 -Wall -Wextra -Werror -pedantic -O1 -I$work/dyn -c $work/dyn/tour.c -o $work/dyn.o'
prints '"dynamic": true' 'the manifest says so' 'cat $work/dyn/tour.json'
prints 'int64_t batch' 'a typed parameter' 'cat $work/dyn/tour.h'
prints 'no integer input' '--max of nothing' '$quern compile $tour -o $work/dyn --dim batch=1 --max x=3'

# ---- extents that values decide: bounded by the data, or for an output by --dim
values=$root/tests/data/values/range.onnx
export values
status 0 'verify bounds what values decide' '$quern verify $values --data $root/tests/data/values/range'
prints 'y[0]=V' 'no bound' '$quern compile $values -o $work/dyn'
status 0 'a bound for an output' "\$quern compile \$values -o \$work/dyn --dim 'y[0]=9'"
prints '"shape": [9]' 'it is in the manifest' 'cat $work/dyn/range.json'
prints 'no tensor has' 'an axis of none' "\$quern compile \$values -o \$work/dyn --dim 'z[0]=9'"

echo "cli: $passed passed, $failed failed"
[ "$failed" = 0 ]
