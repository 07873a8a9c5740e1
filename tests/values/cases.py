# SPDX-License-Identifier: Apache-2.0
"""cases.py: writes one file of this folder: a graph of one operator with values and the outputs that are expected."""
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def literal(v):
    if isinstance(v, (bool, np.bool_)):
        return "true" if v else "false"
    if isinstance(v, (np.floating, float)):
        return np.format_float_positional(v, unique=True, trim="-") if abs(v) < 1e9 else repr(float(v))
    return str(int(v))


def attribute(v):
    if isinstance(v, str):
        return '"%s"' % v
    if isinstance(v, list):
        return "[%s]" % ",".join(literal(x) for x in v)
    return literal(v)


def constant(name, a):
    a = np.asarray(a)
    shape = ",".join(str(d) for d in a.shape)
    return "  %s: %s[%s] = [%s]\n" % (name, a.dtype.name, shape, ", ".join(literal(x) for x in a.ravel()))


def case(name, op, inputs, outputs, by="make.py", **attrs):
    """by: the script which writes it; inputs: (name, array) or None where left out; outputs: arrays, None where not asked for."""
    out = ["_" if o is None else "y%d" % i for i, o in enumerate(outputs)]
    text = "graph g() -> (%s)\n" % ", ".join(o for o in out if o != "_")
    for k in inputs:
        if k is not None:
            text += constant(*k)
    for i, o in enumerate(o for o in outputs if o is not None):
        text += constant("want%d" % i, o)
    text += "  %s = %s(%s)" % (", ".join(o if o == "_" else o + ": ?" for o in out), op, ", ".join("_" if k is None else k[0] for k in inputs))
    if attrs:
        text += " {%s}" % ", ".join("%s=%s" % (k, attribute(v)) for k, v in attrs.items())
    with open(os.path.join(HERE, name + ".qir"), "w") as f:
        f.write("# Written by %s.\n" % by + text + "\n")
