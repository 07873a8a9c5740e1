/* SPDX-License-Identifier: Apache-2.0 */
/* counter.c: what links with instrumented C (quern compile --mapping --instrument --name layer): counts the words that it says it moves
 * and compares them with the prediction of quern explore --json. No offset may reach a level's capacity, nothing be used before it was
 * filled, and the output must be the convolution's, computed here straight from its formula.
 *   counter PREDICTION.json LEVEL=INSTANCES*WORDS...   ->   status 0, or a line for each number that differs */
#include "layer.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 8, TENSORS = 3 };
static struct {
    const char *name;
    int64_t instances, words;
    unsigned char *filled;
    int64_t count[TENSORS][3];
} at[LEVELS];
static int nlevel;
static int64_t faults;

static void fault(const char *what, int level, int64_t instance, int64_t offset) {
    if (++faults < 5) printf("level %d, instance %lld, word %lld: %s\n", level, (long long)instance, (long long)offset, what);
}
void layer_access(int level, int tensor, int kind, int64_t instance, int64_t offset) {
    if (level < 0 || level >= nlevel || tensor < 0 || tensor >= TENSORS || kind < 0 || kind > 2) {
        fault("no such level, operand or kind", level, instance, offset);
        return;
    }
    at[level].count[tensor][kind]++;
    if (!level) return;
    if (instance < 0 || instance >= at[level].instances || offset < 0 || offset >= at[level].words) {
        fault("outside the level", level, instance, offset);
        return;
    }
    unsigned char *word = &at[level].filled[instance * at[level].words + offset];
    if (kind == 1) *word = 1;
    else if (!*word) fault("not filled", level, instance, offset);
}

static int64_t extent(const json_t *layer, const char *key) {
    const json_t *v = json_object_get(layer, key);
    return v ? (int64_t)json_integer_value(v) : 1;
}
/* Small whole numbers, whose sums are exact. */
static float *operand(int64_t n, int seed) {
    float *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; p && i < n; i++) p[i] = (float)((i * 7 + seed) % 11 - 5);
    return p;
}
int main(int argc, char **argv) {
    json_t *all = argc > 1 ? json_load_file(argv[1], 0, NULL) : NULL;
    const json_t *layer = json_object_get(all, "layer"), *want = json_object_get(json_object_get(all, "result"), "access_totals");
    if (!want || argc - 2 > LEVELS) return fprintf(stderr, "usage: counter PREDICTION.json LEVEL=INSTANCES*WORDS...\n"), 2;
    for (int i = 2; i < argc; i++, nlevel++) {
        at[nlevel].name = strtok(argv[i], "=");
        at[nlevel].instances = strtoll(strtok(NULL, "*"), NULL, 10), at[nlevel].words = strtoll(strtok(NULL, "*"), NULL, 10);
        at[nlevel].filled = calloc((size_t)(at[nlevel].instances * at[nlevel].words + 1), 1);
    }
    const char *kind = json_string_value(json_object_get(layer, "kind"));
    int depthwise = kind && strcmp(kind, "depthwise") == 0;
    int64_t N = extent(layer, "N"), G = extent(layer, "G"), M = extent(layer, "M"), C = extent(layer, "C"), E = extent(layer, "E"),
            F = extent(layer, "F"), R = extent(layer, "R"), S = extent(layer, "S"), UE = extent(layer, "UE"), UF = extent(layer, "UF"),
            DR = extent(layer, "DR"), DS = extent(layer, "DS");
    if (depthwise) G = C, C = 1;
    int64_t H = (E - 1) * UE + (R - 1) * DR + 1, L = (F - 1) * UF + (S - 1) * DS + 1, outputs = N * G * M * E * F;
    float *w = operand(G * M * C * R * S, 3), *x = operand(N * G * C * H * L, 0), *o = operand(outputs, 1);
    char *memory = malloc((size_t)layer_ARENA_BYTES + 64), *arena = memory + (64 - (uintptr_t)memory % 64);
    const void *in[] = {w, x};
    void *out[] = {o};
    if (!w || !x || !o || !memory) return fprintf(stderr, "no memory\n"), 2;
    memset(arena, 0xFF, layer_ARENA_BYTES), memset(arena, 0, layer_STATE_BYTES);
    if (layer_invoke(arena, in, NULL, out, NULL)) return fprintf(stderr, "layer_invoke fails\n"), 1;
    for (int l = 0; l < nlevel; l++)
        for (int t = 0; t < TENSORS; t++) {
            static const char *const names[] = {"W", "I", "O"}, *const kinds[] = {"reads", "fills", "updates"};
            const json_t *row = json_object_get(json_object_get(want, at[l].name), names[t]);
            for (int k = 0; k < 3; k++) {
                long long n = row ? json_integer_value(json_object_get(row, kinds[k])) : 0;
                if (n == at[l].count[t][k]) continue;
                faults++,
                    printf("%s %s %s: %lld counted, %lld predicted\n", at[l].name, names[t], kinds[k], (long long)at[l].count[t][k], n);
            }
        }
    float *sum = malloc((size_t)F * sizeof *sum); /* a row of outputs */
    for (int64_t row = 0; sum && row < outputs / F; row++) {
        int64_t e = row % E, m = row / E % M, g = row / E / M % G, n = row / E / M / G;
        memset(sum, 0, (size_t)F * sizeof *sum);
        for (int64_t c = 0; c < C; c++)
            for (int64_t r = 0; r < R; r++)
                for (int64_t s = 0; s < S; s++) {
                    const float *line = x + (((n * G + g) * C + c) * H + e * UE + r * DR) * L + s * DS;
                    float k = w[(((g * M + m) * C + c) * R + r) * S + s];
                    for (int64_t f = 0; f < F; f++) sum[f] += k * line[f * UF];
                }
        if (memcmp(sum, o + row * F, (size_t)F * sizeof *sum) != 0) fault("outputs are wrong", 0, 0, row * F);
    }
    return !sum || faults != 0;
}
