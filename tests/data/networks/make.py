#!/usr/bin/env python3
"""Writes the networks of the survey's table II (Sze et al. 2017) as small ONNX files: weights are ConstantOfShape nodes, so a file holds
shapes only. Needs python3-onnx; run it only to renew the files.   make.py OUTDIR"""
import os
import sys

from onnx import TensorProto, helper


class Net:
    def __init__(self, name, shape):
        self.name, self.nodes, self.inits, self.shape, self.n = name, [], [], shape, 0
        self.x, self.c = "x", shape[1]

    def op(self, kind, ins, **attrs):
        self.n += 1
        out = f"{kind.lower()}{self.n}"
        self.nodes.append(helper.make_node(kind, ins, [out], name=out, **attrs))
        return out

    def weight(self, dims):
        self.n += 1
        name = f"shape{self.n}"
        self.inits.append(helper.make_tensor(name, TensorProto.INT64, [len(dims)], dims))
        return self.op("ConstantOfShape", [name])

    def conv(self, x, c, m, k, s=1, p=0, g=1, relu=True):
        y = self.op("Conv", [x, self.weight([m, c // g, k, k])], strides=[s, s], pads=[p] * 4, group=g)
        return self.op("Relu", [y]) if relu else y

    def pool(self, x, k, s, p=0, ceil=0, kind="MaxPool"):
        return self.op(kind, [x], kernel_shape=[k, k], strides=[s, s], pads=[p] * 4, ceil_mode=ceil)

    def fc(self, x, i, o, relu=True):
        y = self.op("MatMul", [x, self.weight([i, o])])
        return self.op("Relu", [y]) if relu else y

    def write(self, folder, y, out):
        g = helper.make_graph(self.nodes, self.name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
                              [helper.make_tensor_value_info(y, TensorProto.FLOAT, out)], self.inits)
        m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        open(os.path.join(folder, self.name + ".onnx"), "wb").write(m.SerializeToString())


def alexnet(d):
    n = Net("alexnet_survey", [1, 3, 227, 227])
    x = n.pool(n.conv("x", 3, 96, 11, 4), 3, 2)
    x = n.pool(n.conv(x, 96, 256, 5, 1, 2, 2), 3, 2)
    x = n.conv(x, 256, 384, 3, 1, 1)
    x = n.conv(x, 384, 384, 3, 1, 1, 2)
    x = n.pool(n.conv(x, 384, 256, 3, 1, 1, 2), 3, 2)
    x = n.op("Flatten", [x])
    n.write(d, n.fc(n.fc(n.fc(x, 9216, 4096), 4096, 4096), 4096, 1000, False), [1, 1000])


def lenet(d):
    n = Net("lenet_survey", [1, 1, 28, 28])
    x = n.pool(n.conv("x", 1, 20, 5), 2, 2)
    x = n.pool(n.conv(x, 20, 50, 5), 2, 2)
    n.write(d, n.fc(n.fc(n.op("Flatten", [x]), 800, 500), 500, 10, False), [1, 10])


def vgg16(d):
    n = Net("vgg16", [1, 3, 224, 224])
    x, c = "x", 3
    for m, k in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(k):
            x, c = n.conv(x, c, m, 3, 1, 1), m
        x = n.pool(x, 2, 2)
    n.write(d, n.fc(n.fc(n.fc(n.op("Flatten", [x]), 25088, 4096), 4096, 4096), 4096, 1000, False), [1, 1000])


def overfeat(d):
    n = Net("overfeat_fast", [1, 3, 231, 231])
    x = n.pool(n.conv("x", 3, 96, 11, 4), 2, 2)
    x = n.pool(n.conv(x, 96, 256, 5), 2, 2)
    x = n.conv(n.conv(x, 256, 512, 3, 1, 1), 512, 1024, 3, 1, 1)
    x = n.pool(n.conv(x, 1024, 1024, 3, 1, 1), 2, 2)
    n.write(d, n.fc(n.fc(n.fc(n.op("Flatten", [x]), 36864, 3072), 3072, 4096), 4096, 1000, False), [1, 1000])


def resnet50(d):
    n = Net("resnet50_survey", [1, 3, 224, 224])
    x, c = n.pool(n.conv("x", 3, 64, 7, 2, 3), 3, 2, 1), 64
    for w, blocks, s in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for b in range(blocks):
            st = s if b == 0 else 1
            y = n.conv(n.conv(x, c, w, 1, st), w, w, 3, 1, 1)
            y = n.conv(y, w, 4 * w, 1, relu=False)
            if b == 0:
                x = n.conv(x, c, 4 * w, 1, st, relu=False)
            x, c = n.op("Relu", [n.op("Add", [y, x])]), 4 * w
    x = n.op("Flatten", [n.op("GlobalAveragePool", [x])])
    n.write(d, n.fc(x, 2048, 1000, False), [1, 1000])


def googlenet(d):
    n = Net("googlenet_survey", [1, 3, 224, 224])
    x = n.pool(n.conv("x", 3, 64, 7, 2, 3), 3, 2, 0, 1)
    x = n.pool(n.conv(n.conv(x, 64, 64, 1), 64, 192, 3, 1, 1), 3, 2, 0, 1)
    c = 192
    rows = [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
            (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None, (256, 160, 320, 32, 128, 128),
            (384, 192, 384, 48, 128, 128)]
    for r in rows:
        if r is None:
            x = n.pool(x, 3, 2, 0, 1)
            continue
        a, b1, b3, c1, c5, p = r
        x = n.op("Concat", [n.conv(x, c, a, 1), n.conv(n.conv(x, c, b1, 1), b1, b3, 3, 1, 1), n.conv(n.conv(x, c, c1, 1), c1, c5, 5, 1, 2),
                            n.conv(n.pool(x, 3, 1, 1), c, p, 1)], axis=1)
        c = a + b3 + c5 + p
    x = n.op("Flatten", [n.op("GlobalAveragePool", [x])])
    n.write(d, n.fc(x, 1024, 1000, False), [1, 1000])


def squeezenet(d):  # 1.0; the first plane is 109 x 109, as published counts have it
    n = Net("squeezenet_survey", [1, 3, 224, 224])
    x, c = n.pool(n.conv("x", 3, 96, 7, 2), 3, 2, 0, 1), 96
    for i, (q, m) in enumerate(((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))):
        x = n.conv(x, c, q, 1)
        x, c = n.op("Concat", [n.conv(x, q, m, 1), n.conv(x, q, m, 3, 1, 1)], axis=1), 2 * m
        if i in (2, 6):
            x = n.pool(x, 3, 2, 0, 1)
    x = n.op("GlobalAveragePool", [n.conv(x, c, 1000, 1)])
    n.write(d, n.op("Flatten", [x]), [1, 1000])


for make in (alexnet, lenet, vgg16, overfeat, resnet50, googlenet, squeezenet):
    make(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
