/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: the encoder of command streams. It walks the statements with the values of the variables at hand; where a nest is a
 * command it puts that, else it goes on inside, once for each iteration. Scratchpad buffers get addresses as their scopes open.
 * Assumes a verified Func.
 *   for i in 0..2: { alloc p: pad int8[4]; for j in 0..4: p[j] = x[i*4+j] … }
 *   --->   LOAD pad[0 +1] <- DRAM[0 +1], 4 of 1 byte; …; LOAD pad[0 +1] <- DRAM[4 +1], 4 of 1 byte; …
 */
#include "stream_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_COMMANDS = 1 << 20, ALIGN = 64 };
typedef struct Encoder {
    Ctx *c;
    const Func *f;
    const Target *t;
    Loc loc;
    int nrow;
    Row *row;
    int64_t *value; /* of variables, see Env */
    int8_t *is;
    int64_t *address;                                    /* of buffers' element 0, in bytes, by id; -1: none */
    int *level;                                          /* … and the memory they are in */
    int64_t top[QN_MAX_LEVELS], capacity[QN_MAX_LEVELS]; /* bytes */
    Text commands;
    uint32_t ncommand;
    int depth;
} Encoder;

static void put(Text *t, uint64_t x, int bytes) {
    char b[8];
    for (int i = 0; i < bytes; i++) b[i] = (char)(x >> (8 * i));
    text_putn(t, b, (size_t)bytes);
}
static void put_name(Text *t, const char *name) {
    char b[QN_SIM_NAME] = {0};
    size_t n = strlen(name);
    memcpy(b, name, n < sizeof b ? n : sizeof b - 1);
    text_putn(t, b, sizeof b);
}
static void align8(Text *t) {
    while (t->n % 8) put(t, 0, 1);
}

/* ---- the target */
static bool read_row(Encoder *e, const TargetInstr *x, Row *r) {
    Arena *a = e->c->a;
    const char *why = NULL;
    Loc loc = {e->t->name, x->line ? x->line : -1, NULL, NULL};
    r->instr = x;
    if (strlen(x->emit) >= QN_SIM_NAME) return diag_error(e->c->d, loc, "the opcode %s has more than %d letters", x->emit, QN_SIM_NAME - 1);
    r->means = func_parse(e->c, e->t->name, x->means);
    if (!r->means || !func_verify(e->c, r->means)) return false;
    int64_t *value = NEW_ARRAY(a, int64_t, r->means->nvar + 1);
    int8_t *is = NEW_ARRAY(a, int8_t, r->means->nvar + 1);
    memset(is, ENV_FREE, (size_t)r->means->nvar);
    const Stmt *body = r->means->body;
    if (body->u.block.n != 1) return diag_error(e->c->d, loc, "the meaning of %s is not one nest; a command has one", x->name);
    if (!stream_describe(body->u.block.v[0], value, is, &r->nest, &why) || r->nest.constant)
        return diag_error(e->c->d, loc, "the meaning of %s cannot be a command: %s", x->name, why ? why : "it stores one number");
    for (int k = 0; k < r->nest.nop; k++) {
        const Buf *b = r->nest.buf[k];
        if (b->space != MEM_PARAM || r->nest.at[k].c + b->offset)
            return diag_error(e->c->d, loc, "operand %s of %s is not a parameter, from its first element on", b->name, x->name);
        r->level[k] = target_level(e->t, b->name);
    }
    return true;
}
/* An opcode that is a number is the code itself; a word gets the next code that is free. */
static bool read_rows(Encoder *e) {
    unsigned next = QN_SIM_FIRST_INSTR;
    e->row = NEW_ARRAY(e->c->a, Row, e->t->ninstr + 1);
    for (int i = 0; i < e->t->ninstr; i++) {
        const TargetInstr *x = &e->t->instr[i];
        Row *r = &e->row[e->nrow];
        if (!x->command) continue;
        if (e->nrow++ == QN_SIM_INSTRS) return diag_error(e->c->d, e->loc, "target %s has more than %d opcodes", e->t->name, QN_SIM_INSTRS);
        if (!read_row(e, x, r)) return false;
        char *end;
        unsigned long code = strtoul(x->emit, &end, 0);
        if (!*end && (code < QN_SIM_FIRST_INSTR || code > UINT16_MAX))
            return diag_error(e->c->d, e->loc, "the opcode of %s is %s, expected %d to 65535", x->name, x->emit, QN_SIM_FIRST_INSTR);
        r->opcode = (uint16_t)(*end ? 0 : code);
    }
    for (int i = 0; i < e->nrow; i++)
        for (int k = 0; k < i; k++)
            if (e->row[i].opcode && e->row[i].opcode == e->row[k].opcode)
                return diag_error(e->c->d, e->loc, "%s and %s have the same opcode", e->row[k].instr->name, e->row[i].instr->name);
    for (int i = 0; i < e->nrow; i++) {
        bool taken = !e->row[i].opcode;
        while (taken) {
            taken = false;
            for (int k = 0; k < e->nrow; k++) taken |= e->row[k].opcode == next;
            if (!taken) e->row[i].opcode = (uint16_t)next;
            next++;
        }
    }
    return true;
}
/* One scratchpad of each kind; registers below a fan-out are one memory, a word for each unit. */
static bool read_levels(Encoder *e) {
    for (int l = 1; l < e->t->nlevel; l++) {
        const TargetLevel *v = &e->t->level[l];
        int64_t n = target_instances(e->t, l), bits;
        if (v->kind == LEVEL_CACHE) continue;
        if (v->kind == LEVEL_PAD && n > 1)
            return diag_error(e->c->d, e->loc, "target %s has %lld scratchpads %s; a command stream drives one", e->t->name, (long long)n,
                              v->name);
        if (!mul_ok(v->words, n, &bits) || !mul_ok(bits, v->word_bits, &bits) || !v->words)
            return diag_error(e->c->d, e->loc, "the size of level %s is %lld words, expected one that can be addressed", v->name,
                              (long long)v->words);
        e->capacity[l] = bits / 8;
    }
    return true;
}

/* ---- where buffers are */
static int level_of(const Encoder *e, const Buf *b) {
    if (b->level) return b->level < e->t->nlevel ? b->level : -1;
    size_t n = strlen(b->name), best = 0;
    int level = -1;
    for (int l = 1; l < e->t->nlevel; l++) {
        size_t len = strlen(e->t->level[l].name);
        if (len > n || len <= best || strcmp(b->name + n - len, e->t->level[l].name) != 0 || (len < n && b->name[n - len - 1] != '_'))
            continue;
        level = l, best = len;
    }
    return level;
}
static bool buffer_bytes(const Buf *b, int64_t *bytes) {
    int64_t last = 0;
    for (int d = 0; d < b->rank; d++) {
        int64_t x;
        if (b->dim[d] == 0) return *bytes = 0, true;
        if (b->stride[d] < 0 || !mul_ok(b->dim[d] - 1, b->stride[d], &x) || !add_ok(last, x, &last)) return false;
    }
    return add_ok(last, 1, &last) && mul_ok(last, qn_sim_type_bytes((unsigned)stream_type(b->dt)), bytes);
}
static bool place(Encoder *e, const Buf *b) {
    int64_t bytes, at, all;
    int l = b->space == MEM_PAD ? level_of(e, b) : b->space == MEM_PARAM || b->space == MEM_SCRATCH ? 0 : -1;
    if (l < 0)
        return diag_error(e->c->d, e->loc, "buffer '%s' is in no memory of %s; expected a scratchpad buffer whose name ends with a level's",
                          b->name, e->t->name);
    if (stream_type(b->dt) < 0)
        return diag_error(e->c->d, e->loc, "buffer '%s' is %s, which commands do not have", b->name, dtype_name(b->dt));
    int64_t element = qn_sim_type_bytes((unsigned)stream_type(b->dt)), align = l ? element : ALIGN;
    if (!buffer_bytes(b, &bytes) || !mul_ok(b->offset, element, &at) || at < 0 || !add_ok(bytes, at, &bytes) || bytes > (int64_t)1 << 40)
        return diag_error(e->c->d, e->loc, "the size of buffer '%s' is out of range", b->name);
    e->address[b->id] = (e->top[l] + align - 1) / align * align + at;
    all = (e->top[l] + align - 1) / align * align + bytes;
    e->level[b->id] = l;
    if (l > 0 && all > e->capacity[l])
        return diag_error(e->c->d, e->loc, "buffer '%s' does not fit: level %s of %s has %lld bytes, needed are %lld", b->name,
                          e->t->level[l].name, e->t->name, (long long)e->capacity[l], (long long)all);
    e->top[l] = all;
    return true;
}

/* ---- commands */
typedef struct Out { /* one command; strides in bytes */
    int opcode, nloop, nop, element;
    uint64_t value;
    int64_t size[QN_SIM_LOOPS];
    int level[QN_SIM_OPERANDS];
    int64_t address[QN_SIM_OPERANDS], stride[QN_SIM_OPERANDS][QN_SIM_LOOPS];
} Out;
static bool put_command(Encoder *e, const Out *o) {
    Text *t = &e->commands;
    size_t bytes = QN_SIM_COMMAND + 4 * (size_t)o->nloop + (size_t)o->nop * (16 + 4 * (size_t)o->nloop);
    if (o->opcode != QN_SIM_END && e->ncommand++ == MAX_COMMANDS)
        return diag_error(e->c->d, e->loc, "function '%s' has more than %d commands; larger tiles make fewer", e->f->name, MAX_COMMANDS);
    put(t, (uint64_t)o->opcode, 2), put(t, (bytes + 7) / 8 * 2, 2), put(t, (uint64_t)o->nloop, 1), put(t, (uint64_t)o->nop, 1);
    put(t, (uint64_t)o->element, 2), put(t, o->value, 8);
    for (int i = 0; i < o->nloop; i++) put(t, (uint64_t)o->size[i], 4);
    for (int k = 0; k < o->nop; k++) {
        put(t, (uint64_t)o->level[k], 4), put(t, 0, 4), put(t, (uint64_t)o->address[k], 8);
        for (int i = 0; i < o->nloop; i++) {
            if (o->stride[k][i] != (int32_t)o->stride[k][i])
                return diag_error(e->c->d, e->loc, "a stride of %lld bytes does not fit into a command", (long long)o->stride[k][i]);
            put(t, (uint64_t)o->stride[k][i], 4);
        }
    }
    align8(t);
    return true;
}
static bool refuse(Encoder *e, const Stmt *s, const char *why) {
    Buf *b = s->u.st.buf;
    return diag_error(e->c->d, e->loc, "the store to '%s' in level %s is no command of target %s: %s", b->name,
                      e->t->level[e->level[b->id]].name, e->t->name, why);
}
/* Addresses; they must stay in the buffer, which the verifier proves for affine indices only. */
static bool locate(const Encoder *e, const Nest *n, int k, Out *o) {
    const Buf *b = n->buf[k];
    int64_t bytes = qn_sim_type_bytes(n->type[k]), lo = n->at[k].c, hi = lo, room;
    for (int i = 0; i < n->nloop; i++) {
        int64_t reach = (n->size[i] - 1) * n->at[k].k[i];
        lo += min_i64(reach, 0), hi += max_i64(reach, 0);
    }
    if (e->address[b->id] < 0 || !buffer_bytes(b, &room) || lo < 0 || (hi + 1) * bytes > room)
        return diag_error(e->c->d, e->loc, "elements %lld to %lld of buffer '%s' are accessed, which it does not have", (long long)lo,
                          (long long)hi, b->name);
    o->level[k] = e->level[b->id], o->address[k] = e->address[b->id] + n->at[k].c * bytes;
    return true;
}
static bool copy_or_fill(Encoder *e, const Nest *n, bool *done) {
    Out o = {.nloop = n->nloop, .nop = n->constant ? 1 : 2, .element = (int)qn_sim_type_bytes(n->type[0])};
    bool copy = !n->constant && n->red == QN_SIM_SET && n->nop == 2 && n->ncode == 2;
    *done = false;
    if (!copy && !n->constant) return true;
    for (int k = 0; k < o.nop; k++) {
        if (!locate(e, n, k, &o)) return false;
        for (int i = 0; i < n->nloop; i++) o.stride[k][i] = n->at[k].k[i] * o.element;
    }
    memcpy(o.size, n->size, sizeof o.size);
    if (copy && !o.level[0] == !o.level[1]) return true;
    o.opcode = n->constant ? QN_SIM_FILL : o.level[0] ? QN_SIM_LOAD : QN_SIM_STORE;
    o.value = o.element < 8 ? n->value & (((uint64_t)1 << (8 * o.element)) - 1) : n->value;
    *done = true;
    return put_command(e, &o);
}
static bool levels_fit(const Encoder *e, const Nest *n, const Row *r) {
    for (int k = 0; k < n->nop; k++) {
        int l = e->level[n->buf[k]->id];
        if (l == 0 || (r->level[k] >= 0 && r->level[k] != l)) return false;
    }
    return true;
}
/* A nest that is the row's, whatever the strides; in pieces if it is larger. */
static bool put_row(Encoder *e, const Nest *n, const Row *r, const int *loop_of) {
    int64_t at[QN_SIM_LOOPS] = {0};
    int i;
    do {
        Out o = {.opcode = r->opcode, .nloop = r->nest.nloop, .nop = n->nop};
        for (int k = 0; k < n->nop; k++)
            if (!locate(e, n, k, &o)) return false;
        for (i = 0; i < o.nloop; i++) o.size[i] = 1;
        for (i = 0; i < n->nloop; i++) {
            int to = loop_of[i];
            if (to < 0) continue;
            o.size[to] = min_i64(r->nest.size[to], n->size[i] - at[i]);
            for (int k = 0; k < n->nop; k++) {
                o.stride[k][to] = n->at[k].k[i] * qn_sim_type_bytes(n->type[k]);
                o.address[k] += at[i] * o.stride[k][to];
            }
        }
        if (!put_command(e, &o)) return false;
        for (i = n->nloop - 1; i >= 0; i--) {
            at[i] += loop_of[i] < 0 ? 1 : r->nest.size[loop_of[i]];
            if (at[i] < n->size[i]) break;
            at[i] = 0;
        }
    } while (i >= 0);
    return true;
}
/* *done: it was a command; else *why says what is in the way. */
static bool nest(Encoder *e, const Stmt *s, bool *done, const char **why) {
    Nest n;
    int loop_of[QN_SIM_LOOPS];
    *done = false;
    if (!stream_describe(s, e->value, e->is, &n, why)) return true;
    if (!copy_or_fill(e, &n, done)) return false;
    if (*done) return true;
    *why = "no instruction's meaning is equal to it";
    for (int i = 0; i < e->nrow; i++) {
        if (!stream_match(&n, &e->row[i], loop_of)) continue;
        *why = arena_printf(e->c->a, "%s does it, but not with operands in these memories", e->row[i].instr->name);
        if (!levels_fit(e, &n, &e->row[i])) continue;
        *done = true;
        return put_row(e, &n, &e->row[i], loop_of);
    }
    return true;
}
static bool call(Encoder *e, const Stmt *s) {
    const Env env = {e->value, e->is, NULL};
    const Row *r = NULL;
    for (int i = 0; i < e->nrow; i++)
        if (strcmp(e->row[i].instr->name, s->u.call.name) == 0) r = &e->row[i];
    if (!r || s->u.call.nbuf != r->means->param.n || s->u.call.narg != s->u.call.nbuf)
        return diag_error(e->c->d, e->loc, "the call of '%s' is no command of target %s", s->u.call.name, e->t->name);
    Nest n = r->nest;
    for (int k = 0; k < n.nop; k++) {
        Lin at;
        int p = 0, identity[QN_SIM_LOOPS];
        while (r->means->param.v[p] != r->nest.buf[k]) p++;
        if (!stream_lin(&env, s->u.call.arg[p], &at))
            return diag_error(e->c->d, e->loc, "argument %d of '%s' depends on data", p, s->u.call.name);
        n.buf[k] = s->u.call.buf[p], n.at[k].c = at.c;
        if (k + 1 < n.nop) continue;
        if (!levels_fit(e, &n, r))
            return diag_error(e->c->d, e->loc, "an operand of '%s' is not in the memory which target %s has it in", s->u.call.name,
                              e->t->name);
        for (int i = 0; i < n.nloop; i++) identity[i] = i;
        return put_row(e, &n, r, identity);
    }
    return true;
}

/* ---- statements */
static bool walk(Encoder *e, const Stmt *s);
static bool known(const Encoder *e, const Expr *x, int64_t *v) {
    const Env env = {e->value, e->is, NULL};
    Lin lin;
    bool ok = stream_lin(&env, x, &lin);
    *v = lin.c;
    return ok;
}
static bool walk_loop(Encoder *e, const Stmt *s) {
    int64_t lo, hi;
    int id = s->u.loop.v->id;
    bool ok = true, done;
    const char *why;
    if (!known(e, s->u.loop.lo, &lo) || !known(e, s->u.loop.hi, &hi))
        return diag_error(e->c->d, e->loc, "the bounds of loop '%s' depend on data; commands are made beforehand", s->u.loop.v->name);
    if (lo >= hi) return true;
    if (!nest(e, s, &done, &why)) return false;
    if (done) return true;
    e->is[id] = ENV_KNOWN;
    for (e->value[id] = lo; ok && e->value[id] < hi; e->value[id]++) ok = walk(e, s->u.loop.body);
    e->is[id] = ENV_FREE;
    return ok;
}
static bool walk_block(Encoder *e, const Stmt *s) {
    int64_t top[QN_MAX_LEVELS];
    bool ok = true;
    memcpy(top, e->top, sizeof top);
    for (int i = 0; ok && i < s->u.block.n; i++) ok = walk(e, s->u.block.v[i]);
    memcpy(e->top, top, sizeof top);
    return ok;
}
static bool walk(Encoder *e, const Stmt *s) {
    int64_t v;
    bool done = false, ok = true;
    const char *why;
    if (e->depth == MAX_DEPTH) return diag_error(e->c->d, e->loc, "statements are nested more than %d deep", MAX_DEPTH);
    e->depth++;
    switch (s->k) {
    case S_BLOCK: ok = walk_block(e, s); break;
    case S_FOR: ok = walk_loop(e, s); break;
    case S_ALLOC: ok = place(e, s->u.alloc); break;
    case S_CALL: ok = call(e, s); break;
    case S_STORE: ok = nest(e, s, &done, &why) && (done || refuse(e, s, why)); break;
    case S_LET:
        e->is[s->u.let.v->id] = known(e, s->u.let.val, &v) ? ENV_KNOWN : ENV_FREE;
        e->value[s->u.let.v->id] = v;
        break;
    case S_IF:
        ok = known(e, s->u.cond.cond, &v) || diag_error(e->c->d, e->loc, "a condition depends on data; commands are made beforehand");
        if (ok && v) ok = walk(e, s->u.cond.then);
        else if (ok && s->u.cond.other) ok = walk(e, s->u.cond.other);
        break;
    }
    e->depth--;
    return ok;
}

/* ---- the whole */
static void put_row_table(Text *t, const Row *r) {
    const Nest *n = &r->nest;
    put(t, r->opcode, 2), put(t, (uint64_t)n->nloop, 1), put(t, (uint64_t)n->nop, 1), put(t, (uint64_t)n->red, 1);
    put(t, (uint64_t)n->ncode, 1), put(t, r->instr->cycles < UINT16_MAX ? (uint64_t)r->instr->cycles : UINT16_MAX, 2);
    put_name(t, r->instr->emit);
    for (int i = 0; i < n->nloop; i++) put(t, (uint64_t)n->size[i], 4);
    for (int k = 0; k < n->nop; k++) put(t, n->type[k], 1);
    text_putn(t, (const char *)n->code, (size_t)n->ncode);
    align8(t);
}
static void put_stream(const Encoder *e, Text *out) {
    Text t = {0};
    for (int l = 0; l < e->t->nlevel; l++) put_name(&t, e->t->level[l].name), put(&t, (uint64_t)(l ? e->capacity[l] : e->top[0]), 8);
    for (int i = 0; i < e->f->param.n; i++) {
        const Buf *b = e->f->param.v[i];
        int64_t bytes = 0;
        buffer_bytes(b, &bytes);
        put_name(&t, b->name), put(&t, (uint64_t)e->address[b->id], 8), put(&t, (uint64_t)bytes, 8);
        put(&t, (uint64_t)stream_type(b->dt), 1), put(&t, b->space == MEM_SCRATCH ? 0 : b->written ? 2 : 1, 1), put(&t, 0, 6);
    }
    for (int i = 0; i < e->nrow; i++) put_row_table(&t, &e->row[i]);
    text_putn(out, "QNST", 4);
    put(out, QN_SIM_VERSION, 2), put(out, (uint64_t)e->t->nlevel, 2), put(out, (uint64_t)e->f->param.n, 2), put(out, (uint64_t)e->nrow, 2);
    put(out, e->ncommand, 4), put(out, QN_SIM_HEADER + t.n + e->commands.n, 8), put(out, QN_SIM_HEADER + t.n, 8);
    text_putn(out, t.s, t.n);
    text_putn(out, e->commands.s, e->commands.n);
    text_free(&t);
}
bool stream_encode(Ctx *c, const Func *f, const Target *t, Text *out) {
    Encoder e = {.c = c, .f = f, .t = t, .loc = {f->name, -1, NULL, NULL}};
    bool ok = read_levels(&e) && read_rows(&e);
    e.value = NEW_ARRAY(c->a, int64_t, f->nvar + 1), e.is = NEW_ARRAY(c->a, int8_t, f->nvar + 1);
    e.address = NEW_ARRAY(c->a, int64_t, f->nbuf + 1), e.level = NEW_ARRAY(c->a, int, f->nbuf + 1);
    memset(e.is, ENV_FREE, (size_t)f->nvar);
    for (int i = 0; i < f->nbuf; i++) e.address[i] = -1;
    if (ok && f->param.n > QN_SIM_BUFFERS)
        ok = diag_error(c->d, e.loc, "function '%s' has %d parameters, expected at most %d", f->name, f->param.n, QN_SIM_BUFFERS);
    for (int i = 0; ok && i < f->param.n; i++) ok = place(&e, f->param.v[i]);
    ok = ok && walk_block(&e, f->body) && put_command(&e, &(Out){.opcode = QN_SIM_END});
    if (ok) put_stream(&e, out);
    text_free(&e.commands);
    return ok;
}
