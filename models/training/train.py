"""The product embedding: frozen EfficientNet-Lite0, pooled levels, and a projection of linear discriminants; as int8.

The projection is trained on the classes that are not held out: the levels are standardised, whitened by the scatter
within classes (shrunk), and turned so that the directions in which classes lie apart most come first (Fisher, 1936; Rao,
1948). Then the whole is quantised: activations from calibration pictures of the train split, weights with a scale for
each channel and 7 bits, so that processors without VNNI do not saturate.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import backbone as lite
from features import SIDE_PX, is_held_out, opened, read_split, run, session, to_tensor, views

EMBEDDING = 256
SHRINK = 0.3
CALIBRATION_PICTURES = 64


def discriminants(levels, targets):
    """Rows of the projection: whitened by the shrunk scatter within classes, then the directions of most spread."""
    classes, index = np.unique(targets, return_inverse=True)
    centres = np.stack([levels[targets == c].mean(0) for c in classes])
    inside = levels - centres[index]
    within = inside.T @ inside / len(levels)
    within = (1 - SHRINK) * within + SHRINK * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    whiten = (vectors / np.sqrt(values)) @ vectors.T
    white = levels @ whiten
    _, directions = np.linalg.eigh(np.cov(white.T) + 0.1 * np.cov((centres @ whiten).T))
    return (whiten @ directions[:, ::-1][:, :EMBEDDING]).T


def rounded(name, w):
    """A weight as int8 with one scale for each row, and the nodes that make it float again when the model is loaded."""
    scale = np.maximum(np.abs(w).max(1, keepdims=True) / 127, 1e-12).astype(np.float32)
    tensors = [numpy_helper.from_array(np.round(w / scale).astype(np.int8), name + ".q"),
               numpy_helper.from_array(scale, name + ".scale")]
    nodes = [helper.make_node("Cast", [name + ".q"], [name + ".f"], to=onnx.TensorProto.FLOAT),
             helper.make_node("Mul", [name + ".f", name + ".scale"], [name])]
    return tensors, nodes


class Calibration(CalibrationDataReader):
    """Pictures of the train split, evenly spread over it; held-out classes left out."""

    def __init__(self, paths):
        self.left = iter(paths[:: max(1, len(paths) // CALIBRATION_PICTURES)])

    def get_next(self):
        path = next(self.left, None)
        return path and {"image": to_tensor(opened(path))[None].astype(np.float32)}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True, help="the Grocery Store Dataset")
    p.add_argument("--backbone", type=Path, required=True, help="efficientnet-lite0-57934424.pth")
    p.add_argument("--out", type=Path, required=True)
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    graph = lite.backbone(a.backbone, SIDE_PX)
    pool, width = lite.pooled(graph)
    ready = session(lite.model(graph.nodes + pool, graph.weights, SIDE_PX, "levels", width).SerializeToString())

    paths, labels = read_split(a.data, "train")
    known = [n for n, c in enumerate(labels) if not is_held_out(c)]
    kept = a.out / "levels.npy"
    if not kept.exists():
        rows = []
        for done, n in enumerate(known):
            rows += [run(ready, view) for view in views(opened(paths[n]))]
            if done % 100 == 0:
                print(f"levels {done}/{len(known)}", flush=True)
        np.save(kept, np.stack(rows))
    levels = np.load(kept).astype(float)
    targets = np.repeat(labels[known], len(levels) // len(known))
    print(f"{len(levels)} views of {len(np.unique(targets))} classes; held out: class ids divisible by 3", flush=True)
    mean, std = levels.mean(0), levels.std(0) + 1e-6
    w = discriminants((levels - mean) / std, targets) / std
    b = -w @ mean
    # The length is lost in the end: keep numbers near 1.
    size = np.abs(levels @ w.T + b).mean()
    w, b = (w / size).astype(np.float32), (b / size).astype(np.float32)

    about = "Linefree product embedding; trained without the class ids divisible by 3"
    tensors, decode = rounded("projection", w)
    tail = decode + [
        helper.make_node("Gemm", ["levels", "projection", "offset"], ["projected"], transB=1, name="project"),
        helper.make_node("LpNormalization", ["projected"], ["embedding"], axis=1, p=2, name="normalise"),
    ]
    weights = graph.weights + tensors + [numpy_helper.from_array(b, "offset")]
    plain = a.out / "product-embedding-fp32.onnx"
    onnx.save(lite.model(graph.nodes + pool + tail, weights, SIDE_PX, "embedding", EMBEDDING, about), plain)
    small = a.out / "product-embedding.onnx"
    quantize_static(
        plain, small, Calibration([paths[n] for n in known]), quant_format=QuantFormat.QDQ, per_channel=True,
        reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Clip", "Add"])
    for file in (plain, small):
        print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
