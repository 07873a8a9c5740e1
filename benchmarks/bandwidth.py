# SPDX-License-Identifier: Apache-2.0
# bandwidth.py: writes one model per kind of streaming kernel and size, NAME.onnx in the folder of that name, for bandwidth.sh.
#   bandwidth.py FOLDER BYTES [KIND]...        BYTES: about what a run reads and writes together
# A kind is a line of KINDS: its name, the shape of the input (N stands for what the size leaves free), the share of all bytes that
# are the input's, the nodes, and the type of the elements unless that is float32. Needs python3-onnx.
import math
import os
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

F, B, H = TensorProto.FLOAT, TensorProto.INT8, TensorProto.FLOAT16
SIZE = {F: 4, B: 1, H: 2}


def op(kind, *inputs, **attrs):
    return kind, inputs, attrs


def ints(*v):
    return np.array(v, np.int64)


def vector(n):
    return np.linspace(0.5, 1.5, n).astype(np.float32)


# name: (shape of x, x's share of the bytes, nodes(N)); each node reads the one before it ('x' first): '_', the input 'x', a second
# input 'z' of x's shape, or a constant
KINDS = {
    "relu": (["N", 512], 1 / 2, lambda n: [op("Relu", "_")]),
    "scale_shift_clip": (["N", 512], 1 / 2, lambda n: [op("Mul", "_", vector(512)), op("Add", "_", vector(512)), op("Clip", "_", np.float32(0), np.float32(6))]),
    "add": (["N", 512], 1 / 3, lambda n: [op("Add", "_", "z")]),
    "add_relu_mul": (["N", 512], 1 / 3, lambda n: [op("Add", "_", "z"), op("Relu", "_"), op("Mul", "_", "x")]),
    "channel_bias": ([1, "N", 16, 16], 1 / 2, lambda n: [op("Add", "_", vector(n).reshape(1, n, 1, 1))]),
    "hard_swish": (["N", 512], 1 / 2, lambda n: [op("HardSwish", "_")]),
    "sigmoid": (["N", 512], 1 / 2, lambda n: [op("Sigmoid", "_")]),
    "gelu": (["N", 512], 1 / 2, lambda n: [op("Gelu", "_")]),
    "layer_norm": (["N", 768], 1 / 2, lambda n: [op("LayerNormalization", "_", vector(768), vector(768))]),
    "skip_layer_norm": (["N", 768], 1 / 3, lambda n: [op("Add", "_", "z"), op("LayerNormalization", "_", vector(768), vector(768))]),
    "layer_norm_64": (["N", 64], 1 / 2, lambda n: [op("LayerNormalization", "_", vector(64), vector(64))]),
    "rms_norm": (["N", 768], 1 / 2, lambda n: [op("RMSNormalization", "_", vector(768))]),
    "instance_norm": ([1, "N", 16, 16], 1 / 2, lambda n: [op("InstanceNormalization", "_", vector(n), vector(n))]),
    "group_norm": ([1, "N", 8, 8], 1 / 2, lambda n: [op("GroupNormalization", "_", vector(n), vector(n), num_groups=max(n // 16, 1))]),
    "softmax": (["N", 512], 1 / 2, lambda n: [op("Softmax", "_", axis=-1)]),
    "log_softmax": (["N", 512], 1 / 2, lambda n: [op("LogSoftmax", "_", axis=-1)]),
    "softmax_197": (["N", 197], 1 / 2, lambda n: [op("Softmax", "_", axis=-1)]),
    "softmax_axis1": ([1, 16, "N"], 1 / 2, lambda n: [op("Softmax", "_", axis=1)]),
    "reduce_last": (["N", 512], 1, lambda n: [op("ReduceSum", "_", ints(1), keepdims=0)]),
    "reduce_max_last": (["N", 512], 1, lambda n: [op("ReduceMax", "_", ints(1), keepdims=0)]),
    "reduce_first": (["N", 512], 1, lambda n: [op("ReduceMean", "_", ints(0), keepdims=0)]),
    "reduce_all": (["N", 512], 1, lambda n: [op("ReduceL2", "_", ints(0, 1), keepdims=0)]),
    "global_pool": ([1, "N", 7, 7], 1, lambda n: [op("GlobalAveragePool", "_")]),
    "argmax": (["N", 512], 1, lambda n: [op("ArgMax", "_", axis=1, keepdims=0)]),
    "argmax_axis1": ([1, 21, "N", 16], 21 / 23, lambda n: [op("ArgMax", "_", axis=1, keepdims=0)]),
    "transpose": (["N", 256], 1 / 2, lambda n: [op("Transpose", "_", perm=[1, 0])]),
    "nchw_to_nhwc": ([1, 64, "N", 16], 1 / 2, lambda n: [op("Transpose", "_", perm=[0, 2, 3, 1])]),
    "nhwc_to_nchw": ([1, "N", 16, 64], 1 / 2, lambda n: [op("Transpose", "_", perm=[0, 3, 1, 2])]),
    "transpose_int8": (["N", 256], 1 / 2, lambda n: [op("Transpose", "_", perm=[1, 0])], B),
    "transpose_half": (["N", 256], 1 / 2, lambda n: [op("Transpose", "_", perm=[1, 0])], H),
    "nchw_to_nhwc_int8": ([1, 64, "N", 16], 1 / 2, lambda n: [op("Transpose", "_", perm=[0, 2, 3, 1])], B),
    "rgb_to_nhwc": ([1, 3, "N", 64], 1 / 2, lambda n: [op("Transpose", "_", perm=[0, 2, 3, 1])]),
    "split_heads": ([1, "N", 8, 64], 1 / 2, lambda n: [op("Transpose", "_", perm=[0, 2, 1, 3])]),
    "resize_nearest": ([1, "N", 8, 8], 1 / 5, lambda n: [op("Resize", "_", "", np.array([1, 1, 2, 2], np.float32), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")]),
    "resize_linear": ([1, "N", 8, 8], 1 / 5, lambda n: [op("Resize", "_", "", np.array([1, 1, 2, 2], np.float32), mode="linear")]),
    "resize_linear_nhwc": ([1, 8, 8, "N"], 1 / 5, lambda n: [op("Resize", "_", "", np.array([1, 2, 2, 1], np.float32), mode="linear")]),
    "resize_linear_corners": ([1, "N", 16, 16], 1 / 5, lambda n: [op("Resize", "_", "", np.array([1, 1, 2, 2], np.float32), mode="linear", coordinate_transformation_mode="align_corners")]),
    "resize_nearest_3": ([1, "N", 16, 16], 1 / 10, lambda n: [op("Resize", "_", "", np.array([1, 1, 3, 3], np.float32), mode="nearest")]),
    "max_pool_2": ([1, "N", 32, 32], 4 / 5, lambda n: [op("MaxPool", "_", kernel_shape=[2, 2], strides=[2, 2])]),
    "max_pool_3": ([1, "N", 32, 32], 4 / 5, lambda n: [op("MaxPool", "_", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])]),
    "average_pool_3": ([1, "N", 32, 32], 1 / 2, lambda n: [op("AveragePool", "_", kernel_shape=[3, 3], pads=[1, 1, 1, 1])]),
    "gather_rows": (["N", 256], 1 / 2, lambda n: [op("Gather", "_", (np.arange(n) * 7 % n).astype(np.int64))]),
    "gemv": ([1, "N"], 0, lambda n: [op("MatMul", "_", np.tile(vector(max(n, 16)), n).reshape(n, max(n, 16)))]),
    "concat": (["N", 256], 1 / 4, lambda n: [op("Concat", "_", "z", axis=1)]),
    "slice": (["N", 512], 1 / 2, lambda n: [op("Slice", "_", ints(128), ints(384), ints(1))]),
    "pad": ([1, "N", 16, 16], 1 / 2, lambda n: [op("Pad", "_", ints(0, 0, 1, 1, 0, 0, 1, 1))]),
    "pad_reflect": ([1, "N", 56, 56], 1 / 2, lambda n: [op("Pad", "_", ints(0, 0, 3, 3, 0, 0, 3, 3), mode="reflect")]),
    "pad_nhwc": ([1, "N", 16, 64], 1 / 2, lambda n: [op("Pad", "_", ints(0, 1, 1, 0, 0, 1, 1, 0))]),
    "tile": ([1, "N", 64], 1 / 4, lambda n: [op("Tile", "_", ints(3, 1, 1))]),
    "expand": (["N", 1, 64], 1 / 5, lambda n: [op("Expand", "_", ints(n, 4, 64))]),
}


def model(kind, budget):
    shape, share, nodes, dtype = (*KINDS[kind], F)[:4]
    fixed = math.prod(d for d in shape if d != "N")
    n = math.isqrt(budget // 4) // 16 * 16 if share == 0 else max(int(budget * share / SIZE[dtype] / fixed), 1)
    n = n // 16 * 16 or n
    shape = [n if d == "N" else d for d in shape]
    inputs, constants, made, last = [helper.make_tensor_value_info("x", dtype, shape)], [], [], "x"
    for i, (name, operands, attrs) in enumerate(nodes(n)):
        words = []
        for operand in operands:
            if isinstance(operand, (np.ndarray, np.generic)):
                constants.append(numpy_helper.from_array(np.asarray(operand), f"c{len(constants)}"))
                words.append(constants[-1].name)
            else:
                words.append(last if operand == "_" else operand)
        if "z" in words:
            inputs.append(helper.make_tensor_value_info("z", dtype, shape))
        made.append(helper.make_node(name, words, [f"y{i}"], name=f"{kind}_{i}", **attrs))
        last = f"y{i}"
    result = TensorProto.INT64 if made[-1].op_type == "ArgMax" else dtype
    graph = helper.make_graph(made, kind, inputs, [helper.make_tensor_value_info(last, result, None)], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


folder, budget, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3:] or list(KINDS)
for kind in wanted:
    os.makedirs(folder, exist_ok=True)
    save(model(kind, budget), f"{folder}/{kind}.onnx")
