/* SPDX-License-Identifier: Apache-2.0 */
/* regex.c: regular expressions (RE2's syntax, UTF-8) become deterministic automata over bytes. The text is parsed into a tree, the tree
 * becomes a graph of steps (Thompson 1968), and sets of steps are states. A state remembers what stood before it where `^`, `$` or `\b`
 * ask for that; such a question is answered when the next byte is known. Whether a whole text matches is all that is asked, so what is
 * greedy or captured makes no difference.
 *
 *   a(b|c)*   --->   kinds: a, b or c, others; state 0 -a-> 2, 2 -b,c-> 2 (accepts), everything else -> 1
 */
#include "regex.h"
#include "runtime/ops/qn_strings.h"
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 200, REPEAT = 1000, STEPS = 20000, STATES = 8192, TABLE = 1 << 20, RUNE_MOST = 0x10ffff };
static const int64_t WORK = (int64_t)1 << 28; /* steps looked at while states are made */

/* ---- the tree */
typedef enum TreeKind { T_EMPTY, T_NONE, T_CLASS, T_BYTE, T_CAT, T_ALT, T_REPEAT, T_ASSERT } TreeKind;
typedef enum Assert { AT_START, AT_END, LINE_START, LINE_END, WORD_EDGE, NO_WORD_EDGE } Assert;
typedef struct RuneRange {
    uint32_t lo, hi;
} RuneRange;
typedef Vec(RuneRange) Runes;
typedef struct Tree {
    TreeKind k;
    Runes set;
    struct Tree *a, *b;
    int lo, hi; /* T_REPEAT; hi -1: without end */
    Assert is;
} Tree;
enum { FOLD = 1, LINES = 2, DOT_ALL = 4 };
typedef struct Parser {
    Arena *a;
    const unsigned char *s;
    int64_t n, at, from; /* from: where what is wrong starts */
    int flags, depth;
    bool quote; /* between \Q and \E */
    const char *err;
} Parser;

static Tree *fail(Parser *p, const char *why) {
    if (!p->err) p->err = why;
    return NULL;
}
static Tree *tree(Parser *p, TreeKind k, Tree *x, Tree *y) {
    Tree *t = NEW(p->a, Tree);
    t->k = k, t->a = x, t->b = y;
    return t;
}
static void add(Parser *p, Runes *r, uint32_t lo, uint32_t hi) { vec_push(p->a, r, ((RuneRange){lo, hi})); }
static int by_start(const void *x, const void *y) {
    const RuneRange *p = x, *q = y;
    return p->lo != q->lo ? (p->lo < q->lo ? -1 : 1) : (p->hi > q->hi) - (p->hi < q->hi);
}
/* In order, without overlaps; letters in both cases if asked for. */
static void tidy(Parser *p, Runes *r, bool fold) {
    static const uint32_t signs[][3] = {{'k', 'K', 0x212a}, {'s', 'S', 0x17f}, {0xe5, 0xc5, 0x212b}};
    int n = r->n, kept = 0;
    for (int i = 0; fold && i < n; i++) {
        for (uint32_t c = r->v[i].lo; c <= r->v[i].hi && c < 0x530; c++) {
            uint32_t low = qn_other_case(c, 0), high = qn_other_case(c, 1);
            if (low != c) add(p, r, low, low);
            if (high != c) add(p, r, high, high);
        }
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 3; j++)
                if (signs[k][j] >= r->v[i].lo && signs[k][j] <= r->v[i].hi)
                    for (int m = 0; m < 3; m++) add(p, r, signs[k][m], signs[k][m]);
    }
    if (r->n) qsort(r->v, (size_t)r->n, sizeof *r->v, by_start);
    for (int i = 0; i < r->n; i++) {
        if (kept && r->v[i].lo <= r->v[kept - 1].hi + 1)
            r->v[kept - 1].hi = r->v[i].hi > r->v[kept - 1].hi ? r->v[i].hi : r->v[kept - 1].hi;
        else r->v[kept++] = r->v[i];
    }
    r->n = kept;
}
static void add_others(Parser *p, Runes *to, Runes *r) { /* what is not in r */
    uint32_t from = 0;
    tidy(p, r, false);
    for (int i = 0; i < r->n; i++) {
        if (r->v[i].lo > from) add(p, to, from, r->v[i].lo - 1);
        from = r->v[i].hi + 1;
    }
    if (from <= RUNE_MOST) add(p, to, from, RUNE_MOST);
}

/* ---- single characters and classes */
static bool more(const Parser *p) { return p->at < p->n; }
static bool looking_at(const Parser *p, const char *s) {
    size_t n = strlen(s);
    return (int64_t)n <= p->n - p->at && memcmp(p->s + p->at, s, n) == 0;
}
static bool take(Parser *p, const char *s) {
    if (!looking_at(p, s)) return false;
    p->at += (int64_t)strlen(s);
    return true;
}
static uint32_t rune(Parser *p) {
    uint32_t c = p->s[p->at++];
    int more_bytes = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    if (c >= 0x80 && (c < 0xc2 || c > 0xf4 || p->n - p->at < more_bytes)) return fail(p, "the pattern is not UTF-8"), 0;
    if (more_bytes) c &= 0x3fu >> more_bytes;
    for (; more_bytes; more_bytes--) {
        if ((p->s[p->at] & 0xc0) != 0x80) return fail(p, "the pattern is not UTF-8"), 0;
        c = c << 6 | (p->s[p->at++] & 0x3fu);
    }
    return c;
}
static int hex_digit(int c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
static const struct {
    const char *name, *set; /* pairs of first and last */
} classes[] = {{"alnum", "09AZaz"}, {"alpha", "AZaz"},    {"blank", "\t\t  "},  {"cntrl", "\001\037\177\177"}, {"digit", "09"},
               {"graph", "!~"},     {"lower", "az"},      {"print", " ~"},      {"punct", "!/:@[`{~"},         {"space", "\t\r  "},
               {"upper", "AZ"},     {"xdigit", "09AFaf"}, {"word", "09AZ__az"}, {"ascii", "\001\177"}};
static void add_set(Parser *p, Runes *r, const char *set, bool zero) {
    for (; *set; set += 2) add(p, r, (unsigned char)set[0], (unsigned char)set[1]);
    if (zero) add(p, r, 0, 0);
}
/* \d \s \w and their opposites. */
static bool perl_class(Parser *p, Runes *r) {
    static const struct {
        char c;
        const char *set;
    } rows[] = {{'d', "09"}, {'s', "\t\n\f\r  "}, {'w', "09AZ__az"}};
    if (p->n - p->at < 2 || p->s[p->at] != '\\') return false;
    for (int i = 0; i < 3; i++) {
        Runes inner = {0};
        int c = p->s[p->at + 1];
        if ((c | 32) != rows[i].c) continue;
        p->at += 2;
        add_set(p, &inner, rows[i].set, false);
        if (c & 32) tidy(p, &inner, p->flags & FOLD);
        if (c & 32)
            for (int k = 0; k < inner.n; k++) add(p, r, inner.v[k].lo, inner.v[k].hi);
        else tidy(p, &inner, p->flags & FOLD), add_others(p, r, &inner);
        return true;
    }
    return false;
}
/* Behind a backslash: one character. */
static uint32_t escaped(Parser *p) {
    static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
    if (!more(p)) return fail(p, "a backslash stands at the end"), 0;
    int c = p->s[p->at];
    const char *q = strchr(from, c);
    if (c && q) return p->at++, (uint32_t)to[q - from];
    if (c == 'x') {
        uint32_t v = 0;
        int n = 0, d;
        p->at++;
        bool braces = take(p, "{");
        for (; more(p) && n < (braces ? 8 : 2) && (d = hex_digit(p->s[p->at])) >= 0; n++) v = v * 16 + (uint32_t)d, p->at++;
        if (n == 0 || (!braces && n < 2) || (braces && !take(p, "}")) || v > RUNE_MOST)
            return fail(p, "\\x is followed by two hexadecimal digits, or by a number up to 10FFFF in braces"), 0;
        return v;
    }
    if (c >= '0' && c <= '7') {
        uint32_t v = 0;
        if (c != '0' && !(p->n - p->at > 1 && p->s[p->at + 1] >= '0' && p->s[p->at + 1] <= '7'))
            return fail(p, "references to groups are no regular expressions and not supported"), 0;
        for (int n = 0; n < 3 && more(p) && p->s[p->at] >= '0' && p->s[p->at] <= '7'; n++) v = v * 8 + (uint32_t)(p->s[p->at++] - '0');
        return v;
    }
    if (c == 'p' || c == 'P') return fail(p, "classes of Unicode (\\p) are not supported; list the characters"), 0;
    if (c < 0x80 && (c == '_' || !((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z')))) return p->at++, (uint32_t)c;
    return fail(p, "the escape is not known"), 0;
}
static bool posix_class(Parser *p, Runes *r) {
    if (!looking_at(p, "[:")) return false;
    int64_t at = p->at + 2;
    bool no = at < p->n && p->s[at] == '^';
    at += no;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i].name);
        if (p->n - at < (int64_t)n + 2 || memcmp(p->s + at, classes[i].name, n) != 0 || memcmp(p->s + at + n, ":]", 2) != 0) continue;
        Runes inner = {0};
        bool zero = strcmp(classes[i].name, "ascii") == 0 || strcmp(classes[i].name, "cntrl") == 0;
        p->at = at + (int64_t)n + 2;
        add_set(p, &inner, classes[i].set, zero);
        tidy(p, &inner, p->flags & FOLD);
        if (no) add_others(p, r, &inner);
        else
            for (int k = 0; k < inner.n; k++) add(p, r, inner.v[k].lo, inner.v[k].hi);
        return true;
    }
    return false;
}
static Tree *class_tree(Parser *p, Runes *r, bool no) {
    Tree *t = tree(p, T_CLASS, NULL, NULL);
    tidy(p, r, p->flags & FOLD);
    if (no) add_others(p, &t->set, r);
    else t->set = *r;
    if (!t->set.n) t->k = T_NONE;
    return t;
}
static Tree *set_of(Parser *p) { /* behind [ */
    Runes r = {0};
    p->from = p->at - 1;
    bool no = take(p, "^"), first = true;
    for (;; first = false) {
        if (!more(p)) return fail(p, "the ] of a class is missing");
        if (!first && take(p, "]")) return class_tree(p, &r, no);
        if (posix_class(p, &r) || perl_class(p, &r)) continue;
        uint32_t lo = take(p, "\\") ? escaped(p) : rune(p), hi = lo;
        if (p->err) return NULL;
        if (looking_at(p, "-") && !looking_at(p, "-]")) {
            p->at++;
            if (!more(p)) return fail(p, "the ] of a class is missing");
            hi = take(p, "\\") ? escaped(p) : rune(p);
            if (p->err) return NULL;
            if (hi < lo) return fail(p, "a range of characters ends before it starts");
        }
        add(p, &r, lo, hi);
    }
}
static Tree *one(Parser *p, uint32_t c) {
    Runes r = {0};
    add(p, &r, c, c);
    return class_tree(p, &r, false);
}

/* ---- alternatives, sequences, repetitions */
static Tree *alternatives(Parser *p);
static Tree *assertion(Parser *p, Assert is) {
    Tree *t = tree(p, T_ASSERT, NULL, NULL);
    t->is = is;
    return t;
}
/* Behind (?: flags for the rest of the group, or a group of its own with them. *open: that a group starts. */
static bool group_flags(Parser *p, bool *open) {
    bool off = false;
    int flags = p->flags;
    *open = true;
    if (looking_at(p, "P<") || (looking_at(p, "<") && !looking_at(p, "<=") && !looking_at(p, "<!"))) {
        while (more(p) && p->s[p->at] != '>') p->at++;
        return take(p, ">") || fail(p, "the > of a group's name is missing");
    }
    for (; more(p); p->at++) {
        int c = p->s[p->at], bit = c == 'i' ? FOLD : c == 'm' ? LINES : c == 's' ? DOT_ALL : 0;
        if (bit) flags = off ? flags & ~bit : flags | bit;
        else if (c == '-' && !off) off = true;
        else if (c != 'U') break;
    }
    p->flags = flags;
    if (take(p, ":")) return true;
    *open = false;
    return take(p, ")") || fail(p, "what follows (? is not known or not supported (looking ahead or back is not)");
}
static Tree *group(Parser *p) { /* behind ( */
    int flags = p->flags;
    int64_t from = p->at - 1;
    bool open = true;
    if (++p->depth > DEPTH) return fail(p, "groups are nested too deeply");
    if (take(p, "?") && !group_flags(p, &open)) return NULL;
    Tree *t = open ? alternatives(p) : tree(p, T_EMPTY, NULL, NULL);
    if (p->err) return NULL;
    p->from = from;
    if (open && !take(p, ")")) return fail(p, "the ) of a group is missing");
    if (open) p->flags = flags;
    p->depth--;
    return t;
}
static Tree *atom(Parser *p) {
    Runes r = {0};
    p->from = p->at;
    if (p->quote) return one(p, rune(p));
    if (take(p, "(")) return group(p);
    if (take(p, "[")) return set_of(p);
    if (take(p, ".")) {
        if (!(p->flags & DOT_ALL)) add(p, &r, '\n', '\n');
        Tree *t = tree(p, T_CLASS, NULL, NULL);
        add_others(p, &t->set, &r);
        return t;
    }
    if (take(p, "^")) return assertion(p, p->flags & LINES ? LINE_START : AT_START);
    if (take(p, "$")) return assertion(p, p->flags & LINES ? LINE_END : AT_END);
    if (take(p, "\\b")) return assertion(p, WORD_EDGE);
    if (take(p, "\\B")) return assertion(p, NO_WORD_EDGE);
    if (take(p, "\\A")) return assertion(p, AT_START);
    if (take(p, "\\z")) return assertion(p, AT_END);
    if (take(p, "\\C")) return tree(p, T_BYTE, NULL, NULL);
    if (perl_class(p, &r)) {
        Tree *t = tree(p, T_CLASS, NULL, NULL);
        tidy(p, &r, false);
        t->set = r;
        return t;
    }
    uint32_t c = take(p, "\\") ? escaped(p) : rune(p);
    return p->err ? NULL : one(p, c);
}
static bool number(Parser *p, int *v) {
    int64_t at = p->at;
    for (*v = 0; more(p) && p->s[p->at] >= '0' && p->s[p->at] <= '9'; p->at++) *v = min_i64(*v * 10 + (p->s[p->at] - '0'), REPEAT + 1);
    return p->at > at;
}
/* *, +, ?, {lo}, {lo,}, {lo,hi}; what looks otherwise in braces are characters. */
static bool repetition(Parser *p, int *lo, int *hi) {
    int64_t at = p->at;
    if (take(p, "*")) return *lo = 0, *hi = -1, true;
    if (take(p, "+")) return *lo = 1, *hi = -1, true;
    if (take(p, "?")) return *lo = 0, *hi = 1, true;
    if (!take(p, "{")) return false;
    bool ok = number(p, lo);
    *hi = *lo;
    if (ok && take(p, ",") && !number(p, hi)) *hi = -1;
    if (ok && take(p, "}")) return true;
    return p->at = at, false;
}
static Tree *repeated(Parser *p) {
    int lo, hi;
    p->from = p->at;
    if (!p->quote && repetition(p, &lo, &hi)) return fail(p, "there is nothing to repeat");
    Tree *t = atom(p);
    if (p->err) return NULL;
    p->from = p->at;
    if (p->quote && take(p, "\\E")) p->quote = false;
    if (p->quote || !repetition(p, &lo, &hi)) return t;
    if (lo > REPEAT || hi > REPEAT || (hi >= 0 && hi < lo))
        return fail(p, "repetitions are expected to be up to 1000, the larger number last");
    take(p, "?"); /* lazy: the same texts match */
    Tree *r = tree(p, T_REPEAT, t, NULL);
    r->lo = lo, r->hi = hi;
    if (repetition(p, &lo, &hi)) return fail(p, "a repetition is repeated; put a group around it");
    return r;
}
static Tree *sequence(Parser *p) {
    Tree *t = tree(p, T_EMPTY, NULL, NULL);
    while (more(p) && !p->err && (p->quote || (!looking_at(p, "|") && !looking_at(p, ")")))) {
        if (take(p, p->quote ? "\\E" : "\\Q")) p->quote = !p->quote;
        else t = tree(p, T_CAT, t, repeated(p));
    }
    return t;
}
static Tree *alternatives(Parser *p) {
    Tree *t = sequence(p);
    while (!p->err && take(p, "|")) t = tree(p, T_ALT, t, sequence(p));
    return t;
}

/* ---- steps */
typedef enum StepKind { S_BYTES, S_SPLIT, S_TEST, S_DONE } StepKind;
typedef struct Step {
    StepKind k;
    uint8_t lo, hi;
    Assert is;
    int x, y;
} Step;
typedef struct Build {
    Arena *a;
    Vec(Step) step;
    bool tests, full;
} Build;
static int step(Build *b, StepKind k, int lo, int hi, int x, int y) {
    if (b->step.n >= STEPS) {
        b->full = true;
        return 0;
    }
    vec_push(b->a, &b->step, ((Step){.k = k, .lo = (uint8_t)lo, .hi = (uint8_t)hi, .x = x, .y = y}));
    return b->step.n - 1;
}
/* Code points lo to hi whose encodings have the same length: bytes from the last one on. */
static int utf8_run(Build *b, uint32_t lo, uint32_t hi, int bytes, int next) {
    if (bytes == 1) return step(b, S_BYTES, (int)lo, (int)hi, next, -1);
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    struct {
        uint8_t lo, hi;
    } at[4];
    for (int i = bytes - 1; i >= 0; i--) {
        at[i].lo = (uint8_t)(i ? 0x80 | (lo & 0x3f) : lead[bytes] | lo), at[i].hi = (uint8_t)(i ? 0x80 | (hi & 0x3f) : lead[bytes] | hi);
        lo >>= 6, hi >>= 6;
    }
    for (int i = bytes - 1; i >= 0; i--) next = step(b, S_BYTES, at[i].lo, at[i].hi, next, -1);
    return next;
}
/* Any range, split where lengths or upper bits change. */
static int utf8_range(Build *b, uint32_t lo, uint32_t hi, int next) {
    static const uint32_t most[] = {0x7f, 0x7ff, 0xffff, RUNE_MOST};
    if (b->full) return 0;
    for (int i = 0; i < 3; i++)
        if (lo <= most[i] && hi > most[i]) {
            int x = utf8_range(b, lo, most[i], next);
            return step(b, S_SPLIT, 0, 0, x, utf8_range(b, most[i] + 1, hi, next));
        }
    for (int i = 1; i < 4 && hi > 0x7f; i++) {
        uint32_t low = (1u << (6 * i)) - 1;
        if ((lo & ~low) == (hi & ~low)) continue;
        if (lo & low) {
            int x = utf8_range(b, lo, lo | low, next);
            return step(b, S_SPLIT, 0, 0, x, utf8_range(b, (lo | low) + 1, hi, next));
        }
        if ((hi & low) != low) {
            int x = utf8_range(b, lo, (hi & ~low) - 1, next);
            return step(b, S_SPLIT, 0, 0, x, utf8_range(b, hi & ~low, hi, next));
        }
    }
    return utf8_run(b, lo, hi, hi <= 0x7f ? 1 : hi <= 0x7ff ? 2 : hi <= 0xffff ? 3 : 4, next);
}
/* The steps of t, then those from `next` on; returns the first. */
static int steps_of(Build *b, const Tree *t, int next) {
    if (b->full) return 0;
    switch (t->k) {
    case T_EMPTY: return next;
    case T_NONE: return step(b, S_BYTES, 1, 0, next, -1);
    case T_BYTE: return step(b, S_BYTES, 0, 255, next, -1);
    case T_ASSERT: {
        int i = step(b, S_TEST, 0, 0, next, -1);
        if (!b->full) b->step.v[i].is = t->is;
        b->tests = true;
        return i;
    }
    case T_CLASS: {
        int at = utf8_range(b, t->set.v[0].lo, t->set.v[0].hi, next);
        for (int i = 1; i < t->set.n; i++) {
            int x = utf8_range(b, t->set.v[i].lo, t->set.v[i].hi, next);
            at = step(b, S_SPLIT, 0, 0, x, at);
        }
        return at;
    }
    case T_CAT: /* both lean to the left, and may be long */
        for (; t->k == T_CAT; t = t->a) next = steps_of(b, t->b, next);
        return steps_of(b, t, next);
    case T_ALT: {
        int at = steps_of(b, t->b, next);
        for (t = t->a; t->k == T_ALT; t = t->a) at = step(b, S_SPLIT, 0, 0, steps_of(b, t->b, next), at);
        return step(b, S_SPLIT, 0, 0, steps_of(b, t, next), at);
    }
    case T_REPEAT: break;
    }
    if (t->hi < 0) {
        int loop = step(b, S_SPLIT, 0, 0, -1, next);
        int x = steps_of(b, t->a, loop);
        if (b->full) return 0;
        b->step.v[loop].x = x;
        next = loop;
    }
    for (int i = t->lo, end = next; i < t->hi && !b->full; i++) {
        int x = steps_of(b, t->a, next);
        next = step(b, S_SPLIT, 0, 0, x, end);
    }
    for (int i = 0; i < t->lo && !b->full; i++) next = steps_of(b, t->a, next);
    return next;
}

/* ---- states: sets of steps which are still to be followed, and what stood before */
enum { BEFORE_WORD = 1, BEFORE_LINE = 2, BEFORE_ALL = 4, NEXT_WORD = 1, NEXT_LINE = 2, NEXT_END = 4 };
typedef struct State {
    int *v, n, before, id;
    struct State *chain;
} State;
typedef struct States {
    Arena *a;
    const Build *b;
    State *bucket[1024];
    Vec(State *) all;
    uint32_t *mark, stamp;
    int *todo, *reach;
    int64_t work;
} States;
static bool is_word(int c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; }
static bool holds(Assert is, int before, int next) {
    bool edge = !(before & BEFORE_WORD) != !(next & NEXT_WORD);
    switch (is) {
    case AT_START: return before & BEFORE_ALL;
    case AT_END: return next & NEXT_END;
    case LINE_START: return before & (BEFORE_ALL | BEFORE_LINE);
    case LINE_END: return next & (NEXT_END | NEXT_LINE);
    case WORD_EDGE: return edge;
    case NO_WORD_EDGE: return !edge;
    }
    return false;
}
/* The bytes and ends that can be reached without reading; returns how many. */
static int reachable(States *s, const State *from, int next) {
    int n = 0, m = 0;
    s->stamp++;
    for (int i = from->n - 1; i >= 0; i--) s->todo[m++] = from->v[i];
    while (m) {
        int k = s->todo[--m];
        const Step *t = &s->b->step.v[k];
        s->work++;
        if (s->mark[k] == s->stamp) continue;
        s->mark[k] = s->stamp;
        if (t->k == S_BYTES || t->k == S_DONE) s->reach[n++] = k;
        if (t->k == S_SPLIT) s->todo[m++] = t->y, s->todo[m++] = t->x;
        if (t->k == S_TEST && holds(t->is, from->before, next)) s->todo[m++] = t->x;
    }
    return n;
}
static int by_number(const void *x, const void *y) { return *(const int *)x - *(const int *)y; }
/* The state with these steps, perhaps a new one. */
static State *state_of(States *s, int *v, int n, int before) {
    uint64_t h = 14695981039346656037u;
    int kept = 0;
    if (n) qsort(v, (size_t)n, sizeof *v, by_number);
    for (int i = 0; i < n; i++)
        if (!kept || v[kept - 1] != v[i]) v[kept++] = v[i];
    if (!kept && s->all.n > 1) return s->all.v[1]; /* nothing left to follow */
    for (int i = 0; i < kept; i++) h = (h ^ (uint64_t)v[i]) * 1099511628211u;
    h = (h ^ (uint64_t)before) * 1099511628211u;
    State **bucket = &s->bucket[h >> 54];
    for (State *p = *bucket; p; p = p->chain)
        if (p->n == kept && p->before == before && memcmp(p->v, v, (size_t)kept * sizeof *v) == 0) return p;
    State *p = NEW(s->a, State);
    *p = (State){NEW_ARRAY(s->a, int, kept + 1), kept, before, s->all.n, *bucket};
    if (kept) memcpy(p->v, v, (size_t)kept * sizeof *v);
    *bucket = p;
    vec_push(s->a, &s->all, p);
    return p;
}
/* Bytes between which no step tells a difference are of one kind. */
static void kinds_of(const Build *b, Regex *out, uint8_t *example) {
    bool cut[257] = {false};
    for (int i = 0; i < b->step.n; i++)
        if (b->step.v[i].k == S_BYTES && b->step.v[i].lo <= b->step.v[i].hi) cut[b->step.v[i].lo] = cut[b->step.v[i].hi + 1] = true;
    for (int c = 1; b->tests && c < 256; c++) cut[c] |= is_word(c) != is_word(c - 1) || c == '\n' || c - 1 == '\n';
    out->kinds = 0;
    for (int c = 0; c < 256; c++) {
        if (c == 0 || cut[c]) example[out->kinds++] = (uint8_t)c;
        out->kind[c] = (uint8_t)(out->kinds - 1);
    }
}
static const char *const too_large = "the expression needs too many states; repeat less, or fewer alternatives";
static const char *states_of(States *s, const Build *b, int first, Regex *out) {
    uint8_t example[256];
    int *v = NEW_ARRAY(s->a, int, b->step.n + 1);
    Vec(uint16_t) next = {0};
    kinds_of(b, out, example);
    v[0] = first;
    state_of(s, v, 1, b->tests ? BEFORE_ALL : 0);
    vec_push(s->a, &s->all, NEW(s->a, State));
    s->all.v[1]->id = 1;
    for (int i = 0; i < s->all.n; i++) {
        const State *from = s->all.v[i];
        int seen = -1, n = 0;
        for (int64_t k = 0; k <= out->kinds; k++) {
            int c = k < out->kinds ? example[k] : -1, m = 0;
            int look = !b->tests ? 0 : c < 0 ? NEXT_END : c == '\n' ? NEXT_LINE : is_word(c) ? NEXT_WORD : 0;
            if (look != seen) n = reachable(s, from, look), seen = look;
            bool done = false;
            for (int j = 0; j < n; j++) {
                const Step *t = &b->step.v[s->reach[j]];
                if (c < 0) done |= t->k == S_DONE;
                else if (t->k == S_BYTES && c >= t->lo && c <= t->hi) v[m++] = t->x;
            }
            s->work += n;
            int before = !b->tests ? 0 : c == '\n' ? BEFORE_LINE : is_word(c) ? BEFORE_WORD : 0;
            uint16_t to = (uint16_t)(c < 0 ? done : state_of(s, v, m, before)->id);
            vec_push(s->a, &next, to);
        }
        if (s->all.n > STATES || s->all.n * (out->kinds + 1) > TABLE || s->work > WORK) return too_large;
    }
    out->states = s->all.n, out->next = next.v;
    return NULL;
}
const char *regex_compile(Arena *a, const char *pattern, int64_t n, Regex *out, int64_t *at) {
    Parser p = {.a = a, .s = (const unsigned char *)pattern, .n = n};
    Build b = {.a = a};
    Tree *t = alternatives(&p);
    if (!p.err && more(&p)) p.from = p.at, fail(&p, "there is a ) too many");
    *at = p.from;
    if (p.err) return p.err;
    *at = 0;
    int first = steps_of(&b, t, step(&b, S_DONE, 0, 0, -1, -1));
    if (b.full) return too_large;
    States s = {.a = a, .b = &b};
    s.mark = NEW_ARRAY(a, uint32_t, b.step.n), s.todo = NEW_ARRAY(a, int, 3 * b.step.n + 3), s.reach = NEW_ARRAY(a, int, b.step.n);
    return states_of(&s, &b, first, out);
}
