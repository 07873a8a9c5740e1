/* SPDX-License-Identifier: Apache-2.0 */
/* test_text.c: the text form of graphs: printing what was parsed gives the same text, numbers keep their bits, every error is
 * reported with its line, and no bytes crash the parser. Expected bytes of constants are written down by hand. */
#include "frontend/frontend.h"
#include "ir/text.h"
#include "case.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Graph *parse(Case *t, const char *text) {
    Graph *g = graph_parse(&t->c, "t.qir", text);
    ck_assert_msg(g != NULL && t->d.errors == 0, "%s\n%s", case_said(t), text);
    return g;
}
static const char *print(Case *t, const Graph *g) {
    Text out = {0};
    graph_print(g, &out);
    const char *s = arena_strdup(t->a, out.s);
    text_free(&out);
    return s;
}
static const Tensor *named(const Graph *g, const char *name) {
    for (int i = 0; i < g->tensors.n; i++)
        if (strcmp(g->tensors.v[i]->name, name) == 0) return g->tensors.v[i];
    ck_abort_msg("no tensor '%s'", name);
}

/* ---- texts that print as they stand */
static const char *const same[] = {
    "graph g(x: float32[1,3,8,8]) -> (r)\n"
    "  w: float32[4,3,3,3] = rand(1)\n"
    "  b: float32[4] = [1, 2, -0.5, inf]\n"
    "  c: float32[1,4,6,6] = Conv(x, w, b) {kernel_shape=[3,3], pads=[1,1,1,1]}\n"
    "  r: float32[1,4,6,6] = Relu(c)\n",
    "graph %\"two words\"(%\"odd \\\"name\\\\\\n\\xff\": int64[N=4,?,%\"batch size\",0], /a/b.c_1: float32[..], u: ?, v: ?[1,?]) -> "
    "(%\"_\", %\"1st\")\n"
    "  %\"_\": ? = Neg(/a/b.c_1)\n"
    "  %\"1st\": int64[N=4,?,%\"batch size\",0] = Identity(%\"odd \\\"name\\\\\\n\\xff\")\n",
    "graph g(x: float32[4], i: int64[4]) -> (a, b, e)\n" /* absent operands and outputs, other domains */
    "  hi: float32[] = [6]\n"
    "  a: float32[4] = Clip(x, _, hi)\n"
    "  b: float32[2], _ = Split(x) {num_outputs=2}\n"
    "  e: float32[4] = \"ai.onnx.ml\"::Binarizer(x) {threshold=-0}\n",
    "graph g() -> (y)\n" /* a constant as output */
    "  y: uint8[3] = [0, 128, 255]\n",
    "graph g(x: float32[2,8]) -> (y)\n" /* kernels and views, of which one base stands below */
    "  p: float32[2,4], q: float32[2,4] = Split(x) {axis=1, num_outputs=2} => p: view of y +0 [12,1], q: view of y +4 [12,1]\n"
    "  r: float32[2,4] = Relu(p) @kernel 3 anchor => view of y +8 [12,1]\n"
    "  s: float32[2,4] = Neg(r) @kernel 3 point\n"
    "  m: float32[2,4] = Abs(q) @kernel 4 inline\n"
    "  n: float32[2,4] = Exp(m) @kernel 4 anchor\n"
    "  y: float32[2,12] = Concat(s, n, q) {axis=1} @alias\n",
};
START_TEST(test_prints_the_same) {
    Case t;
    case_open(&t);
    ck_assert_str_eq(print(&t, parse(&t, same[_i])), same[_i]);
    case_close(&t);
}
END_TEST
START_TEST(test_loose_text) { /* comments, blank lines, spaces, defaults written out, unused constants, CR LF */
    Case t;
    case_open(&t);
    Graph *g = parse(&t, "# a file\r\n\r\ngraph g ( x : float32 [ 4 ] )->( y ) # the head\n\n"
                         "   w:float32[2]=[1,2]#unused\n\ty:float32[4]=LeakyRelu( x ){alpha = 0.01 }   # the end");
    ck_assert_str_eq(print(&t, g), "graph g(x: float32[4]) -> (y)\n  y: float32[4] = LeakyRelu(x)\n");
    ck_assert_int_eq(g->first->loc.index, 6);
    ck_assert_str_eq(g->first->loc.file, "t.qir");
    ck_assert(strcmp(g->first->op->name, "LeakyRelu") == 0 && g->first->attr[0].f == 0.01f);
    case_close(&t);
}
END_TEST
START_TEST(test_types_left_out) {
    Case t;
    case_open(&t);
    Graph *g = parse(&t, "graph g(x: float32[4]) -> (y)\n  a, _, b: int8[..] = Split(x) {num_outputs=3}\n  y = Add(a, b)\n");
    ck_assert_str_eq(print(&t, g),
                     "graph g(x: float32[4]) -> (y)\n  a: ?, _, b: int8[..] = Split(x) {num_outputs=3}\n  y: ? = Add(a, b)\n");
    case_close(&t);
}
END_TEST
START_TEST(test_names_made_unique) {
    Case t;
    case_open(&t);
    ops_init();
    Graph *g = graph_new(t.a, "g");
    Tensor *x = tensor_new(g, "v", DT_FLOAT32, 1, (int64_t[]){2});
    x->is_input = true;
    vec_push(t.a, &g->in, x);
    Tensor *y = build(g, NULL, "Neg", 1, &x);
    y->name = "v";
    Tensor *z = build(g, NULL, "Abs", 1, &y);
    z->name = "v.1", z->is_output = true;
    vec_push(t.a, &g->out, z);
    const char *s = print(&t, g);
    ck_assert_str_eq(s, "graph g(v: float32[2]) -> (v.1)\n  v.1.1: ? = Neg(v)\n  v.1: ? = Abs(v.1.1)\n");
    ck_assert_str_eq(print(&t, parse(&t, s)), s);
    case_close(&t);
}
END_TEST

/* ---- constants: text, its type, its bytes */
static const struct {
    const char *type, *text, *hex, *back; /* back: how it prints; NULL: the same */
} consts[] = {
    {"float32[4]", "[1, 2, -0.5, inf]", "0000803f 00000040 000000bf 0000807f", NULL},
    {"float32[4]", "[0, -0, nan, -inf]", "00000000 00000080 0000c07f 000080ff", NULL},
    {"float32[3]", "[0.1, 1e-45, 3.4028235e+38]", "cdcccc3d 01000000 ffff7f7f", "[0.1, 1.4013e-45, 3.4028235e+38]"},
    {"float32[]", "[1.17549435e-38]", "00008000", "[1.1754944e-38]"},
    {"float32[1]", "hex(\"0100807f\")", "0100807f", NULL}, /* a NaN that is not the usual one */
    {"float32[1]", "hex(\"0000803F\")", "0000803f", "[1]"},
    {"float64[2]", "[0.1, -1e+300]", "9a9999999999b93f 9c7500883ce437fe", NULL},
    {"float16[4]", "[1, 65504, -2, 6e-08]", "003c ff7b 00c0 0100", "[1, 65504, -2, 5.9604645e-08]"},
    {"bfloat16[2]", "[1, 1e+20]", "803f ad60", "[1, 9.972771e+19]"},
    {"float8e4m3fn[2]", "[1, 448]", "38 7e", NULL},
    {"float8e5m2[1]", "[2]", "40", NULL},
    {"float4e2m1[3]", "[0.5, 6, -1]", "71 0a", NULL},
    {"int4[3]", "[-8, 7, -1]", "78 0f", NULL},
    {"uint4[2]", "[1, 15]", "f1", NULL},
    {"uint4[1]", "hex(\"f1\")", "f1", NULL}, /* padding that is not zero */
    {"int2[5]", "[1, -1, 0, -2, 1]", "8d 01", NULL},
    {"int8[2]", "[-128, 127]", "80 7f", NULL},
    {"uint16[1]", "[65535]", "ffff", NULL},
    {"int64[2]", "[-9223372036854775808, 9223372036854775807]", "0000000000000080 ffffffffffffff7f", NULL},
    {"uint64[1]", "[18446744073709551615]", "ffffffffffffffff", NULL},
    {"bool[3]", "[true, false, 1]", "01 00 01", "[true, false, true]"},
    {"bool[1]", "hex(\"02\")", "02", NULL},
    {"float32[0]", "[]", "", NULL},
    {"float32[2,0,5]", "rand(1)", "", "[]"},
    {"string[2]", "hex(\"6162\")", "6162", NULL},
    {"complex64[1]", "hex(\"0000803f00000040\")", "0000803f00000040", NULL},
    {"uint8[17]", "splat(7)", "0707070707070707070707070707070707", NULL},
    {"int4[18]", "splat(-2)", "eeeeeeeeeeeeeeeeee", NULL},
    {"float32[2]", "splat(-0)", "00000080 00000080", "[-0, -0]"},
    {"uint8[17]", "hex(\"0001020304050607080910111213141516\")", "0001020304050607080910111213141516", NULL},
};
START_TEST(test_constants) {
    Case t;
    case_open(&t);
    const char *back = consts[_i].back ? consts[_i].back : consts[_i].text;
    Graph *g = parse(&t, arena_printf(t.a, "graph g() -> (c)\n  c: %s = %s\n", consts[_i].type, consts[_i].text));
    const Tensor *c = named(g, "c");
    uint8_t want[64], n = 0;
    for (const char *s = consts[_i].hex; *s; s += *s == ' ' ? 1 : 2)
        if (*s != ' ') want[n++] = (uint8_t)strtol(arena_strndup(t.a, s, 2), NULL, 16);
    ck_assert_int_eq(tensor_bytes(c), n);
    for (int i = 0; i < n; i++)
        ck_assert_msg(((const uint8_t *)c->data)[i] == want[i], "%s: byte %d is %02x", consts[_i].text, i, ((const uint8_t *)c->data)[i]);
    const char *s = print(&t, g);
    ck_assert_str_eq(s, arena_printf(t.a, "graph g() -> (c)\n  c: %s = %s\n", consts[_i].type, back));
    ck_assert_str_eq(print(&t, parse(&t, s)), s);
    case_close(&t);
}
END_TEST
START_TEST(test_rand) { /* values of splitmix64 computed by its published reference: outputs 1 and 2 of a generator seeded with 0 */
    Case t;
    case_open(&t);
    Graph *g = parse(&t, "graph g() -> (f, i, u)\n  f: float32[1000] = rand(0)\n  i: int8[1000] = rand(0)\n  u: uint8[1000] = rand(7)\n");
    const float *f = named(g, "f")->data;
    const int8_t *i = named(g, "i")->data;
    const uint8_t *u = named(g, "u")->data;
    ck_assert(f[0] == (float)((double)(0xe220a8397b1dcdafu >> 40) / 8388608.0 - 1)); /* splitmix64(0) */
    ck_assert_int_eq(i[0], (int)(0xe220a8397b1dcdafu >> 60) - 8);
    double sum = 0;
    for (int k = 0; k < 1000; k++) {
        ck_assert(f[k] >= -1 && f[k] < 1 && i[k] >= -8 && i[k] < 8 && u[k] < 16);
        sum += f[k];
    }
    ck_assert(fabs(sum) < 100);
    const char *s = print(&t, g);
    ck_assert_str_eq(s, "graph g() -> (f, i, u)\n  f: float32[1000] = rand(0)\n  i: int8[1000] = rand(0)\n  u: uint8[1000] = rand(7)\n");
    case_close(&t);
}
END_TEST
START_TEST(test_large_constant_is_left_out) {
    Case t;
    case_open(&t);
    Graph *g = parse(&t, "graph g() -> (f, h)\n  f: uint8[65537] = rand(1000)\n  h: uint8[65536] = rand(1000)\n");
    const char *s = print(&t, g);
    ck_assert(strstr(s, "f: uint8[65537] = data(65537, fnv="));
    ck_assert(strstr(s, "h: uint8[65536] = hex(\""));
    ck_assert(graph_parse(&t.c, "t.qir", s) == NULL);
    ck_assert_int_eq(t.d.errors, 1);
    ck_assert(strstr(case_said(&t), "t.qir: 2: error: this constant was left out"));
    case_close(&t);
}
END_TEST

/* ---- attributes of every kind */
static const struct {
    const char *op, *attrs;
} attributes[] = {
    {"Softmax(x)", "axis=-2"},
    {"Softmax(x)", "axis=-9223372036854775808"},
    {"LeakyRelu(x)", "alpha=0.1"},
    {"LeakyRelu(x)", "alpha=-inf"},
    {"LeakyRelu(x)", "alpha=nan"},
    {"LeakyRelu(x)", "alpha=nan(0xffc00001)"},
    {"LeakyRelu(x)", "alpha=none"},
    {"Gelu(x)", "approximate=\"tanh\""},
    {"Gelu(x)", "approximate=\"a\\\"b\\\\c\\n\\t\\x00\\xe4\""},
    {"Gelu(x)", "approximate=\"\""},
    {"Conv(x, x)", "dilations=[], pads=[-1,0,1]"},
    {"RNN(x, x, x)",
     "activations=[\"Tanh\",\"a,]b\"], activation_alpha=[0.5,-0,nan(0x7fc00001)], activation_beta=[], clip=1e-20, hidden_size=3"},
    {"ConstantOfShape(x)", "value=float32[2]{1, 2}"},
    {"ConstantOfShape(x)", "value=float32[]{-0}"},
    {"ConstantOfShape(x)", "value=int64[0]{}"},
    {"ConstantOfShape(x)", "value=float32[2,50]{splat(3)}"},
    {"ConstantOfShape(x)", "value=uint8[1,17]{hex(\"0001020304050607080910111213141516\")}"},
    {"ConstantOfShape(x)", "value=string[2]{hex(\"6162\")}"},
};
START_TEST(test_attributes) {
    Case t;
    case_open(&t);
    const char *s = arena_printf(t.a, "graph g(x: ?) -> (y)\n  y: ? = %s {%s}\n", attributes[_i].op, attributes[_i].attrs);
    ck_assert_str_eq(print(&t, parse(&t, s)), s);
    case_close(&t);
}
END_TEST
START_TEST(test_every_op_round_trips) { /* with the fewest operands and a value for each attribute */
    ops_init();
    for (int i = 0; i < op_count(); i++) {
        const OpDef *op = op_at(i);
        bool bodies = false; /* these have no text */
        for (int k = 0; k < op->nattr; k++) bodies |= op->attr[k].kind == ATTR_GRAPH;
        if (bodies) continue;
        Case t;
        case_open(&t);
        Text s = {0};
        text_printf(&s, "graph g(x: float32[N=2]) -> ()\n  ");
        for (int k = 0; k < op->min_out; k++) text_printf(&s, "%sy%d: ?", k ? ", " : "", k);
        text_printf(&s, " = %s%s%s%s(", *op->domain ? "\"" : "", op->domain, *op->domain ? "\"::" : "", op->name);
        for (int k = 0; k < op->min_in; k++) text_puts(&s, k ? ", x" : "x");
        text_puts(&s, ")");
        for (int k = 0; k < op->nattr; k++) {
            static const char *const value[] = {"none", "77", "7.5", "\"seven\"", "[7,7]", "[7.5]", "[\"seven\"]", "int8[1]{7}", "none"};
            text_printf(&s, "%s%s=%s", k ? ", " : " {", op->attr[k].name, value[op->attr[k].kind]);
        }
        text_puts(&s, op->nattr ? "}\n" : "\n");
        ck_assert_str_eq(print(&t, parse(&t, s.s)), s.s);
        text_free(&s);
        case_close(&t);
    }
}
END_TEST

/* ---- errors: a line, the line number it is reported at, part of what is said */
static const struct {
    const char *text, *says;
} wrong[] = {
    {"", "t.qir: 1: error: the line ends where 'graph' is expected"},
    {"\n\nhello", "t.qir: 3: error: found 'hello' where 'graph' is expected"},
    {"graph g(x: float32[2]) -> (y", "1: error: the line ends where ')' is expected"},
    {"graph g(x: float32[2]) -> (y)\n", "1: error: graph output 'y' is not defined"},
    {"graph g(x float32[2]) -> ()", "1: error: found 'float32[2]) -> ()' where ':' is expected"},
    {"graph g(x: float33[2]) -> ()", "1: error: 'float33' is not an element type"},
    {"graph g(x: float32[-2]) -> ()", "extent -2 is negative"},
    {"graph g(x: float32[99999999999999999999]) -> ()", "does not fit"},
    {"graph g(x: float32[4000000000,4000000000]) -> ()", "the size of this type overflows"},
    {"graph g(x: float32[1,1,1,1,1,1,1,1,1,1,1,1,1]) -> ()", "more than 12 axes"},
    {"graph g(x: ?, x: ?) -> ()", "'x' is defined twice"},
    {"graph g(x: ?) -> ()\n  x: ? = Neg(x)", "2: error: 'x' is defined twice"},
    {"graph g(x: ?) -> ()\n  y: ? = Neg(y)", "2: error: 'y' is defined by this line itself"},
    {"graph g(x: ?) -> ()\n  y: ? = Neg(z)\n  z: ? = Neg(x)", "2: error: 'z' is not defined above"},
    {"graph g(x: ?) -> ()\n  y: ? = Nope(x)", "2: error: unknown operation 'Nope'"},
    {"graph g(x: ?) -> ()\n  y: ? = \"a.b\"::Relu(x)", "2: error: unknown operation 'a.b::Relu'"},
    {"graph g(x: ?) -> ()\n  y: ? = Relu(x, x)", "2: error: Relu has 2 operands"},
    {"graph g(x: ?) -> ()\n  y: ? = Add(x, _)", "2: error: operand 1 of Add is absent"},
    {"graph g(x: ?) -> ()\n  y: ?, z: ? = Relu(x)", "2: error: Relu has 2 outputs"},
    {"graph g(x: ?) -> ()\n  y: ? = Softmax(x) {axes=1}", "Softmax has no attribute 'axes'; its attributes: axis"},
    {"graph g(x: ?) -> ()\n  y: ? = Softmax(x) {axis=1, axis=1}", "attribute 'axis' is given twice"},
    {"graph g(x: ?) -> ()\n  y: ? = Softmax(x) {axis=1.5}", "found '.5}' where '}' is expected"},
    {"graph g(x: ?) -> ()\n  y: ? = Concat(x)", "2: error: Concat needs the attribute 'axis' (an int)"},
    {"graph g(x: ?) -> ()\n  y: ? = Gelu(x) {approximate=\"tanh}", "a string does not end in its line"},
    {"graph g(x: ?) -> ()\n  y: ? = Gelu(x) {approximate=\"\\q\"}", "unknown escape"},
    {"graph g(x: ?) -> ()\n  y: ? = Relu(x) junk", "found 'junk' where the end of the line is expected"},
    {"graph g(x: ?) -> ()\n  y: ? = Relu(x) @kernel 0 anchor", "kernel 0"},
    {"graph g(x: ?) -> ()\n  y: ? = Relu(x) @kernel 1 first", "anchor, point or inline"},
    {"graph g(x: ?) -> ()\n  y: ? = Relu(x) @kernel 1 point", "kernel 1 has 0 anchors"},
    {"graph g(x: float32[4]) -> ()\n  y: float32[4] = Relu(x) => view of q +0 [1]", "2: error: base of a view 'q' is not defined"},
    {"graph g(x: float32[4]) -> ()\n  y: float32[4] = Relu(x) => view of x +1 [1]",
     "reaches from element 1 to 4 of its base 'x', which has 4"},
    {"graph g() -> ()\n  c: float32[2] = [1]", "found ']' where ',' is expected"},
    {"graph g() -> ()\n  c: float32[2] = [1,2,3]", "more than 2 elements"},
    {"graph g() -> ()\n  c: float32[2000000] = [1,2,3]", "less than 2000000 elements"},
    {"graph g() -> ()\n  c: float32[?] = [1]", "a constant needs a full type"},
    {"graph g() -> ()\n  c = [1]", "a constant needs a full type"},
    {"graph g() -> ()\n  c: int8[1] = [128]", "'128' does not fit the element type (int8)"},
    {"graph g() -> ()\n  c: uint64[1] = [-1]", "'-1' does not fit the element type (uint64)"},
    {"graph g() -> ()\n  c: int8[1] = [1.5]", "'1.5' is not an integer (int8)"},
    {"graph g() -> ()\n  c: float16[1] = [70000]", "'70000' does not fit the element type (float16)"},
    {"graph g() -> ()\n  c: float32[1] = [1x]", "'1x' is not a number (float32)"},
    {"graph g() -> ()\n  c: string[1] = [1]", "cannot be written as numbers"},
    {"graph g() -> ()\n  c: uint8[2] = hex(\"00f\")", "byte 1 of 2 is not two hexadecimal digits"},
    {"graph g() -> ()\n  c: uint8[2] = hex(\"00ff00\")", "more than 2 bytes"},
    {"graph g() -> ()\n  c: float32[1000000000] = rand(1)", "the constants of this file need more than 268435456 bytes"},
    {"graph g() -> ()\n  a: uint8[200000000] = data(1)\n  c: uint8[1], d: uint8[1] = [1]", "3: error: a constant defines one tensor"},
};
START_TEST(test_errors) {
    Case t;
    case_open(&t);
    ck_assert(graph_parse(&t.c, "t.qir", wrong[_i].text) == NULL);
    ck_assert_msg(strstr(case_said(&t), wrong[_i].says) != NULL, "said:\n%snot: %s", case_said(&t), wrong[_i].says);
    case_close(&t);
}
END_TEST
START_TEST(test_all_errors_are_reported) { /* each line once, none that only follows from another */
    Case t;
    case_open(&t);
    ck_assert(
        graph_parse(&t.c, "t.qir",
                    "graph g(x: float32[2]) -> (y)\n  a: float32[2] = Nope(x, , )\n  b: float32[2] = Neg(a)\n  c: float32[2 = Neg(a)\n"
                    "  d: float32[2] = Add(a, c)\n  e: int8[1] = [300]\n  y: float32[2] = Add(e, d) {k=1}\n") == NULL);
    ck_assert_str_eq(case_said(&t), "t.qir: 2: error: unknown operation 'Nope'; see docs/ops.md\n"
                                    "t.qir: 4: error: found '= Neg(a)' where ']' is expected\n"
                                    "t.qir: 6: error: '300' does not fit the element type (int8)\n"
                                    "t.qir: 7: error: Add has no attribute 'k'; its attributes: none\n");
    case_close(&t);
}
END_TEST

/* ---- any bytes */
static uint64_t rnd_state;
static uint32_t rnd(void) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return (uint32_t)(rnd_state >> 16);
}
static const char fuzz_seed_text[] =
    "graph g(x: float32[1,N=2,4], %\"odd \\x41\": int64[?]) -> (y, z)\n"
    "  w: float32[4,3] = hex(\"000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\")\n"
    "  i: int4[5] = [1, -2, 3, 7, -8]\n"
    "  s: float16[20] = splat(1.5)\n"
    "  r: uint8[30] = rand(3)\n"
    "  a: float32[1,2,2], b: float32[1,2,2] = Split(x) {axis=2, num_outputs=2} => a: view of x +0 [8,4,1], b: view of x +2 [8,4,1]\n"
    "  c: ? = Clip(a, _, w) @kernel 2 anchor   # a comment\n"
    "  d: ? = RNN(c, w, w) {activations=[\"Tanh\"], activation_alpha=[0.5,nan(0x7fc00001)], hidden_size=-3} @kernel 2 point\n"
    "  e: ? = ConstantOfShape(i) {value=float32[2]{1, 2}}\n"
    "  y: ?[2,?] = \"com.microsoft\"::Gelu(d)\n"
    "  z: float32[1,2,2] = Add(b, a)\n";
/* Errors or a graph which prints as it parses. */
static void must_end(const char *text) {
    Case t;
    case_open(&t);
    Graph *g = graph_parse(&t.c, "t.qir", text);
    ck_assert((g == NULL) == (t.d.errors > 0));
    if (g) {
        const char *s = print(&t, g);
        if (!strstr(s, " = data(")) ck_assert_str_eq(print(&t, parse(&t, s)), s);
    }
    case_close(&t);
}
START_TEST(test_mutations) {
    char s[sizeof fuzz_seed_text + 64];
    rnd_state = 88172645463325252u + (uint64_t)_i;
    for (int round = 0; round < 4000; round++) {
        size_t n = sizeof fuzz_seed_text - 1;
        memcpy(s, fuzz_seed_text, n + 1);
        for (int k = 1 + (int)(rnd() % 3); k > 0; k--) {
            size_t at = rnd() % n, from = rnd() % n, len = 1 + rnd() % 8;
            switch (rnd() % 5) {
            case 0: s[at] = (char)(1 + rnd() % 255); break;
            case 1: s[at] = "0123456789[](){}\"%,:=->_@#\n\\"[rnd() % 28]; break;
            case 2: memmove(s + at, s + at + 1, n - at), n--; break; /* the text stays longer than 8 bytes */
            case 3: len = len < n - at && len < n - from ? len : 1, memmove(s + at, s + from, len); break;
            default: s[n = at > 16 ? at : 16] = 0; break;
            }
        }
        must_end(s);
    }
}
END_TEST
START_TEST(test_truncations) {
    char s[sizeof fuzz_seed_text];
    for (size_t n = 0; n < sizeof s; n++) {
        memcpy(s, fuzz_seed_text, n);
        s[n < sizeof s ? n : n - 1] = 0;
        must_end(s);
    }
}
END_TEST
START_TEST(test_large_texts) { /* long lines and many lines take time in proportion (the suite's time-out tells) */
    Case t;
    case_open(&t);
    Text s = {0};
    int n = 100000;
    text_puts(&s, "graph g(x: float32[2]) -> (v99999)\n");
    for (int i = 0; i < n; i++) text_printf(&s, i ? "  v%d: float32[2] = Neg(v%d)\n" : "  v0: float32[2] = Neg(x)\n", i, i - 1);
    ck_assert_str_eq(print(&t, parse(&t, s.s)), s.s);
    text_free(&s);
    text_puts(&s, "graph g(x: float32[2]) -> (y)\n  y: ? = Sum(x");
    for (int i = 0; i < n; i++) text_puts(&s, ", x");
    text_puts(&s, ")\n");
    ck_assert_str_eq(print(&t, parse(&t, s.s)), s.s);
    text_free(&s);
    text_puts(&s, "graph g(x: float32[2]) -> ()\n  ");
    for (int i = 0; i < n; i++) text_printf(&s, "%sv%d: ?", i ? ", " : "", i);
    text_puts(&s, " = Split(x) {num_outputs=1}\n");
    for (int i = 0; i < n; i++) text_puts(&s, "[[[[(((({{{{\n");
    ck_assert(graph_parse(&t.c, "t.qir", s.s) == NULL);
    ck_assert_int_eq(t.d.errors, n);
    text_free(&s);
    case_close(&t);
}
END_TEST

START_TEST(test_models) { /* imported networks: what prints, parses and prints the same, but for constants that are left out */
    static const char *const files[] = {"docs/tour/tour.onnx", "tests/data/networks/lenet_survey.onnx"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        Case t;
        case_open(&t);
        Graph *g = onnx_import(&t.c, arena_printf(t.a, "%s/%s", QUERN_SOURCE_DIR, files[i]), &(ImportOptions){.free_dims = true});
        ck_assert_msg(g != NULL, "%s", case_said(&t));
        for (int k = 0; k < g->tensors.n; k++) {
            Tensor *c = g->tensors.v[k];
            if (c->data && tensor_bytes(c) > TEXT_HEX_BYTES)
                text_rand(c->type.dt, (uint64_t)k % TEXT_SEEDS, tensor_elements(c), (void *)(uintptr_t)c->data);
        }
        const char *s = print(&t, g);
        ck_assert(strstr(s, " = Conv(") || strstr(s, " = Gemm(") || strstr(s, " = MatMul("));
        ck_assert_str_eq(print(&t, parse(&t, s)), s);
        case_close(&t);
    }
}
END_TEST

Suite *text_suite(void) {
    Suite *s = suite_create("text");
    TCase *c = tcase_create("round trip");
    tcase_add_loop_test(c, test_prints_the_same, 0, sizeof same / sizeof *same);
    tcase_add_test(c, test_loose_text);
    tcase_add_test(c, test_types_left_out);
    tcase_add_test(c, test_names_made_unique);
    tcase_add_loop_test(c, test_constants, 0, sizeof consts / sizeof *consts);
    tcase_add_test(c, test_rand);
    tcase_add_test(c, test_large_constant_is_left_out);
    tcase_add_loop_test(c, test_attributes, 0, sizeof attributes / sizeof *attributes);
    tcase_add_test(c, test_every_op_round_trips);
    tcase_add_test(c, test_models);
    suite_add_tcase(s, c);
    c = tcase_create("errors");
    tcase_add_loop_test(c, test_errors, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(c, test_all_errors_are_reported);
    suite_add_tcase(s, c);
    c = tcase_create("any bytes");
    tcase_add_loop_test(c, test_mutations, 0, 4);
    tcase_add_test(c, test_truncations);
    tcase_add_test(c, test_large_texts);
    suite_add_tcase(s, c);
    return s;
}
