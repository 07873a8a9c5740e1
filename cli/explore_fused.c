/* SPDX-License-Identifier: Apache-2.0 */
/* explore_fused.c: --fuse: which consecutive layers of a model should run depth first. Layers follow each other if nothing but elementwise
 * operators of the first one's output is between them, used once. Every run of up to four is tried in a few numbers of strips, and the
 * set of disjoint ones that saves most is chosen.
 *   conv1 conv2 conv3  ->  conv1+conv2 in 7 strips; conv3 alone */
#include "explore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The layer whose output is, but for elementwise operators, this node's input; -1: none, or others use it too. */
int explore_before(const Node *n, const ExploreLayers *layers) {
    for (const Tensor *t = n->in[0]; t && t->def && t->nuse == 1 && !t->is_output; t = t->def->in[0]) {
        const Node *d = t->def;
        for (int i = 0; i < layers->list.n; i++)
            if (layers->list.v[i].node == d) return i;
        bool plain = d->op->kind == OP_EXPR || strcmp(d->op->name, "BatchNormalization") == 0;
        for (int k = 0; plain && k < d->nin; k++) plain = (k == 0) == (d->in[k] && !d->in[k]->data) || !d->in[k];
        const Type *x = d->nin ? &d->in[0]->type : NULL, *y = &t->type;
        if (!plain || !x || x->rank != y->rank || memcmp(x->dim, y->dim, (size_t)max_i64(0, x->rank) * sizeof *x->dim) != 0) return -1;
    }
    return -1;
}

typedef struct Found { /* the best way to run layers i .. i + n - 1 together */
    bool ok;
    FusedStack stack;
    double value, alone; /* of the objective, together and one by one */
} Found;
static double sum_value(Objective o, double energy, double cycles) {
    return o == OBJ_ENERGY ? energy : o == OBJ_DELAY ? cycles : energy * cycles;
}
static void alone(const ModelRun *r, int i, int n, double *energy, int64_t *cycles, int64_t *words) {
    *energy = 0, *cycles = *words = 0;
    for (int k = i; k < i + n; k++) *energy += r->counts[k].energy, *cycles += r->counts[k].cycles, *words += r->counts[k].outer_words;
}
static Found *try_stack(Ctx *c, const ModelRun *r, int level, int i, int n) {
    Found *f = NEW(c->a, Found), *now = NEW(c->a, Found);
    SearchSpec spec = *r->spec;
    double energy;
    int64_t cycles, words;
    alone(r, i, n, &energy, &cycles, &words);
    f->alone = sum_value(spec.objective, energy, (double)cycles);
    spec.evals = max_i64(2000, spec.evals / 8), spec.seconds = 0, spec.ranks = 1, spec.bypass &= !r->target->keeps_all;
    now->stack.n = n, now->stack.level = level;
    for (int k = 0; k < n; k++) now->stack.layer[k].problem = r->layers->list.v[i + k].problem;
    for (int fits = 0; fits < 3 && (now->stack.strips = fuse_next_strips(&now->stack));) {
        if (!fuse_map(&now->stack, r->target, &spec)) continue;
        fits++;
        now->value = sum_value(spec.objective, now->stack.energy, (double)now->stack.cycles);
        if (f->ok && now->value >= f->value) continue;
        f->ok = true, f->value = now->value, f->stack = now->stack;
        for (int k = 0; k < n; k++) f->stack.layer[k].mapping.problem = &f->stack.layer[k].inner;
    }
    return f;
}
typedef struct Plan {
    Vec(Found *) of; /* the chosen ones */
    Vec(int) first;  /* their first layers */
    double energy;   /* of the whole model */
    int64_t cycles, dram_words;
} Plan;
static void choose(Ctx *c, const ModelRun *r, Plan *plan) {
    int n = r->layers->list.n, level = fuse_level(r->target);
    double *gain = NEW_ARRAY(c->a, double, n + 1);
    int *take = NEW_ARRAY(c->a, int, n + 1);
    Found **best = NEW_ARRAY(c->a, Found *, n * (QN_MAX_STACK + 1));
    for (int i = n - 1; i >= 0; i--) {
        gain[i] = gain[i + 1], take[i] = 1;
        for (int k = 2; level > 0 && k <= QN_MAX_STACK && i + k <= n && r->layers->list.v[i + k - 1].before == i + k - 2; k++) {
            Found *f = best[i * (QN_MAX_STACK + 1) + k] = try_stack(c, r, level, i, k);
            if (!f->ok) break; /* a longer one needs more room */
            double g = f->alone - f->value + gain[i + k];
            if (g > gain[i]) gain[i] = g, take[i] = k;
        }
    }
    for (int i = 0; i < n; i += take[i]) {
        if (take[i] > 1) {
            Found *f = best[i * (QN_MAX_STACK + 1) + take[i]];
            vec_push(c->a, &plan->of, f);
            vec_push(c->a, &plan->first, i);
            plan->energy += f->stack.energy, plan->cycles += f->stack.cycles, plan->dram_words += f->stack.dram_words;
        } else {
            plan->energy += r->counts[i].energy, plan->cycles += r->counts[i].cycles, plan->dram_words += r->counts[i].outer_words;
        }
    }
}
static json_t *stack_json(const ModelRun *r, const Found *f, int first) {
    json_t *layers = json_array(), *maps = json_array();
    double energy;
    int64_t cycles, words;
    alone(r, first, f->stack.n, &energy, &cycles, &words);
    for (int k = 0; k < f->stack.n; k++) {
        Text line = {0};
        mapping_print_line(&f->stack.layer[k].mapping, &line);
        json_array_append_new(layers, json_string(r->layers->list.v[first + k].name));
        json_array_append_new(maps, json_stringn(line.s, line.n));
        text_free(&line);
    }
    return json_pack("{s:o, s:o, s:s, s:I, s:I, s:f, s:I, s:I, s:f, s:I}", "layers", layers, "mappings", maps, "level",
                     r->target->level[f->stack.level].name, "strips", (json_int_t)f->stack.strips, "dram_words",
                     (json_int_t)f->stack.dram_words, "energy_total", f->stack.energy, "cycles", (json_int_t)f->stack.cycles,
                     "dram_words_alone", (json_int_t)words, "energy_alone", energy, "cycles_alone", (json_int_t)cycles);
}
json_t *explore_fused(Ctx *c, const ModelRun *r, bool print) {
    Plan plan = {0};
    json_t *list = json_array();
    choose(c, r, &plan);
    if (print && fuse_level(r->target) < 0)
        puts("nothing is fused: no shared level on the chip of this machine keeps both inputs and outputs");
    for (int i = 0; i < plan.of.n; i++) {
        const Found *f = plan.of.v[i];
        int first = plan.first.v[i];
        json_array_append_new(list, stack_json(r, f, first));
        if (!print) continue;
        printf("fused in %lld strips of %s:", (long long)f->stack.strips, r->target->level[f->stack.level].name);
        double energy;
        int64_t cycles, words;
        alone(r, first, f->stack.n, &energy, &cycles, &words);
        for (int k = 0; k < f->stack.n; k++) printf(" %s", r->layers->list.v[first + k].name);
        printf("\n  DRAM words %lld (alone %lld), energy %.4g (%.4g), cycles %.4g (%.4g)\n", (long long)f->stack.dram_words,
               (long long)words, f->stack.energy, energy, (double)f->stack.cycles, (double)cycles);
        for (int k = 0; k < f->stack.n; k++) {
            Text line = {0};
            mapping_print_line(&f->stack.layer[k].mapping, &line);
            printf("  %s\n", line.s);
            text_free(&line);
        }
    }
    if (print)
        printf("with fusing: energy %.4g, %.4g cycles, %lld DRAM words\n", plan.energy, (double)plan.cycles, (long long)plan.dram_words);
    return json_pack("{s:o, s:f, s:I, s:I}", "stacks", list, "energy_total", plan.energy, "cycles", (json_int_t)plan.cycles, "dram_words",
                     (json_int_t)plan.dram_words);
}
