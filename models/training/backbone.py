"""EfficientNet-Lite0 as the registry package ships it (a PyTorch state) to an ONNX graph for squares of one size.

Batch normalisation is folded into the convolutions, so that Conv, Clip (ReLU6) and Add are all there is. Padding is
TensorFlow's "same": where it is uneven, the extra row and column are at the end (Tan and Le, EfficientNet, 2019; the Lite
variants have no squeeze-and-excitation and fixed stem and head).
"""

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

# Strides of the seven stages; their lengths and widths are read from the weights.
STRIDES = (1, 2, 2, 2, 1, 2, 1)
BATCH_NORM_EPSILON = 1e-3
# Pooled levels of the embedding: stage 4's output and the expansion after it (stride 16: print, texture), and the last.
LEVELS = ("stage4", "stage5.0.expand", "head")


class Graph:
    """Nodes and weights while the backbone is written down."""

    def __init__(self, state):
        self.state, self.nodes, self.weights, self.channels = state, [], [], {}
        self.weights += [numpy_helper.from_array(np.float32(v), n) for n, v in (("zero", 0), ("six", 6))]

    def folded(self, conv, norm):
        w, (gain, shift, mean, variance) = self.state[conv + ".weight"].double(), (
            self.state[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var"))
        gain = gain / torch.sqrt(variance + BATCH_NORM_EPSILON)
        return (w * gain.view(-1, 1, 1, 1)).float().numpy(), (shift - mean * gain).float().numpy()

    def conv(self, x, side, name, conv, norm, stride=1, clip=True):
        w, b = self.folded(conv, norm)
        kernel, out = w.shape[2], -(-side // stride)
        pad = max((out - 1) * stride + kernel - side, 0)
        self.weights += [numpy_helper.from_array(w, name + ".w"), numpy_helper.from_array(b, name + ".b")]
        linear = name + ".linear" if clip else name
        self.nodes.append(helper.make_node(
            "Conv", [x, name + ".w", name + ".b"], [linear], kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[pad // 2] * 2 + [pad - pad // 2] * 2, group=w.shape[0] if "depthwise" in conv else 1))
        if clip:
            self.nodes.append(helper.make_node("Clip", [linear, "zero", "six"], [name]))
        self.channels[name] = w.shape[0]
        return name, out


def backbone(path, side):
    """The graph from `image` to LEVELS, and how many channels each level has."""
    g = Graph(torch.load(path, map_location="cpu", weights_only=True))
    x, size = g.conv("image", side, "stem", "_conv_stem", "_bn0", 2)
    stage, repeat, block = -1, 0, 0
    while (key := f"_blocks.{block}._project_conv.weight") in g.state:
        p, width = key.removesuffix("_project_conv.weight"), g.state[key].shape[0]
        stage, repeat = (stage, repeat + 1) if stage >= 0 and width == g.channels[x] else (stage + 1, 0)
        stride, begun = (STRIDES[stage], x) if repeat == 0 else (1, x)
        name = f"stage{stage}.{repeat}"
        if p + "_expand_conv.weight" in g.state:
            x, _ = g.conv(x, size, name + ".expand", p + "_expand_conv", p + "_bn0")
        x, size = g.conv(x, size, name + ".depthwise", p + "_depthwise_conv", p + "_bn1", stride)
        x, _ = g.conv(x, size, name + ".project", p + "_project_conv", p + "_bn2", clip=False)
        if repeat > 0:
            g.nodes.append(helper.make_node("Add", [x, begun], [name]))
            g.channels[name] = width
            x = name
        block += 1
        ahead = g.state.get(f"_blocks.{block}._project_conv.weight")
        if stage == 4 and ahead is not None and ahead.shape[0] != width:
            g.nodes.append(helper.make_node("Identity", [x], ["stage4"]))
            g.channels["stage4"] = width
    g.conv(x, size, "head", "_conv_head", "_bn1")
    return g


def model(nodes, weights, side, output, length, about=""):
    """A checked ONNX model of these nodes."""
    made = helper.make_graph(
        nodes, "product-embedding", [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [1, length])], weights)
    result = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    result.doc_string = about
    onnx.checker.check_model(result, full_check=True)
    return result


def pooled(graph):
    """Nodes that pool LEVELS into one row, `levels`, and its length."""
    nodes = [helper.make_node("GlobalAveragePool", [name], [name + ".pooled"]) for name in LEVELS]
    nodes.append(helper.make_node("Concat", [name + ".pooled" for name in LEVELS], ["joined"], axis=1))
    nodes.append(helper.make_node("Flatten", ["joined"], ["levels"], axis=1))
    return nodes, sum(graph.channels[name] for name in LEVELS)
