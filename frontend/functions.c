/* SPDX-License-Identifier: Apache-2.0 */
/* functions.c: model-local functions and taken If branches become part of the main graph.
 *
 *   y = local.Twice(x) {k=3}   with   Twice(a) -> b { t = Add(a, a); b = Scale(t) {by=@k} }
 *   ->   Twice/t = Add(x, x);  y = Scale(Twice/t) {by=3}
 *
 * Nesting is limited and recursion refused, so the C recursion here is shallow; the number of nodes is limited too, since
 * twenty functions that each call the next one ten times are a small file. */
#include <string.h>
#include "frontend/import.h"

static const char *function_key(Importer *im, const char *domain, const char *name, const char *overload) {
    return arena_printf(im->tmp, "%s\n%s\n%s", dom_str(domain), pb_str(name), pb_str(overload));
}

Map *opset_map(Importer *im, size_t n, Onnx__OperatorSetIdProto *const *v, const char *where) {
    Map *m = map_new(im->tmp);
    for (size_t i = 0; i < n; i++) {
        const char *domain = dom_str(v[i]->domain);
        int64_t version = v[i]->has_version ? v[i]->version : 0, *old = map_get(m, domain);
        if (old && *old != version) {
            diag_error(im->c->d, file_loc(im), "%s imports domain '%s' at versions %lld and %lld; one is expected", where,
                       *domain ? domain : "ai.onnx", (long long)*old, (long long)version);
        } else if (version < 1) {
            diag_error(im->c->d, file_loc(im), "%s imports domain '%s' at version %lld; versions start at 1", where,
                       *domain ? domain : "ai.onnx", (long long)version);
            version = 1;
        }
        if (!*domain && version > ONNX_NEWEST_OPSET && version < INT32_MAX)
            diag_warn(im->c->d, file_loc(im), "%s uses opset %lld; opsets up to %d are known, ops that changed later may be misread", where,
                      (long long)version, ONNX_NEWEST_OPSET);
        if (version >= INT32_MAX)
            diag_error(im->c->d, file_loc(im), "%s imports an impossible opset version %lld", where, (long long)version);
        int64_t *keep = NEW(im->tmp, int64_t);
        *keep = version;
        map_set(m, domain, keep);
    }
    return m;
}

bool functions_index(Importer *im, const Onnx__ModelProto *m) {
    im->functions = map_new(im->tmp);
    for (size_t i = 0; i < m->n_functions; i++) {
        const Onnx__FunctionProto *p = m->functions[i];
        const char *key = function_key(im, p->domain, p->name, p->overload),
                   *where = arena_printf(im->tmp, "function '%s'", pb_str(p->name));
        if (map_get(im->functions, key)) {
            diag_error(im->c->d, file_loc(im), "%s of domain '%s' is defined twice", where, pb_str(p->domain));
            continue;
        }
        Function *f = NEW(im->tmp, Function);
        f->p = p;
        f->opset = opset_map(im, p->n_opset_import, p->opset_import, where);
        map_set(im->functions, key, f);
    }
    return true;
}
Function *function_find(const Importer *im, const Onnx__NodeProto *p) {
    if (map_count(im->functions) == 0) return NULL;
    return map_get(im->functions, function_key((Importer *)im, p->domain, p->op_type, p->overload));
}

bool may_nest(Importer *im, const Scope *sc, size_t nodes, Loc loc) {
    if (sc->depth >= NEST_MAX) return diag_error(im->c->d, loc, "functions and branches are nested more than %d deep", NEST_MAX);
    im->inlined += (int64_t)nodes;
    if (im->inlined > im->inlined_max) {
        if (im->inlined < INT32_MAX)
            diag_error(im->c->d, loc, "inlining functions gives more than %lld nodes; the model is refused", (long long)im->inlined_max);
        im->inlined = INT32_MAX;
        return false;
    }
    return true;
}
const char *inner_prefix(Importer *im, const Scope *sc, const Onnx__NodeProto *p) {
    const char *name = *pb_str(p->name) ? p->name : pb_str(p->op_type);
    size_t n = strlen(name), m = strlen(sc->prefix);
    if (n > 200 || m > 400)
        return m > 400 ? sc->prefix : arena_printf(im->tmp, "%s%.200s/", sc->prefix, "body"); /* absurd names are not multiplied */
    return arena_printf(im->tmp, "%s%s/", sc->prefix, name);
}
/* After an error the node's outputs still get tensors, so that their readers are not reported too. */
void outputs_placeholder(Importer *im, Scope *sc, const Onnx__NodeProto *p) {
    for (size_t i = 0; i < p->n_output; i++)
        if (*pb_str(p->output[i]) && !map_get(sc->value, p->output[i]))
            map_set(sc->value, p->output[i], tensor_new(im->g, NULL, DT_NONE, -1, NULL));
}
static void output_alias(Importer *im, Scope *sc, Scope *inner, const char *outer_name, const char *inner_name, const char *what, Loc loc) {
    if (!*pb_str(outer_name)) return;
    Tensor *t = map_get(inner->value, inner_name);
    if (!t) t = value_find(inner, inner_name);
    if (!t || t == &absent_tensor) {
        diag_error(im->c->d, loc, "output '%s' of %s is not computed by any of its nodes", pb_str(inner_name), what);
        t = tensor_new(im->g, NULL, DT_NONE, -1, NULL);
    }
    map_set(sc->value, outer_name, t);
}

/* What attribute references in the body mean: the node's attributes, else the function's defaults. */
static Map *call_attrs(Importer *im, const Scope *sc, const Function *f, const Onnx__NodeProto *p, Loc loc) {
    Map *m = map_new(im->tmp), *known = map_new(im->tmp);
    for (size_t i = 0; i < f->p->n_attribute; i++) map_set(known, pb_str(f->p->attribute[i]), (void *)f);
    for (size_t i = 0; i < f->p->n_attribute_proto; i++) {
        map_set(m, pb_str(f->p->attribute_proto[i]->name), f->p->attribute_proto[i]);
        map_set(known, pb_str(f->p->attribute_proto[i]->name), (void *)f);
    }
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *q = attr_resolve(sc, p->attribute[i]);
        const char *name = pb_str(p->attribute[i]->name);
        if (!map_get(known, name)) diag_error(im->c->d, loc, "attribute '%s' is unknown to function '%s'", name, pb_str(f->p->name));
        else if (q) map_set(m, name, (void *)(uintptr_t)q);
    }
    return m;
}

void function_inline(Importer *im, Scope *sc, Function *f, const Onnx__NodeProto *p, Loc loc) {
    const Onnx__FunctionProto *q = f->p;
    const char *what = arena_printf(im->tmp, "function '%s'", pb_str(q->name));
    bool ok = true;
    if (f->active) ok = diag_error(im->c->d, loc, "%s calls itself; recursion is not part of ONNX", what);
    if (p->n_input > q->n_input || p->n_output > q->n_output)
        ok = diag_error(im->c->d, loc, "%s takes %zu inputs and gives %zu outputs, but the node has %zu and %zu", what, q->n_input,
                        q->n_output, p->n_input, p->n_output);
    if (!ok || !may_nest(im, sc, q->n_node, loc)) {
        outputs_placeholder(im, sc, p);
        return;
    }
    Call call = {f, call_attrs(im, sc, f, p, loc)};
    Scope in = {.opset = f->opset, .call = &call, .at = loc, .prefix = inner_prefix(im, sc, p), .depth = sc->depth + 1};
    scope_init(im, &in);
    for (size_t i = 0; i < q->n_input; i++) {
        const char *formal = pb_str(q->input[i]);
        bool given = i < p->n_input && *pb_str(p->input[i]);
        Tensor *t = given ? value_find(sc, p->input[i]) : &absent_tensor;
        if (map_get(in.value, formal)) diag_error(im->c->d, loc, "%s has two inputs named '%s'", what, formal);
        map_set(in.value, formal, t ? t : tensor_new(im->g, NULL, DT_NONE, -1, NULL));
    }
    f->active = true;
    nodes_import(im, &in, q->n_node, q->node);
    f->active = false;
    for (size_t i = 0; i < p->n_output; i++) output_alias(im, sc, &in, p->output[i], q->output[i], what, loc);
}

bool if_inline(Importer *im, Scope *sc, const Onnx__NodeProto *p, Loc loc) {
    Tensor *cond = p->n_input == 1 ? value_find(sc, p->input[0]) : NULL;
    if (!cond || !cond->data || cond->type.dt != DT_BOOL || tensor_elements(cond) != 1) return false;
    const char *branch = dtype_get_i(DT_BOOL, cond->data, 0) ? "then_branch" : "else_branch";
    const Onnx__GraphProto *g = NULL;
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *q = attr_resolve(sc, p->attribute[i]);
        if (q && strcmp(pb_str(p->attribute[i]->name), branch) == 0) g = q->g;
    }
    bool ok = g != NULL;
    if (!g) diag_error(im->c->d, loc, "attribute '%s' is missing; it is required", branch);
    if (g && (g->n_output < p->n_output || g->n_input))
        ok = diag_error(im->c->d, loc, "%s gives %zu outputs and takes %zu inputs; %zu and 0 are expected", branch, g->n_output, g->n_input,
                        p->n_output);
    if (!ok || !may_nest(im, sc, g->n_node, loc)) {
        outputs_placeholder(im, sc, p);
        return true;
    }
    Scope in = {.outer = sc, .opset = sc->opset, .call = sc->call, .at = loc, .prefix = inner_prefix(im, sc, p), .depth = sc->depth + 1};
    scope_init(im, &in);
    constants_import(im, &in, g);
    scope_declare(&in, g->n_value_info, g->value_info);
    nodes_import(im, &in, g->n_node, g->node);
    for (size_t i = 0; i < p->n_output; i++) output_alias(im, sc, &in, p->output[i], pb_str(g->output[i]->name), branch, loc);
    return true;
}
