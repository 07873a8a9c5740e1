/* SPDX-License-Identifier: Apache-2.0 */
/* target.c: look-ups in a Target and its consistency: at least one level, the outermost unbounded, capacities and fan-outs
 * positive, instance counts that fit, names that can be written in a mapping's text.
 *   levels DRAM, L1 (fan-out 16 x 1)  ->  target_instances: 1, 1, and 16 multiply-adds */
#include "target.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

const char *const level_kind_name[4] = {"dram", "cache", "pad", "regs"};

int64_t target_instances(const Target *t, int level) {
    int64_t n = 1;
    for (int i = 0; i < level && i < t->nlevel; i++) n *= level_fan(&t->level[i]);
    return n;
}
int64_t level_fan(const TargetLevel *v) { return v->fan ? v->fan : v->fan_x * v->fan_y; }
double run_length_bits(int word_bits) { return word_bits <= 59 ? 64.0 / (64 / (word_bits + 5)) : word_bits + 5; }
double target_area(const Target *t) {
    double sum = (double)target_instances(t, t->nlevel) * t->area_per_pe;
    for (int i = 0; i < t->nlevel; i++)
        if (!t->level[i].shares) sum += (double)target_instances(t, i) * (double)t->level[i].words * t->level[i].area_per_word;
    return sum;
}
const char *target_clash(Arena *a, const Target *x, const Target *y) {
    const Target *both[2] = {x, y};
    if (strcmp(x->name, y->name) == 0) return arena_printf(a, "%s is named twice", x->name);
    for (int i = 0; i < 2; i++) {
        if (!both[i]->family)
            return arena_printf(a, "%s has no `family`, so nothing says which processors it shares code with", both[i]->name);
        if (both[i]->cflags)
            return arena_printf(a, "%s needs compiler flags (%s), which would hold for the code of all", both[i]->name, both[i]->cflags);
    }
    bool any = strcmp(x->family, "any") == 0 || strcmp(y->family, "any") == 0;
    if (any || strcmp(x->family, y->family) == 0) return NULL;
    return arena_printf(a, "%s is of the family %s and %s of %s: no machine runs both", x->name, x->family, y->name, y->family);
}
int target_level(const Target *t, const char *name) {
    for (int i = 0; i < t->nlevel; i++)
        if (strcmp(t->level[i].name, name) == 0) return i;
    return -1;
}
int target_lanes(const Target *t, int elem_bits) {
    int64_t n = elem_bits > 0 ? t->vector_bits / elem_bits : 0;
    return n < 1 ? 1 : (int)n;
}
const TargetInstr *target_instr(const Target *t, const char *name) {
    for (int i = 0; i < t->ninstr; i++)
        if (strcmp(t->instr[i].name, name) == 0) return &t->instr[i];
    return NULL;
}

static bool is_name(const char *s) {
    if (!s || !(isalpha((unsigned char)s[0]) || s[0] == '_')) return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_') return false;
    return true;
}
static bool is_rate(double x) { return isfinite(x) && x >= 0; }

static void sharing_check(Diags *d, Loc loc, const Target *t, int i) {
    const TargetLevel *v = &t->level[i];
    if (v->buffers < 0 || v->buffers > 2) diag_error(d, loc, "level %s has %d buffers; expected 1 or 2", v->name, v->buffers);
    if (v->banks < 0 || (v->words && v->banks > v->words))
        diag_error(d, loc, "level %s has %d banks; expected 1 to its %lld words", v->name, v->banks, (long long)v->words);
    for (int r = 0; r < 3; r++)
        if (v->part[r] < 0 || (v->words && v->part[r] > v->words))
            diag_error(d, loc, "level %s has a part of %lld words for %c; it has %lld in all", v->name, (long long)v->part[r], "WIO"[r],
                       (long long)v -> words);
    if (!is_rate(v->network_energy))
        diag_error(d, loc, "the network below level %s has an energy that is negative or not a number", v->name);
    if (!v->shares) return;
    int home = v->shares - 1;
    if (home >= i || home < 1 || t->level[home].shares) {
        diag_error(d, loc, "level %s shares the memory of level %d; expected a level outside it, within the outermost, with its own memory",
                   v->name, home);
        return;
    }
    for (int k = home; k < i; k++) {
        if (level_fan(&t->level[k]) != 1)
            diag_error(d, loc, "level %s shares the memory of %s, but level %s between them fans out", v->name, t->level[home].name,
                       t->level[k].name);
        if ((k == home || t->level[k].shares == v->shares) && t->level[k].keeps & v->keeps)
            diag_error(d, loc, "levels %s and %s share a memory and both keep an operand; expected different ones", t->level[k].name,
                       v->name);
    }
}
static void level_check(Diags *d, Loc loc, const Target *t, int i, int64_t *units) {
    const TargetLevel *v = &t->level[i];
    const char *n = v->name ? v->name : "";
    if (v->place) loc.index = v->place;
    if (!is_name(v->name)) diag_error(d, loc, "level %d is named \"%s\"; a letter, then letters, digits and _ were expected", i, n);
    else if (target_level(t, v->name) != i) diag_error(d, loc, "two levels are named %s; level names must differ", n);
    if (i == 0 && v->words) diag_error(d, loc, "the outermost level %s has a size; it must be unbounded (kind dram, no size)", n);
    if (i == 0 && v->kind != LEVEL_DRAM) diag_error(d, loc, "the outermost level %s is of kind %s, not dram", n, level_kind_name[v->kind]);
    if (i > 0 && v->kind == LEVEL_DRAM) diag_error(d, loc, "level %s is of kind dram; only the outermost may be", n);
    if (i > 0 && v->words <= 0) diag_error(d, loc, "level %s has no size; every level but the outermost needs one", n);
    sharing_check(d, loc, t, i);
    if (i == 0 && v->keeps != ROLE_ALL) diag_error(d, loc, "the outermost level %s does not keep all of W, I, O", n);
    if (!v->keeps || v->keeps & ~(unsigned)ROLE_ALL) diag_error(d, loc, "level %s keeps nothing; expected some of W, I, O", n);
    if (v->word_bits < 1 || v->word_bits > 512) diag_error(d, loc, "level %s has words of %d bits; expected 1 to 512", n, v->word_bits);
    if (v->fan_x < 1 || v->fan_y < 1 || v->fan_x > 1 << 20 || v->fan_y > 1 << 20)
        diag_error(d, loc, "level %s fans out to %lld x %lld; expected 1 to 1048576 each", n, (long long)v->fan_x, (long long)v->fan_y);
    else if (v->fan < 0 || v->fan > v->fan_x * v->fan_y)
        diag_error(d, loc, "level %s fans out to %lld units in all; expected at most x times y", n, (long long)v->fan);
    else if (!mul_ok(*units, level_fan(v), units) || *units > 1 << 24)
        *units = 1, diag_error(d, loc, "more than 16777216 units below level %s; reduce a fan-out", n);
    if (!is_rate(v->read_energy) || !is_rate(v->write_energy))
        diag_error(d, loc, "level %s has an energy that is negative or not a number", n);
    if (!is_rate(v->area_per_word)) diag_error(d, loc, "level %s has an area that is negative or not a number", n);
    if (!is_rate(v->read_bw) || !is_rate(v->write_bw)) diag_error(d, loc, "level %s has a bandwidth that is negative or not a number", n);
}

bool target_check(Diags *d, Loc loc, const Target *t) {
    int before = d->errors;
    if (!is_name(t->name)) diag_error(d, loc, "the target is named \"%s\"; a letter, then letters, digits and _ were expected", t->name);
    if (t->nlevel < 1 || t->nlevel > QN_MAX_LEVELS)
        return diag_error(d, loc, "%d memory levels; expected 1 to %d", t->nlevel, QN_MAX_LEVELS);
    if (t->vector_bits < 0 || t->vector_bits > 1 << 16 || t->vector_bits % 8)
        diag_error(d, loc, "vectors of %lld bits; expected a multiple of 8 up to 65536", (long long)t->vector_bits);
    if (t->vector_regs < 0 || t->vector_regs > 1024) diag_error(d, loc, "%d vector registers; expected 0 to 1024", t->vector_regs);
    if (!is_rate(t->mac_energy)) diag_error(d, loc, "the energy of a multiply-add is negative or not a number");
    if (!is_rate(t->clock_mhz)) diag_error(d, loc, "the clock is negative or not a number");
    if (t->gate & ROLE_O || t->skip & ROLE_O) diag_error(d, loc, "zeros of O stop no multiply-add; expected W and I in `gate` and `skip`");
    for (int i = 0; i < t->ncompute; i++) {
        const TargetCompute *x = &t->compute[i];
        if (!is_rate(x->energy) || !is_rate(x->macs_per_cycle) || x->macs_per_cycle == 0)
            diag_error(d, loc, "compute %s: expected an energy of at least 0 and more than 0 multiply-adds per cycle", x->dtype);
        for (int k = 0; k < i; k++)
            if (strcmp(t->compute[k].dtype, x->dtype) == 0) diag_error(d, loc, "compute: %s is there twice", x->dtype);
    }
    if (!is_rate(t->area_per_pe)) diag_error(d, loc, "the area of a multiply-add is negative or not a number");
    int64_t units = 1;
    for (int i = 0; i < t->nlevel; i++) level_check(d, loc, t, i, &units);
    for (int i = 0; i < t->ninstr; i++) {
        const TargetInstr *r = &t->instr[i];
        if (r->line) loc.index = r->line;
        if (!is_name(r->name)) diag_error(d, loc, "instruction %d is named \"%s\"; expected an identifier", i, r->name ? r->name : "");
        else if (target_instr(t, r->name) != r) diag_error(d, loc, "two instructions are named %s", r->name);
        if (!r->means || !*r->means) diag_error(d, loc, "instruction %s has no meaning; expected a loop-IR function", r->name);
        if (!r->emit || !*r->emit) diag_error(d, loc, "instruction %s does not say how it is emitted", r->name);
        if (!is_rate(r->cycles)) diag_error(d, loc, "instruction %s has a cost that is negative or not a number", r->name);
    }
    return d->errors == before;
}
