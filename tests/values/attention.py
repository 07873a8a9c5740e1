#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""attention.py: writes the cases microsoft_*attention* and microsoft_rotary* of this folder: ONNX Runtime's attention operators with what
ONNX Runtime computes. Forms which its CPU kernels lack (packed operands) are brought into one that they have.

NODE_PATH=…/node_modules tests/values/attention.py    needs python3-onnx, nodejs and npm's onnxruntime-node
"""
import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import helper
from onnx.mapping import NP_TYPE_TO_TENSOR_TYPE

from cases import HERE, case

rng = np.random.default_rng(11)
cases = []  # name, op, inputs of the file, inputs for ONNX Runtime, number of outputs, attributes


def values(*shape):
    return (rng.integers(-200, 200, shape) / 128).astype(np.float32)


def add(name, op, inputs, nout, ort=None, **attrs):
    cases.append((name, op, inputs, ort or inputs, nout, attrs))


def i32(*v):
    return np.array(v, np.int32)


def run():
    with tempfile.TemporaryDirectory() as root:
        for name, op, _, inputs, nout, attrs in cases:
            folder = os.path.join(root, name)
            os.mkdir(folder)
            given = [k for k in inputs if k is not None]
            node = helper.make_node(op, [k[0] if k else "" for k in inputs], ["y%d" % i for i in range(nout)], domain="com.microsoft", **attrs)
            typed = [helper.make_tensor_value_info(n, NP_TYPE_TO_TENSOR_TYPE[a.dtype], a.shape) for n, a in given]
            wanted = [helper.make_tensor_value_info("y%d" % i, onnx.TensorProto.FLOAT, None) for i in range(nout)]
            graph = helper.make_graph([node], "g", typed, wanted)
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10)
            onnx.save(model, os.path.join(folder, "model.onnx"))
            for i, (n, a) in enumerate(given):
                a.tofile(os.path.join(folder, "in_%d.bin" % i))
            with open(os.path.join(folder, "in.json"), "w") as f:
                json.dump([{"name": n, "type": a.dtype.name, "dims": list(a.shape)} for n, a in given], f)
        subprocess.run(["node", os.path.join(HERE, "../fuzz/ort.js"), root], check=True)
        for name, op, inputs, _, nout, attrs in cases:
            folder = os.path.join(root, name)
            if not os.path.exists(os.path.join(folder, "out.json")):
                with open(os.path.join(folder, "error.txt")) as f:
                    print(name + ": " + f.read())
                continue
            with open(os.path.join(folder, "out.json")) as f:
                out = json.load(f)
            want = [np.fromfile(os.path.join(folder, k + ".bin"), out[k]["type"]).reshape(out[k]["dims"]) for k in ["y%d" % i for i in range(nout)]]
            case(name, '"com.microsoft"::' + op, inputs, want, by="attention.py", **attrs)


# ---- Attention: 2 samples, 3 positions, 2 heads of 2
x, w, b = ("x", values(2, 3, 4)), ("w", values(4, 12)), ("b", values(12))
past = ("past", values(2, 2, 2, 2, 2))
bias = ("bias", values(1, 2, 3, 3))
add("microsoft_attention", "Attention", [x, w, b], 1, num_heads=2)
add("microsoft_attention_causal_past", "Attention", [x, w, b, None, past], 2, num_heads=2, unidirectional=1)
add("microsoft_attention_lengths", "Attention", [x, w, b, ("m", i32(3, 1))], 1, num_heads=2)
add("microsoft_attention_ends_starts", "Attention", [x, w, b, ("m", i32(3, 2, 1, 0))], 1, num_heads=2)
add("microsoft_attention_mask", "Attention", [x, w, b, ("m", i32([1, 1, 0], [0, 0, 0]))], 1, num_heads=2, mask_filter_value=-3.0, scale=0.5)
add("microsoft_attention_mask3", "Attention", [x, w, b, ("m", rng.integers(0, 2, (2, 3, 5)).astype(np.int32)), past], 2, num_heads=2, unidirectional=1)
add("microsoft_attention_mask_bias", "Attention", [x, w, b, ("m", i32([0, 1, 1], [1, 0, 1])), None, bias], 1, num_heads=2)
add("microsoft_attention_sizes", "Attention", [x, ("w", values(4, 14)), ("b", values(14)), None, None, bias], 1, num_heads=2, qkv_hidden_sizes=[4, 4, 6])
# ---- MultiHeadAttention: 4 keys
q, k, v, b = ("q", values(2, 3, 4)), ("k", values(2, 4, 4)), ("v", values(2, 4, 6)), ("b", values(14))
add("microsoft_multi_head_attention", "MultiHeadAttention", [q, k, v], 1, num_heads=2)
add("microsoft_multi_head_attention_bias", "MultiHeadAttention", [q, k, v, b, ("m", i32([1, 1, 0, 1], [0, 1, 1, 1]))], 1, num_heads=2)
add("microsoft_multi_head_attention_scores", "MultiHeadAttention", [q, k, v], 4, num_heads=2, scale=0.25)
add("microsoft_multi_head_attention_lengths", "MultiHeadAttention", [q, k, v, None, ("m", i32(4, 2)), ("bias", values(2, 1, 3, 4))], 1, num_heads=2)
add("microsoft_multi_head_attention_encoder", "MultiHeadAttention", [q, ("k", values(2, 2, 4, 2)), ("v", values(2, 2, 4, 2)), ("b", np.concatenate([values(4), np.zeros(8, np.float32)]))], 1,
    num_heads=2)
add("microsoft_multi_head_attention_past", "MultiHeadAttention", [q, ("k", values(2, 3, 4)), ("v", values(2, 3, 4)), None, None, None, ("pk", values(2, 2, 2, 2)), ("pv", values(2, 2, 2, 2))], 3,
    num_heads=2, unidirectional=1)
qkv = values(2, 3, 2, 3, 2)
flat = [(n, np.ascontiguousarray(qkv[:, :, :, i]).reshape(2, 3, 4)) for i, n in enumerate("qkv")]
b = ("b", values(12))
add("microsoft_multi_head_attention_packed", "MultiHeadAttention", [("x", qkv), None, None, b], 1, ort=flat + [b], num_heads=2)
kv = values(2, 4, 2, 2, 2)
flat = [(n, np.ascontiguousarray(kv[:, :, :, i]).reshape(2, 4, 4)) for i, n in enumerate("kv")]
add("microsoft_multi_head_attention_packed_keys", "MultiHeadAttention", [q, ("kv", kv)], 1, ort=[q] + flat, num_heads=2)
# ---- QAttention
x = ("x", rng.integers(0, 255, (2, 3, 4)).astype(np.uint8))
for t, lo in (("int8", -100), ("uint8", 0)):
    w = ("w", rng.integers(lo, lo + 200, (4, 12)).astype(t))
    rest = [("b", values(12)), ("sx", np.float32(0.01)), ("sw", np.full(12, 0.01, np.float32) if t == "int8" else np.float32(0.02)), ("m", i32(3, 2)), ("zx", np.uint8(120)),
            ("zw", np.array(3 if t == "int8" else 100, t))]
    add("microsoft_qattention_" + t, "QAttention", [x, w] + rest, 1, num_heads=2, unidirectional=1)
add("microsoft_qattention_past", "QAttention", [x, w] + rest[:3] + [None, rest[4], rest[5], past], 2, num_heads=2, unidirectional=1)
# ---- GroupQueryAttention: 4 heads of 16 share 2; 3 positions
def turning(rows, cols):
    t = np.outer(np.arange(rows), 10.0 ** -np.arange(cols) / 2)
    return [("cosine", np.cos(t).astype(np.float32)), ("sine", np.sin(t).astype(np.float32))]


def past_of(batch, length, filled):
    p = values(2, batch, 2, length, 16)
    p[:, :, :, filled:] = 0  # behind the past ONNX Runtime writes zeros
    return [("pk", p[0]), ("pv", p[1])]


G = "GroupQueryAttention"
q, k, v = ("q", values(2, 3, 64)), ("k", values(2, 3, 32)), ("v", values(2, 3, 32))
prompt = [None, None, ("lengths", i32(2, 2)), ("total", i32(3))]
add("microsoft_group_query_prompt", G, [q, k, v] + prompt, 3, num_heads=4, kv_num_heads=2)
add("microsoft_group_query_packed", G, [("qkv", values(2, 3, 128)), None, None] + prompt + turning(5, 8), 3, num_heads=4, kv_num_heads=2, do_rotary=1, softcap=0.5)
add("microsoft_group_query_buffer", G, [q, k, v] + past_of(2, 5, 0) + prompt[2:] + turning(5, 8), 3, num_heads=4, kv_num_heads=2, do_rotary=1, rotary_interleaved=1)
one = [(n, a[:, :1]) for n, a in (q, k, v)]
add("microsoft_group_query_next", G, one + past_of(2, 4, 2) + [("lengths", i32(2, 2)), ("k_total", np.int32([3]))] + turning(5, 8), 3, num_heads=4, kv_num_heads=2,
    do_rotary=1, scale=0.2)
add("microsoft_group_query_grows", G, one + past_of(2, 4, 4) + [("lengths", i32(4, 4)), ("k_total", np.int32([5]))] + turning(5, 8), 3, num_heads=4, kv_num_heads=2, do_rotary=1)
uneven = past_of(2, 4, 3)
for _, a in uneven:
    a[1, :, 1:] = 0
add("microsoft_group_query_ragged", G, one + uneven + [("lengths", i32(3, 1)), ("k_total", np.int32([4]))], 3, num_heads=4, kv_num_heads=2)
more = [(n, a[:1]) for n, a in (q, k, v)] + past_of(1, 6, 2) + [("lengths", i32(4)), ("total", i32(5))] + turning(7, 8)
add("microsoft_group_query_more", G, more, 3, num_heads=4, kv_num_heads=2, do_rotary=1)
add("microsoft_group_query_window", G, more, 3, num_heads=4, kv_num_heads=2, do_rotary=1, local_window_size=2)
add("microsoft_group_query_bias_window", G, [q, k, v] + prompt + [None, None, None, ("bias", values(1, 4, 3, 3))], 1, num_heads=4, kv_num_heads=2, local_window_size=2, softcap=1.0)
add("microsoft_group_query_places", G, more + [("places", np.array([[4, 2, 3]], np.int64))], 3, num_heads=4, kv_num_heads=2, do_rotary=1)
add("microsoft_group_query_prompt_places", G, [q, k, v] + prompt + turning(5, 8) + [("places", np.array([[1, 2, 3], [1, 2, 3]], np.int64))], 1, num_heads=4, kv_num_heads=2,
    do_rotary=1)
none = [None] * 3
add("microsoft_group_query_smooth", G, [q, k, v] + prompt, 1, num_heads=4, kv_num_heads=2, smooth_softmax=1, softcap=0.7)
add("microsoft_group_query_sink", G, more + [None, None, ("sink", values(4))], 3, num_heads=4, kv_num_heads=2, do_rotary=1, local_window_size=2)
add("microsoft_group_query_sink_bias", G, [q, k, v] + prompt + none + [("bias", values(2, 1, 3, 3)), ("sink", values(4))], 1, num_heads=4, kv_num_heads=2)
add("microsoft_group_query_sink_buffer", G, more + [None, ("bias", values(1, 4, 3, 5)), ("sink", values(4))], 3, num_heads=4, kv_num_heads=2, do_rotary=1)
wq, wk = ("wq", values(16)), ("wk", values(16))


def normed(x, w):  # no CPU kernel has it: ONNX Runtime gets operands that are normalised already
    h = x[1].reshape(2, 3, -1, 16)
    return x[0], (h / np.sqrt((h * h).mean(-1, keepdims=True) + 1e-6) * w[1]).reshape(x[1].shape).astype(np.float32)


rest = [v] + prompt + turning(5, 8)
add("microsoft_group_query_norm", G, [q, k] + rest + [None] * 5 + [wq, wk], 1, ort=[normed(q, wq), normed(k, wk)] + rest, num_heads=4, kv_num_heads=2, do_rotary=1)
# ---- RotaryEmbedding
x = ("x", values(2, 3, 8))
add("microsoft_rotary_first", "RotaryEmbedding", [x, ("p", np.array([1], np.int64))] + turning(5, 2), 1)
add("microsoft_rotary_places", "RotaryEmbedding", [x, ("p", np.array([[0, 1, 2], [2, 0, 4]], np.int64))] + turning(5, 1), 1, num_heads=2, rotary_embedding_dim=2)
add("microsoft_rotary_interleaved", "RotaryEmbedding", [("x", values(2, 2, 3, 4)), ("p", np.array([2], np.int64))] + turning(5, 2), 1, interleaved=1)
run()
