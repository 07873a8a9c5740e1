/* SPDX-License-Identifier: Apache-2.0 */
/* model_weights.c: the constants of a model as one image whose entries start at multiples of 64 bytes, described by one C
 * struct. The bytes are a static const object of that type, an assembler's .incbin, or a file that the program hands over.
 *
 *   struct weights { float conv1_w[432]; float conv1_b[16]; };   ID_weights.S: .incbin "ID.weights", 64
 */
#include "model.h"
#include <math.h>
#include <string.h>

/* Elements of the C array that holds the tensor. */
static int64_t c_elements(const Tensor *t) {
    if (dtype_packed(t->type.dt)) return tensor_bytes(t);
    return tensor_elements(t) * (dtype_info[t->type.dt].cls == CLS_CPLX ? 2 : 1);
}
static void put_members(Model *m, Text *t) {
    const Program *p = m->p;
    int64_t at = 0;
    int pad = 0;
    for (int i = 0; i < p->consts.n; i++) {
        const Tensor *k = p->consts.v[i];
        if (!tensor_bytes(k)) continue;
        if (k->addr > at) text_printf(t, "    uint8_t pad%d[%lld];\n", pad++, (long long)(k->addr - at));
        Text name = {0}, type = {0};
        text_printf(&name, "%s %s[%lld];", dtype_info[k->type.dt].ctype, m->const_name[k->id], (long long)c_elements(k));
        type_print(&k->type, &type);
        text_printf(&type, " %.64s", k->name);
        text_printf(t, "    %-40s /* %9lld ", name.s, (long long)k->addr);
        Text safe = {0};
        put_comment(&safe, type.s, 0);
        text_putn(t, safe.s + 3, safe.n - 3);
        text_free(&safe), text_free(&name), text_free(&type);
        at = k->addr + tensor_bytes(k);
    }
    if (p->weights_bytes > at) text_printf(t, "    uint8_t pad%d[%lld];\n", pad, (long long)(p->weights_bytes - at));
}

/* ---- the data as C */
static void put_float(Model *m, Text *t, double x, int bits) {
    if (isnan(x) || isinf(x)) {
        m->math = true;
        text_puts(t, isnan(x) ? "NAN" : x < 0 ? "-INFINITY" : "INFINITY");
        return;
    }
    text_float(t, x, bits);
    if (bits == 32) text_puts(t, "f");
}
static void put_element(Model *m, Text *t, const Tensor *k, int64_t i) {
    DType dt = k->type.dt;
    const unsigned char *raw = k->data;
    switch (dtype_info[dt].cls) {
    case CLS_CPLX: {
        int bits = dtype_info[dt].bits / 2;
        float f;
        double d;
        if (bits == 32) memcpy(&f, raw + i * 4, 4), d = (double)f;
        else memcpy(&d, raw + i * 8, 8);
        put_float(m, t, d, bits);
        break;
    }
    case CLS_FLOAT:
        if (dt == DT_FLOAT32 || dt == DT_FLOAT64) {
            put_float(m, t, dtype_get_f(dt, k->data, i), dtype_info[dt].bits);
            break;
        } /* fallthrough */
    case CLS_STR:
        if (dtype_info[dt].bits == 16) text_printf(t, "0x%04x", (unsigned)(raw[2 * i] | raw[2 * i + 1] << 8));
        else text_printf(t, "0x%02x", raw[i]);
        break;
    default: {
        int64_t v = dtype_packed(dt) ? raw[i] : dtype_get_i(dt, k->data, i);
        if (dt == DT_UINT64 || dt == DT_UINT32)
            text_printf(t, (uint64_t)v <= UINT32_MAX ? "%lluu" : "UINT64_C(%llu)", (unsigned long long)v);
        else if (v == INT64_MIN || v == INT32_MIN) text_puts(t, v == INT64_MIN ? "INT64_MIN" : "INT32_MIN");
        else text_printf(t, v > INT32_MAX || v < INT32_MIN ? "INT64_C(%lld)" : "%lld", (long long)v);
    }
    }
}
static void put_data(Model *m, Text *t) {
    const Program *p = m->p;
    text_puts(t, "static const struct weights weights = {\n");
    for (int i = 0; i < p->consts.n; i++) {
        const Tensor *k = p->consts.v[i];
        if (!tensor_bytes(k)) continue;
        text_printf(t, "    .%s = {", m->const_name[k->id]);
        int64_t n = c_elements(k);
        size_t line = t->n;
        for (int64_t e = 0; e < n; e++) {
            if (e && t->n - line > 108) text_puts(t, ",\n        "), line = t->n;
            else if (e) text_puts(t, ", ");
            else if (n > 8) text_puts(t, "\n        "), line = t->n;
            put_element(m, t, k, e);
        }
        text_puts(t, "},\n");
    }
    text_puts(t, "};\n\n");
}
static bool any_bytes(const Program *p) {
    for (int i = 0; i < p->consts.n; i++)
        if (tensor_bytes(p->consts.v[i])) return true;
    return false;
}
void weights_struct(Model *m, Text *t) {
    if (!any_bytes(m->p)) return;
    text_puts(t, "/* The weights: one image in which every tensor starts at a multiple of 64 bytes (offset, type, name in the model). */\n"
                 "struct weights {\n");
    put_members(m, t);
    text_puts(t, "};\n");
    if (m->weights == WEIGHTS_C) put_data(m, t);
    else {
        text_puts(t, "#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__\n"
                     "#error \"the weights image is little-endian; compile the model with --weights c\"\n#endif\n");
        if (m->weights == WEIGHTS_ASM) text_printf(t, "extern const struct weights %s_weights; /* in %s_weights.S */\n", m->id, m->id);
        text_puts(t, "\n");
    }
}

/* ---- the image */
typedef bool (*Put)(void *user, const void *data, size_t n);
static bool image(const Program *p, Put put, void *user) {
    static const char zero[64];
    int64_t at = 0;
    for (int i = 0; i <= p->consts.n; i++) {
        const Tensor *k = i < p->consts.n ? p->consts.v[i] : NULL;
        int64_t to = k ? k->addr : p->weights_bytes;
        if (to < at) BUG("the constants' addresses are not in order");
        for (; at < to; at += min_i64(64, to - at))
            if (!put(user, zero, (size_t)min_i64(64, to - at))) return false;
        if (!k) break;
        if (!put(user, k->data, (size_t)tensor_bytes(k))) return false;
        at += tensor_bytes(k);
    }
    return true;
}
/* Over little-endian words of 8 bytes, so that ID_bind checks at memory speed. Pieces end anywhere: the rest is kept. */
typedef struct Hash {
    uint64_t h;
    unsigned char rest[8];
    size_t nrest;
} Hash;
static void hash_word(Hash *s, const unsigned char *b) {
    uint64_t w = 0;
    for (int i = 7; i >= 0; i--) w = w << 8 | b[i];
    s->h = (s->h ^ w) * 0x9E3779B97F4A7C15u;
    s->h ^= s->h >> 32;
}
static bool hash_put(void *user, const void *data, size_t n) {
    Hash *s = user;
    const unsigned char *p = data;
    for (; n && s->nrest; n--, p++) {
        s->rest[s->nrest++] = *p;
        if (s->nrest == 8) hash_word(s, s->rest), s->nrest = 0;
    }
    for (; n >= 8; n -= 8, p += 8) hash_word(s, p);
    for (; n; n--) s->rest[s->nrest++] = *p++;
    return true;
}
uint64_t weights_hash(const Program *p) {
    Hash s = {.h = 0x51756572u};
    image(p, hash_put, &s);
    return s.h;
}
static void put_u64(unsigned char *b, uint64_t v) {
    for (int i = 0; i < 8; i++) b[i] = (unsigned char)(v >> 8 * i);
}
bool weights_write(const Program *p, uint64_t hash, Put put, void *user) {
    unsigned char head[WEIGHTS_HEADER] = "QUERNWTS";
    put_u64(head + 8, (uint64_t)p->weights_bytes);
    put_u64(head + 16, hash);
    return put(user, head, sizeof head) && image(p, put, user);
}
void weights_asm(const Model *m, Text *t) {
    const char *id = m->id;
    text_printf(t,
                "/* SPDX-License-Identifier: 0BSD */\n"
                "/* The weights of %s, from the file %s.weights (found through -I) behind its header. */\n"
                "#if defined(__APPLE__)\n"
                "    .const\n    .p2align 6\n    .globl _%s_weights\n    .private_extern _%s_weights\n_%s_weights:\n"
                "    .incbin \"%s.weights\", %d\n"
                "#else\n"
                "    .section .rodata.%s_weights,\"a\",%%progbits\n    .balign 64\n    .globl %s_weights\n    .hidden %s_weights\n"
                "    .type %s_weights, %%object\n%s_weights:\n"
                "    .incbin \"%s.weights\", %d\n"
                "    .size %s_weights, . - %s_weights\n"
                "    .section .note.GNU-stack,\"\",%%progbits\n"
                "#endif\n",
                id, id, id, id, id, id, WEIGHTS_HEADER, id, id, id, id, id, id, WEIGHTS_HEADER, id, id);
}
void weights_bind(const Model *m, Text *t) {
    const char *id = m->id;
    text_printf(t,
                "/* The file is %lld bytes: \"QUERNWTS\", the image's length and hash as 64-bit little-endian numbers, zeros up to %d, the "
                "image. */\n"
                "int %s_bind(void *arena, const void *weights, size_t bytes) {\n"
                "    const unsigned char *p = weights;\n"
                "    uint64_t word, hash = 0x51756572u;\n"
                "    if (!arena || (uintptr_t)arena %% 64) return %s_E_ARENA;\n"
                "    if (!weights || (uintptr_t)weights %% 8 || bytes != %lld || memcmp(p, \"QUERNWTS\", 8)) return %s_E_WEIGHTS;\n"
                "    memcpy(&word, p + 8, 8);\n"
                "    if (word != UINT64_C(%lld)) return %s_E_WEIGHTS;\n"
                "    for (size_t i = %d; i < bytes; i += 8) {\n"
                "        memcpy(&word, p + i, 8);\n"
                "        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);\n"
                "        hash ^= hash >> 32;\n"
                "    }\n"
                "    memcpy(&word, p + 16, 8);\n"
                "    if (word != hash || hash != UINT64_C(0x%016llx)) return %s_E_WEIGHTS;\n"
                "    ((struct state *)arena)->weights = p + %d;\n"
                "    return %s_OK;\n"
                "}\n\n",
                (long long)(m->p->weights_bytes + WEIGHTS_HEADER), WEIGHTS_HEADER, id, id,
                (long long)(m->p->weights_bytes + WEIGHTS_HEADER), id, (long long)m->p->weights_bytes, id, WEIGHTS_HEADER,
                (unsigned long long)m->hash, id, WEIGHTS_HEADER, id);
}
