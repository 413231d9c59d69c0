"""The trained half of the backbone as a torch module, made from the ONNX graph itself, and the way back."""

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from onnx.utils import Extractor
from torch import nn

from features import cut_tensor, freed

EMBEDDING = 256


class Tail(nn.Module):
    """Nodes after the cut, run one by one, then two pooled levels, standardised and projected.

    The levels are the last stride-16 expansion (576 channels, textures and print) and the last layer (1280).
    """

    def __init__(self, model, embedding=EMBEDDING):
        super().__init__()
        self.cut = cut_tensor(model)
        weights = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        names = [n.output[0] for n in model.graph.node]
        self.nodes, self.params = [], nn.ParameterDict()
        for node in model.graph.node[names.index(self.cut) + 1 :]:
            if node.op_type not in ("Conv", "Clip", "Add"):
                break
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            self.nodes.append((node.op_type, list(node.input), node.output[0], attributes))
            if node.op_type == "Conv":
                for name in node.input[1:]:
                    self.params[name] = nn.Parameter(torch.tensor(weights[name]))
        # The depthwise layer that goes from stride 16 to 32 reads the expansion that is tapped.
        self.tap = next(i[0] for op, i, _, a in self.nodes if op == "Conv" and a.get("strides", [1])[0] == 2)
        self.last = self.nodes[-1][2]
        self.width = self.params_out(self.tap) + self.params_out(self.last)
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("std", torch.ones(self.width))
        self.head = nn.Linear(self.width, embedding)

    def params_out(self, tensor):
        producer = {out: (op, inputs) for op, inputs, out, _ in self.nodes}
        op, inputs = producer[tensor]
        while op != "Conv":
            op, inputs = producer[inputs[0]]
        return self.params[inputs[1]].shape[0]

    def levels(self, maps):
        values = {self.cut: maps}
        for op, inputs, out, a in self.nodes:
            x = values[inputs[0]]
            if op == "Conv":
                w, b = self.params[inputs[1]], self.params[inputs[2]]
                y = F.conv2d(x, w, b, a["strides"], a["pads"][:2], groups=a.get("group", 1))
            elif op == "Clip":
                y = x.clamp(0, 6)
            else:
                y = x + values[inputs[1]]
            values[out] = y
        return torch.cat([values[self.tap].mean((2, 3)), values[self.last].mean((2, 3))], 1)

    def project(self, levels):
        return F.normalize(self.head((levels - self.mean) / self.std))

    def forward(self, maps):
        return self.project(self.levels(maps))


def quantised(name, w):
    """A weight as int8 with one scale for each output channel, and the nodes that make it float again.

    Cast and Mul rather than DequantizeLinear: every runtime folds them when it loads the model, so that the file is
    small and the arithmetic is that of float weights.
    """
    shape = (w.shape[0], *[1] * (w.ndim - 1))
    scale = np.maximum(np.abs(w).reshape(w.shape[0], -1).max(1) / 127, 1e-12).astype(np.float32).reshape(shape)
    q = np.clip(np.round(w / scale), -127, 127).astype(np.int8)
    tensors = [numpy_helper.from_array(q, name + "_q"), numpy_helper.from_array(scale, name + "_s")]
    nodes = [
        helper.make_node("Cast", [name + "_q"], [name + "_f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [name + "_f", name + "_s"], [name]),
    ]
    return tensors, nodes


def export(backbone, tail, path, int8_weights, about):
    """Writes image -> embedding as one ONNX graph; weights of 512 values and more as int8 where asked."""
    model = freed(onnx.load(backbone))
    graph = Extractor(model).extract_model(["image"], [tail.tap, tail.last]).graph
    trained = {k: v.detach().numpy() for k, v in tail.params.items()}
    # Standardisation is folded into the projection.
    w = (tail.head.weight / tail.std).detach().numpy()
    b = tail.head.bias.detach().numpy() - w @ tail.mean.numpy()
    weights = {i.name: trained.get(i.name, numpy_helper.to_array(i)) for i in graph.initializer}
    weights |= {"head_w": w.astype(np.float32), "head_b": b.astype(np.float32)}
    node = helper.make_node
    tail_nodes = [
        node("GlobalAveragePool", [tail.tap], ["tap_pooled"]),
        node("GlobalAveragePool", [tail.last], ["last_pooled"]),
        node("Concat", ["tap_pooled", "last_pooled"], ["levels"], axis=1),
        node("Flatten", ["levels"], ["flat"], axis=1),
        node("Gemm", ["flat", "head_w", "head_b"], ["projected"], transB=1),
        node("LpNormalization", ["projected"], ["embedding"], axis=1, p=2),
    ]
    initialisers, decoders = [], []
    for name, value in weights.items():
        if int8_weights and value.size >= 512:
            tensors, decode = quantised(name, value)
            initialisers += tensors
            decoders += decode
        else:
            initialisers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    side = graph.input[0].type.tensor_type.shape.dim[2].dim_value
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, side, side])
    out = helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, [1, tail.head.out_features])
    made = helper.make_graph(
        decoders + list(graph.node) + tail_nodes, "product-embedding", [image], [out], initialisers
    )
    result = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    result.doc_string = about
    onnx.checker.check_model(result, full_check=True)
    onnx.save(result, path)
