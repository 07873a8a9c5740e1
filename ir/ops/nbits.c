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
static int packed_at(const unsigned char *row, int64_t k, int64_t bits) {
    return row[k * bits / BITS_MAX] >> (k * bits % BITS_MAX) & ((1 << bits) - 1);
}
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
        for (int64_t k = 0; k < cols; k++) { dtype_set_i(narrow_type(bits), to, k * rows + i, packed_at(from + i * row_bytes, k, bits)); }
    }
    return t;
}
static Tensor *middle(R r, int64_t bits, int rank, const int64_t *dim) {
    void *to;
    Tensor *t = narrow_new(r, bits, rank, dim, &to);
    for (int64_t i = 0; t && i < tensor_elements(t); i++) dtype_set_i(narrow_type(bits), to, i, 1 << (bits - 1));
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
static Tensor *spread(R r, Tensor *x, int axis, int64_t k, int64_t block, const int64_t *index) {
    int64_t *at = NEW_ARRAY(r.g->a, int64_t, k);
    for (int64_t i = 0; i < k; i++) at[i] = index ? index[i] : i / block; /* index: the block of each, where they are not in order */
    Tensor *y = r_op2(r, "Gather", x, tensor_i64s(r.g, at, k));
    r_set_i(y, "axis", axis);
    return y;
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
    const int64_t *order = NULL;
    if (r_in(r, G_IDX) && (!(order = const_i64s(c->a, n->in[G_IDX], &count)) || (count != k && count != blocks_of(k, block) * block)))
        return diag_error(c->d, n->loc, "g_idx is expected to be a constant with a block for each of the %lld values of a row",
                          (long long)k);
    for (int64_t i = 0; order && i < k; i++)
        if (order[i] < 0 || order[i] >= blocks_of(k, block))
            return diag_error(c->d, n->loc, "element %lld of g_idx is %lld, expected 0 to %lld", (long long)i, (long long)order[i],
                              (long long)blocks_of(k, block) - 1);
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
        w = r_op2(r, "Mul", r_op2(r, "Sub", r_cast(r, q, DT_FLOAT32), spread(r, z, 0, k, block, order)), spread(r, s, 0, k, block, order));
    } else {
        if (z && !constant_bytes(c, r, ZEROS, "zero_points")) return false;
        int64_t row_bytes = blocks_of(blocks * bits, BITS_MAX);
        z = z ? columns(r, z, bits, rows, blocks, row_bytes) : middle(r, bits, 2, (int64_t[]){blocks, rows});
        if (!z)
            return diag_error(c->d, n->loc, "zero_points has %lld bytes, expected N = %lld times %lld",
                              (long long)tensor_elements(n->in[ZEROS]), (long long)rows, (long long)row_bytes);
        if (order) {
            Tensor *from = spread(r, r_cast(r, z, DT_FLOAT32), 0, k, block, order);
            w = r_op2(r, "Mul", r_op2(r, "Sub", r_cast(r, q, DT_FLOAT32), from), spread(r, s, 0, k, block, order));
        } else {
            w = r_op3(r, "DequantizeLinear", q, s, z);
            r_set_i(w, "axis", 0), r_set_i(w, "block_size", block);
        }
    }
    DType t = n->in[A]->type.dt, in = dtype_info[t].bits < 32 ? DT_FLOAT32 : t; /* rounded once */
    Tensor *y = r_op2(r, "MatMul", r_cast(r, n->in[A], in), in == DT_FLOAT32 ? w : r_cast(r, w, in));
    if (r_in(r, BIAS)) y = r_op2(r, "Add", y, r_cast(r, n->in[BIAS], in));
    r_done(r, 0, in == t ? y : r_cast(r, y, t));
    return true;
}

/* The narrow values that bytes hold, as they stand: along the last axis, whose extent is given where a row fills its bytes not quite. */
static Tensor *unpacked(R r, const Tensor *packed, int64_t bits, int64_t last) {
    int64_t dim[QN_MAX_RANK], rows = 1, row_bytes;
    void *to;
    int rank = packed->type.rank;
    if (rank < 1) return NULL;
    for (int i = 0; i < rank; i++) dim[i] = packed->type.dim[i];
    for (int i = 0; i < rank - 1; i++) rows *= dim[i];
    row_bytes = dim[rank - 1];
    dim[rank - 1] = last < 0 ? row_bytes * (BITS_MAX / bits) : last;
    if (blocks_of(dim[rank - 1] * bits, BITS_MAX) != row_bytes) return NULL;
    Tensor *t = narrow_new(r, bits, rank, dim, &to);
    const unsigned char *from = packed->data;
    for (int64_t i = 0; t && i < rows; i++) {
        for (int64_t k = 0; k < dim[rank - 1]; k++) {
            dtype_set_i(narrow_type(bits), to, i * dim[rank - 1] + k, packed_at(from + i * row_bytes, k, bits));
        }
    }
    return t;
}
static bool same_blocks(const Tensor *data, const Tensor *scales, int64_t block) {
    int last = data->type.rank - 1;
    for (int i = 0; i < last; i++)
        if (data->type.dim[i] != scales->type.dim[i]) return false;
    return blocks_of(data->type.dim[last], block) == scales->type.dim[last];
}
/* Rows, scales and zero points are gathered while they are narrow; what was gathered becomes float. */
bool rewrite_gather_block_quantized(Ctx *c, Graph *g, Node *n) {
    enum { BITS, BLOCK, GATHER, QUANTIZE };
    enum { DATA, INDICES, SCALES, ZEROS };
    R r = {g, n};
    Tensor *in[3] = {n->in[DATA], n->in[SCALES], r_in(r, ZEROS)};
    int rank = in[0]->type.rank, ids = n->in[INDICES]->type.rank;
    int64_t axis = attr_i(n, GATHER), q = attr_i(n, QUANTIZE), bits = attr_i(n, BITS), block = attr_i(n, BLOCK);
    if (axis < 0) axis += rank;
    if (q < 0) q += rank;
    if (rank < 2 || axis < 0 || axis >= rank || q < 0 || q >= rank || q == axis)
        return diag_error(c->d, n->loc, "gather_axis %lld and quantize_axis %lld are no two axes of data, whose rank is %d",
                          (long long)attr_i(n, GATHER), (long long)attr_i(n, QUANTIZE), rank);
    if (block < 16 || (block & (block - 1)) || block > INT32_MAX)
        return diag_error(c->d, n->loc, "block_size is %lld, expected a power of two, 16 at least", (long long)block);
    if (in[1]->type.rank != rank || (in[2] && in[2]->type.rank != rank))
        return diag_error(c->d, n->loc, "scales or zero_points have another rank than data, %d", rank);
    if (in[0]->type.dt == DT_UINT8) {
        if (!narrow_type(bits)) return diag_error(c->d, n->loc, "bits is %lld, expected 2, 4 or 8", (long long)bits);
        if (q != rank - 1)
            return diag_error(c->d, n->loc, "quantize_axis is %lld; uint8 data are packed along the last axis", (long long)q);
        if (!constant_bytes(c, r, DATA, "data") || (in[2] && !constant_bytes(c, r, ZEROS, "zero_points"))) return false;
        if (!type_known(&in[1]->type)) return diag_error(c->d, n->loc, "the shape of scales is expected to be constant");
        in[0] = unpacked(r, in[0], bits, -1);
        if (!in[0] || !same_blocks(in[0], in[1], block))
            return diag_error(c->d, n->loc, "the shapes of data and scales do not fit %lld bits and blocks of %lld", (long long)bits,
                              (long long)block);
        in[2] = in[2] ? unpacked(r, in[2], bits, in[1]->type.dim[rank - 1]) : middle(r, bits, rank, in[1]->type.dim);
        if (!in[0] || !in[2])
            return diag_error(c->d, n->loc, "the last extents of data, scales and zero_points do not fit %lld bits", (long long)bits);
    }
    for (int i = 0; i < 3; i++) {
        if (!in[i]) continue;
        in[i] = r_op2(r, "Gather", in[i], n->in[INDICES]);
        r_set_i(in[i], "axis", axis);
    }
    Tensor *y = in[2] ? r_op3(r, "DequantizeLinear", in[0], in[1], in[2]) : r_op2(r, "DequantizeLinear", in[0], in[1]);
    r_set_i(y, "axis", q > axis ? q + ids - 1 : q), r_set_i(y, "block_size", block);
    r_done(r, 0, y);
    return true;
}

/* ---- bitsandbytes: a code, high half of the byte first, is an index into a table */
static const float code_books[2][16] = {{0, 5.208333333e-03F, 0.66666667F, 1, 0.33333333F, 0.5F, 0.16666667F, 0.25F, 0, -5.208333333e-03F,
                                         -0.66666667F, -1, -0.33333333F, -0.5F, -0.16666667F, -0.25F},
                                        {-1, -0.6961928009986877F, -0.5250730514526367F, -0.39491748809814453F, -0.28444138169288635F,
                                         -0.18477343022823334F, -0.09105003625154495F, 0, 0.07958029955625534F, 0.16093020141124725F,
                                         0.24611230194568634F, 0.33791524171829224F, 0.44070982933044434F, 0.5626170039176941F,
                                         0.7229568362236023F, 1}};
bool rewrite_matmul_bnb4(Ctx *c, Graph *g, Node *n) {
    enum { K, N, BLOCK, KIND, TRAINING, TRANS };
    enum { A, B, SCALES };
    R r = {g, n};
    int64_t k = attr_i(n, K), rows = attr_i(n, N), block = attr_i(n, BLOCK), kind = attr_i(n, KIND), count, scales;
    if (kind != 0 && kind != 1) return diag_error(c->d, n->loc, "quant_type is %lld, expected 0 (FP4) or 1 (NF4)", (long long)kind);
    if (!attr_i(n, TRANS) || attr_i(n, TRAINING)) return diag_error(c->d, n->loc, "only transB=1 and training_mode=0 are supported");
    if (k < 1 || rows < 1 || k > INT32_MAX || rows > INT32_MAX || block < 1 || block > INT32_MAX)
        return diag_error(c->d, n->loc, "K, N and block_size are %lld, %lld and %lld, expected positive numbers below 2^31", (long long)k,
                          (long long)rows, (long long)block);
    if (!constant_bytes(c, r, B, "B")) return false;
    count = k * rows;
    if (tensor_elements(n->in[B]) != blocks_of(count, 2))
        return diag_error(c->d, n->loc, "B has %lld bytes, expected %lld", (long long)tensor_elements(n->in[B]),
                          (long long)blocks_of(count, 2));
    if (type_elements(&n->in[SCALES]->type, &scales) && scales != blocks_of(count, block))
        return diag_error(c->d, n->loc, "there are %lld scales, expected %lld", (long long)scales, (long long)blocks_of(count, block));
    float *w = NEW_ARRAY(g->a, float, count);
    const unsigned char *from = n->in[B]->data;
    for (int64_t i = 0; i < count; i++) w[i] = code_books[kind][from[i / 2] >> (i % 2 ? 0 : 4) & 15];
    int64_t shape[] = {rows, k}, flat = -1;
    Tensor *s = spread(r, r_reshape(r, r_cast(r, n->in[SCALES], DT_FLOAT32), 1, &flat), 0, count, block, NULL);
    Tensor *b = r_op2(r, "Mul", tensor_const(g, NULL, DT_FLOAT32, 2, shape, w), r_reshape(r, s, 2, shape));
    DType t = n->in[A]->type.dt, in = dtype_info[t].bits < 32 ? DT_FLOAT32 : t;
    b = r_swap_last(r, b, 2);
    Tensor *y = r_op2(r, "MatMul", r_cast(r, n->in[A], in), in == DT_FLOAT32 ? b : r_cast(r, b, in));
    r_done(r, 0, in == t ? y : r_cast(r, y, t));
    return true;
}
