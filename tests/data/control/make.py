#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes branch.onnx: a product of which only one side of an If is wanted, for tests of what does not run; and long_loop.onnx, see below.
Needs python3-onnx."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def side(name, op):
    body = [helper.make_node("MatMul", ["x", name + "_w"], [name + "_p"]), helper.make_node(op, [name + "_p"], [name + "_y"])]
    return helper.make_graph(body, name, [], [helper.make_tensor_value_info(name + "_y", TensorProto.FLOAT, [4, 16])])


weights = [numpy_helper.from_array(np.linspace(-1, last, 512).astype(np.float32).reshape(32, 16), name)
           for last, name in [(1, "then_w"), (2, "else_w")]]
graph = helper.make_graph(
    [helper.make_node("If", ["c"], ["y"], then_branch=side("then", "Relu"), else_branch=side("else", "Tanh"))], "branch",
    [helper.make_tensor_value_info("c", TensorProto.BOOL, []), helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 32])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 16])], weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), "branch.onnx")

# long_loop.onnx: more iterations than are unrolled, each of which gives a slice; no inputs.
info = helper.make_tensor_value_info
body = helper.make_graph(
    [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["a", "one"], ["b"]), helper.make_node("Neg", ["b"], ["slice"])], "body",
    [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("a", TensorProto.FLOAT, [2])],
    [info("on", TensorProto.BOOL, []), info("b", TensorProto.FLOAT, [2]), info("slice", TensorProto.FLOAT, [2])])
constants = [numpy_helper.from_array(np.array(v), name) for name, v in
             [("m", np.int64(1100)), ("start", np.array([0, 0.5], np.float32)), ("one", np.array([1, 1], np.float32))]]
graph = helper.make_graph([helper.make_node("Loop", ["m", "", "start"], ["last", "y"], body=body)], "long_loop", [],
                          [info("y", TensorProto.FLOAT, [1100, 2])], constants)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), "long_loop.onnx")
