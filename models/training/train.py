"""Trains the product embedding: a projection of frozen features, by a normalised softmax with a margin.

Two levels of the ImageNet backbone are pooled, standardised and projected to 256 numbers. The projection is trained
so that training classes lie apart by a margin on the unit sphere (additive cosine margin: Wang et al., CosFace, 2018).
It begins as the classes' linear discriminants, shrunk, filled up by principal components, so that what tells other
products apart is not thrown away. Only the train split's classes that are not held out are ever used here.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx.utils import Extractor

from features import freed, is_held_out
from tail import Tail, export


def levels_of(maps, backbone, tail, threads):
    """Pooled levels of every feature map."""
    back = Extractor(freed(onnx.load(backbone))).extract_model([tail.cut], [tail.tap, tail.last])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(back.SerializeToString(), options)
    rows = []
    for n, one in enumerate(maps):
        outputs = session.run(None, {tail.cut: one[None].astype(np.float32)})
        rows.append(np.concatenate([o[0].mean((1, 2)) for o in outputs]))
        if n % 2000 == 0:
            print(f"levels {n}/{len(maps)}", flush=True)
    return np.stack(rows)


def start(levels, targets, size, shrink):
    """Discriminants: whitened by the shrunk scatter within classes, then the directions of most spread."""
    centres = np.stack([levels[targets == t].mean(0) for t in np.unique(targets)])
    inside = levels - centres[targets]
    within = inside.T @ inside / len(levels)
    within = (1 - shrink) * within + shrink * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    whiten = (vectors / np.sqrt(values)) @ vectors.T
    white = levels @ whiten
    _, directions = np.linalg.eigh(np.cov(white.T) + 0.1 * np.cov((centres @ whiten).T))
    return (whiten @ directions[:, ::-1][:, :size]).T


def fit(tail, levels, targets, a):
    classes = int(targets.max()) + 1
    x, y = torch.tensor(levels), torch.tensor(targets)
    with torch.no_grad():
        z = F.normalize(tail.head(x))
        proxies = torch.nn.Parameter(F.normalize(torch.stack([z[y == c].mean(0) for c in range(classes)])))
    optimiser = torch.optim.AdamW(
        [{"params": tail.head.parameters(), "weight_decay": 0.02}, {"params": [proxies], "weight_decay": 0.0}],
        lr=a.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, a.epochs)
    weights = 1 / np.sqrt(np.bincount(targets)[targets])
    for epoch in range(a.epochs):
        order = torch.multinomial(torch.tensor(weights), len(x), replacement=True)
        total = right = 0
        for index in order.split(256):
            z = F.normalize(tail.head(F.dropout(x[index], 0.2)))
            cosine = z @ F.normalize(proxies).T
            loss = F.cross_entropy(a.scale * (cosine - a.margin * F.one_hot(y[index], classes)), y[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total, right = total + loss.item() * len(index), right + (cosine.argmax(1) == y[index]).sum().item()
        schedule.step()
        print(f"epoch {epoch + 1}/{a.epochs}: loss {total / len(x):.3f}, right {right / len(x):.3f}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--cache", type=Path, required=True)
    p.add_argument("--backbone", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True, help="folder for product-embedding[-fp32].onnx")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--rate", type=float, default=3e-4)
    p.add_argument("--scale", type=float, default=20.0)
    p.add_argument("--margin", type=float, default=0.15)
    p.add_argument("--shrink", type=float, default=0.3)
    a = p.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)

    tail = Tail(freed(onnx.load(a.backbone)))
    kept = a.cache / "train_levels.npy"
    owners, labels = np.load(a.cache / "train_owners.npy"), np.load(a.cache / "train_labels.npy")
    of_map = labels[owners[:, 0]]
    used = np.array([not is_held_out(c) for c in of_map])
    if not kept.exists():
        maps = np.load(a.cache / "train_maps.npy", mmap_mode="r")
        np.save(kept, levels_of([maps[i] for i in np.flatnonzero(used)], a.backbone, tail, a.threads))
    levels = np.load(kept)
    known = np.unique(of_map[used])
    targets = np.searchsorted(known, of_map[used])
    print(f"{len(levels)} views of {len(known)} classes; held out: every class id divisible by 3", flush=True)

    mean, std = levels.mean(0), levels.std(0) + 1e-3
    levels = ((levels - mean) / std).astype(np.float32)
    with torch.no_grad():
        tail.mean.copy_(torch.tensor(mean))
        tail.std.copy_(torch.tensor(std))
        begin = start(levels.astype(np.float64), targets, tail.head.out_features, a.shrink)
        tail.head.weight.copy_(torch.tensor(begin / np.abs(begin).max()))
        tail.head.bias.zero_()
    fit(tail, levels, targets, a)
    a.out.mkdir(parents=True, exist_ok=True)
    about = f"Linefree product embedding, seed {a.seed}; trained without the class ids divisible by 3"
    export(a.backbone, tail, a.out / "product-embedding-fp32.onnx", False, about)
    export(a.backbone, tail, a.out / "product-embedding.onnx", True, about)
    for file in sorted(a.out.glob("*.onnx")):
        print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
