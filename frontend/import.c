/* SPDX-License-Identifier: Apache-2.0 */
/* import.c: a model file to a graph. Reads and pre-scans the bytes, checks the model's head, then inputs, constants, nodes and
 * outputs in turn; all problems are collected.
 *
 *   net.onnx   ->   graph net(x: float32[1,3]) -> (y)   w = const float32[3,2]   y = MatMul(x, w)
 */
#define _GNU_SOURCE
#include <string.h>
#include "frontend/import.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file's bytes: small files are read (nobody can cut them under us), large ones mapped (to be held only once) */
enum { MAP_FROM = 64 << 20 };
typedef struct Bytes {
    void *p;
    size_t n;
    bool mapped;
} Bytes;

static bool bytes_read(int fd, Bytes *b) {
    size_t got = 0;
    if (!(b->p = malloc(b->n + 1))) return errno = ENOMEM, false;
    while (got < b->n) {
        ssize_t r = read(fd, (char *)b->p + got, b->n - got);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return false;
        if (r == 0) break;
        got += (size_t)r;
    }
    b->n = got;
    return true;
}
static void bytes_free(Bytes *b) {
    if (b->mapped) munmap(b->p, b->n);
    else free(b->p);
    *b = (Bytes){0};
}
static bool bytes_open(Ctx *c, const char *path, size_t limit, Bytes *b) {
    Loc loc = {path, -1, NULL, NULL};
    *b = (Bytes){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return diag_error(c->d, loc, "cannot open: %s", strerror(errno));
    struct stat st;
    bool ok = true;
    if (fstat(fd, &st) != 0) ok = diag_error(c->d, loc, "cannot read: %s", strerror(errno));
    else if (!S_ISREG(st.st_mode)) ok = diag_error(c->d, loc, "is not a regular file");
    else if ((uint64_t)st.st_size > limit)
        ok = diag_error(c->d, loc, "has %lld bytes, at most %zu are read; larger models keep their weights as external data",
                        (long long)st.st_size, limit);
    if (ok) {
        b->n = (size_t)st.st_size;
        if (b->n >= MAP_FROM) {
            b->p = mmap(NULL, b->n, PROT_READ, MAP_PRIVATE, fd, 0);
            b->mapped = b->p != MAP_FAILED;
        }
        if (!b->mapped && !bytes_read(fd, b)) ok = diag_error(c->d, loc, "cannot read: %s", strerror(errno));
    }
    close(fd);
    if (!ok) bytes_free(b);
    return ok;
}

/* ---- inputs and outputs */
static void inputs_import(Importer *im, Scope *sc, const Onnx__GraphProto *p) {
    for (size_t i = 0; i < p->n_input; i++) {
        const char *name = pb_str(p->input[i]->name), *what = arena_printf(im->tmp, "input '%s'", name);
        if (!*name) {
            diag_error(im->c->d, file_loc(im), "graph input %zu has no name", i);
            continue;
        }
        Tensor *old = map_get(sc->value, name);
        if (old && old->is_input) diag_error(im->c->d, file_loc(im), "input '%s' is declared twice", name);
        if (old) continue; /* an initializer gives it a value: a constant */
        Tensor *t = tensor_new(im->g, arena_strdup(im->c->a, name), DT_NONE, -1, NULL);
        type_import(im, p->input[i]->type, what, name, &t->type);
        t->is_input = true;
        map_set(sc->value, name, t);
        vec_push(im->c->a, &im->g->in, t);
    }
}
/* Each output is the output of a node and of no other output; what is not gets an Identity. */
static void outputs_import(Importer *im, Scope *sc, const Onnx__GraphProto *p) {
    Graph *g = im->g;
    for (size_t i = 0; i < p->n_output; i++) {
        const char *name = pb_str(p->output[i]->name);
        Tensor *t = *name ? map_get(sc->value, name) : NULL;
        if (!t) {
            diag_error(im->c->d, file_loc(im), *name ? "graph output '%s' is not computed by any node" : "graph output '%s' has no name",
                       name);
            continue;
        }
        Type declared;
        if (!type_import(im, p->output[i]->type, arena_printf(im->tmp, "output '%s'", name), NULL, &declared)) continue;
        dims_bind_output(im, name, &declared);
        if (t->def) dims_bind_output(im, name, &t->type);
        if (import_failed(im)) continue; /* the graph is not used any more */
        if (t->is_input || t->data || t->is_output) {
            const char *own = arena_strdup(im->c->a, name);
            if (t->data && !t->is_output) t->name = name_unique(im, "", arena_printf(im->tmp, "%s.value", t->name));
            Tensor *out = tensor_new(g, own, declared.dt, -1, NULL);
            out->type = declared;
            Node *n = node_new(g, op_find("", "Identity"), NULL, file_loc(im), 1, &t, 1);
            node_set_out(n, 0, out);
            t = out;
        } else if (t->type.dt == DT_NONE && t->type.rank < 0) {
            t->type = declared;
        }
        if (strcmp(t->name, name)) t->name = arena_strdup(im->c->a, name); /* computed inside a function or branch */
        t->is_output = true;
        vec_push(im->c->a, &g->out, t);
    }
    if (p->n_output == 0) diag_error(im->c->d, file_loc(im), "the graph has no outputs");
}
/* Values that an old form leaves undefined (training outputs) must not be read. */
static void reads_check(Importer *im) {
    for (const Node *n = im->g->first; n; n = n->next)
        for (int i = 0; i < n->nin; i++) {
            const Tensor *t = n->in[i];
            if (t && !t->def && !t->data && !t->is_input)
                diag_error(im->c->d, n->loc, "input '%s' is an output that is only computed in training", t->name);
        }
    for (int i = 0; i < im->g->out.n; i++)
        if (!im->g->out.v[i]->def)
            diag_error(im->c->d, file_loc(im), "graph output '%s' is only computed in training", im->g->out.v[i]->name);
}

static void model_import(Importer *im, const Onnx__ModelProto *m) {
    Ctx *c = im->c;
    if (!m->graph) {
        diag_error(c->d, file_loc(im), "holds no graph: not an ONNX model");
        return;
    }
    if (!m->has_ir_version || m->ir_version < 3)
        diag_error(c->d, file_loc(im), "IR version %lld; 3 (ONNX 1.0) and later are read",
                   (long long)(m->has_ir_version ? m->ir_version : 0));
    if (m->ir_version > ONNX_NEWEST_IR)
        diag_warn(c->d, file_loc(im), "IR version %lld is newer than the newest known, %d", (long long)m->ir_version, ONNX_NEWEST_IR);
    const Onnx__GraphProto *p = m->graph;
    im->g->name = arena_strdup(c->a, pb_str(p->name));
    Scope sc = {.opset = opset_map(im, m->n_opset_import, m->opset_import, "the model"), .at = {im->file, -1, NULL, NULL}, .prefix = ""};
    scope_init(im, &sc);
    im->top = &sc;
    functions_index(im, m);
    dims_index(im);
    constants_import(im, &sc, p);
    inputs_import(im, &sc, p);
    inputs_check_free(im);
    dims_extents(im, p);
    scope_declare(&sc, p->n_value_info, p->value_info);
    scope_declare(&sc, p->n_output, p->output);
    nodes_import(im, &sc, p->n_node, p->node);
    unsupported_report(im);
    outputs_import(im, &sc, p);
    if (!import_failed(im)) reads_check(im);
    dims_check_used(im);
}

static Graph *import_tree(Ctx *c, Parsed *parsed, const Onnx__ModelProto *m, const char *file, const char *dir, size_t bytes,
                          const ImportOptions *o) {
    Importer im = {.c = c, .tmp = arena_new(), .o = o, .file = file ? arena_strdup(c->a, file) : NULL, .dir = dir, .parsed = parsed};
    im.budget = (int64_t)(bytes > ((size_t)1 << 40) ? (size_t)1 << 40 : bytes) * 8 + (64 << 20);
    im.inlined_max = INLINED_NODES_MIN + (int64_t)(bytes / 16);
    im.unsupported = map_new(im.tmp);
    im.taken = map_new(im.tmp);
    im.undeclared = map_new(im.tmp);
    im.shared = map_new(im.tmp);
    im.g = graph_new(c->a, "");
    im.g->file = im.file;
    im.errors_before = c->d->errors;
    model_import(&im, m);
    external_close(&im);
    arena_free(im.tmp);
    return import_failed(&im) ? NULL : im.g;
}

static Graph *import_bytes(Ctx *c, Bytes *b, const char *file, const char *dir, const ImportOptions *o) {
    ops_init();
    ProtobufCMessage *m;
    size_t n = b->n;
    if (n == 0) return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "the file is empty"), NULL;
    Parsed *p = parsed_new(c, file, &onnx__model_proto__descriptor, b->p, n, o ? o->max_memory : 0, &m);
    bytes_free(b); /* everything was copied */
    if (!p) return NULL;
    Graph *g = import_tree(c, p, (const Onnx__ModelProto *)m, file, dir, n, o);
    parsed_free(p);
    return g;
}

Graph *onnx_import_bytes(Ctx *c, const void *bytes, size_t n, const char *file, const char *dir, const ImportOptions *o) {
    Bytes b = {.p = malloc(n + 1), .n = n};
    if (!b.p) return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "out of memory"), NULL;
    if (n) memcpy(b.p, bytes, n);
    Graph *g = import_bytes(c, &b, file, dir, o);
    bytes_free(&b);
    return g;
}

Graph *onnx_import(Ctx *c, const char *path, const ImportOptions *o) {
    Bytes b;
    size_t limit = o && o->max_bytes ? o->max_bytes : (size_t)2 << 30;
    if (!bytes_open(c, path, limit, &b)) return NULL;
    const char *slash = strrchr(path, '/');
    char *dir = slash ? arena_strndup(c->a, path, slash == path ? 1 : (size_t)(slash - path)) : arena_strdup(c->a, ".");
    Graph *g = import_bytes(c, &b, path, dir, o);
    bytes_free(&b);
    return g;
}
