"""Photographs to the frozen half's feature maps, computed once.

The backbone is cut where its stride has become 16 (after inverted residual 7, 64 channels). The half before the cut
stays as ImageNet made it, so its outputs are kept on disk (float16) and training touches the second half only.
Each training photograph gives one plain view and several augmented ones.
"""

import argparse
import functools
import random
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx.utils import Extractor
from PIL import Image, ImageEnhance

SIDE_PX = 160
MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
VIEWS = 6
CLASSES = 81


def is_held_out(class_id):
    """Every third class of classes.csv, the first included, is kept out of training altogether."""
    return class_id % 3 == 0


def read_split(data, split):
    """Paths and class ids of one split, in the order of its list."""
    rows = [line.split(", ") for line in (data / f"{split}.txt").read_text().splitlines() if line]
    return [data / r[0] for r in rows], np.array([int(r[1]) for r in rows])


@functools.lru_cache(512)
def axis(source):
    """Weights of one axis, the same as models/src/letterbox.rs has: a triangle, wider from a reduction of 2 on."""
    step = source / SIDE_PX
    half = max(step / 2, 1.0)
    centre = (np.arange(SIDE_PX) + 0.5) * step - 0.5
    taps = np.arange(-int(half) - 2, source + int(half) + 2)
    weights = np.maximum(1 - np.abs(taps[None] - centre[:, None]) / half, 0)
    matrix = np.zeros((SIDE_PX, source), np.float32)
    for tap, column in zip(np.clip(taps, 0, source - 1), weights.T):
        matrix[:, tap] += column
    return matrix / matrix.sum(1, keepdims=True)


def to_tensor(image):
    """Stretched to the square input, as models/src/embedder.rs does."""
    pixels = np.asarray(image, np.float32)
    rows = np.tensordot(axis(pixels.shape[0]), pixels, 1)
    return ((np.einsum("wx,hxc->hwc", axis(pixels.shape[1]), rows, optimize=True) - MEAN) / STD).transpose(2, 0, 1)


def augmented(image, rng):
    """One random view: a crop of 40 to 100 %, turned a little, other light. Colours shift little: they matter."""
    w, h = image.size
    area, ratio = rng.uniform(0.4, 1.0) * w * h, np.exp(rng.uniform(-0.35, 0.35)) * w / h
    cw, ch = min(w, round((area * ratio) ** 0.5)), min(h, round((area / ratio) ** 0.5))
    left, top = rng.randint(0, w - cw), rng.randint(0, h - ch)
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)
    image = image.crop((left, top, left + cw, top + ch))
    for enhance, spread in ((ImageEnhance.Brightness, 0.3), (ImageEnhance.Contrast, 0.25), (ImageEnhance.Color, 0.2)):
        image = enhance(image).enhance(rng.uniform(1 - spread, 1 + spread))
    if rng.random() < 0.2:
        shrink = rng.uniform(0.4, 0.8)
        image = image.resize((max(8, int(image.width * shrink)), max(8, int(image.height * shrink))))
    return image


def freed(model):
    """The backbone for squares of SIDE_PX: its graph has a fixed 224 in the input only."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value = dims[3].dim_value = SIDE_PX
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)


def cut_tensor(model):
    """Output of inverted residual 7: the first 64-channel projection."""
    shapes = {i.name: list(i.dims) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and shapes[node.input[1]][0] == 64 and shapes[node.input[1]][1] > 1:
            return node.output[0]
    raise SystemExit("the backbone is not MobileNetV2: it has no projection to 64 channels")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--backbone", type=Path, required=True)
    p.add_argument("--cache", type=Path, required=True)
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    a.cache.mkdir(parents=True, exist_ok=True)
    model = freed(onnx.load(a.backbone))
    front = Extractor(model).extract_model(["image"], [cut_tensor(model)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    session = onnxruntime.InferenceSession(front.SerializeToString(), options)
    for split in ("val", "train"):
        paths, labels = read_split(a.data, split)
        maps, owners = [], []
        for n, (path, label) in enumerate(zip(paths, labels)):
            image = Image.open(path).convert("RGB")
            rng = random.Random(f"{a.seed}/{split}/{n}")
            views = VIEWS if split == "train" and not is_held_out(label) else 0
            batch = [to_tensor(image)] + [to_tensor(augmented(image, rng)) for _ in range(views)]
            for view, x in enumerate(batch):
                maps.append(session.run(None, {"image": x[None]})[0][0].astype(np.float16))
                owners.append((n, view))
            if n % 200 == 0:
                print(f"{split} {n}/{len(paths)}", flush=True)
        np.save(a.cache / f"{split}_maps.npy", np.stack(maps))
        np.save(a.cache / f"{split}_owners.npy", np.array(owners))
        np.save(a.cache / f"{split}_labels.npy", labels)


if __name__ == "__main__":
    main()
