/* SPDX-License-Identifier: Apache-2.0 */
/* nbits.c: ONNX Runtime's operators on constants of 2, 4 or 8 bits, packed into uint8 with the lowest bits first. The constants become
 * tensors of the narrow types, as small as before; where folding finds room they become floats, else they are read as they are.
 *
 *   MatMulNBits(a, b, scales, zeros) {K, N, bits=4, block_size=32}
 *     ->  MatMul(a, DequantizeLinear(b': uint4[K,N], scales', zeros': uint4[K/32,N]) {axis=0, block_size=32})
 */
#include "rewrite.h"

enum { BITS_MAX = 8 };
static DType narrow_type(int64_t bits) { return bits == 2 ? DT_UINT2 : bits == 4 ? DT_UINT4 : bits == 8 ? DT_UINT8 : DT_NONE; }
static Tensor *narrow_new(R r, int64_t bits, int rank, const int64_t *dim, void **data) {
    int64_t count = 1, bytes;
    for (int i = 0; i < rank; i++)
        if (!mul_ok(count, dim[i], &count)) return NULL;
    if (!dtype_bytes(narrow_type(bits), count, &bytes)) return NULL;
    *data = arena_alloc(r.g->a, (size_t)(bytes ? bytes : 1));
    return tensor_const(r.g, NULL, narrow_type(bits), rank, dim, *data);
}
/* `rows` rows of `cols` values, each row starting with a byte, as a tensor of [cols, rows]. NULL: there are fewer bytes. */
static Tensor *columns(R r, const Tensor *packed, int64_t bits, int64_t rows, int64_t cols, int64_t row_bytes) {
    const unsigned char *from = packed->data;
    int64_t all;
    void *to;
    if (!mul_ok(rows, row_bytes, &all) || all != tensor_elements(packed)) return NULL;
    Tensor *t = narrow_new(r, bits, 2, (int64_t[]){cols, rows}, &to);
    for (int64_t i = 0; t && i < rows; i++) {
        for (int64_t k = 0; k < cols; k++) {
            int64_t byte = i * row_bytes + k * bits / BITS_MAX;
            dtype_set_i(narrow_type(bits), to, k * rows + i, from[byte] >> (k * bits % BITS_MAX) & ((1 << bits) - 1));
        }
    }
    return t;
}
static Tensor *middle(R r, int64_t bits, int rank, const int64_t *dim) {
    int64_t count = 1;
    void *to;
    for (int i = 0; i < rank; i++) count *= dim[i];
    Tensor *t = narrow_new(r, bits, rank, dim, &to);
    for (int64_t i = 0; t && i < count; i++) dtype_set_i(narrow_type(bits), to, i, 1 << (bits - 1));
    return t;
}
static bool constant_bytes(Ctx *c, R r, int input, const char *name) {
    const Tensor *t = r.n->in[input];
    if (t->data && t->type.dt == DT_UINT8) return true;
    return diag_error(c->d, r.n->loc, "%s is %s of %s; a constant of uint8 is expected", name, t->data ? "a constant" : "computed",
                      dtype_name(t->type.dt));
}
static int64_t blocks_of(int64_t k, int64_t block) { return k / block + (k % block != 0); }
/* A parameter of each block, for each of the values */
static Tensor *spread(R r, Tensor *x, int64_t k, int64_t block) {
    int64_t *at = NEW_ARRAY(r.g->a, int64_t, k);
    for (int64_t i = 0; i < k; i++) at[i] = i / block;
    return r_op2(r, "Gather", x, tensor_i64s(r.g, at, k));
}

bool rewrite_matmul_nbits(Ctx *c, Graph *g, Node *n) {
    enum { K, N, LEVEL, BITS, BLOCK, PREPACKED };
    enum { A, B, SCALES, ZEROS, G_IDX, BIAS };
    R r = {g, n};
    (void)LEVEL; /* a hint: how exact the product needs to be at least */
    int64_t k = attr_i(n, K), rows = attr_i(n, N), bits = attr_i(n, BITS), block = attr_i(n, BLOCK), count;
    if (!narrow_type(bits)) return diag_error(c->d, n->loc, "bits is %lld, expected 2, 4 or 8", (long long)bits);
    if (k < 1 || rows < 1 || k > INT32_MAX || rows > INT32_MAX)
        return diag_error(c->d, n->loc, "K is %lld and N is %lld, expected positive numbers below 2^31", (long long)k, (long long)rows);
    if (block < 16 || (block & (block - 1)) || block > INT32_MAX)
        return diag_error(c->d, n->loc, "block_size is %lld, expected a power of two, 16 at least", (long long)block);
    if (attr_i(n, PREPACKED)) return diag_error(c->d, n->loc, "B is packed for one kind of machine (weight_prepacked); export without it");
    if (r_in(r, G_IDX))
        return diag_error(c->d, n->loc, "g_idx, an order of the rows of B, is not supported; export the model without it (desc_act=False)");
    if (!constant_bytes(c, r, B, "B")) return false;
    int64_t blocks = blocks_of(k, block), by_block[] = {rows, blocks};
    Tensor *q = columns(r, n->in[B], bits, rows, k, blocks * (block / BITS_MAX * bits));
    if (!q)
        return diag_error(c->d, n->loc, "B has %lld bytes, expected N = %lld times %lld blocks of %lld bytes",
                          (long long)tensor_elements(n->in[B]), (long long)rows, (long long)blocks, (long long)(block * bits / BITS_MAX));
    if (type_elements(&n->in[SCALES]->type, &count) && count != rows * blocks)
        return diag_error(c->d, n->loc, "there are %lld scales, expected %lld times %lld", (long long)count, (long long)rows,
                          (long long)blocks);
    Tensor *s = r_swap_last(r, r_reshape(r, r_cast(r, n->in[SCALES], DT_FLOAT32), 2, by_block), 2), *z = r_in(r, ZEROS), *w;
    if (z && dtype_is_float(z->type.dt)) {
        z = r_swap_last(r, r_reshape(r, r_cast(r, z, DT_FLOAT32), 2, by_block), 2);
        w = r_op2(r, "Mul", r_op2(r, "Sub", r_cast(r, q, DT_FLOAT32), spread(r, z, k, block)), spread(r, s, k, block));
    } else {
        if (z && !constant_bytes(c, r, ZEROS, "zero_points")) return false;
        int64_t row_bytes = blocks_of(blocks * bits, BITS_MAX);
        z = z ? columns(r, z, bits, rows, blocks, row_bytes) : middle(r, bits, 2, (int64_t[]){blocks, rows});
        if (!z)
            return diag_error(c->d, n->loc, "zero_points has %lld bytes, expected N = %lld times %lld",
                              (long long)tensor_elements(n->in[ZEROS]), (long long)rows, (long long)row_bytes);
        w = r_op3(r, "DequantizeLinear", q, s, z);
        r_set_i(w, "axis", 0), r_set_i(w, "block_size", block);
    }
    DType t = n->in[A]->type.dt, in = dtype_info[t].bits < 32 ? DT_FLOAT32 : t; /* rounded once */
    Tensor *y = r_op2(r, "MatMul", r_cast(r, n->in[A], in), in == DT_FLOAT32 ? w : r_cast(r, w, in));
    if (r_in(r, BIAS)) y = r_op2(r, "Add", y, r_cast(r, n->in[BIAS], in));
    r_done(r, 0, in == t ? y : r_cast(r, y, t));
    return true;
}
