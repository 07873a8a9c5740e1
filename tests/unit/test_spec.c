/* SPDX-License-Identifier: Apache-2.0 */
/* test_spec.c: the registry against tests/data/spec/operators.txt, which says of every operator in every version what the specification
 * says: no element type and no attribute that it has may be missing here, and each version's form is imported.
 *
 *   :Gemm 13 2 3 | s7 s7 s7 | alpha:f=1 beta:f=1 transA:i=0 transB:i=0
 */
#include "frontend_run.h"
#include "frontend/upgrade.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SETS = 256, OPERANDS = 32, ATTRS = 64, FORMS = 1024, LINE = 4096, ANY = 1000 };
typedef struct Form {
    const char *domain, *name;
    int version, least, most, noperand, nattr;
    uint32_t types[OPERANDS]; /* bit per element type; 0: no tensor */
    struct {
        const char *name, *kind, *def; /* def NULL: none */
        bool required;
    } attr[ATTRS];
} Form;
static Form forms[FORMS];
static int nform;
static Text wrong;

static struct {
    const char *name;
    uint32_t types;
} sets[SETS];
static int nset;
static void read_set(Arena *a, char *s) {
    char *save = NULL;
    ck_assert_int_lt(nset, SETS);
    sets[nset].name = arena_strdup(a, strtok_r(s, " \n", &save));
    for (char *t = strtok_r(NULL, " \n", &save); t; t = strtok_r(NULL, " \n", &save)) {
        ck_assert_msg(dtype_parse(t) != DT_NONE, "%s", t);
        sets[nset].types |= 1u << dtype_parse(t);
    }
    nset++;
}
static uint32_t types_named(const char *s) {
    for (int i = 0; i < nset; i++)
        if (strcmp(sets[i].name, s) == 0) return sets[i].types;
    return 0;
}
static void read_form(Arena *a, char *line) {
    Form *f = &forms[nform++];
    char *s = arena_strdup(a, line), *save = NULL, *part[3];
    ck_assert_int_lt(nform, FORMS);
    part[0] = strtok_r(s, "|\n", &save), part[1] = strtok_r(NULL, "|\n", &save), part[2] = strtok_r(NULL, "|\n", &save);
    f->domain = strtok_r(part[0], " ", &save);
    f->version = atoi(strtok_r(NULL, " ", &save)), f->least = atoi(strtok_r(NULL, " ", &save)), f->most = atoi(strtok_r(NULL, " ", &save));
    char *colon = strchr(f->domain, ':');
    *colon = 0, f->name = colon + 1;
    for (char *t = strtok_r(part[1], " ", &save); t; t = strtok_r(NULL, " ", &save)) f->types[f->noperand++] = types_named(t);
    for (char *t = part[2] ? strtok_r(part[2], " ", &save) : NULL; t; t = strtok_r(NULL, " ", &save)) {
        char *kind = strchr(t, ':'), *def = strchr(t, '=');
        *kind++ = 0;
        if (def) *def++ = 0;
        int k = f->nattr++;
        f->attr[k].name = t, f->attr[k].kind = kind, f->attr[k].def = def;
        f->attr[k].required = strchr(kind, '!') != NULL;
        kind[strcspn(kind, "!")] = 0;
    }
}
static void read_all(Arena *a) {
    FILE *t = fopen(QUERN_SOURCE_DIR "/tests/data/spec/operators.txt", "r");
    char line[LINE];
    ck_assert_ptr_nonnull(t);
    nform = nset = 0;
    while (fgets(line, sizeof line, t))
        if (strncmp(line, "set ", 4) == 0) read_set(a, line + 4);
        else if (*line != '#') read_form(a, line);
    fclose(t);
    ck_assert_int_gt(nform, 600);
    ops_init();
}
/* What the table says and does not mean, or what is known to be refused. */
static const struct {
    const char *name, *says, *why;
} but[] = {
    {"RNN", "default of attribute activations", "one name for each direction: Tanh is what an absent list means"},
    {"RegexFullMatch", "pattern", "there is no match without a pattern"},
    {"QLinearConcat", "3 inputs", "as below"},
    {"QLinearConcat", "3 operands", "a result needs at least one tensor with its scale and zero point"},
    {"GridSample", "operand 1 may be", "ONNX Runtime's own form; its kernel reads a grid of floats"},
    {"LpPool", "kernel_shape' is missing", "opset 1 forgot to require it"},
    {"Reshape", "1 inputs; 2 are expected", "of opset 1: without a shape there is nothing to do"},
    {"Tile", "must be constants", "of opset 1"},
};
static void differs(const Form *f, const char *fmt, ...) {
    char s[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s, sizeof s, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < sizeof but / sizeof *but; i++)
        if (strcmp(but[i].name, f->name) == 0 && strstr(s, but[i].says)) return;
    text_printf(&wrong, "%s of opset %d: %s\n", f->name, f->version, s);
}
static bool newest(int i) {
    return i + 1 == nform || strcmp(forms[i].name, forms[i + 1].name) || strcmp(forms[i].domain, forms[i + 1].domain);
}

/* ---- rows against the newest form */
static bool same_default(const AttrSpec *spec, const char *def) {
    char s[128] = "";
    size_t n = 0;
    switch (spec->def.kind) {
    case ATTR_INT: snprintf(s, sizeof s, "%lld", (long long)spec->def.i); break;
    case ATTR_STRING: snprintf(s, sizeof s, "%s", spec->def.s); break;
    case ATTR_FLOAT: return def && fabsf(strtof(def, NULL) - spec->def.f) <= 1e-6f * fabsf(spec->def.f);
    case ATTR_INTS:
        for (int64_t i = 0; i < spec->def.n; i++)
            n += (size_t)snprintf(s + n, sizeof s - n, "%s%lld", i ? "," : "", (long long)spec->def.is[i]);
        break;
    default: return !def;
    }
    return def && strcmp(s, def) == 0;
}
static void compare_attr(const OpDef *op, const Form *f, int k) {
    static const char *const kind[] = {[ATTR_INT] = "i",     [ATTR_FLOAT] = "f",    [ATTR_STRING] = "s", [ATTR_INTS] = "is",
                                       [ATTR_FLOATS] = "fs", [ATTR_STRINGS] = "ss", [ATTR_TENSOR] = "t", [ATTR_GRAPH] = "g"};
    int i = op_attr_index(op, f->attr[k].name);
    const char *want = strcmp(f->attr[k].kind, "p") == 0 ? "i" : f->attr[k].kind; /* of a type only the element is kept */
    if (i < 0) return differs(f, "it has no attribute %s", f->attr[k].name);
    const AttrSpec *spec = &op->attr[i];
    if (strcmp(kind[spec->kind], want) != 0) differs(f, "attribute %s is of kind %s, not %s", spec->name, kind[spec->kind], want);
    if (spec->required && !f->attr[k].required) differs(f, "attribute %s is not required", spec->name);
    if (f->attr[k].def && !same_default(spec, f->attr[k].def)) differs(f, "the default of attribute %s is %s", spec->name, f->attr[k].def);
}
static void compare_types(const OpDef *op, const Form *f) {
    for (int i = 0; i < f->noperand; i++)
        for (int t = 1; t < DT_HALF; t++) {
            char group;
            if (!(f->types[i] >> t & 1) || class_takes(op_operand_class(op, i, &group), (DType)t)) continue;
            differs(f, "operand %d may be %s", i, dtype_name((DType)t));
        }
}
START_TEST(rows_have_all) {
    Arena *a = arena_new();
    read_all(a);
    for (int i = 0; i < nform; i++) {
        const Form *f = &forms[i];
        const OpDef *op = op_find(f->domain, f->name);
        if (!newest(i) || strcmp(f->name, "Constant") == 0 || (!op && !*f->domain && upgrade_known(f->name))) continue;
        if (!op) {
            differs(f, "it is missing");
            continue;
        }
        if (!*f->domain && op->since < f->version) differs(f, "the row is older");
        if (op->min_in > f->least) differs(f, "it takes %d operands", f->least);
        if (op->max_in >= 0 && (f->most < 0 ? op->max_in < ANY : op->max_in < f->most)) differs(f, "it takes %d operands", f->most);
        compare_types(op, f);
        for (int k = 0; k < f->nattr; k++) compare_attr(op, f, k);
    }
    ck_assert_msg(!wrong.n, "%s", wrong.s);
    arena_free(a);
}
END_TEST

/* ---- every version's form, with one attribute after the other */
static void put_attr(Arena *a, Onnx__NodeProto *n, const char *name, const char *kind, const char *def) {
    static const float element = 1;
    int64_t i = def ? atoll(def) : 1;
    float f = def ? strtof(def, NULL) : 1;
    if (strcmp(kind, "i") == 0) om_attr_i(a, n, name, i);
    if (strcmp(kind, "f") == 0) om_attr_f(a, n, name, f);
    if (strcmp(kind, "s") == 0) om_attr_s(a, n, name, def ? def : "");
    if (strcmp(kind, "is") == 0) om_attr_is(a, n, name, 1, &i);
    if (strcmp(kind, "fs") == 0) om_attr_fs(a, n, name, 1, &f);
    if (strcmp(kind, "t") == 0) om_attr_t(a, n, name, om_tensor(a, "t", DT_FLOAT32, 1, DIMS(1), &element, sizeof element));
    if (strcmp(kind, "ss") == 0) {
        Onnx__AttributeProto *p = om_attr(a, n, name, 8);
        p->n_strings = 1;
        p->strings = NEW_ARRAY(a, ProtobufCBinaryData, 1);
        p->strings[0] = (ProtobufCBinaryData){1, (uint8_t *)arena_strdup(a, "a")};
    }
}
static bool buildable(const Form *f) { /* without graphs and values that are no tensors */
    for (int k = 0; k < f->nattr; k++)
        if (strchr("gp", *f->attr[k].kind) || strcmp(f->attr[k].kind, "x") == 0) return false;
    for (int i = 0; i < f->noperand; i++)
        if (!f->types[i]) return false;
    return true;
}
/* A string attribute without default is one of words that only the operator knows. */
static bool sample_known(const Form *f, int k) {
    return *f->attr[k].kind != 's' || f->attr[k].kind[1] || f->attr[k].def || !f->attr[k].required;
}
static void import_form(const Form *f, int with) {
    Run r;
    run_init(&r);
    OnnxModel *m = om_new(r.a, 10, *f->domain ? 28 : f->version);
    if (*f->domain) om_opset(m, f->domain, f->version);
    Text in = {0};
    for (int i = 0; i < f->least; i++) {
        int t = 1;
        uint32_t may = f->types[i < f->noperand ? i : f->noperand - 1];
        while (!(may >> t & 1)) t++;
        text_printf(&in, "%sx%d", i ? " " : "", i);
        om_input(&m->g, arena_printf(r.a, "x%d", i), t, 4, DIMS(1, 2, 4, 4), NULL);
    }
    Onnx__NodeProto *n = om_node(&m->g, f->name, in.s ? in.s : "", "y");
    n->domain = arena_strdup(r.a, f->domain);
    bool known = true;
    for (int k = 0; k < f->nattr; k++) {
        if (k != with && !f->attr[k].required) continue;
        known &= sample_known(f, k);
        put_attr(r.a, n, f->attr[k].name, f->attr[k].kind, f->attr[k].def);
    }
    om_output(&m->g, "y", DT_FLOAT32, -1, NULL, NULL);
    run_model(&r, m);
    for (int i = 0; i < r.d.list.n && known; i++)
        if (r.d.list.v[i].severity == DIAG_ERROR)
            differs(f, "attribute %s: %s", with < 0 ? "none" : f->attr[with].name, r.d.list.v[i].text);
    text_free(&in);
    run_free(&r);
}
START_TEST(versions_are_imported) {
    Arena *a = arena_new();
    read_all(a);
    for (int i = 0; i < nform; i++)
        for (int k = -1; k < forms[i].nattr && buildable(&forms[i]); k++) import_form(&forms[i], k);
    ck_assert_msg(!wrong.n, "%s", wrong.s);
    arena_free(a);
}
END_TEST

Suite *spec_suite(void) {
    Suite *s = suite_create("spec");
    TCase *t = tcase_create("spec");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, rows_have_all);
    tcase_add_test(t, versions_are_imported);
    suite_add_tcase(s, t);
    return s;
}
