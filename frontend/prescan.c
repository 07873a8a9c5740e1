/* SPDX-License-Identifier: Apache-2.0 */
/* prescan.c: untrusted bytes to a protobuf-c message tree, in bounded stack, memory and time.
 *
 * protobuf-c alone recurses without limit (30 kB of nested graphs end it) and lets a file ask for a hundred times its size.
 * So the bytes are walked first: iteratively, along protobuf-c's own descriptors, adding up what unpacking will take. The
 * allocator's cap is the second line.
 *
 *   0a 03 78 79   ->   error: byte 1: length 3 goes past the end of the enclosing message (2 bytes left)
 */
#include <string.h>
#include "frontend/import.h"
#include <stdlib.h>

enum { DEPTH_MAX = 100, SMALL_MEMBERS = 16 };
static size_t round16(size_t n) { return (n + 15) & ~(size_t)15; }

typedef struct Frame {
    const ProtobufCMessageDescriptor *desc; /* unknown messages are skipped, not entered */
    size_t end;
    uint64_t seen; /* fields by index in the descriptor */
    size_t count;
} Frame;
typedef struct Scan {
    Ctx *c;
    const char *file;
    const uint8_t *b;
    size_t at;
    size_t cost, limit;
    Frame f[DEPTH_MAX];
    int depth;
} Scan;

static bool scan_error(Scan *s, size_t at, const char *text) {
    return diag_error(s->c->d, (Loc){s->file, -1, NULL, NULL}, "not a well-formed ONNX file: byte %zu: %s", at, text);
}
static bool scan_varint(Scan *s, size_t end, uint64_t *v) {
    size_t start = s->at;
    *v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (s->at >= end) return scan_error(s, start, "a number is cut off by the end of its message");
        uint8_t byte = s->b[s->at++];
        if (shift < 64) *v |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return true;
    }
    return scan_error(s, start, "a number has more than ten bytes");
}
/* Well-formed UTF-8 without NUL; overlong forms and surrogates are refused. */
static bool text_valid(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        uint8_t c = p[i];
        if (c == 0) return false;
        int more = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : -1;
        if (more < 0 || n - i <= (size_t)more) return false;
        for (int k = 1; k <= more; k++)
            if ((p[i + (size_t)k] & 0xc0) != 0x80) return false;
        if ((c == 0xe0 && p[i + 1] < 0xa0) || (c == 0xed && p[i + 1] > 0x9f) || (c == 0xf0 && p[i + 1] < 0x90) ||
            (c == 0xf4 && p[i + 1] > 0x8f))
            return false;
        i += (size_t)more + 1;
    }
    return true;
}
static bool add_cost(Scan *s, size_t bytes) {
    if (!__builtin_add_overflow(s->cost, bytes, &s->cost) && s->cost <= s->limit) return true;
    return diag_error(s->c->d, (Loc){s->file, -1, NULL, NULL},
                      "reading this file would take more than %zu MiB, far more than its size explains; "
                      "it is damaged or hostile (the limit is 16 times the file, at least 240 MiB)",
                      s->limit >> 20);
}
static int wire_of(const ProtobufCFieldDescriptor *f) {
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return 2;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32: return 5;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: return 1;
    default: return 0;
    }
}
/* What the graph made of a message will take, beside the message itself. */
static size_t graph_cost(const ProtobufCMessageDescriptor *d) {
    if (d == &onnx__node_proto__descriptor) return 320;
    if (d == &onnx__tensor_proto__descriptor) return 400;
    return d == &onnx__value_info_proto__descriptor ? 100 : 0;
}
static size_t name_cost(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f) {
    if (d != &onnx__node_proto__descriptor || f->label != PROTOBUF_C_LABEL_REPEATED) return 0;
    return f->id == 2 ? 400 : 48; /* outputs become tensors, inputs uses */
}
static bool enter(Scan *s, const ProtobufCMessageDescriptor *d, size_t end) {
    if (s->depth == DEPTH_MAX) return scan_error(s, s->at, "messages are nested more than 100 deep");
    s->f[s->depth++] = (Frame){d, end, 0, 0};
    return add_cost(s, round16(d->sizeof_message) + 16 + graph_cost(d));
}
/* The payload of a length-delimited field, [s->at, end). */
static bool scan_bytes(Scan *s, Frame *fr, const ProtobufCFieldDescriptor *f, size_t end, size_t start) {
    size_t n = end - s->at;
    if (!f) return s->at = end, add_cost(s, 24 + round16(n));
    uint64_t bit = (uint64_t)1 << ((f - fr->desc->fields) & 63);
    bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (!repeated && (fr->seen & bit)) return scan_error(s, start, "a field that may be there once is there twice");
        fr->seen |= bit;
        return enter(s, f->descriptor, end);
    }
    fr->seen |= bit;
    if (f->type == PROTOBUF_C_TYPE_STRING && !text_valid(s->b + s->at, n))
        return scan_error(s, start, "a name or text is not UTF-8, or holds a NUL byte");
    int wire = wire_of(f);
    if (wire == 2) return s->at = end, add_cost(s, round16(n + 1) + 16 + name_cost(fr->desc, f));
    if (!repeated) return scan_error(s, start, "a single number is written as a list");
    if ((wire == 1 && n % 8) || (wire == 5 && n % 4)) return scan_error(s, start, "a packed list ends within an element");
    if (wire != 0) return s->at = end, add_cost(s, round16(n));
    size_t count = 0, run = 0;
    for (size_t i = s->at; i < end; i++) {
        if (!(s->b[i] & 128)) count++, run = 0;
        else if (++run > 9) return scan_error(s, i, "a number has more than ten bytes");
    }
    if (run) return scan_error(s, start, "a packed list ends within an element");
    s->at = end;
    return add_cost(s, round16(count * 8));
}
static bool scan_field(Scan *s, Frame *fr) {
    uint64_t tag, v;
    size_t start = s->at;
    if (!scan_varint(s, fr->end, &tag)) return false;
    uint64_t number = tag >> 3;
    int wire = (int)(tag & 7);
    if (number == 0 || number > 536870911) return scan_error(s, start, "a field number is 0 or above 536870911");
    if (wire == 3 || wire == 4) return scan_error(s, start, "groups (wire types 3 and 4) are not part of ONNX");
    if (wire > 5) return scan_error(s, start, "the wire type is 6 or 7, which do not exist");
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(fr->desc, (unsigned)number);
    if (f && wire != 2 && wire != wire_of(f)) return scan_error(s, start, "a field has another wire type than ONNX gives it");
    /* what protobuf-c keeps per field while it parses one message, and the element of a repeated field */
    size_t cost = (f ? 8 : 24);
    if (f && !(fr->seen >> ((f - fr->desc->fields) & 63) & 1)) cost += 16;
    if (++fr->count > SMALL_MEMBERS) cost += fr->count == SMALL_MEMBERS + 1 ? 1280 : 80;
    if (!add_cost(s, cost)) return false;
    if (wire == 2) {
        if (!scan_varint(s, fr->end, &v)) return false;
        if (v > fr->end - s->at) {
            return diag_error(
                s->c->d, (Loc){s->file, -1, NULL, NULL},
                "not a well-formed ONNX file: byte %zu: length %llu goes past the end of the enclosing message (%zu bytes left); "
                "the file may be cut off",
                start, (unsigned long long)v, fr->end - s->at);
        }
        if (v > INT32_MAX) return scan_error(s, start, "one field has 2 GiB or more, which protobuf forbids; use external data");
        return scan_bytes(s, fr, f, s->at + (size_t)v, start);
    }
    if (f) fr->seen |= (uint64_t)1 << ((f - fr->desc->fields) & 63);
    if (wire == 0) return scan_varint(s, fr->end, &v);
    size_t n = wire == 1 ? 8 : 4;
    if (fr->end - s->at < n) return scan_error(s, start, "a number is cut off by the end of its message");
    s->at += n;
    return true;
}

bool prescan(Ctx *c, const char *file, const ProtobufCMessageDescriptor *what, const uint8_t *bytes, size_t n, size_t max_memory) {
    Scan s = {.c = c, .file = file, .b = bytes, .limit = max_memory};
    if (!enter(&s, what, n)) return false;
    while (s.depth) {
        Frame *fr = &s.f[s.depth - 1];
        if (s.at == fr->end) {
            s.depth--;
            continue;
        }
        if (!scan_field(&s, fr)) return false;
    }
    return true;
}

/* ---- the allocator: small blocks from an arena, large ones from malloc so that they can go back early. Large blocks start
 * 64 bytes after a page: protobuf-c's frees of small blocks (nothing to do) are told apart without a search. */
enum { BIG_BLOCK = 1 << 16, PAGE = 4096, BIG_HEAD = 64 };
typedef struct Big {
    struct Big *prev, *next;
    size_t bytes;
} Big;
struct Parsed {
    Arena *small;
    Big big; /* list head */
    size_t used, limit;
};

static void *parsed_alloc(void *self, size_t n) {
    Parsed *p = self;
    void *at;
    if (n > p->limit - p->used) return NULL;
    p->used += n;
    if (n < BIG_BLOCK) return arena_alloc(p->small, n);
    if (posix_memalign(&at, PAGE, n + BIG_HEAD)) return NULL;
    Big *b = at;
    *b = (Big){p->big.prev, &p->big, n};
    b->prev->next = b, p->big.prev = b;
    return (char *)at + BIG_HEAD;
}
static void big_free(Parsed *p, Big *b) {
    b->prev->next = b->next, b->next->prev = b->prev;
    p->used -= b->bytes;
    free(b);
}
static void parsed_dealloc(void *self, void *block) {
    Parsed *p = self;
    if (((uintptr_t)block & (PAGE - 1)) != BIG_HEAD) return;
    for (Big *b = p->big.next; b != &p->big; b = b->next)
        if ((char *)b + BIG_HEAD == (char *)block) {
            big_free(p, b);
            return;
        }
}
void parsed_release(Parsed *p, const void *block) {
    if (p && block) parsed_dealloc(p, (void *)(uintptr_t)block);
}
void parsed_free(Parsed *p) {
    if (!p) return;
    while (p->big.next != &p->big) big_free(p, p->big.next);
    arena_free(p->small);
    free(p);
}

Parsed *parsed_new(Ctx *c, const char *file, const ProtobufCMessageDescriptor *what, const void *bytes, size_t n, size_t max_memory,
                   ProtobufCMessage **tree) {
    size_t limit = max_memory ? max_memory : n > SIZE_MAX / 16 ? SIZE_MAX : n * 16;
    if (!max_memory && limit < (size_t)240 << 20) limit = (size_t)240 << 20;
    if (!prescan(c, file, what, bytes, n, limit)) return NULL;
    Parsed *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    *p = (Parsed){.small = arena_new(), .limit = limit + limit / 8};
    p->big.prev = p->big.next = &p->big;
    ProtobufCAllocator al = {parsed_alloc, parsed_dealloc, p};
    *tree = protobuf_c_message_unpack(what, &al, n, bytes);
    if (*tree) return p;
    diag_error(c->d, (Loc){file, -1, NULL, NULL}, "not a well-formed ONNX file: the message cannot be unpacked");
    parsed_free(p);
    return NULL;
}
