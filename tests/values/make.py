#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make.py: writes the files of this folder: one operator each, with values and what NumPy computes from them.

The formulas below are those of the ONNX specification and of ONNX Runtime's documentation of its own operators, written here a second
time, in float32 where the order of operations decides on a rounding. A constant `k_…` stays one, other constants become inputs of the
graph in one of the test's two runs; `want0`, `want1` … are the expected outputs in order. Run it from anywhere; needs python3-numpy.
"""
import os
from math import erf

import numpy as np

from cases import HERE, case, constant, literal

rng = np.random.default_rng(7)
f32 = np.float32
MS = '"com.microsoft"::'


def quantize(v, scale, zero, dt):
    i, v = np.iinfo(dt), np.asarray(v)
    t = np.float64 if v.dtype == np.float64 else f32  # values between two quantised tensors are float64, others float32
    return np.clip(np.rint(v.astype(t) / t(f32(scale))).astype(np.int64) + int(zero), i.min, i.max).astype(dt)


def centred(x, zero):
    return x.astype(np.int32) - np.asarray(zero).astype(np.int32)


def dequantize(x, scale, zero):
    return centred(x, zero).astype(np.float64) * np.float64(f32(scale))


def scalar(v, dt):
    return np.array(v, dtype=dt)


def softmax(v, axis):
    e = np.exp(v - v.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def average(x, k, stride, pad, padding_counts):
    n, c, h, w = x.shape
    out = np.zeros((n, c, (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1), x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            top, left = i * stride - pad, j * stride - pad
            part = x[:, :, max(top, 0):min(top + k, h), max(left, 0):min(left + k, w)]
            out[:, :, i, j] = part.sum((2, 3)) / (k * k if padding_counts else part.shape[2] * part.shape[3])
    return out


def conv(x, w, stride, pad, group):
    m, cg, kh, kw = w.shape
    n, c, h, width = x.shape
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((n, m, (h + 2 * pad - kh) // stride + 1, (width + 2 * pad - kw) // stride + 1), x.dtype)
    for k in range(m):
        g = k // (m // group)
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                part = x[:, g * cg:(g + 1) * cg, i * stride:i * stride + kh, j * stride:j * stride + kw]
                out[:, k, i, j] = (part * w[k]).sum((1, 2, 3))
    return out


def quantised(dt):
    info, t = np.iinfo(dt), np.dtype(dt).name
    za, zb, zy = (120, 130, 100) if dt is np.uint8 else (-3, 5, -20)
    sa, sb, sy = f32(0.05), f32(0.03), f32(0.07)

    def values(*shape):
        return rng.integers(info.min, info.max + 1, shape).astype(dt)

    def near(zero, *shape):
        return (zero + rng.integers(-5, 6, shape)).astype(dt)

    a, b = values(2, 2, 3), values(2, 1)
    two = [("a", a), ("sa", scalar(sa, f32)), ("za", scalar(za, dt)), ("b", b), ("sb", scalar(sb, f32)), ("zb", scalar(zb, dt)),
           ("sy", scalar(sy, f32)), ("zy", scalar(zy, dt))]
    fixed = [(k if k in "ab" else "k_" + k, v) for k, v in two]
    total = quantize(dequantize(a, sa, za) + dequantize(b, sb, zb), sy, zy, dt)
    case("qlinear_add_" + t, MS + "QLinearAdd", two, [total])
    product = centred(a, za) * centred(b, zb)
    case("qlinear_mul_" + t, MS + "QLinearMul", fixed, [quantize(product.astype(f32) * (sa * sb / sy), 1, zy, dt)])

    def one(x, scale, zero):
        return [("x", x), ("k_sx", scalar([sa], f32)), ("k_zx", scalar([za], dt)), ("k_sy", scalar(scale, f32)), ("k_zy", scalar(zero, dt))]

    x = values(1, 2, 4, 3)
    v = dequantize(x, sa, za)
    case("qlinear_sigmoid_" + t, MS + "QLinearSigmoid", one(x, sy / 20, zy), [quantize(1 / (1 + np.exp(-v)), sy / 20, zy, dt)])
    case("qlinear_leaky_relu_" + t, MS + "QLinearLeakyRelu", one(x, sy, zy), [quantize(np.where(v >= 0, v, f32(0.1) * v), sy, zy, dt)], alpha=0.1)
    low = info.min
    case("qlinear_softmax_" + t, MS + "QLinearSoftmax", one(x, 1 / 256, low), [quantize(softmax(v, -1), 1 / 256, low, dt)], opset=13, axis=-1)
    flat = softmax(v.reshape(1, -1), -1).reshape(x.shape)
    case("qlinear_softmax_flat_" + t, MS + "QLinearSoftmax", one(x, 1 / 256, low), [quantize(flat, 1 / 256, low, dt)], opset=11, axis=1)
    for counts in 0, 1:
        case("qlinear_average_pool_%d_%s" % (counts, t), MS + "QLinearAveragePool", one(x, sy, zy),
             [quantize(average(v, 3, 2, 1, counts), sy, zy, dt)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=counts)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    case("qlinear_average_pool_last_" + t, MS + "QLinearAveragePool", one(last, sy, zy),
         [quantize(average(v, 2, 1, 0, 0), sy, zy, dt).transpose(0, 2, 3, 1)], kernel_shape=[2, 2], channels_last=1)
    mean = quantize(centred(x, za).sum((2, 3), keepdims=True).astype(f32) * (sa / (sy * f32(12))), 1, zy, dt)
    case("qlinear_global_average_pool_" + t, MS + "QLinearGlobalAveragePool", one(x, sy, zy), [mean])
    case("qlinear_global_average_pool_last_" + t, MS + "QLinearGlobalAveragePool", one(last, sy, zy), [mean.transpose(0, 2, 3, 1)], channels_last=1)
    u, w = values(2, 3), values(2, 2)
    joined = np.concatenate([quantize(dequantize(u, sa, za), sy, zy, dt), w], 1)
    case("qlinear_concat_" + t, MS + "QLinearConcat",
         [("k_sy", scalar(sy, f32)), ("k_zy", scalar(zy, dt)), ("u", u), ("k_su", scalar(sa, f32)), ("k_zu", scalar(za, dt)), ("w", w),
          ("k_sw", scalar(sy, f32)), ("k_zw", scalar(zy, dt))], [joined], axis=1)

    a, b, zc = values(3, 4), values(5, 4), near(zb, 5)
    sc = (rng.random(5) * 0.02 + 0.01).astype(f32)
    c = rng.integers(-500, 500, (1, 5)).astype(np.int32)
    bias = np.arange(5, dtype=f32)
    acc = centred(a, za) @ centred(b.T, zc)
    gemm = [("a", a), ("sa", scalar(sa, f32)), ("za", scalar(za, dt)), ("k_b", b), ("k_sb", sc), ("k_zb", zc), ("k_c", c)]
    case("qgemm_float_" + t, MS + "QGemm", gemm, [(acc + c).astype(f32) * (f32(0.5) * (sa * sc))], transB=1, alpha=0.5)
    case("qgemm_" + t, MS + "QGemm", gemm + [("sy", scalar(1.5, f32)), ("zy", scalar(zy, dt))],
         [quantize((acc + c).astype(f32) * (f32(0.5) * (sa * sc) / f32(1.5)), 1, zy, dt)], transB=1, alpha=0.5)
    case("matmul_integer_to_float_" + t, MS + "MatMulIntegerToFloat",
         [("a", a), ("k_b", np.ascontiguousarray(b.T)), ("sa", scalar(sa, f32)), ("sb", sc), ("za", scalar(za, dt)), ("zb", zc), ("bias", bias)],
         [acc.astype(f32) * (sa * sc) + bias])
    x = rng.standard_normal((3, 4)).astype(f32)
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = f32((high - low) / f32(255))
    zero = np.clip(np.rint(-low / scale), 0, 255)
    case("dynamic_quantize_matmul_" + t, MS + "DynamicQuantizeMatMul",
         [("x", x), ("k_b", np.ascontiguousarray(b.T)), ("k_sb", sc), ("k_zb", zc), ("bias", bias)],
         [(centred(quantize(x, scale, zero, np.uint8), zero) @ centred(b.T, zc)).astype(f32) * (scale * sc) + bias])
    scales, zeros = scalar([0.1, 0.2, 0.3, 0.4], f32), scalar([1, 2, 3, 4], dt)
    q = np.stack([quantize(x[:, k], scales[k], zeros[k], dt) for k in range(4)], 1)
    case("microsoft_quantize_" + t, MS + "QuantizeLinear", [("x", x), ("k_s", scales), ("k_z", zeros)], [q], axis=1)
    case("microsoft_dequantize_" + t, MS + "DequantizeLinear", [("x", q), ("k_s", scales), ("k_z", zeros)], [centred(q, zeros).astype(f32) * scales], axis=1)

    x, w, zw = values(1, 4, 5, 4), values(4, 2, 3, 3), near(zb, 4)
    sw, b = (rng.random(4) * 0.02 + 0.01).astype(f32), rng.integers(-2000, 2000, 4).astype(np.int32)
    acc = conv(centred(x, za), centred(w, zw[:, None, None, None]), 2, 1, 2)
    geometry = dict(strides=[2, 2], pads=[1, 1, 1, 1], group=2)
    case("conv_integer_" + t, "ConvInteger", [("x", x), ("w", w), ("zx", scalar(za, dt)), ("zw", zw)], [acc], **geometry)
    y = quantize((acc + b[:, None, None]).astype(f32) * (sa * sw / f32(0.9))[:, None, None], 1, zy, dt)
    case("qlinear_conv_" + t, "QLinearConv",
         [("x", x), ("k_sx", scalar(sa, f32)), ("k_zx", scalar(za, dt)), ("k_w", w), ("k_sw", sw), ("k_zw", zw), ("k_sy", scalar(0.9, f32)),
          ("k_zy", scalar(zy, dt)), ("k_b", b)], [y], **geometry)
    case("qlinear_conv_last_" + t, MS + "QLinearConv",
         [("x", np.ascontiguousarray(x.transpose(0, 2, 3, 1))), ("k_sx", scalar(sa, f32)), ("k_zx", scalar(za, dt)), ("k_w", w), ("k_sw", sw), ("k_zw", zw),
          ("k_sy", scalar(0.9, f32)), ("k_zy", scalar(zy, dt)), ("k_b", b)], [y.transpose(0, 2, 3, 1)], channels_last=1, **geometry)
    pick = np.arange(6).reshape(2, 1, 3) % 2 == 0
    v, u = x[:, :1, :2, :3].reshape(1, 2, 3), x[:, 1:2, 2:4, :1].reshape(1, 2, 1)
    case("qlinear_where_" + t, MS + "QLinearWhere",
         [("pick", pick), ("x", v), ("k_sx", scalar(sa, f32)), ("k_zx", scalar(za, dt)), ("y", u), ("k_sy", scalar(sb, f32)), ("k_zy", scalar(zb, dt)),
          ("k_sz", scalar(0.9, f32)), ("k_zz", scalar(zy, dt))], [quantize(np.where(pick, dequantize(v, sa, za), dequantize(u, sb, zb)), 0.9, zy, dt)])
    a, b = values(2, 1, 3, 4), values(2, 4, 5)
    za3, zb5 = values(3), values(5)
    case("matmul_integer_row_" + t, "MatMulInteger", [("a", a), ("b", b), ("za", za3), ("zb", zb5)], [centred(a, za3[:, None]) @ centred(b, zb5)])
    zan, zbn = values(2, 1, 3, 1), values(2, 1, 5)
    case("matmul_integer_each_" + t, "MatMulInteger", [("a", a), ("b", b), ("za", zan), ("zb", zbn)], [centred(a, zan) @ centred(b, zbn)])
    case("matmul_integer_vector_" + t, "MatMulInteger", [("a", a[0, 0, 0]), ("b", b), ("za", scalar(za, dt))], [centred(a[0, 0, 0], za) @ centred(b, 0)])
    case("matmul_integer_by_vector_" + t, "MatMulInteger", [("a", a), ("b", b[0, :, 0]), None, ("zb", scalar(zb, dt))],
         [centred(a, 0) @ centred(b[0, :, 0], zb)])
    a, b, za3, zy3 = values(3, 4), values(4, 5), values(3), values(3)
    sa3, sy3 = (rng.random(3) * 0.02 + 0.01).astype(f32), (rng.random(3) * 2 + 0.5).astype(f32)
    acc = (centred(a, za3[:, None]) @ centred(b, zb)).astype(f32)
    y = np.clip(np.rint(acc * (sa3 * sb / sy3)[:, None]) + zy3.astype(f32)[:, None], info.min, info.max).astype(dt)
    case("qlinear_matmul_row_" + t, "QLinearMatMul",
         [("a", a), ("sa", sa3), ("za", za3), ("b", b), ("sb", scalar(sb, f32)), ("zb", scalar(zb, dt)), ("sy", sy3), ("zy", zy3)], [y])


def normal(*shape):
    return rng.standard_normal(shape).astype(f32)


def gelu(v):
    return (0.5 * v * (1 + np.vectorize(erf)(v / np.sqrt(2)))).astype(f32)


def gelu_tanh(v):
    return (0.5 * v * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))).astype(f32)


def layer_norm(v, gamma, beta, epsilon):
    mean = v.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt(((v - mean) ** 2).mean(-1, keepdims=True) + epsilon)
    return ((v - mean) * inverse * gamma + (0 if beta is None else beta)).astype(f32), mean, inverse.astype(f32)


def rms_norm(v, gamma, epsilon):
    inverse = 1 / np.sqrt((v * v).mean(-1, keepdims=True) + epsilon)
    return (v * inverse * gamma).astype(f32), inverse.astype(f32)


def fused():
    x, w, b = normal(1, 2, 4, 3), normal(2, 1, 3, 3), normal(2)
    y = conv(x, w, 1, 1, 2) + b[:, None, None]
    z = normal(*y.shape)
    operands, geometry = [("x", x), ("k_w", w), ("k_b", b)], dict(group=2, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    activations = [("Relu", [], np.maximum(y, 0)), ("Tanh", [], np.tanh(y)), ("Sigmoid", [], 1 / (1 + np.exp(-y))),
                   ("LeakyRelu", [0.2], np.where(y >= 0, y, f32(0.2) * y)), ("Clip", [-0.5, 0.7], np.clip(y, f32(-0.5), f32(0.7))),
                   ("HardSigmoid", [0.3, 0.4], np.clip(f32(0.3) * y + f32(0.4), 0, 1))]
    for name, params, want in activations:
        extra = dict(activation_params=params) if params else {}
        case("fused_conv_" + name.lower(), MS + "FusedConv", operands, [want.astype(f32)], activation=name, **geometry, **extra)
    case("fused_conv_sum", MS + "FusedConv", operands + [("z", z)], [np.maximum(y + z, 0)], activation="Relu", **geometry)
    a, b, c = normal(4, 3), normal(5, 4), normal(5)
    y = f32(0.5) * (a.T @ b.T) + f32(2) * c
    case("fused_gemm", MS + "FusedGemm", [("a", a), ("b", b), ("c", c)], [np.where(y >= 0, y, f32(0.3) * y)], transA=1, transB=1, alpha=0.5,
         beta=2.0, activation="LeakyRelu", activation_alpha=0.3)
    a, b = normal(2, 4, 3), normal(2, 4, 2)
    case("fused_matmul", MS + "FusedMatMul", [("a", a), ("b", b)], [f32(0.7) * (a.swapaxes(1, 2) @ b)], transA=1, alpha=0.7)
    a, b = normal(4, 2, 3, 5), normal(2, 3, 5, 2)
    case("fused_matmul_batch", MS + "FusedMatMul", [("a", a), ("b", b)], [a.transpose(1, 2, 0, 3) @ b], transBatchA=1)
    a = normal(5, 2, 3, 4)
    case("fused_matmul_batch_trans", MS + "FusedMatMul", [("a", a), ("b", b)], [a.transpose(1, 2, 3, 0) @ b], transBatchA=1, transA=1)

    x, b = normal(2, 3, 4), normal(4)
    case("microsoft_gelu", MS + "Gelu", [("x", x)], [gelu(x)])
    case("bias_gelu", MS + "BiasGelu", [("x", x), ("b", b)], [gelu(x + b)])
    case("fast_gelu", MS + "FastGelu", [("x", x)], [gelu_tanh(x)])
    case("fast_gelu_bias", MS + "FastGelu", [("x", x), ("b", b)], [gelu_tanh(x + b)])
    case("quick_gelu", MS + "QuickGelu", [("x", x)], [x / (1 + np.exp(f32(-1.702) * x))])
    skip, gamma, beta, bias = normal(2, 3, 4), normal(4), normal(4), normal(4)
    total = x + skip + bias
    operands = [("x", x), ("skip", skip), ("gamma", gamma)]
    case("skip_layer_norm", MS + "SkipLayerNormalization", operands + [("beta", beta), ("bias", bias)],
         [layer_norm(total, gamma, beta, 1e-5)[0], None, None, total], epsilon=1e-5)
    case("skip_layer_norm_plain", MS + "SkipLayerNormalization", [("x", x), ("skip", skip[0]), ("gamma", gamma)],
         [layer_norm(x + skip[0], gamma, None, 1e-12)[0]])
    y, inverse = rms_norm(total, gamma, 1e-6)
    case("skip_simplified_layer_norm", MS + "SkipSimplifiedLayerNormalization", operands + [("bias", bias)], [y, None, inverse, total], epsilon=1e-6)
    case("simplified_layer_norm", "SimplifiedLayerNormalization", [("x", x), ("gamma", gamma)], list(rms_norm(x, gamma, 1e-5)))
    ids, segments = rng.integers(0, 6, (2, 4)).astype(np.int32), rng.integers(0, 2, (2, 4)).astype(np.int32)
    words, places, parts = normal(6, 4), normal(5, 4), normal(2, 4)
    mask, at = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], np.int32), rng.integers(0, 5, (2, 4)).astype(np.int32)
    e = words[ids] + places[None, :4] + parts[segments]
    case("embed_layer_norm", MS + "EmbedLayerNormalization",
         [("ids", ids), ("segments", segments), ("k_w", words), ("k_p", places), ("k_s", parts), ("k_g", gamma), ("k_b", beta), ("mask", mask)],
         [layer_norm(e, gamma, beta, 1e-12)[0], np.array([3, 1], np.int32), e])
    case("embed_layer_norm_places", MS + "EmbedLayerNormalization",
         [("ids", ids), None, ("k_w", words), ("k_p", places), None, ("k_g", gamma), ("k_b", beta), None, ("at", at)],
         [layer_norm(words[ids] + places[at], gamma, beta, 1e-5)[0], np.zeros(2, np.int32)], epsilon=1e-5)


def attention():
    q, k, v = normal(1, 4, 3, 4), normal(1, 2, 5, 4), normal(1, 2, 5, 2)
    scores = q @ np.repeat(k, 2, 1).swapaxes(2, 3) * f32(0.5)
    seen = np.tril(np.ones((3, 5), bool))
    weights = softmax(np.where(seen, scores, -np.inf), -1).astype(f32)
    case("attention_causal", "Attention", [("q", q), ("k", k), ("v", v)], [weights @ np.repeat(v, 2, 1), None, None, weights], is_causal=1, qk_matmul_output_mode=3)
    mask = rng.random((3, 4)) < 0.6
    mask[1] = False  # a query which sees nothing
    wide = np.pad(mask, ((0, 0), (0, 1)))
    with np.errstate(invalid="ignore"):
        weights = softmax(np.where(wide, scores, -np.inf), -1).astype(f32)
    weights[:, :, 1] = 0
    case("attention_short_mask", "Attention", [("q", q), ("k", k), ("v", v), ("mask", mask)], [weights @ np.repeat(v, 2, 1)])
    x, cos, sin, at = normal(1, 2, 3, 4), normal(5, 1), normal(5, 1), np.array([[4, 0, 2]], np.int64)
    c, s = cos[at][:, None], sin[at][:, None]
    a, b, rest = x[..., :1], x[..., 1:2], x[..., 2:]
    case("rotary_embedding_part", "RotaryEmbedding", [("x", x), ("k_cos", cos), ("k_sin", sin), ("at", at)],
         [np.concatenate([c * a - s * b, s * a + c * b, rest], -1)], rotary_embedding_dim=2)
    cache, new, first = normal(2, 4, 3), normal(2, 2, 3), np.array([3, 1], np.int64)
    want = cache.copy()
    want[0, [3, 0]], want[1, 1:3] = new[0], new[1]
    case("tensor_scatter_circular", "TensorScatter", [("cache", cache), ("new", new), ("first", first)], [want], mode="circular")
    x, w, bias = normal(1, 2, 4, 3), normal(2, 1, 2, 2), normal(2)
    mask = rng.random((1, 4, 3, 2)).astype(f32)
    whole = np.zeros((1, 8, 3, 2), f32)  # offsets of whole pixels: down by one
    whole[:, 0::2] = 1
    moved = np.concatenate([x[:, :, 1:], np.zeros((1, 2, 1, 3), f32)], 2)
    y = np.zeros((1, 2, 3, 2), f32)
    for i in range(3):
        for j in range(2):
            m = mask[0, :, i, j].reshape(2, 2)
            y[0, :, i, j] = (moved[0, :, i:i + 2, j:j + 2] * m * w[:, 0]).sum((1, 2)) + bias
    case("deform_conv_whole", "DeformConv", [("x", x), ("w", w), ("offset", whole), ("b", bias), ("mask", mask)], [y], group=2)


def graph(name, operands, lines, want):
    """A few nodes: `lines` are their text, the last one defines y0."""
    text = "".join(constant(*k) for k in operands) + constant("want0", want) + "".join("  %s\n" % line for line in lines)
    with open(os.path.join(HERE, name + ".qir"), "w") as f:
        f.write("# Written by make.py.\ngraph g() -> (y0)\n" + text)


def qdq():
    """Patterns between DequantizeLinear and QuantizeLinear, in float64: the last QuantizeLinear is the only rounding."""
    def real(q, s, z, axis=None):
        s, z = np.asarray(s, np.float64), np.asarray(z, np.float64)
        if axis is not None:
            shape = [1] * q.ndim
            shape[axis] = -1
            s, z = s.reshape(shape), z.reshape(shape)
        return (q.astype(np.float64) - z) * s

    def back(v, s, z):
        i = np.iinfo(z.dtype)
        return np.clip(np.rint(v / np.float64(s)) + np.int64(z), i.min, i.max).astype(z.dtype)

    def full(dt, *shape):
        i = np.iinfo(dt)
        return rng.integers(i.min, i.max, shape, endpoint=True).astype(dt)

    def conv(x, w, b, stride, pad, group):
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        n, c, h, wd = x.shape
        m, cg, r, s = w.shape
        e, f = (h - r) // stride + 1, (wd - s) // stride + 1
        y = np.zeros((n, m, e, f))
        for k in range(m):
            first = k // (m // group) * cg
            for i in range(e):
                for j in range(f):
                    y[:, k, i, j] = (x[:, first:first + cg, i * stride:i * stride + r, j * stride:j * stride + s] * w[k]).sum((1, 2, 3)) + b[k]
        return y

    sx, sy = f32(0.0417), f32(0.0731)
    for dt, zx, zy in ((np.uint8, 131, 7), (np.int8, -5, -128)):
        zx, zy, tag = dt(zx), dt(zy), np.dtype(dt).name
        io = [("k_sx", sx), ("k_zx", zx), ("k_sy", sy), ("k_zy", zy)]
        x, a = full(dt, 1, 4, 6, 5), full(dt, 1, 4, 6, 5)
        v = real(x, sx, zx)
        read, write = "r: ? = DequantizeLinear(x, k_sx, k_zx)", "y0: ? = QuantizeLinear(%s, k_sy, k_zy)"
        w, sw, zw = full(np.int8, 6, 4, 3, 3), rng.uniform(0.001, 0.01, 6).astype(f32), np.zeros(6, np.int8)
        bias, sb = rng.integers(-900, 900, 6).astype(np.int32), (sx * sw).astype(f32)
        y = conv(v, real(w, sw, zw, 0), real(bias, sb, 0), 1, 1, 1)
        graph("qdq_conv_relu_" + tag, [("x", x)] + io + [("k_w", w), ("k_sw", sw), ("k_zw", zw), ("k_b", bias), ("k_sb", sb), ("k_zb", np.zeros(6, np.int32))],
              [read, "w: ? = DequantizeLinear(k_w, k_sw, k_zw) {axis=0}", "b: ? = DequantizeLinear(k_b, k_sb, k_zb) {axis=0}",
               "c: ? = Conv(r, w, b) {pads=[1,1,1,1]}", "d: ? = Relu(c)", write % "d"], back(np.maximum(y, 0), sy, zy))
        w = full(np.int8, 4, 1, 3, 3)
        y = conv(v, real(w, f32(0.02), 0), np.zeros(4), 2, 1, 4)
        graph("qdq_depthwise_pad_clip_" + tag, [("x", x)] + io + [("k_w", w), ("k_sw", f32(0.02)), ("k_zw", np.int8(0)), ("k_pads", np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)),
                                                           ("k_lo", f32(0)), ("k_hi", f32(6))],
              [read, "p: ? = Pad(r, k_pads)", "q: ? = QuantizeLinear(p, k_sx, k_zx)", "t: ? = DequantizeLinear(q, k_sx, k_zx)",
               "w: ? = DequantizeLinear(k_w, k_sw, k_zw)", "c: ? = Conv(t, w) {group=4, strides=[2,2]}", "d: ? = Clip(c, k_lo, k_hi)", write % "d"],
              back(np.clip(y, 0, 6), sy, zy))
        sa, za = f32(0.0333), dt(9)
        more = [("a", a), ("k_sa", sa), ("k_za", za)]
        two = "s: ? = DequantizeLinear(a, k_sa, k_za)"
        u = real(a, sa, za)
        graph("qdq_add_relu_" + tag, [("x", x)] + more + io, [read, two, "c: ? = Add(r, s)", "d: ? = Relu(c)", write % "d"], back(np.maximum(v + u, 0), sy, zy))
        graph("qdq_mul_" + tag, [("x", x)] + more + io, [read, two, "c: ? = Mul(r, s)", write % "c"], back(v * u, sy, zy))
        graph("qdq_concat_" + tag, [("x", x)] + more + io, [read, two, "c: ? = Concat(r, s) {axis=1}", write % "c"], back(np.concatenate([v, u], 1), sy, zy))
        graph("qdq_sigmoid_" + tag, [("x", x)] + io, [read, "c: ? = Sigmoid(r)", "d: ? = Mul(r, c)", write % "d"], back(v / (1 + np.exp(-v)), sy, zy))
        graph("qdq_softmax_" + tag, [("x", x), ("k_sx", sx), ("k_zx", zx), ("k_s", f32(1 / 256)), ("k_z", dt(np.iinfo(dt).min))],
              [read, "c: ? = Softmax(r) {axis=1}", "y0: ? = QuantizeLinear(c, k_s, k_z)"], back(softmax(v, 1), f32(1 / 256), np.array(np.iinfo(dt).min, dt)))
        graph("qdq_mean_" + tag, [("x", x)] + io + [("k_axes", np.array([2, 3], np.int64))], [read, "c: ? = ReduceMean(r, k_axes)", write % "c"], back(v.mean((2, 3), keepdims=True), sy, zy))
        pooled = np.stack([v[:, :, i:i + 4:2, j:j + 4:2] for i in range(3) for j in range(2)])
        graph("qdq_average_pool_" + tag, [("x", x)] + io, [read, "c: ? = AveragePool(r) {kernel_shape=[3,2], strides=[2,2]}", write % "c"], back(pooled.mean(0), sy, zy))
        picked = np.stack([x[:, :, i:i + 4:2, j:j + 4:2] for i in range(3) for j in range(2)]).max(0)
        graph("qdq_max_pool_" + tag, [("x", x)] + io[:2], [read, "c: ? = MaxPool(r) {kernel_shape=[3,2], strides=[2,2]}", "d: ? = Transpose(c) {perm=[0,2,3,1]}",
                                                          "y0: ? = QuantizeLinear(d, k_sx, k_zx)"], picked.transpose(0, 2, 3, 1))
        graph("qdq_again_" + tag, [("x", x)] + io, [read, write % "r"], back(v, sy, zy))
        x, w, sw = full(dt, 3, 24), full(np.int8, 7, 24), rng.uniform(0.001, 0.01, 7).astype(f32)
        c = rng.normal(0, 1, 7).astype(f32)
        v = real(x, sx, zx)
        graph("qdq_gemm_" + tag, [("x", x)] + io + [("k_w", w), ("k_sw", sw), ("k_c", c)],
              [read, "w: ? = DequantizeLinear(k_w, k_sw) {axis=0}", "c: ? = Gemm(r, w, k_c) {transB=1, alpha=1.5, beta=0.5}", write % "c"],
              back(1.5 * (v @ real(w, sw, np.zeros(7), 0).T) + 0.5 * c.astype(np.float64), sy, zy))
        graph("qdq_matmul_bias_" + tag, [("x", x)] + io + [("k_w", w.T), ("k_sw", sw), ("k_c", c)],
              [read, "w: ? = DequantizeLinear(k_w, k_sw) {axis=1}", "m: ? = MatMul(r, w)", "c: ? = Add(m, k_c)", "d: ? = Relu(c)", write % "d"],
              back(np.maximum(v @ real(w.T, sw, np.zeros(7), 1) + c.astype(np.float64), 0), sy, zy))
        a = full(dt, 24, 5)
        graph("qdq_matmul_two_" + tag, [("x", x), ("a", a), ("k_sa", f32(0.01)), ("k_za", za)] + io,
              [read, two, "c: ? = MatMul(r, s)", write % "c"], back(v @ real(a, f32(0.01), za), sy, zy))


def pack_bits(q, bits):
    """The last axis in bytes, lowest bits first; it is filled up with zeros."""
    per = 8 // bits
    q = np.concatenate([q, np.zeros(q.shape[:-1] + (-q.shape[-1] % per,), q.dtype)], -1)
    parts = q.reshape(q.shape[:-1] + (-1, per))
    return sum(parts[..., i] << (bits * i) for i in range(per)).astype(np.uint8)


def narrow():
    rng = np.random.default_rng(11)
    for bits, k, n, block in ((4, 40, 5, 16), (8, 40, 3, 32), (2, 48, 4, 16)):
        blocks, top = -(-k // block), 1 << bits
        q, z = rng.integers(0, top, (n, blocks, block)), rng.integers(0, top, (n, blocks))
        s = (rng.random((n, blocks)) * 0.1 + 0.05).astype(f32)
        a, bias = rng.standard_normal((2, 3, k)).astype(f32), rng.standard_normal(n).astype(f32)
        zf = (z + rng.integers(0, 4, z.shape) / 4).astype(f32)
        packed = [("a", a), ("k_b", pack_bits(q, bits))]
        geometry = dict(K=k, N=n, bits=bits, block_size=block)

        def product(zero):
            w = ((q - zero[..., None]) * s[..., None].astype(np.float64)).reshape(n, -1)[:, :k]
            return a.astype(np.float64) @ w.T

        flat = pack_bits(z, bits)
        case("matmul_nbits_row_%d" % bits, MS + "MatMulNBits", [("a", a[0, :1]), ("k_b", pack_bits(q, bits)), ("k_s", s), ("k_z", flat)],
             [product(z)[0, :1].astype(f32)], **geometry)
        case("matmul_nbits_%d" % bits, MS + "MatMulNBits", packed + [("s", s)], [product(np.full(z.shape, top // 2)).astype(f32)], **geometry)
        case("matmul_nbits_zeros_%d" % bits, MS + "MatMulNBits", packed + [("s", s.ravel()), ("k_z", flat.ravel()), None, ("bias", bias)],
             [(product(z) + bias).astype(f32)], **geometry)
        case("matmul_nbits_float_zeros_%d" % bits, MS + "MatMulNBits", packed + [("s", s), ("z", zf)], [product(zf).astype(f32)], **geometry)
    for dt in (np.uint8, np.int8):
        x = rng.integers(np.iinfo(dt).min, np.iinfo(dt).max + 1, (1, 5, 6, 3)).astype(dt)
        y = np.stack([x[:, i:i + 4:2, j:j + 4:2] for i in range(2) for j in range(3)]).max(0)
        case("nhwc_max_pool_" + np.dtype(dt).name, MS + "NhwcMaxPool", [("x", x)], [y], kernel_shape=[2, 3], strides=[2, 2])
    for bits in (4, 8, 2):
        shape, block, q_axis = (4, 2, 40), 16, 2
        blocks = shape[:q_axis] + (3,) + shape[q_axis + 1:]
        top = 1 << bits
        q, z, s = rng.integers(0, top, shape), rng.integers(0, top, blocks), (rng.random(blocks) * 0.1).astype(f32)
        ids = np.array([[1, 3], [0, -1]], np.int64)

        def rows(zero):
            return (((q - zero.repeat(block, q_axis).take(range(40), q_axis)) * s.repeat(block, q_axis).take(range(40), q_axis)))[ids].astype(f32)

        geometry = dict(block_size=block, quantize_axis=q_axis)
        case("gather_block_quantized_%d" % bits, MS + "GatherBlockQuantized", [("k_q", pack_bits(q, bits)), ("ids", ids), ("s", s)],
             [rows(np.full(blocks, top // 2))], bits=bits, **geometry)
        case("gather_block_quantized_zeros_%d" % bits, MS + "GatherBlockQuantized",
             [("k_q", pack_bits(q, bits)), ("ids", ids), ("s", s), ("k_z", pack_bits(z, bits))], [rows(z)], bits=bits, **geometry)
    for kind, k in ((0, 9), (1, 16)):
        book = [np.array([0, 5.208333333e-03, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25] * 2) * np.repeat([1, -1], 8), NF4][kind]
        q, s, a = rng.integers(0, 16, 5 * k + 1), (rng.random(-(-5 * k // 16)) + 0.5).astype(f32), rng.standard_normal((3, k)).astype(f32)
        q = q[:5 * k]
        even = np.append(q, np.zeros(len(q) % 2, q.dtype))
        w = (book[q] * s.repeat(16)[:5 * k]).reshape(5, k)
        case("matmul_bnb4_%d" % kind, MS + "MatMulBnb4", [("a", a), ("k_b", (even[::2] << 4 | even[1::2]).astype(np.uint8)), ("s", s)], [(a @ w.T).astype(f32)],
             K=k, N=5, block_size=16, quant_type=kind)


NF4 = np.array([-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
                0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                0.7229568362236023, 1])


def twins():
    rng = np.random.default_rng(13)
    x = rng.standard_normal((2, 3, 4)).astype(f32)
    case("contrib_trilu", MS + "Trilu", [("x", x), ("k", scalar(1, np.int64))], [np.tril(x, 1)], upper=0)
    case("contrib_range", MS + "Range", [("k_a", scalar(2, f32)), ("k_b", scalar(7.5, f32))], [np.arange(2, 7.5, 1, f32)])
    case("contrib_range_step", MS + "Range", [("k_a", scalar(9, np.int64)), ("k_b", scalar(2, np.int64)), ("k_s", scalar(-3, np.int64))], [np.array([9, 6, 3])])
    case("contrib_pad", MS + "Pad", [("x", x[0]), ("k_p", np.array([1, 0, 2, 1])), ("v", np.array([0.5], f32))],
         [np.pad(x[0], ((1, 2), (0, 1)), constant_values=f32(0.5))])
    case("contrib_pad_row", MS + "Pad", [("x", x[0]), ("k_p", np.array([[1, 0, 1, 2]]))], [np.pad(x[0], ((1, 1), (0, 2)), mode="reflect")], mode="reflect")
    case("contrib_expand_dims", MS + "ExpandDims", [("x", x), ("k_axis", scalar(-1, np.int32))], [x[..., None]])
    v = np.array([3, 1, 3, 2, 1, 3], f32)
    case("contrib_unique", MS + "Unique", [("k_x", v)], [np.array([3, 1, 2], f32), np.array([0, 1, 0, 2, 1, 0]), np.array([3, 2, 1])])
    a, b = rng.standard_normal((2, 4, 3)).astype(f32), rng.standard_normal((2, 4, 5)).astype(f32)
    case("transpose_matmul", MS + "TransposeMatMul", [("a", a), ("b", b)], [(a.transpose(0, 2, 1) @ b * f32(0.5)).astype(f32)], alpha=0.5, transA=1)
    image, grid = rng.standard_normal((1, 2, 3, 4)).astype(f32), np.array([[[[-1, -1], [1, 1]], [[0, 0], [-0.5, 0.25]]]], f32)
    at = (grid + 1) / 2 * np.array([3, 2], f32)
    low, part = np.floor(at).astype(int), at - np.floor(at)
    y = np.zeros((1, 2, 2, 2), f32)
    for i in range(2):
        for j in range(2):
            (c0, r0), (cp, rp) = low[0, i, j], part[0, i, j]
            for r, c, weight in ((r0, c0, (1 - rp) * (1 - cp)), (r0, c0 + 1, (1 - rp) * cp), (r0 + 1, c0, rp * (1 - cp)), (r0 + 1, c0 + 1, rp * cp)):
                if weight:
                    y[0, :, i, j] += weight * image[0, :, r, c]
    case("contrib_grid_sample", MS + "GridSample", [("x", image), ("grid", grid)], [y], align_corners=1)
    bias, skip, x = rng.standard_normal(6).astype(f32), rng.standard_normal((2, 4, 6)).astype(f32), rng.standard_normal((2, 4, 6)).astype(f32)
    case("bias_add", MS + "BiasAdd", [("x", x), ("bias", bias), ("skip", skip)], [x + bias + skip])
    case("bias_dropout", MS + "BiasDropout", [("x", x), ("bias", bias), ("skip", skip)], [x + bias + skip])
    left, right = np.split(x + bias, 2, -1)
    case("bias_split_gelu", MS + "BiasSplitGelu", [("x", x), ("bias", bias)], [(left * right * (1 + np.vectorize(erf)(right / np.sqrt(2))) / 2).astype(f32)])
    mask = rng.standard_normal((2, 1, 6)).astype(f32)
    case("bias_softmax", MS + "BiasSoftmax", [("x", x), ("bias", mask)], [softmax(x + mask, 2)], axis=2, is_inner_broadcast=1)
    x, gamma, beta, skip = (rng.standard_normal(k).astype(f32) for k in ((2, 3, 2, 4), 4, 4, (2, 4)))

    def grouped(x):
        v = x.reshape(2, 6, 2, 2).astype(np.float64)
        v = (v - v.mean((1, 3), keepdims=True)) / np.sqrt(v.var((1, 3), keepdims=True) + 1e-5)
        return v.reshape(x.shape) * gamma + beta

    y = grouped(x)
    case("group_norm", MS + "GroupNorm", [("x", x), ("gamma", gamma), ("beta", beta)], [(y / (1 + np.exp(-y))).astype(f32)], activation=1, groups=2)
    s = x + skip[:, None, None] + beta
    case("skip_group_norm", MS + "SkipGroupNorm", [("x", x), ("gamma", gamma), ("beta", beta), ("skip", skip), ("bias", beta)], [grouped(s).astype(f32), s],
         activation=0, groups=2)


def dynamic_range(x):
    low, high = min(x.min(), f32(0)), max(x.max(), f32(0))
    scale = f32((high - low) / f32(255)) or f32(1)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    return ((np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale).astype(f32)


def lstm():
    """DynamicQuantizeLSTM: inputs of all steps quantised together, the state before each step."""
    rng = np.random.default_rng(12)
    for name, dt, directions, batch, by_column, direction in (("forward_int8", np.int8, 1, 1, False, "forward"), ("reverse_columns", np.int8, 1, 2, True, "reverse"),
                                                              ("both_uint8", np.uint8, 2, 1, False, "bidirectional"), ("both_columns", np.int8, 2, 1, True, "bidirectional")):
        steps, inputs, hidden = 4, 3, 5
        info, per = np.iinfo(dt), (directions, 4 * hidden) if by_column else (directions,)
        x = rng.standard_normal((steps, batch, inputs)).astype(f32)
        w, r = (rng.integers(info.min, info.max + 1, (directions, k, 4 * hidden)).astype(dt) for k in (inputs, hidden))
        sw, sr = ((rng.random(per) * 0.005 + 0.005).astype(f32) for _ in range(2))
        zw, zr = (np.full(per, 128 + k if dt is np.uint8 else 0).astype(dt) for k in (1, 2))
        b = (rng.standard_normal((directions, 8 * hidden)) * 0.3).astype(f32)
        h0, c0 = ((rng.standard_normal((directions, batch, hidden)) * 0.3).astype(f32) for _ in range(2))
        y, yh, yc = np.zeros((steps, directions, batch, hidden), f32), h0.copy(), c0.copy()
        sigmoid = lambda v: 1 / (1 + np.exp(-v))
        for d in range(directions):
            wide = [(m[d].astype(np.float64) - np.asarray(z[d], np.float64)) * s[d] for m, s, z in ((w, sw, zw), (r, sr, zr))]
            for t in range(steps) if d == 0 and direction != "reverse" else reversed(range(steps)):
                z = dynamic_range(x)[t] @ wide[0] + dynamic_range(yh[d]) @ wide[1] + b[d, :4 * hidden] + b[d, 4 * hidden:]
                i, o, f, c = np.split(z, 4, -1)
                yc[d] = sigmoid(f) * yc[d] + sigmoid(i) * np.tanh(c)
                y[t, d] = yh[d] = sigmoid(o) * np.tanh(yc[d])
        case("dynamic_quantize_lstm_" + name, MS + "DynamicQuantizeLSTM",
             [("x", x), ("k_w", w), ("k_r", r), ("b", b), None, ("h0", h0), ("c0", c0), None, ("k_sw", sw), ("k_zw", zw), ("k_sr", sr), ("k_zr", zr)],
             [y, yh, yc], hidden_size=hidden, direction=direction)


def far_from_zero():
    """Normalisations of rows whose mean is large against their deviation: sums of squares alone would not do."""
    own = np.random.default_rng(11)
    x = own.standard_normal((3, 4, 6)) * [[[1]], [[0.5]], [[2]]] + [[[60]], [[-0.25]], [[-40]]]
    x[0, 1] = 7  # no deviation at all
    x = x.astype(f32).astype(np.float64)
    scale, bias = own.standard_normal((2, 6)).astype(f32)
    normal = lambda axes: (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + f32(1e-5))
    case("layer_norm_far", "LayerNormalization", [("x", x.astype(f32)), ("s", scale), ("b", bias)], [(normal(2) * scale + bias).astype(f32)])
    case("instance_norm_far", "InstanceNormalization", [("x", x.astype(f32)), ("s", scale[:4]), ("b", bias[:4])],
         [(normal(2) * scale[:4, None] + bias[:4, None]).astype(f32)])


def pools():
    """Windows that reach over both ends, by strides and dilations that do not divide the extents."""
    x = np.random.default_rng(12).standard_normal((1, 2, 5, 37)).astype(f32)

    def pool(name, op, empty, fn, kernel, stride, pads, dilation=1, whole=False, **attrs):
        (h, w), p = kernel, pads
        wide = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (p[0], p[2]), (p[1], p[3])), constant_values=np.nan)
        rows, cols = ((n - (k - 1) * dilation - 1) // stride + 1 for n, k in zip(wide.shape[2:], kernel))
        y = np.empty((1, 2, rows, cols))
        for i in range(rows):
            for j in range(cols):
                part = wide[:, :, i * stride:i * stride + h * dilation:dilation, j * stride:j * stride + w * dilation:dilation].reshape(1, 2, -1)
                y[:, :, i, j] = fn(np.where(np.isnan(part), empty, part), h * w if whole else (~np.isnan(part[0, 0])).sum())
        attrs.update(kernel_shape=list(kernel), strides=[stride] * 2, pads=list(pads))
        if op != "LpPool" and dilation > 1:
            attrs["dilations"] = [dilation] * 2
        case(name, op, [("x", x)], [y.astype(f32)], **attrs)

    pool("max_pool_ends", "MaxPool", -np.inf, lambda v, n: v.max(-1), (3, 3), 2, (1, 1, 1, 1))
    pool("max_pool_dilated", "MaxPool", -np.inf, lambda v, n: v.max(-1), (2, 5), 1, (0, 3, 1, 4), 2)
    pool("average_pool_ends", "AveragePool", 0, lambda v, n: v.sum(-1) / n, (3, 4), 1, (1, 2, 1, 1))
    pool("average_pool_whole", "AveragePool", 0, lambda v, n: v.sum(-1) / n, (3, 3), 2, (1, 1, 1, 1), whole=True, count_include_pad=1)
    pool("lp_pool_ends", "LpPool", 0, lambda v, n: np.sqrt((v * v).sum(-1)), (2, 3), 1, (1, 1, 0, 1), p=2)


def types():
    """Element types that few models use."""
    for dt in (np.int8, np.uint8, np.int64):
        x = np.array([0, 1, 3, 5, 6, 7, 100] + ([] if dt is np.uint8 else [-1, -5, -6, -7, -128]), dt)
        case("erf_" + np.dtype(dt).name, "Erf", [("x", x)], [np.vectorize(erf)(x).astype(dt)])
    x, s = np.array([[-7, 8, 9], [1 << 30, -(1 << 30) - 1, 5]], np.int32), np.array(2, np.int32)
    case("quantize_integers", "QuantizeLinear", [("x", x), ("s", s), ("k_z", np.array(3, np.int8))], [np.clip(np.rint(x / 2.0) + 3, -128, 127).astype(np.int8)])
    x = np.array([[[True, False], [False, False], [True, True], [False, False]]])
    case("col2im_bool", "Col2Im", [("x", x), ("k_s", np.array([2, 3])), ("k_b", np.array([2, 2]))], [np.array([[[[True, False, False], [True, True, False]]]])])
    a, b = np.array([[1, -2, 0.5], [4, 0, -1]]), np.array([[2, 1], [0.5, -1.5], [-4, 3]])
    want = a @ (b * [0.5, 2]) * 0.25 / [[0.5], [2]]
    eight = "float8e4m3fn"
    whole = lambda name, dt, v: "  %s: %s[%s] = [%s]\n" % (name, dt, ",".join(map(str, np.shape(v))), ", ".join(map(literal, np.ravel(v).astype(float))))
    text = "".join(whole(*k) for k in (("a", eight, a), ("sa", "float32", 0.25), ("za", eight, 0), ("b", eight, b), ("sb", "float32", [0.5, 2]), ("zb", eight, [0, 0]),
                                       ("sy", "float32", [0.5, 2]), ("zy", eight, [0, 0]), ("want0", eight, want)))
    with open(os.path.join(HERE, "qlinear_matmul_float8.qir"), "w") as f:
        f.write("# Written by make.py.\ngraph g() -> (y0)\n" + text + "  y0: ? = QLinearMatMul(a, sa, za, b, sb, zb, sy, zy)\n")


def grid_border():
    """Cubic samples between the outer edge and the centre of outer elements: the position is not clamped there, only what is read is."""
    x = np.random.default_rng(3).standard_normal((1, 1, 3, 4)).astype(f32)
    grid = np.array([[[[-0.95, 0], [0.9, -0.8], [-1.4, 0.97], [0.2, 1.3]]]], f32)
    weights = lambda t, a=-0.75: [((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a, ((a + 2) * t - (a + 3)) * t * t + 1,
                                  ((a + 2) * (1 - t) - (a + 3)) * (1 - t) ** 2 + 1, ((a * (2 - t) - 5 * a) * (2 - t) + 8 * a) * (2 - t) - 4 * a]
    want = np.zeros((1, 1, 1, 4), f32)
    for k, (gx, gy) in enumerate(grid[0, 0].astype(np.float64)):
        taps = []
        for g, n in ((gy, 3), (gx, 4)):
            p = ((g + 1) * n - 1) / 2
            p = min(max(p, 0), n - 1) if p < -0.5 or p > n - 0.5 else p
            at = int(np.floor(p))
            taps.append([(min(max(at + i, 0), n - 1), w) for i, w in zip((-1, 0, 1, 2), weights(p - at))])
        want[0, 0, 0, k] = sum(wy * wx * x[0, 0, i, j] for i, wy in taps[0] for j, wx in taps[1])
    case("grid_sample_cubic_border", "GridSample", [("x", x), ("g", grid)], [want], mode="cubic", padding_mode="border")


quantised(np.uint8)
quantised(np.int8)
fused()
attention()
qdq()
narrow()
lstm()
twins()
far_from_zero()
pools()
types()
grid_border()
