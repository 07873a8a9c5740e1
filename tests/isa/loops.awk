# loops.awk: reads `objdump -d --no-show-raw-insn` and says of each function's innermost loops whether they multiply and add well.
# A loop is the range of a jump backwards; one without another inside is innermost. Where it has several vector multiplications:
#   "no fma"   it has no fused multiply-add of float32 though it adds as well
#   "spills"   a vector of it is read from or written to the stack; not where it stores TILE or more vectors elsewhere, as
#              transforms of tiles do, which keep tiles of the border in arrays there: sums are stored behind their loop
# -v allow=N: so many such accesses in a loop are not a fault.
# -v want=REGEX: of the functions of this name, or of this name and a number, one must have such a loop.
# Prints the faults, then "loops: N with multiply-adds, M faults". Knows x86-64, AArch64 and RISC-V.
#   objdump -d --no-show-raw-insn net.o | awk -v want='^(conv|gemm)' -f loops.awk
function hex(s,    i, v) {
    v = 0
    for (i = 1; i <= length(s); i++) v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
    return v
}
function fault(what, at) {
    printf "%s: %s, loop at %x\n", name, what, at
    faults++
}
BEGIN { TILE = 16 }
function finish(    i, j, k, inner, fma, mul, add, stack, vec, stores, any, base) {
    any = 0
    for (i = 0; i < nloop; i++) {
        inner = 1
        for (j = 0; j < nloop && inner; j++)
            if (j != i && from[j] >= from[i] && to[j] <= to[i] && (from[j] > from[i] || to[j] < to[i])) inner = 0
        if (!inner) continue
        fma = mul = add = stack = vec = stores = 0
        for (k = first[from[i]]; k < n && at[k] <= to[i]; k++) {
            if (op[k] ~ /^vfn?m(add|sub)[0-9]*p|^vpdpbusd|^[su]dot$|^fml[as]$|^vfn?m(acc|sac|add|sub)\./) fma++
            else if (op[k] ~ /^v?mulps|^vfmul/ || (op[k] == "fmul" && arg[k] ~ /^v[0-9]+\.4s/)) mul++
            else if (op[k] ~ /^v?addps|^vfadd/ || (op[k] == "fadd" && arg[k] ~ /^v[0-9]+\.4s/)) add++
            if (arg[k] ~ /%[xyz]mm|^[qv][0-9]/ || op[k] ~ /^v/) vec++
            if (arg[k] ~ /%[xyz]mm/ && op[k] !~ /broadcast/ && arg[k] !~ /\{1to/ && (arg[k] ~ /\(%rsp[,)]/ || (frame && arg[k] ~ /-0x[0-9a-f]*\(%rbp[,)]/))) stack++
            else if (op[k] ~ /^vmov[au]/ && arg[k] ~ /^%[xyz]mm[0-9]+,.*\)$/) stores++
            if (op[k] ~ /^(ldr|str|ldp|stp|ldur|stur)$/ && arg[k] ~ /^q/ && arg[k] ~ /\[(sp|x29)/) stack++
            if (op[k] ~ /^v[ls](e[0-9]+|[0-9]r)\.?/ && arg[k] ~ /\(sp\)/) stack++
        }
        if (fma >= 4 && 2 * fma >= vec) {
            any = 1
            good++
        }
        if (fma >= 4 && 2 * fma >= vec && stack > allow && stores < TILE) fault("spills " stack " vectors", from[i])
        if (fma == 0 && mul >= 4 && add >= 4) fault("no fma", from[i])
    }
    if (name != "" && want != "" && name ~ want) { # NAME and NAME_2 are kernels of one node
        base = name
        sub(/_[0-9]+$/, "", base)
        if (any) has[base] = has[name] = 1
        seen[base] = seen[base] " " name
    }
    n = nloop = frame = 0
    name = ""
    split("", first)
}
/^[0-9a-f]+ <.*>:$/ {
    finish()
    name = $2
    gsub(/[<>:]/, "", name)
    next
}
/^ *[0-9a-f]+:\t/ {
    split($0, f, "\t")
    a = f[1]
    gsub(/[ :]/, "", a)
    at[n] = hex(a)
    first[at[n]] = n
    sub(/^\{vex\} */, "", f[2])
    op[n] = f[2]
    arg[n] = f[3]
    if (split(f[2], g, " ") > 1) { op[n] = g[1]; arg[n] = substr(f[2], length(g[1]) + 1); sub(/^ */, "", arg[n]) }
    if (op[n] ~ /^(j[a-z]+|b\.[a-z]+|b|cbn?z|tbn?z|b(ne|eq|lt|ge|ltu|geu|nez|eqz|gtz|ltz|gez|lez)|j)$/ && match(arg[n], /[0-9a-f]+ </)) {
        target = hex(substr(arg[n], RSTART, RLENGTH - 2))
        if (target <= at[n] && target in first) {
            from[nloop] = target
            to[nloop++] = at[n]
        }
    }
    if (op[n] == "mov" && arg[n] == "%rsp,%rbp") frame = 1
    n++
}
END {
    finish()
    for (base in seen)
        if (!has[base]) {
            print "no loop of these multiplies and adds:" seen[base]
            faults++
        }
    printf "loops: %d with multiply-adds, %d faults\n", good, faults
    exit faults > 0
}
