#!/usr/bin/env python3
"""Converts the CenterNet person detector from a TensorFlow.js graph model to ONNX.

Input: `centernet.json` and its weights beside it (`centernet.bin`), as published in the npm package
@vladmandic/human 3.3.6, folder `models/` (MobileNetV3 backbone, 80 COCO classes, float16 weights, fixed 512 x 512).
Output: one ONNX file (opset 17, float32) with

  images  1 x 3 x height x width   RGB, 0 to 255; height and width are free multiples of 32
  heat    1 x 1 x height/4 x width/4   centre probability of a person (after the sigmoid)
  size    1 x 4 x height/4 x width/4   distance, input pixels, from a cell's corner (4 x, 4 y) to left, top, right, bottom

What is done to the graph:
- It is cut at `tower_0/keypoints` (heat map, after its sigmoid) and `tower_0/wh` (sizes, already times 16). What
  follows them there (max-pool, top-k, gather) fixes the input size and is simpler outside the graph.
- The class head keeps the rows of the wanted classes only (default: class 0, person).
- `_FusedConv2D` and `FusedDepthwiseConv2dNative` become Conv (+ Relu); NHWC becomes NCHW; HWIO weights become OIHW.
- x * relu6(x + 3) / 6 becomes HardSigmoid and Mul, which ONNX Runtime runs in two passes instead of four. The
  factor, stored as 1/6 rounded to float16 (0.16663), becomes 1/6 again; boxes move by about 0.02 px.
- Up-sampling by constants (32, 64, 128) becomes up-sampling by the factor 2, so the input size is free.
- "SAME" padding becomes explicit padding, which is the same for all sizes that are multiples of 32.

The file's bytes depend on nothing but the input and the versions in requirements.txt. Anything in the graph that
this script does not know is an error, never a guess. Unless --no-check is given, the result is then run with
ONNX Runtime on a synthetic picture and compared with reference.json, which was made by TensorFlow.js itself.
"""

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CUTS = {"tower_0/keypoints": "heat", "tower_0/wh": "size"}
CLASS_HEAD = "tower_0/CenternetHead/centernet_cls_output/BiasAdd"
SIZE_MULTIPLE = 32
DTYPES = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4"), "int32": np.dtype("<i4")}


class ConversionError(Exception):
    """The input is not the graph this script was written for."""


def load(json_path):
    """The graph's nodes by name, in file order, and the constants by name."""
    model = json.loads(Path(json_path).read_text(encoding="utf-8"))
    if model.get("format") != "graph-model":
        raise ConversionError(f"{json_path}: format is {model.get('format')!r}, expected 'graph-model'")
    constants = {}
    for group in model["weightsManifest"]:
        data = b"".join((Path(json_path).parent / p).read_bytes() for p in group["paths"])
        at = 0
        for weight in group["weights"]:
            kind = weight.get("quantization", {}).get("dtype", weight["dtype"])
            if kind not in DTYPES:
                raise ConversionError(f"{json_path}: weight {weight['name']} is stored as {kind}")
            count = int(np.prod(weight["shape"], dtype=np.int64))
            end = at + count * DTYPES[kind].itemsize
            if end > len(data):
                raise ConversionError(f"{json_path}: the weights end before {weight['name']}; is the .bin file whole?")
            value = np.frombuffer(data[at:end], DTYPES[kind]).reshape(weight["shape"])
            constants[weight["name"]] = value.astype(np.float32 if weight["dtype"] == "float32" else np.int64)
            at = end
        if at != len(data):
            raise ConversionError(f"{json_path}: {len(data) - at} bytes of weights are left over")
    nodes = {n["name"]: n for n in model["modelTopology"]["node"]}
    return nodes, constants


def text(node, key):
    """A string attribute."""
    return base64.b64decode(node["attr"][key]["s"]).decode()


def ints(node, key):
    """A list attribute of integers."""
    return [int(v) for v in node["attr"][key]["list"].get("i", [])]


class Converter:
    """Walks back from the cuts and emits ONNX nodes in topological order."""

    def __init__(self, nodes, constants, classes):
        self.source, self.constants, self.classes = nodes, constants, classes
        self.nodes, self.initializers, self.done, self.names = [], {}, {}, {}

    def name(self, source):
        """A short, unique tensor name."""
        return source.removeprefix("tower_0/")

    def initializer(self, name, value):
        """Stores a constant once."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def emit(self, op, inputs, output, **attributes):
        """Adds one node and returns its output."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def scalar(self, name):
        """The value of a scalar constant, else None."""
        value = self.constants.get(name)
        return float(value) if value is not None and value.shape == () else None

    def tensor(self, name):
        """The ONNX tensor for a source node; converts what it needs first (depth first, inputs in order)."""
        if name in self.done:
            return self.done[name]
        if name not in self.source:
            raise ConversionError(f"the graph has no node {name}")
        node = self.source[name]
        method = getattr(self, "op_" + node["op"].strip("_").lower(), None)
        if method is None:
            raise ConversionError(f"{name}: operator {node['op']} is not known to this script")
        self.done[name] = method(node)
        return self.done[name]

    # Operators, named as in the source graph.

    def op_placeholder(self, _node):
        return "images"

    def op_identity(self, node):
        return self.tensor(node["input"][0])

    def op_fusedconv2d(self, node):
        return self.convolution(node, depthwise=False)

    op_conv2d = op_fusedconv2d

    def op_fuseddepthwiseconv2dnative(self, node):
        return self.convolution(node, depthwise=True)

    op_depthwiseconv2dnative = op_fuseddepthwiseconv2dnative

    def convolution(self, node, depthwise):
        name, inputs = node["name"], node["input"]
        if text(node, "data_format") != "NHWC" or ints(node, "dilations") != [1, 1, 1, 1]:
            raise ConversionError(f"{name}: expected NHWC and no dilation")
        weight = self.constants[inputs[1]]
        if name == CLASS_HEAD:
            weight = weight[..., self.classes]
        height, width = weight.shape[:2]
        if depthwise:
            channels, multiplier = weight.shape[2:]
            kernel, group = weight.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width), channels
        else:
            kernel, group = weight.transpose(3, 2, 0, 1), 1
        strides = ints(node, "strides")
        pads = self.padding(node, (height, width), strides[1:3])
        source = self.tensor(inputs[0])
        out = self.name(name)
        operands = [source, self.initializer(out + "/weight", kernel)]
        fused = []
        if "fused_ops" in node["attr"]:
            fused = [base64.b64decode(s).decode() for s in node["attr"]["fused_ops"]["list"]["s"]]
        if fused not in ([], ["BiasAdd"], ["BiasAdd", "Relu"]):
            raise ConversionError(f"{name}: fused operators {fused} are not known to this script")
        if fused:
            bias = self.constants[inputs[2]]
            operands.append(self.initializer(out + "/bias", bias[self.classes] if name == CLASS_HEAD else bias))
        relu = fused[-1:] == ["Relu"]
        result = self.emit(
            "Conv", operands, out + "/linear" if relu else out,
            kernel_shape=[height, width], strides=strides[1:3], pads=pads, group=group,
        )
        return self.emit("Relu", [result], out) if relu else result

    @staticmethod
    def padding(node, kernel, strides):
        """Explicit padding [top, left, bottom, right] for inputs whose sides the stride divides."""
        kind = text(node, "padding")
        if kind == "VALID":
            return [0, 0, 0, 0]
        if kind != "SAME":
            raise ConversionError(f"{node['name']}: padding {kind}")
        total = [max(k - s, 0) for k, s in zip(kernel, strides)]
        before = [t // 2 for t in total]
        return before + [t - b for t, b in zip(total, before)]

    def gate_of(self, name):
        """If `name` is relu6(x + 3): the source name of x."""
        relu6 = self.source.get(name)
        if relu6 is None or relu6["op"] != "Relu6":
            return None
        add = self.source[relu6["input"][0]]
        if add["op"] != "Add":
            return None
        for x, y in (add["input"], add["input"][::-1]):
            if self.scalar(y) == 3.0:
                return x
        return None

    def op_mul(self, node):
        name, (a, b) = node["name"], node["input"]
        out = self.name(name)
        for gate, other in ((a, b), (b, a)):
            x = self.gate_of(gate)
            if x is None:
                continue
            factor, rest = self.scalar(other), None
            if factor is None:
                inner = self.source[other]
                if inner["op"] != "Mul":
                    continue
                for c, r in (inner["input"], inner["input"][::-1]):
                    if self.scalar(c) is not None:
                        factor, rest = self.scalar(c), r
            if factor is None or (rest is not None and rest != x):
                raise ConversionError(f"{name}: relu6(x + 3) in a product that is not a hard swish or sigmoid")
            # relu6(x + 3) * f = 6 f * clip(x / 6 + 1/2, 0, 1); the stored f is 1/6 rounded to float16.
            if abs(factor - 1 / 6) > 1e-4:
                raise ConversionError(f"{name}: expected the factor 1/6, found {factor}")
            source = self.tensor(x)
            sigmoid = out if rest is None else out + "/gate"
            self.emit("HardSigmoid", [source], sigmoid, alpha=1 / 6, beta=0.5)
            return sigmoid if rest is None else self.emit("Mul", [source, sigmoid], out)
        operands = []
        for operand in (a, b):
            value = self.scalar(operand)
            operands.append(
                self.tensor(operand) if value is None else self.initializer(self.name(operand), np.float32(value))
            )
        return self.emit("Mul", operands, out)

    def op_add(self, node):
        return self.emit("Add", [self.tensor(i) for i in node["input"]], self.name(node["name"]))

    def op_relu(self, node):
        return self.emit("Relu", [self.tensor(node["input"][0])], self.name(node["name"]))

    def op_sigmoid(self, node):
        return self.emit("Sigmoid", [self.tensor(node["input"][0])], self.name(node["name"]))

    def op_mean(self, node):
        if self.constants[node["input"][1]].tolist() != [1, 2] or not node["attr"]["keep_dims"]["b"]:
            raise ConversionError(f"{node['name']}: expected the mean over height and width")
        return self.emit("GlobalAveragePool", [self.tensor(node["input"][0])], self.name(node["name"]))

    def op_concatv2(self, node):
        if int(self.constants[node["input"][-1]]) != 3:
            raise ConversionError(f"{node['name']}: expected channels to be joined")
        return self.emit(
            "Concat", [self.tensor(i) for i in node["input"][:-1]], self.name(node["name"]), axis=1
        )

    def op_resizebilinear(self, node):
        if node["attr"]["align_corners"]["b"] or node["attr"]["half_pixel_centers"]["b"]:
            raise ConversionError(f"{node['name']}: expected neither aligned corners nor half-pixel centres")
        scales = self.initializer("up_sampling/scales", np.array([1, 1, 2, 2], np.float32))
        return self.emit(
            "Resize", [self.tensor(node["input"][0]), "", scales], self.name(node["name"]),
            mode="linear", coordinate_transformation_mode="asymmetric",
        )


def check_factors(nodes, constants):
    """At the published input size, every up-sampling must double its input (32, 64, 128 for 512)."""
    targets = [constants[n["input"][1]].tolist() for n in nodes.values() if n["op"] == "ResizeBilinear"]
    if targets != [[32, 32], [64, 64], [128, 128]]:
        raise ConversionError(f"up-sampling targets are {targets}, expected 32, 64 and 128")


def convert(json_path, classes):
    """The ONNX model."""
    nodes, constants = load(json_path)
    check_factors(nodes, constants)
    converter = Converter(nodes, constants, classes)
    for source, output in CUTS.items():
        converter.emit("Identity", [converter.tensor(source)], output)
    count = len(classes)
    graph = helper.make_graph(
        converter.nodes,
        "centernet-mobilenetv3",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [
            helper.make_tensor_value_info("heat", TensorProto.FLOAT, [1, count, "height/4", "width/4"]),
            helper.make_tensor_value_info("size", TensorProto.FLOAT, [1, 4, "height/4", "width/4"]),
        ],
        list(converter.initializers.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="linefree")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def check(path, reference_path):
    """Compares the file's outputs with the reference; raises ConversionError with the worst difference."""
    import onnxruntime

    from synthetic import picture

    reference = json.loads(Path(reference_path).read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst = {"heat": 0.0, "size": 0.0}
    for case in reference["cases"]:
        image = picture(case["width"], case["height"])
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        if digest != case["picture_sha256"]:
            raise ConversionError(f"the synthetic picture differs from the reference's: {digest}")
        planes = image.astype(np.float32).transpose(2, 0, 1)[None]
        heat, size = session.run(["heat", "size"], {"images": np.ascontiguousarray(planes)})
        # Probabilities are compared as logits, so that small ones count as much as large ones.
        logit = np.log(heat[0, 0]) - np.log1p(-heat[0, 0])
        for sample in case["samples"]:
            x, y = sample["x"], sample["y"]
            worst["heat"] = max(worst["heat"], abs(float(logit[y, x]) - sample["logit"]))
            worst["size"] = max(worst["size"], float(np.abs(size[0, :, y, x] - sample["size"]).max()))
    for key, limit in reference["tolerance"].items():
        if not worst[key] <= limit:
            raise ConversionError(f"{path}: {key} differs from the reference by {worst[key]:.6f}, allowed is {limit}")
    return worst, sum(len(c["samples"]) for c in reference["cases"])


def main():
    parser = argparse.ArgumentParser(
        description="Convert the CenterNet person detector from TensorFlow.js to ONNX.",
        epilog="example: python centernet.py --json centernet.json --out person-centernet.onnx",
    )
    parser.add_argument("--json", required=True, help="the graph; its weights (.bin) must be beside it")
    parser.add_argument("--out", required=True, help="ONNX file to write")
    parser.add_argument("--classes", default="0", help="COCO classes to keep, e.g. 0 (person, the default) or 0,39")
    parser.add_argument("--no-check", action="store_true", help="do not compare the result with reference.json")
    args = parser.parse_args()
    try:
        classes = [int(c) for c in args.classes.split(",")]
        if any(not 0 <= c < 80 for c in classes):
            raise ConversionError(f"--classes {args.classes}: classes are 0 to 79")
        data = convert(args.json, classes).SerializeToString(deterministic=True)
        part = Path(args.out + ".part")
        part.write_bytes(data)
        if not args.no_check:
            if classes[0] != 0:
                raise ConversionError("the reference is for class 0 first; use --no-check for other classes")
            worst, samples = check(part, Path(__file__).parent / "reference.json")
            print(
                f"agrees with the reference at {samples} samples: "
                f"largest difference {worst['heat']:.2e} (logit), {worst['size']:.2e} px (size)"
            )
        part.replace(args.out)
    except (ConversionError, OSError, KeyError, ValueError) as error:
        kind = "" if isinstance(error, (ConversionError, OSError)) else f"{type(error).__name__}: "
        sys.exit(f"centernet.py: {kind}{error}")
    print(f"{args.out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
