#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make.py: writes the models of this folder: sequences, optionals and maps as inputs and outputs, places and lengths that are inputs, with
data whose expected outputs NumPy computes here. Run it from anywhere; needs python3-onnx (1.12 or later) and python3-numpy.
"""
import os
import random
import shutil

import numpy as np
import onnx
from onnx import TensorProto as T, helper as H, numpy_helper as N

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(23)
DT = {"float32": T.FLOAT, "float64": T.DOUBLE, "int64": T.INT64, "int32": T.INT32, "bool": T.BOOL, "object": T.STRING, "uint8": T.UINT8}


class Map:
    def __init__(self, keys, values):
        self.keys, self.values = keys, values


class Optional:
    def __init__(self, value):
        self.value = value


def tensor_type(dt, shape):
    return H.make_tensor_type_proto(DT[dt], shape)


def seq_type(of):
    return H.make_sequence_type_proto(of)


def opt_type(of):
    return H.make_optional_type_proto(of)


def map_type(key, value):
    t = onnx.TypeProto()
    t.map_type.key_type = DT[key]
    t.map_type.value_type.tensor_type.elem_type = DT[value]
    return t


def value_info(name, t):
    v = onnx.ValueInfoProto()
    v.name = name
    v.type.CopyFrom(t)
    return v


def text(v):
    return np.array(v, dtype=object)


def array(v):
    return np.asarray(v)


def map_proto(m):
    p = onnx.MapProto()
    if isinstance(m.keys[0], str):
        p.key_type = T.STRING
        p.string_keys.extend(k.encode() for k in m.keys)
    else:
        p.key_type = T.INT64
        p.keys.extend(int(k) for k in m.keys)
    p.values.elem_type = 1
    for v in m.values:
        p.values.tensor_values.append(N.from_array(array(v)))
    return p


def proto(v):
    if isinstance(v, Map):
        return map_proto(v)
    if isinstance(v, Optional):
        p = onnx.OptionalProto()
        if v.value is None:
            p.elem_type = 0
        elif isinstance(v.value, list):
            p.elem_type = 3
            p.sequence_value.CopyFrom(proto(v.value))
        else:
            p.elem_type = 1
            p.tensor_value.CopyFrom(N.from_array(v.value))
        return p
    if isinstance(v, list):
        p = onnx.SequenceProto()
        p.elem_type = 4 if v and isinstance(v[0], Map) else 1
        for e in v:
            if isinstance(e, Map):
                p.map_values.append(map_proto(e))
            else:
                p.tensor_values.append(N.from_array(array(e)))
        return p
    return N.from_array(array(v))


def case(name, nodes, inputs, outputs, sets, inits=()):
    """inputs, outputs: (name, type); sets: lists of (inputs, expected outputs)"""
    d = f"{HERE}/{name}"
    shutil.rmtree(d, ignore_errors=True)
    g = H.make_graph(nodes, name, [value_info(n, t) for n, t in inputs], [value_info(n, t) for n, t in outputs],
                     initializer=[N.from_array(array(a), n) for n, a in inits])
    m = H.make_model(g, opset_imports=[H.make_opsetid("", 17), H.make_opsetid("ai.onnx.ml", 3)], producer_name="quern tests")
    m.ir_version = 8
    for i, (ins, outs) in enumerate(sets):
        os.makedirs(f"{d}/test_data_set_{i}")
        for side, values in (("input", ins), ("output", outs)):
            for k, v in enumerate(values):
                with open(f"{d}/test_data_set_{i}/{side}_{k}.pb", "wb") as f:
                    f.write(proto(v).SerializeToString())
    onnx.save(m, f"{d}/model.onnx")


def f32(*shape):
    return rng.standard_normal(shape).astype("float32")


def i64(v):
    return np.array(v, dtype="int64")


F, I = "float32", "int64"
node, ml = H.make_node, lambda *a, **k: H.make_node(*a, domain="ai.onnx.ml", **k)

# ---- maps
x = f32(3, 4)
case("zip_map_ints", [ml("ZipMap", ["x"], ["y"], classlabels_int64s=[7, -2, 5, 0])], [("x", tensor_type(F, ["N", 4]))],
     [("y", seq_type(map_type(I, F)))], [([a], [[Map([7, -2, 5, 0], r) for r in a]]) for a in (x, f32(1, 4))])
labels = ["cat", "a longer label", ""]
x, w, b = f32(5, 2), f32(3, 2), f32(3)
scores = x @ w.T + b
case("classifier_zip_map",
     [ml("LinearClassifier", ["x"], ["label", "scores"], coefficients=w.ravel().tolist(), intercepts=b.tolist(), classlabels_strings=labels),
      ml("ZipMap", ["scores"], ["probabilities"], classlabels_strings=labels)],
     [("x", tensor_type(F, [5, 2]))], [("label", tensor_type("object", [5])), ("probabilities", seq_type(map_type("object", F)))],
     [([x], [text([labels[k] for k in scores.argmax(1)]), [Map(labels, r) for r in scores]])])
words = ["red", "green", "blue", "a colour that is not asked for"]
asked = ["blue", "red", "none"]
case("dict_vectorizer_strings", [ml("DictVectorizer", ["m"], ["y"], string_vocabulary=asked)], [("m", map_type("object", F))],
     [("y", tensor_type(F, [1, 3]))], [([Map(words, f := f32(4))], [np.array([[f[2], f[0], 0]], F)])])
for vt in (F, "float64"):
    v = rng.standard_normal(3).astype(vt)
    case(f"dict_vectorizer_{vt}", [ml("DictVectorizer", ["m"], ["y"], int64_vocabulary=[3, 100, -5, 4])], [("m", map_type(I, vt))],
         [("y", tensor_type(vt, [1, 4]))], [([Map([4, -5, 3], v)], [np.array([[v[2], 0, v[1], v[0]]], vt)])])
case("dict_vectorizer_int64", [ml("DictVectorizer", ["m"], ["y"], string_vocabulary=asked)], [("m", map_type("object", I))],
     [("y", tensor_type(I, [1, 3]))], [([Map(words, i64([9, 8, 7, 6]))], [i64([[7, 9, 0]])])])
v = f32(4)
case("cast_map_dense", [ml("CastMap", ["m"], ["y"], cast_to="TO_FLOAT")], [("m", map_type(I, F))], [("y", tensor_type(F, [1, 4]))],
     [([Map([5, -1, 9, 0], v)], [v[[1, 3, 0, 2]][None]])])
case("cast_map_sparse", [ml("CastMap", ["m"], ["y"], cast_to="TO_INT64", map_form="SPARSE", max_map=6)], [("m", map_type(I, F))],
     [("y", tensor_type(I, [1, 6]))], [([Map([5, 1, 0], np.array([2.75, -3.5, 8], F))], [i64([[8, -3, 0, 0, 0, 2]])])])

# ---- sequences
a, b, c = f32(2, 3), f32(2, 3), f32(2, 3)
case("places", [node("SequenceInsert", ["s", "t", "at"], ["u"]), node("SequenceErase", ["u", "out"], ["v"]), node("SequenceAt", ["v", "one"], ["y"])],
     [("s", seq_type(tensor_type(F, [2, 3]))), ("t", tensor_type(F, [2, 3])), ("at", tensor_type(I, [])), ("out", tensor_type(I, [])),
      ("one", tensor_type(I, []))], [("v", seq_type(tensor_type(F, [2, 3]))), ("y", tensor_type(F, [2, 3]))],
     [([[a, b], c, i64(at), i64(out), i64(one)], [v, v[one]]) for at, out, one in ((0, 1, -1), (2, 0, 1), (-1, -3, 0), (-2, 2, -2))
      for u in [[a, b][:at] + [c] + [a, b][at:] if at >= 0 else [a, b][:at + 2] + [c] + [a, b][at + 2:]]
      for v in [[e for k, e in enumerate(u) if k != out % 3]]])
body = H.make_graph([node("Identity", ["go"], ["go_on"]), node("Add", ["i", "one"], ["n"]), node("Slice", ["x", "zero", "n"], ["part"]),
                     node("SequenceInsert", ["before", "part"], ["after"])], "body",
                    [value_info("i", tensor_type(I, [1])), value_info("go", tensor_type("bool", [])), value_info("before", seq_type(tensor_type(F, None)))],
                    [value_info("go_on", tensor_type("bool", [])), value_info("after", seq_type(tensor_type(F, None)))])
x = f32(6)
case("loop_append", [node("SequenceEmpty", [], ["none"], dtype=T.FLOAT), node("Loop", ["trips", "", "none"], ["parts"], body=body),
                     node("ConcatFromSequence", ["parts"], ["all"], axis=0), node("SequenceLength", ["parts"], ["count"])],
     [("x", tensor_type(F, [6])), ("trips", tensor_type(I, []))],
     [("parts", seq_type(tensor_type(F, None))), ("all", tensor_type(F, [None])), ("count", tensor_type(I, []))],
     [([x, i64(n)], [[x[:k + 1] for k in range(n)], np.concatenate([x[:k + 1] for k in range(n)]), i64(n)]) for n in (4, 2)],
     [("one", i64([1])), ("zero", i64([0]))])
body = H.make_graph([node("Mul", ["e", "w"], ["p"]), node("ReduceSum", ["p"], ["r"], keepdims=1), node("Add", ["p", "by"], ["q"])], "body",
                    [value_info("e", tensor_type(F, ["N"])), value_info("by", tensor_type(F, []))],
                    [value_info("q", tensor_type(F, None)), value_info("r", tensor_type(F, [1]))])
case("map_ragged", [node("SequenceMap", ["s", "by"], ["t", "sums"], body=body), node("ConcatFromSequence", ["sums"], ["y"], axis=0, new_axis=1)],
     [("s", seq_type(tensor_type(F, ["N"]))), ("by", tensor_type(F, [])), ("w", tensor_type(F, []))],
     [("t", seq_type(tensor_type(F, None))), ("y", tensor_type(F, None))],
     [([s, by, w], [[e * w + by for e in s], np.array([[(e * w).sum()] for e in s], F)]) for s, by, w in
      [([f32(3), f32(1), f32(5)], f32(), f32()), ([f32(2)], f32(), f32())]])
case("split_parts", [node("SplitToSequence", ["x", "size"], ["s"], axis=1), node("SequenceLength", ["s"], ["n"]), node("SequenceAt", ["s", "last"], ["y"])],
     [("x", tensor_type(F, [2, 7])), ("size", tensor_type(I, []))],
     [("s", seq_type(tensor_type(F, [2, None]))), ("n", tensor_type(I, [])), ("y", tensor_type(F, [2, None]))],
     [([x, i64(k)], [[x[:, i:i + k] for i in range(0, 7, k)], i64(-(-7 // k)), x[:, (6 // k) * k:]]) for k in (3, 7) for x in [f32(2, 7)]],
     [("last", i64(-1))])
s = [text(e) for e in (["one", "zwei", ""], ["three"], ["vier", "five, which is longer"])]
case("strings", [node("SequenceAt", ["s", "k"], ["y"]), node("SequenceInsert", ["s", "y", "k"], ["t"])],
     [("s", seq_type(tensor_type("object", [None])))], [("y", tensor_type("object", [None])), ("t", seq_type(tensor_type("object", [None])))],
     [([s], [s[1], [s[0], s[1], s[1], s[2]]])], [("k", i64(1))])
then = H.make_graph([node("OptionalGetElement", ["o"], ["v"]), node("Mul", ["v", "x"], ["t"])], "then", [], [value_info("t", tensor_type(F, [3]))])
other = H.make_graph([node("Neg", ["x"], ["e"])], "other", [], [value_info("e", tensor_type(F, [3]))])
x, o = f32(3), f32(3)
case("optional_default", [node("OptionalHasElement", ["o"], ["has"]), node("If", ["has"], ["y"], then_branch=then, else_branch=other),
                          node("Optional", ["y"], ["z"])],
     [("o", opt_type(tensor_type(F, [3]))), ("x", tensor_type(F, [3]))], [("has", tensor_type("bool", [])), ("y", tensor_type(F, [3])), ("z", opt_type(tensor_type(F, [3])))],
     [([Optional(o), x], [np.array(True), o * x, Optional(o * x)]), ([Optional(None), x], [np.array(False), -x, Optional(-x)])])
# a sequence of bytes of odd sizes: what is between them is zero
s = [rng.integers(0, 255, n).astype("uint8") for n in (3, 0, 17, 16)]
case("odd_bytes", [node("SequenceErase", ["s", "k"], ["t"])], [("s", seq_type(tensor_type("uint8", [None])))], [("t", seq_type(tensor_type("uint8", [None])))],
     [([s], [[s[0], s[2], s[3]]])], [("k", i64(1))])
# positions past the end, in iterations that do not run
body = H.make_graph([node("SequenceAt", ["s", "i"], ["e"]), node("SequenceInsert", ["before", "e"], ["after"]),
                     node("ReduceSum", ["e"], ["r"], keepdims=0), node("Less", ["r", "limit"], ["go_on"])], "body",
                    [value_info("i", tensor_type(I, [])), value_info("go", tensor_type("bool", [])), value_info("before", seq_type(tensor_type(F, [None])))],
                    [value_info("go_on", tensor_type("bool", [])), value_info("after", seq_type(tensor_type(F, [None])))])


def until(s, limit):
    out = []
    for e in s:
        out.append(e)
        if not e.sum() < limit:
            break
    return out


s = [np.full(n, 1, F) for n in (1, 2, 3, 4)]
case("loop_until", [node("SequenceEmpty", [], ["none"]), node("SequenceLength", ["s"], ["m"]), node("Loop", ["m", "", "none"], ["y"], body=body),
                    node("SequenceLength", ["y"], ["n"])],
     [("s", seq_type(tensor_type(F, ["k"]))), ("limit", tensor_type(F, []))], [("y", seq_type(tensor_type(F, [None]))), ("n", tensor_type(I, []))],
     [([s[:m], np.array(limit, F)], [until(s[:m], limit), i64(len(until(s[:m], limit)))]) for m, limit in ((4, 2.5), (4, 100), (3, 100), (1, .5))])
body = H.make_graph([node("SequenceAt", ["s", "one"], ["e"]), node("Add", ["a", "e"], ["b"]), node("Mul", ["b", "xi"], ["o"])], "body",
                    [value_info("a", tensor_type(F, [2])), value_info("xi", tensor_type(F, [2]))],
                    [value_info("b", tensor_type(F, [2])), value_info("o", tensor_type(F, [2]))])
x, a, u, v = f32(3, 2), f32(2), f32(2), f32(2)
sums = [a + v, a + v + v, a + v + v + v]
case("scan_capture", [node("SequenceConstruct", ["u", "v"], ["s"]), node("Scan", ["a", "x"], ["z", "y"], body=body, num_scan_inputs=1)],
     [("a", tensor_type(F, [2])), ("x", tensor_type(F, [3, 2])), ("u", tensor_type(F, [2])), ("v", tensor_type(F, [2]))],
     [("z", tensor_type(F, [2])), ("y", tensor_type(F, [3, 2]))], [([a, x, u, v], [sums[2], np.stack([s * e for s, e in zip(sums, x)])])],
     [("one", i64(1))])
v = f32(3)
case("map_as_it_is", [node("Identity", ["m"], ["y"])], [("m", map_type("object", F))], [("y", map_type("object", F))],
     [([Map(["a", "bcd", ""], v)], [Map(["a", "bcd", ""], v)])])

s = [text(e) for e in (["one", "zwei", ""], ["three"])]
case("strings_joined", [node("SequenceAt", ["s", "k"], ["y"]), node("ConcatFromSequence", ["s"], ["z"], axis=0)],
     [("s", seq_type(tensor_type("object", [None])))], [("y", tensor_type("object", [None])), ("z", tensor_type("object", [None]))],
     [([v], [v[1], np.concatenate(v)]) for v in (s, [s[1], s[1], s[0]])], [("k", i64(1))])


# ---- random graphs of sequences. What is computed here was compared with ONNX Runtime 1.30.0 for the seeds 0 to 199 (all but the sequences that
# are outputs, which its package for Node cannot fetch).
class Graph:
    def __init__(self, seed):
        self.r, self.rng = random.Random(seed), np.random.default_rng(seed)
        self.nodes, self.inputs, self.inits, self.outputs = [], [], [], []  # (name, type, value); the second of inits: (name, value)
        self.tensors, self.seqs, self.count = [], [], 0
        for k in range(3):
            a = self.rng.standard_normal((self.r.choice([2, 2, 2, 1, 4]), 3)).astype("float32")
            self.inputs.append((f"x{k}", tensor_type(F, list(a.shape)), a))
            self.tensors.append((f"x{k}", a))

    def fresh(self, p):
        self.count += 1
        return f"{p}{self.count}"

    def place(self, v):
        n = self.fresh("p")
        if self.r.random() < .5:
            self.inits.append((n, i64(v)))
        else:
            self.inputs.append((n, tensor_type(I, []), i64(v)))
        return n

    def sequence(self, op, inputs, value, **attributes):
        n = self.fresh("s")
        self.nodes.append(node(op, inputs, [n], **attributes))
        self.seqs.append((n, value))

    def output(self, op, inputs, value, **attributes):
        n = self.fresh("y")
        self.nodes.append(node(op, inputs, [n], **attributes))
        self.outputs.append((n, tensor_type(str(value.dtype), [None] * value.ndim), value))
        return n

    def make(self):
        t, axis = self.r.choice(self.tensors), self.r.randrange(2)
        kind, d = self.r.randrange(4), t[1].shape[axis]
        if kind == 0:
            some = [self.r.choice(self.tensors) for _ in range(self.r.randrange(1, 4))]
            self.sequence("SequenceConstruct", [n for n, _ in some], [a for _, a in some])
        elif kind == 1:
            size = self.r.randrange(1, 3)
            self.sequence("SplitToSequence", [t[0], self.place(size)],
                          [np.take(t[1], range(i, min(i + size, d)), axis) for i in range(0, d, size)], axis=axis)
        elif kind == 2:
            self.sequence("SequenceEmpty", [], [], dtype=T.FLOAT)
        else:
            self.sequence("SplitToSequence", [t[0]], [np.take(t[1], [i], axis) for i in range(d)], axis=axis)

    def step(self):
        kind, (s, v) = self.r.randrange(8), self.r.choice(self.seqs)
        v, last = list(v), self.r.random() < .3
        if kind < 3:
            t = self.r.choice(self.tensors)
            at = len(v) if last or not v else self.r.randrange(-len(v), len(v) + 1)
            v.insert(at, t[1])
            self.sequence("SequenceInsert", [s, t[0]] + ([] if last else [self.place(at)]), v)
        elif kind == 3 and v:
            at = -1 if last else self.r.randrange(-len(v), len(v))
            v.pop(at)
            self.sequence("SequenceErase", [s] + ([] if last else [self.place(at)]), v)
        elif kind == 4 and v:
            at = self.r.randrange(-len(v), len(v))
            n = self.output("SequenceAt", [s, self.place(at)], v[at])
            if v[at].ndim == 2 and v[at].shape[1] == 3:
                self.tensors.append((n, v[at]))
        elif kind == 5 and v:
            if len({a.shape[1:] for a in v}) == 1:
                self.output("ConcatFromSequence", [s], np.concatenate(v), axis=0)
            if len({a.shape for a in v}) == 1:
                axis = self.r.choice([0, -1, 1])
                self.output("ConcatFromSequence", [s], np.stack(v, axis), axis=axis, new_axis=1)
        elif kind == 6:
            self.make()
        elif kind == 7:
            other, go = self.r.choice(self.seqs), self.r.random() < .5
            c = self.fresh("c")
            self.inputs.append((c, tensor_type("bool", []), np.array(go)))
            branch = [H.make_graph([node("Identity", [n], [n + "_"])], "branch", [], [value_info(n + "_", seq_type(tensor_type(F, None)))])
                      for n in (s, other[0])]
            self.sequence("If", [c], v if go else other[1], then_branch=branch[0], else_branch=branch[1])


for seed in (1, 5, 8, 13, 21, 34, 49, 51, 58, 65):
    g = Graph(seed)
    g.make()
    for _ in range(12):
        g.step()
    for name, value in g.seqs[-2:]:
        g.output("SequenceLength", [name], i64(len(value)))
        g.outputs.append((name, seq_type(tensor_type(F, None)), value))
    case(f"random_{seed}", g.nodes, [e[:2] for e in g.inputs], [e[:2] for e in g.outputs], [([e[2] for e in g.inputs], [e[2] for e in g.outputs])],
         g.inits)
