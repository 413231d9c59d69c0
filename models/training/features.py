"""Photographs, how they become tensors, which classes are held out, and the backbone's pooled levels of each."""

import functools

import numpy as np
import onnxruntime
from PIL import Image

SIDE_PX = 224
# As the backbone was trained: every channel to -1 .. 1.
MEAN, STD = 127.0, 128.0
CLASSES = 81
# Training pictures are seen whole, mirrored, and as these centre crops.
CROPS = (0.8,)


def is_held_out(class_id):
    """Every third class of classes.csv, the first included, is kept out of training altogether."""
    return class_id % 3 == 0


def read_split(data, split):
    """Paths and class ids of one split, in the order of its list."""
    rows = [line.split(", ") for line in (data / f"{split}.txt").read_text().splitlines() if line]
    return [data / r[0] for r in rows], np.array([int(r[1]) for r in rows])


@functools.lru_cache(512)
def axis(source, target):
    """Weights of one axis, the same as models/src/letterbox.rs has: a triangle, wider from a reduction of 2 on."""
    step = source / target
    half = max(step / 2, 1.0)
    centre = (np.arange(target) + 0.5) * step - 0.5
    taps = np.arange(-int(half) - 2, source + int(half) + 2)
    weights = np.maximum(1 - np.abs(taps[None] - centre[:, None]) / half, 0)
    matrix = np.zeros((target, source), np.float32)
    for tap, column in zip(np.clip(taps, 0, source - 1), weights.T):
        matrix[:, tap] += column
    return matrix / matrix.sum(1, keepdims=True)


def to_tensor(image):
    """Stretched to the square input, as models/src/embedder.rs does."""
    pixels = np.asarray(image, np.float32)
    rows = np.tensordot(axis(pixels.shape[0], SIDE_PX), pixels, 1)
    square = np.einsum("wx,hxc->hwc", axis(pixels.shape[1], SIDE_PX), rows, optimize=True)
    return ((square - MEAN) / STD).transpose(2, 0, 1)


def views(image):
    """The picture as it is, then what training sees of it besides."""
    width, height = image.size
    yield image
    yield image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for share in CROPS:
        left, top = round(width * (1 - share) / 2), round(height * (1 - share) / 2)
        yield image.crop((left, top, width - left, height - top))


def session(model):
    """On one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)


def run(ready, image):
    """The one output of a model for one picture."""
    return ready.run(None, {"image": to_tensor(image)[None].astype(np.float32)})[0][0]


def opened(path):
    """A photograph as RGB."""
    return Image.open(path).convert("RGB")
