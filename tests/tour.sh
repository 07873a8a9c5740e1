#!/bin/sh
# tour.sh QUERN: prints docs/tour.md, made from docs/tour/tour.md.in by running its commands. `tests/tour.sh build/quern > docs/tour.md` renews it.
#   @run COMMAND     the command and what it prints on stdout (must succeed)
#   @fail COMMAND    the command and its messages (must end with status 1)
#   @kernel MODEL    the C functions of out/MODEL's kernels
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
quern=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$root/docs/tour"
out=$(mktemp -d "${TMPDIR:-/tmp}/quern-tour.XXXXXX")
trap 'rm -rf "$out"' EXIT
mkdir "$out/bin"
ln -s "$quern" "$out/bin/quern"
PATH=$out/bin:$PATH
# The page shows the folder as `out`.
expand() { printf '%s\n' "$1" | sed "s, out\\>, $out/out,"; }
show() {
    printf '```text\n$ %s\n' "$1"
    sed "s,$out/out,out,g"
    printf '```\n'
}
while IFS= read -r line; do
    case $line in
    '@run '*)
        cmd=${line#@run }
        sh -c "$(expand "$cmd")" 2> "$out/err" > "$out/text" || { cat "$out/err" >&2; exit 1; }
        show "$cmd" < "$out/text"
        ;;
    '@fail '*)
        cmd=${line#@fail }
        sh -c "$(expand "$cmd")" > "$out/text" 2>&1 && exit 1
        show "$cmd" < "$out/text"
        ;;
    '@kernel '*)
        model=${line#@kernel }
        printf '```c\n'
        sed -n '/^\/\*.*Conv/,/^}/p' "$out/out/${model%.onnx}.c"
        printf '```\n'
        ;;
    *) printf '%s\n' "$line" ;;
    esac
done < tour.md.in
