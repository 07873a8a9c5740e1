#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make.py: writes the models of this folder: what only moves elements, in the element types that nothing computes with (complex numbers,
strings) and in bool. NumPy computes what is expected. Run it from anywhere; needs python3-onnx (1.12 or later) and python3-numpy.
"""
import os
import shutil

import numpy as np
import onnx
from onnx import TensorProto as T, helper as H, numpy_helper as N

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(5)
DT = {"float32": T.FLOAT, "int64": T.INT64, "bool": T.BOOL, "object": T.STRING, "uint8": T.UINT8, "uint64": T.UINT64, "complex64": T.COMPLEX64, "complex128": T.COMPLEX128}
node = H.make_node
WORDS = np.array(["", "a", "b", "ab", "née", "long enough to be more than a word", "z", "B"], object)


def draw(dt, *shape):
    if dt == "object":
        return WORDS[rng.integers(0, len(WORDS), shape)]
    if dt == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    return (rng.integers(-3, 4, shape) + 1j * rng.integers(-2, 3, shape)).astype(dt)


def i64(*v):
    return np.array(v, "int64")


def proto(a, name=None):
    a = np.asarray(a)
    if a.dtype != object:
        return N.from_array(a, name)
    p = T(data_type=T.STRING, dims=a.shape, name=name)
    p.string_data.extend(s.encode() for s in a.ravel())
    return p


class Case:
    """One model: each value that is named `out` is an output."""

    def __init__(self, name):
        self.name, self.nodes, self.ins, self.outs, self.inits = name, [], [], [], []

    def x(self, v, name=None):
        name = name or f"x{len(self.ins)}"
        self.ins.append((name, v))
        return name

    def k(self, v):
        self.inits.append(proto(v, f"k{len(self.inits)}"))
        return self.inits[-1].name

    def op(self, op, ins, *want, **attrs):
        names = [f"y{len(self.outs) + i}" for i in range(len(want))]
        self.nodes.append(node(op, ins, names, **attrs))
        self.outs += list(zip(names, want))
        return names[0]

    def write(self, dims=(), opset=16):
        d = f"{HERE}/{self.name}"
        shutil.rmtree(d, ignore_errors=True)
        os.makedirs(f"{d}/test_data_set_0")
        info = [H.make_tensor_value_info(n, DT[np.asarray(v).dtype.name], np.shape(v)) for n, v in self.ins]
        out = [H.make_tensor_value_info(n, DT[np.asarray(v).dtype.name], np.shape(v) if n not in dims else None) for n, v in self.outs]
        m = H.make_model(H.make_graph(self.nodes, self.name, info, out, initializer=self.inits), opset_imports=[H.make_opsetid("", opset), H.make_opsetid("ai.onnx.ml", 1)],
                         producer_name="quern tests")
        m.ir_version = 8
        onnx.save(m, f"{d}/model.onnx")
        for side, values in (("input", self.ins), ("output", self.outs)):
            for k, (_, v) in enumerate(values):
                with open(f"{d}/test_data_set_0/{side}_{k}.pb", "wb") as f:
                    f.write(proto(v).SerializeToString())


def zero(dt):
    return "" if dt == "object" else np.zeros((), dt)[()]


def moves(dt):
    c = Case(f"moves_{dt.replace('object', 'string')}")
    a, b, s = draw(dt, 2, 3, 4), draw(dt, 2, 3, 4), draw(dt, 1)
    if dt == "object":
        s = np.array(["filled"], object)
    x, y, f = c.x(a), c.x(b), c.k(s)
    c.op("Identity", [x], a)
    c.op("Reshape", [x, c.k(i64(4, -1))], a.reshape(4, 6))
    c.op("Flatten", [x], a.reshape(2, 12), axis=1)
    c.op("Squeeze", [c.x(a[:, :1]), c.k(i64(1))], a[:, 0])
    c.op("Unsqueeze", [x, c.k(i64(-1, 0))], a[None, ..., None])
    c.op("Transpose", [x], a.transpose(2, 0, 1), perm=[2, 0, 1])
    c.op("Concat", [x, y], np.concatenate([a, b], -1), axis=-1)
    c.op("Split", [x, c.k(i64(1, 3))], a[..., :1], a[..., 1:], axis=2)
    c.op("Slice", [x, c.k(i64(-1, 0)), c.k(i64(-9, 9)), c.k(i64(2, 0)), c.k(i64(-2, 1))], a[:, :, -1::-2])
    c.op("Tile", [x, c.k(i64(1, 2, 1))], np.tile(a, (1, 2, 1)))
    c.op("Expand", [c.x(a[:, :1]), c.k(i64(3, 4))], np.broadcast_to(a[:, :1], (2, 3, 4)))
    c.op("Pad", [x, c.k(i64(0, 1, 0, 1, 0, -1)), c.k(s.reshape(()))],
         np.concatenate([np.concatenate([np.full((2, 1, 3), s[0], a.dtype), a[..., :3]], 1), np.full((1, 4, 3), s[0], a.dtype)], 0))
    c.op("Pad", [x, c.k(i64(0, 0, 1, 0, 0, 1))], np.pad(a, ((0, 0), (0, 0), (1, 1)), "reflect"), mode="reflect")
    c.op("Gather", [x, c.k(i64(2, -3))], a[:, [2, 0]], axis=1)
    i = rng.integers(-3, 3, (2, 2, 4))
    c.op("GatherElements", [x, c.k(i)], np.take_along_axis(a, i % 3, 1), axis=1)
    c.op("GatherND", [x, c.k(np.array([[1, 2], [0, -1]]))], a[[1, 0], [2, 2]])
    u = draw(dt, 2, 1, 4)
    want = a.copy()
    np.put_along_axis(want, np.full((2, 1, 4), 2), u, 1)
    c.op("ScatterElements", [x, c.k(np.full((2, 1, 4), -1)), c.x(u)], want, axis=1)
    want = a.copy()
    want[[1, 0], [2, 0]] = u[:, 0]
    c.op("ScatterND", [x, c.k(np.array([[1, 2], [0, 0]])), c.x(u[:, 0])], want)
    keep = np.array([[[True], [False], [True]]])
    c.op("Where", [c.x(keep), x, y], np.where(keep, a, b))
    c.op("OneHot", [c.k(i64(1, -1, 0)), c.k(np.array(3)), c.x(np.concatenate([s, u[0, 0, :1]]))],
         np.where(np.eye(3, dtype=bool)[[1, 2, 0]], u[0, 0, 0], s[0]).astype(a.dtype))
    c.op("Compress", [x, c.k(np.array([True, False, True]))], a[:, [0, 2]], axis=1)
    z = np.full((), zero(dt), a.dtype)
    c.op("Trilu", [x], np.where(np.triu(np.ones((3, 4), bool)), a, z), upper=1)
    c.op("ReverseSequence", [x, c.k(i64(3, 2))], np.stack([a[0, ::-1], a[1, [1, 0, 2]]]), batch_axis=0, time_axis=1)
    c.op("DepthToSpace", [c.x(d := draw(dt, 1, 4, 1, 2))], d.reshape(1, 2, 2, 1, 1, 2).transpose(0, 3, 4, 1, 5, 2).reshape(1, 1, 2, 4), blocksize=2)
    c.op("SpaceToDepth", [c.x(d := draw(dt, 1, 1, 2, 4))], d.reshape(1, 1, 1, 2, 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(1, 4, 1, 2), blocksize=2)
    c.op("Shape", [x], i64(2, 3, 4))
    c.op("Size", [x], np.array(24))
    c.op("Resize", [c.x(d := draw(dt, 1, 2, 3)), "", "", c.k(i64(1, 4, 3))], d[:, [0, 0, 1, 1]], mode="nearest",
         coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    grid = np.array([[[[-1, -1], [1, 0], [0, 1], [5, 0]]]], "float32")
    d = draw(dt, 1, 1, 3, 3)
    c.op("GridSample", [c.x(d), c.x(grid)], np.concatenate([d[0, 0, [0, 1, 2], [0, 2, 1]], [zero(dt)]]).astype(a.dtype).reshape(1, 1, 1, 4),
         mode="nearest", align_corners=1)
    parts = c.op("ConcatFromSequence", ["s"], np.concatenate([a, b], 1), axis=1)
    c.nodes.insert(-1, node("SequenceConstruct", [x, y], ["s"]))
    assert parts
    t = H.make_graph([node("Transpose", [x], ["t"], perm=[0, 2, 1])], "t", [], [H.make_tensor_value_info("t", DT[dt], [2, 4, 3])])
    e = H.make_graph([node("Reshape", [y, c.k(i64(2, 4, 3))], ["e"])], "e", [], [H.make_tensor_value_info("e", DT[dt], [2, 4, 3])])
    c.op("If", [c.x(np.array(False))], b.reshape(2, 4, 3), then_branch=t, else_branch=e)
    body = H.make_graph([node("Identity", ["go"], ["on"]), node("Transpose", ["v"], ["w"], perm=[1, 0]), node("Identity", ["w"], ["o"])], "body",
                        [H.make_tensor_value_info("i", T.INT64, []), H.make_tensor_value_info("go", T.BOOL, []), H.make_tensor_value_info("v", DT[dt], [3, 3])],
                        [H.make_tensor_value_info("on", T.BOOL, []), H.make_tensor_value_info("w", DT[dt], [3, 3]), H.make_tensor_value_info("o", DT[dt], [3, 3])])
    v = draw(dt, 3, 3)
    c.op("Loop", [c.k(np.array(3)), "", c.x(v)], v.T, np.stack([v.T, v, v.T]), body=body)
    c.write()


def unique(dt):
    c = Case(f"unique_{dt.replace('object', 'string')}")
    a = draw(dt, 3, 4)
    # NumPy sorts text by code points, which is the order of its bytes in UTF-8 as well
    def found(a, axis, order):
        k = [tuple(map(key, np.moveaxis(a, axis, 0)[i:i + 1].ravel())) for i in range(a.shape[axis])]
        values = sorted(set(k)) if order else list(dict.fromkeys(k))
        first = [k.index(v) for v in values]
        return (np.take(a, first, axis), i64(*first), i64(*[values.index(v) for v in k]), i64(*[k.count(v) for v in values]))

    def key(v):
        return (v.real, v.imag) if dt.startswith("complex") else v
    for order in (1, 0):
        c.op("Unique", [c.x(a)], *found(a.ravel(), 0, order), sorted=order)
    b = np.concatenate([a, a[1:2], a[:1]])
    c.op("Unique", [c.x(b)], *found(b, 0, 1), axis=0)
    b = np.concatenate([a, a[:, 2:], a[:, :1]], 1)
    c.op("Unique", [c.x(b)], *found(b, 1, 1), axis=-1)
    c.write({n for n, _ in c.outs})


def nonzero(dt):
    c = Case(f"nonzero_{dt}")
    a = draw(dt, 3, 5)
    a[0, 0], a[1, 1], a[2, 2] = 0, 1j, 2
    c.op("NonZero", [c.x(a)], np.array(np.nonzero(a)))
    c.write({"y0"})


for t in ("complex64", "complex128", "object", "bool"):
    moves(t)
    unique(t)
for t in ("complex64", "complex128"):
    nonzero(t)
c = Case("label_encoder_1")
c.op("LabelEncoder", [c.x(np.array([["b", "a"], ["none", "c"]], object))], np.array([[1, 0], [-7, 2]]), classes_strings=["a", "b", "c"], default_int64=-7, domain="ai.onnx.ml")
c.op("LabelEncoder", [c.x(i64(2, 0, 3, -1))], np.array(["c", "a", "other", "other"], object), classes_strings=["a", "b", "c"], default_string="other", domain="ai.onnx.ml")
c.write()
c = Case("dequantize_found")  # scale and zero point have as many elements as were found
a, z, keep = np.array([7, 2, 200], "uint8"), np.array([5, 9, 100], "uint8"), np.array([True, False, True])
v, w = (c.op("Compress", [c.x(x), c.x(keep, f"keep{i}")], x[keep]) for i, x in enumerate((a, z)))
c.op("DequantizeLinear", [v, c.k(np.array([0.5, 2], "float32")), w], np.array([1, 200], "float32"), axis=-1)
c.write({n for n, _ in c.outs})
c = Case("layer_norm_found")  # the scale is as long as the rows that were found
a, keep = rng.standard_normal((2, 4)).astype("float32"), np.array([True, False, True, True])
s = np.array([0.5, 2, -1], "float32")
f = a[:, keep]
v = c.op("Compress", [c.x(a), c.x(keep)], f, axis=1)
c.op("LayerNormalization", [v, c.k(s), c.k(s + 1)], ((f - f.mean(1, keepdims=True)) / np.sqrt(f.var(1, keepdims=True) + 1e-5) * s + s + 1).astype("float32"))
c.write({n for n, _ in c.outs}, 17)
c = Case("gather_expanded")  # the index of an axis that was expanded does not matter
a, i = np.arange(8, dtype="uint64").reshape(2, 1, 2, 2), np.array([[-1, -1, 1, 0], [-1, 0, -2, 1]])
e = np.broadcast_to(a, (2, 3, 2, 2))
v = c.op("Expand", [c.x(a), c.k(i64(2, 3, 1, 2))], e)
c.op("GatherND", [v, c.k(i)], e[tuple(i.T)])
del c.outs[0]  # so that it is a view
c.write()
