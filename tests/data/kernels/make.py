#!/usr/bin/env python3
"""Writes graphs with the layer shapes of usual networks, for the check of inner loops (tests/isa/run.sh): weights are ConstantOfShape nodes,
so a file holds shapes only. Layers stand side by side, each with an input and an output of its own; nodes are named conv…, dw…, gemm…,
att…, lstm…, by which the check knows what loops to expect. Needs python3-onnx; run it only to renew the files.   make.py OUTDIR"""
import os
import sys

from onnx import TensorProto, helper


class Net:
    def __init__(self):
        self.nodes, self.inits, self.ins, self.outs, self.n = [], [], [], [], 0

    def op(self, kind, ins, name=None, nout=1, **attrs):
        self.n += 1
        outs = [f"t{self.n}_{i}" for i in range(nout)]
        self.nodes.append(helper.make_node(kind, ins, outs, name=name or f"{kind.lower()}{self.n}", **attrs))
        return outs[0] if nout == 1 else outs

    def ints(self, v):
        self.n += 1
        self.inits.append(helper.make_tensor(f"i{self.n}", TensorProto.INT64, [len(v)], v))
        return f"i{self.n}"

    def weight(self, dims):
        value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.01 + 0.001 * self.n])
        return self.op("ConstantOfShape", [self.ints(dims)], value=value)

    def byte(self, dims, v, dtype=TensorProto.INT8):
        return self.op("ConstantOfShape", [self.ints(dims)], value=helper.make_tensor("v", dtype, [1], [v]))

    def input(self, dims, dtype=TensorProto.FLOAT):
        self.n += 1
        self.ins.append(helper.make_tensor_value_info(f"x{self.n}", dtype, dims))
        return f"x{self.n}"

    def output(self, t, dtype=TensorProto.FLOAT):
        self.outs.append(helper.make_tensor_value_info(t, dtype, None))

    def quantised(self, product):
        y = self.op("Mul", [self.op("Cast", [product], to=TensorProto.DOUBLE), self.op("ConstantOfShape", [self.ints([])], value=helper.make_tensor(
            "v", TensorProto.DOUBLE, [1], [0.001]))])
        one = self.op("ConstantOfShape", [self.ints([])], value=helper.make_tensor("v", TensorProto.DOUBLE, [1], [1.0]))
        self.output(self.op("QuantizeLinear", [y, one, self.byte([], 3)]), TensorProto.INT8)

    def conv_bytes(self, c, m, size, k, s=1):
        x = self.input([1, c, size, size], TensorProto.UINT8)
        self.quantised(self.op("ConvInteger", [x, self.byte([m, c, k, k], 1 + self.n % 5), self.byte([], 7, TensorProto.UINT8)],
                               f"conv_{c}_{m}_{size}_{k}x{k}_s{s}", strides=[s, s], pads=[k // 2] * 4))

    def gemm_bytes(self, rows, k, n):
        x = self.input([1, rows, k], TensorProto.INT8)
        self.quantised(self.op("MatMulInteger", [x, self.byte([k, n], 1 + self.n % 5), self.byte([], -7)], f"gemm_{rows}_{k}_{n}"))

    def conv(self, c, m, size, k, s=1, g=1):
        kind = "dw" if g > 1 and g == c else "conv"
        name = f"{kind}_{c}_{m}_{size}_{k}x{k}_s{s}"
        y = self.op("Conv", [self.input([1, c, size, size]), self.weight([m, c // g, k, k]), self.weight([m])], name,
                    strides=[s, s], pads=[k // 2] * 4, group=g)
        self.output(self.op("Relu", [y]))

    def gemm(self, rows, k, n):
        y = self.op("MatMul", [self.input([1, rows, k]), self.weight([k, n])], f"gemm_{rows}_{k}_{n}")
        self.output(self.op("Add", [y, self.weight([n])]))

    def attention(self, heads, s, d):
        qkv = []
        for i in range(3):
            t = self.op("Reshape", [self.input([1, s, heads * d]), self.ints([1, s, heads, d])])
            qkv.append(self.op("Transpose", [t], perm=[0, 2, 3, 1] if i == 1 else [0, 2, 1, 3]))
        score = self.op("Mul", [self.op("MatMul", qkv[:2], f"att_{heads}_{s}_{d}"), self.weight([1])])
        y = self.op("Transpose", [self.op("MatMul", [self.op("Softmax", [score], axis=-1), qkv[2]])], perm=[0, 2, 1, 3])
        self.output(self.op("Reshape", [y, self.ints([1, s, heads * d])]))

    def lstm(self, steps, size, hidden):
        y = self.op("LSTM", [self.input([steps, 1, size]), self.weight([1, 4 * hidden, size]), self.weight([1, 4 * hidden, hidden]),
                             self.weight([1, 8 * hidden])], f"lstm_{steps}_{size}_{hidden}", nout=3, hidden_size=hidden)
        self.output(y[0])

    def save(self, name):
        g = helper.make_graph(self.nodes, name, self.ins, self.outs, self.inits)
        m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        with open(os.path.join(sys.argv[1], f"{name}.onnx"), "wb") as f:
            f.write(m.SerializeToString())


def main():
    r = Net()  # residual networks, a U-Net's plane, a YOLO-like stride 2
    for shape in [(3, 64, 224, 7, 2), (64, 64, 56, 1), (64, 256, 56, 1), (256, 64, 56, 1), (64, 64, 56, 3), (128, 128, 28, 3), (256, 128, 56, 1),
                  (128, 128, 56, 3, 2), (256, 256, 14, 3), (1024, 256, 14, 1), (256, 256, 7, 3), (1024, 512, 7, 1), (3, 32, 96, 3, 2),
                  (48, 80, 20, 3), (24, 24, 40, 5)]:
        r.conv(*shape)
    r.gemm(1, 512, 1000)
    r.save("residual")
    d = Net()  # depthwise-separable networks
    for c, size, s in [(32, 112, 1), (96, 112, 2), (144, 56, 1), (192, 28, 1), (384, 14, 1), (576, 14, 2), (960, 7, 1)]:
        d.conv(c, c, size, 3, s, c)
    d.conv(120, 120, 28, 5, 1, 120)
    for shape in [(16, 96, 112, 1), (24, 144, 56, 1), (144, 24, 56, 1), (192, 32, 28, 1), (384, 64, 14, 1), (160, 960, 7, 1), (320, 1280, 7, 1)]:
        d.conv(*shape)
    d.save("separable")
    b = Net()  # quantised networks
    for shape in [(3, 32, 96, 3, 2), (16, 64, 32, 3, 2), (64, 64, 25, 1), (64, 64, 16, 3), (128, 256, 12, 1), (256, 256, 6, 3), (24, 40, 20, 5)]:
        b.conv_bytes(*shape)
    for shape in [(1, 640, 128), (128, 768, 768), (16, 100, 30)]:
        b.gemm_bytes(*shape)
    b.save("bytes")
    t = Net()  # transformers and taggers
    for shape in [(128, 768, 768), (128, 768, 640), (128, 1024, 384), (197, 192, 576), (197, 768, 768), (1, 512, 512), (1, 768, 640),
                  (16, 100, 30), (50, 64, 100)]:
        t.gemm(*shape)
    t.attention(12, 128, 64)
    t.attention(3, 197, 64)
    t.lstm(20, 64, 128)
    t.save("sequence")


main()
