#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""microsoft.py: writes the cases ms_* of this folder: operators of com.microsoft with what NumPy computes from their documentation. Those
that ONNX Runtime has kernels for (Inverse, CDist, CropAndResize, NGramRepeatBlock, UnfoldTensor, DecoderMaskedMultiHeadAttention) were
compared with it, on other numbers.
"""
import numpy as np

import cases

rng = np.random.default_rng(23)
f32 = np.float32
MS = '"com.microsoft"::'


def values(*shape):
    return (rng.integers(-200, 200, shape) / 128).astype(f32)


def case(name, op, inputs, outputs, **attrs):
    cases.case("ms_" + name, MS + op, inputs, outputs, by="microsoft.py", **attrs)


def softmax(v):
    e = np.exp(v - v.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def conv(x, w, b, pad, stride, group):
    """x with channels last"""
    x = np.pad(x.transpose(0, 3, 1, 2), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    m, cg, kh, kw = w.shape
    y = np.zeros((x.shape[0], m, (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1))
    for k in range(m):
        g = k // (m // group)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                y[:, k, i, j] = (x[:, g * cg:(g + 1) * cg, i * stride:i * stride + kh, j * stride:j * stride + kw] * w[k]).sum((1, 2, 3)) + b[k]
    return y.transpose(0, 2, 3, 1)


def complex_and_small():
    x, y = values(2, 3, 2), values(3, 2)
    a, b = x[..., 0] + 1j * x[..., 1], y[..., 0] + 1j * y[..., 1]
    for name, p in (("ComplexMul", a * b), ("ComplexMulConj", a * b.conj())):
        case({"ComplexMul": "complex_mul"}.get(name, "complex_mul_conj"), name, [("x", x), ("y", y)], [np.stack([p.real, p.imag], -1).astype(f32)])
    for n in (6, 9):
        x = values(2, n)
        f = np.fft.rfft(x)
        case("rfft_%d" % n, "Rfft", [("x", x)], [np.stack([f.real, f.imag], -1).astype(f32)])
    f = np.fft.rfft(values(2, 8))
    f = np.stack([f.real, f.imag], -1).astype(f32)
    case("irfft", "Irfft", [("x", f)], [np.fft.irfft(f[..., 0] + 1j * f[..., 1]).astype(f32)])
    x = values(2, 4, 4) + 2 * np.eye(4, dtype=f32)[[2, 0, 3, 1]]  # the largest elements stand off the diagonal
    case("inverse", "Inverse", [("x", x)], [np.linalg.inv(x.astype(np.float64)).astype(f32)])
    a, b = values(3, 4), values(2, 4)
    d = ((a[:, None] - b[None]).astype(np.float64)**2).sum(-1)
    case("cdist", "CDist", [("a", a), ("b", b)], [np.sqrt(d).astype(f32)], metric="euclidean")
    x = values(2, 7, 2)
    case("unfold", "UnfoldTensor", [("x", x)], [np.stack([x[:, i:i + 3].transpose(0, 2, 1) for i in (0, 2, 4)], 1)], dim=1, size=3, step=2)
    a, b, c = values(2, 3), values(3, 4), values(4)
    v = (a @ b + c).astype(np.float64)
    gelu = 0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))
    case("gemm_fast_gelu", "GemmFastGelu", [("a", a), ("b", b), ("c", c)], [gelu.astype(f32)])
    case("fused_matmul_activation", "FusedMatMulActivation", [("a", a), ("b", b)], [np.maximum(0.5 * (a @ b), 0).astype(f32)], activation="Relu", alpha=0.5)
    x, i = values(5, 2), np.array([[1, 4], [0, 3]], np.int64)
    case("torch_embedding", "TorchEmbedding", [("x", x), ("i", i)], [x[i]])
    case("gather_nd", "GatherND", [("x", x), ("i", i % 2)], [x[i[:, 0] % 2, i[:, 1] % 2]])
    a, b = rng.integers(-32768, 32768, (2, 3)).astype(np.int16), rng.integers(-9000, 9000, (3, 2)).astype(np.int16)
    case("matmul_integer16", "MatMulInteger16", [("a", a), ("b", b)], [a.astype(np.int32) @ b.astype(np.int32)])


def quantised():
    x, s, z, t, w = rng.integers(0, 256, (2, 3, 4)).astype(np.uint8), f32(0.1), np.uint8(120), f32(0.03), np.uint8(99)
    m = ((x.astype(f32) - f32(z)) * s).mean(1, keepdims=True)
    case("qlinear_reduce_mean", "QLinearReduceMean", [("x", x), ("s", s), ("z", z), ("t", t), ("w", w)],
         [np.clip(np.rint(m / t) + w, 0, 255).astype(np.uint8)], axes=[1], keepdims=1)
    x = rng.integers(-128, 128, (2, 3)).astype(np.int8)
    case("dequantize_with_order", "DequantizeWithOrder", [("x", x), ("s", f32(0.25))], [x * f32(0.25)], order_input=1, order_output=1, to=1)
    x = values(2, 3) * 100
    case("quantize_with_order", "QuantizeWithOrder", [("x", x), ("s", f32(0.5))], [np.clip(np.rint(x / f32(0.5)), -128, 127).astype(np.int8)],
         order_input=1, order_output=1)
    K, N, B = 48, 3, 16
    a, q, s = values(2, K), rng.integers(0, 16, (N, K)), (rng.random((N, 3)) + 0.5).astype(f32)
    z, g = rng.integers(0, 16, (N, 3)), rng.permutation(np.arange(K) // B).astype(np.int32)
    packed = (q[:, ::2] | q[:, 1::2] << 4).astype(np.uint8).reshape(N, 3, B // 2)
    zeros = np.stack([z[:, 0] | z[:, 1] << 4, z[:, 2]], 1).astype(np.uint8)
    for name, zero, of in (("", None, 8), ("_zeros", zeros, z[:, g])):
        case("matmul_nbits_order" + name, "MatMulNBits", [("a", a), ("k_b", packed), ("s", s), zero is not None and ("k_z", zero) or None, ("k_g", g)],
             [(a.astype(np.float64) @ ((q - of) * s[:, g]).T).astype(f32)], K=K, N=N, bits=4, block_size=B)


def convolutions():
    x, w, b = values(1, 4, 5, 4), values(6, 2, 3, 3), values(6)
    y = conv(x, w, b, 1, 2, 2)
    how = dict(group=2, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    case("nhwc_conv", "NhwcConv", [("x", x), ("w", w), ("b", b)], [y.astype(f32)], **how)
    z = values(*y.shape)
    case("nhwc_fused_conv", "NhwcFusedConv", [("x", x), ("w", w), ("b", b), ("z", z)], [np.maximum(y + z, 0).astype(f32)], activation="Relu", **how)
    x, batch, size = values(2, 2, 5, 6), np.array([0, 1, 1], np.int32), np.array([3, 4], np.int32)
    rois = np.array([[0, 0, 1, 1], [-0.3, 0.1, 0.6, 1.2], [0.92, 0.71, 0.15, 0.2]], f32)
    for mode in ("bilinear", "nearest"):
        y = np.full((3, 2, 3, 4), 7, f32)
        for r in range(3):
            for i in range(3):
                for j in range(4):
                    v = rois[r, 0] * 4 + i * (rois[r, 2] - rois[r, 0]) * 4 / 2
                    u = rois[r, 1] * 5 + j * (rois[r, 3] - rois[r, 1]) * 5 / 3
                    if not (0 <= v <= 4 and 0 <= u <= 5):
                        continue
                    at = x[batch[r]]
                    if mode == "nearest":
                        y[r, :, i, j] = at[:, int(np.floor(v + 0.5)), int(np.floor(u + 0.5))]
                        continue
                    a, b = int(v), int(u)
                    c, d = min(a + 1, 4), min(b + 1, 5)
                    top, low = (at[:, k, b] + (at[:, k, d] - at[:, k, b]) * (u - b) for k in (a, c))
                    y[r, :, i, j] = top + (low - top) * (v - a)
        case("crop_and_resize_" + mode, "CropAndResize", [("x", x), ("rois", rois), ("b", batch), ("k_size", size)], [y], mode=mode,
             extrapolation_value=7.0)


def transformers():
    ids = np.array([[1, 2, 3, 1, 2], [0, 0, 0, 0, 0], [4, 3, 2, 1, 4]], np.int64)
    score = values(3, 5)
    want = score.copy()
    want[0, 3], want[1, 0], want[2, 3] = -np.inf, -np.inf, want[2, 3]
    case("ngram_repeat_block", "NGramRepeatBlock", [("i", ids), ("s", score)], [want], ngram_size=3)
    table = values(16, 2)
    for both in (0, 1):
        n, far = (8 if both else 16), 20
        d = np.arange(25)[None] - np.arange(25)[:, None]
        away = abs(d) if both else np.maximum(-d, 0)
        exact = n // 2
        large = exact + (np.log(np.maximum(away, 1).astype(f32) / f32(exact)) / np.log(f32(far) / f32(exact)) * f32(n - exact)).astype(np.int64)
        bucket = np.where(away < exact, away, np.minimum(large, n - 1)) + (both and (d > 0) * n)
        case("relative_position_bias_%d" % both, "RelativePositionBias", [("t", table), ("k_q", np.int64(25)), ("k_k", np.int64(25))],
             [table[bucket].transpose(2, 0, 1)[None]], is_bidirectional=both, max_distance=far)
    q, qb, pos, w, b, e = values(2, 3, 8), values(8), values(1, 2, 3, 3), values(4, 6), values(6), values(1, 2, 1, 1)
    x = (q + qb).reshape(2, 3, 2, 4).transpose(0, 2, 1, 3)
    gate = sigmoid((x @ w + b).reshape(2, 2, 3, 2, 3).sum(-1))
    case("gated_relative_position_bias", "GatedRelativePositionBias", [("q", q), ("qb", qb), ("p", pos), ("w", w), ("b", b), ("e", e)],
         [((gate[..., :1] * (gate[..., 1:] * e - 1) + 2) * pos).astype(f32)], num_heads=2)
    x, w, b = values(5, 4), values(4, 12), values(12)
    y, out = (x @ w + b).astype(np.float64), np.zeros((5, 4))
    for lo, hi in ((0, 3), (3, 5)):
        for h in range(2):
            q, k, v = (y[lo:hi, i * 4 + h * 2:i * 4 + h * 2 + 2] for i in range(3))
            out[lo:hi, h * 2:h * 2 + 2] = softmax(q @ k.T / np.sqrt(2)) @ v
    case("packed_attention", "PackedAttention", [("x", x), ("w", w), ("b", b), ("o", np.array([[0, 1, 2], [3, 4, 5]], np.int32)), ("e", np.array([0, 3, 5], np.int32))],
         [out.astype(f32)], num_heads=2)
    q, k, v, past = values(2, 1, 4), values(2, 1, 4), values(2, 1, 4), [values(2, 2, 5, 2), values(2, 2, 5, 2)]
    bias, length = values(12), 3
    part = [(t + bias[4 * i:4 * i + 4]).reshape(2, 1, 2, 2).transpose(0, 2, 1, 3) for i, t in enumerate((q, k, v))]
    present = [p.copy() for p in past]
    for i in range(2):
        present[i][:, :, length] = part[1 + i][:, :, 0]
    p = [t[:, :, :length + 1].astype(np.float64) for t in present]
    y = (softmax(part[0] @ p[0].transpose(0, 1, 3, 2) / np.sqrt(2)) @ p[1]).transpose(0, 2, 1, 3).reshape(2, 1, 4)
    case("decoder_attention_shared", "DecoderMaskedMultiHeadAttention",
         [("q", q), ("k", k), ("v", v), None, None, ("pk", past[0]), ("pv", past[1]), ("n", np.array([length], np.int32)), None, None, ("b", bias)],
         [y.astype(f32), present[0], present[1]], num_heads=2, past_present_share_buffer=1)
    full = [np.concatenate([past[i], part[1 + i]], 2).astype(np.float64) for i in range(2)]
    y = (softmax(part[0] @ full[0].transpose(0, 1, 3, 2) / np.sqrt(2)) @ full[1]).transpose(0, 2, 1, 3).reshape(2, 1, 4)
    case("decoder_attention", "DecoderMaskedMultiHeadAttention",
         [("q", q), ("k", k), ("v", v), None, None, ("pk", past[0]), ("pv", past[1]), None, None, None, ("b", bias)], [y.astype(f32)], num_heads=2)


complex_and_small()
quantised()
convolutions()
transformers()
