#!/bin/sh
# page.sh QUERN: the page of `explore --html` in headless Chromium: no message on its console, nothing fetched, bars of several colours in a
# screenshot, columns that sort. Without Chromium it says so and counts nothing.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
quern=$1 passed=0 failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/quern-page.XXXXXX")
trap 'rm -rf "$work"' EXIT
check() { # WHAT CONDITION…
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $what"; fi
}
browser=$(command -v chromium || command -v chromium-browser || true)
if [ -z "$browser" ]; then
    echo "page: 0 passed, 0 failed, 1 skipped (chromium is not installed)"
    exit 0
fi
chrome() { # ARGUMENTS…: standard output of the browser; its log is in $work/log
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$work/profile" --enable-logging=stderr "$@" 2> "$work/log"
}
XDG_CACHE_HOME=$work "$quern" explore "$root/tests/data/networks/lenet_survey.onnx" --target survey_rs --evals 3000 \
    --sweep buffer=32k..64k --html "$work/page.html" > /dev/null
check "the page is written" test -s "$work/page.html"
! grep -qE '(src|href)="?(https?:)?//' "$work/page.html"
check "nothing is fetched" test $? = 0
chrome --window-size=1200,2000 --screenshot="$work/page.png" "file://$work/page.html" > /dev/null
check "a screenshot" test -s "$work/page.png"
! grep -q CONSOLE "$work/log"
check "a quiet console" test $? = 0

# The picture is handed to the browser again, which counts the points of each colour.
{
    echo '<!DOCTYPE html><body><script>var i = new Image(); i.onload = function () { var c = document.createElement("canvas"), n = {}; c.width = i.width;'
    echo 'c.height = i.height; var g = c.getContext("2d"); g.drawImage(i, 0, 0); var d = g.getImageData(0, 0, i.width, i.height).data;'
    echo 'for (var k = 0; k < d.length; k += 4) { var s = d[k] + "," + d[k + 1] + "," + d[k + 2]; n[s] = (n[s] || 0) + 1; }'
    echo 'document.body.textContent = ["76,76,76", "68,119,170", "102,204,238", "34,136,51"].map(function (s) { return "points " + (n[s] || 0); }).join(" ");'
    printf '}; i.src = "data:image/png;base64,'
    base64 -w 0 "$work/page.png"
    echo '";</script></body>'
} > "$work/count.html"
chrome --virtual-time-budget=10000 --dump-dom "file://$work/count.html" > "$work/count"
many=$(grep -o 'points [0-9]*' "$work/count" | awk '$2 > 200 { n++ } END { print n + 0 }')
check "bars of at least three colours (points: $(grep -o 'points [0-9]*' "$work/count" | tr '\n' ' '))" test "$many" -ge 3

# A click on `energy` sorts upwards, a second one downwards.
sed 's|</body>|<script>var h = document.querySelectorAll("th.sorts")[4], e = function () { return Array.from(document.querySelectorAll("tbody tr")).map(function (r) { return Number(r.cells[4].dataset.v); }); }; h.click(); var up = e(); h.click(); var down = e(); document.title = "sorted " + up.every(function (v, i) { return !i \|\| up[i - 1] <= v; }) + " " + down.every(function (v, i) { return !i \|\| down[i - 1] >= v; }) + " " + (up.length > 3);</script></body>|' \
    "$work/page.html" > "$work/sort.html"
chrome --dump-dom "file://$work/sort.html" > "$work/sorted"
check "columns sort" grep -q '<title>sorted true true true</title>' "$work/sorted"
for what in "energy of each layer by level" "energy of each layer by operand" "roofline" "Pareto front" "mapping as nested tiles" "units that work"; do
    check "$what" grep -q "aria-label=\"$what\"" "$work/sorted"
done
echo "page: $passed passed, $failed failed"
[ "$failed" = 0 ]
