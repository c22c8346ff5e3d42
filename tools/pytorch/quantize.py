"""int8 for ONNX Runtime, as its quantize_dynamic(per_channel=True, reduce_range=…) makes it.

That function is in a Python package that Debian lacks and npm does not carry. What it does is documented: where an
input meets weights that are constant, DynamicQuantizeLinear turns the input into bytes when the model runs, the
weights are bytes with a scale for each output, and MatMulInteger multiplies them.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights_of(graph):
    """Names that mean a constant matrix: initialisers, also behind nodes that only give them another name."""
    matrices = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in matrices:
            matrices[node.output[0]] = matrices[node.input[0]]
    return matrices


def quantized(weight, bits):
    """weight (in, out) -> bytes and a scale for each output."""
    largest = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(weight).max(0), 1e-12) / largest
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)


def is_chosen(node, matrices):
    """Linear layers, but not routers: where a byte decides, a token picks other heads. mohvit's int8 spares them, too."""
    return node.op_type == "MatMul" and node.input[1] in matrices and "/router/" not in node.name


def quantize(source, target, bits):
    """Reads a float32 model and writes it with products of bytes. 7 bits (reduce_range) are for x86-64 without VNNI,
    where ONNX Runtime adds two products in 16 bits, which 8 bits would overflow."""
    model = onnx.load(source)
    graph = model.graph
    matrices, encoded, shared, nodes = weights_of(graph), {}, set(), []
    for node in graph.node:
        if not is_chosen(node, matrices):
            nodes.append(node)
            continue
        x, weight, out = node.input[0], matrices[node.input[1]], node.output[0]
        if weight.name not in encoded:
            encoded[weight.name] = quantized(numpy_helper.to_array(weight), bits)
            values, scale = encoded[weight.name]
            graph.initializer.extend([numpy_helper.from_array(values, f"{weight.name}.int8"),
                                      numpy_helper.from_array(scale, f"{weight.name}.scale"),
                                      numpy_helper.from_array(np.zeros_like(values[0]), f"{weight.name}.zero")])
        if x not in shared:
            shared.add(x)
            nodes.append(helper.make_node("DynamicQuantizeLinear", [x], [f"{x}.uint8", f"{x}.scale", f"{x}.zero"]))
        nodes += [helper.make_node("MatMulInteger", [f"{x}.uint8", f"{weight.name}.int8", f"{x}.zero", f"{weight.name}.zero"],
                                   [f"{out}.int32"]),
                  helper.make_node("Cast", [f"{out}.int32"], [f"{out}.float"], to=TensorProto.FLOAT),
                  helper.make_node("Mul", [f"{x}.scale", f"{weight.name}.scale"], [f"{out}.scale"]),
                  helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out])]
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.save(model, target)
    return len(encoded)
