"""The detector of products and hands: a small convolutional network, trained on the drawn scenes of scenes.py.

One heat map for each class and one map of distances to the four edges, at an eighth of the input's resolution (Zhou et
al., Objects as Points, 2019). Heat is trained on ellipses over the boxes with the reduced focal loss of that paper,
distances inside the ellipses with the generalised IoU (Rezatofighi et al., CVPR 2019), weighted by the ellipse (as Liu
et al., Training-Time-Friendly Network, AAAI 2020, do). The graph that is written takes pixels of 0 to 255.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

from scenes import CLASSES, SIDE_PX, many

STRIDE = 8
BATCH = 16
# Windows of the scenes of this size are learnt from; the network takes any.
WINDOW_PX = 192
# The largest distance to an edge that can be said is about exp(LOG_MAX) * 16 px.
LOG_MAX = 4.0


def conv(into, out, stride=1, kernel=3, groups=1):
    return nn.Sequential(
        nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(out), nn.ReLU())


class Block(nn.Module):
    """Wide, filter, narrow, add (Sandler et al., MobileNetV2, 2018)."""

    def __init__(self, into, out, stride, kernel, wider=3):
        super().__init__()
        self.adds = stride == 1 and into == out
        self.inner = nn.Sequential(
            conv(into, into * wider, kernel=1), conv(into * wider, into * wider, stride, kernel, into * wider),
            nn.Conv2d(into * wider, out, 1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return x + self.inner(x) if self.adds else self.inner(x)


class Detector(nn.Module):
    """Pixels of 0 to 255 to heat (probabilities) and size (pixels to the left, top, right and bottom edge)."""

    WIDTHS, NECK = (48, 80, 112), 48

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 16, 2), conv(16, 32, 2))
        levels, into = [], 32
        for width, repeat, kernel in zip(self.WIDTHS, (2, 3, 3), (3, 5, 5)):
            levels.append(nn.Sequential(
                conv(into, width, 2), *[Block(width, width, 1, kernel) for _ in range(repeat)]))
            into = width
        self.levels = nn.ModuleList(levels)
        self.side = nn.ModuleList([conv(width, self.NECK, kernel=1) for width in self.WIDTHS])
        self.smooth = nn.ModuleList([conv(self.NECK, self.NECK, kernel=5, groups=self.NECK) for _ in range(2)])
        self.head = nn.Sequential(conv(self.NECK, 64), conv(64, 64, groups=64, kernel=5), conv(64, 64, kernel=1))
        self.heat, self.size = nn.Conv2d(64, len(CLASSES), 1), nn.Conv2d(64, 4, 1)
        nn.init.constant_(self.heat.bias, -3.0)

    def raw(self, image):
        x = self.stem((image - 114.0) / 58.0)
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        x = self.side[-1](features[-1])
        for n in (1, 0):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.smooth[n](x + self.side[n](features[n]))
        x = self.head(x)
        return self.heat(x), self.size(x)

    def forward(self, image):
        heat, size = self.raw(image)
        return torch.sigmoid(heat), distances(size)


def distances(size):
    return 16.0 * torch.exp(torch.clamp(size, -LOG_MAX, LOG_MAX))


def targets(boxes, kinds):
    """Heat to learn, and of each cell: which box, and how much it counts."""
    side = WINDOW_PX // STRIDE
    grid = np.arange(side, dtype=np.float32) * STRIDE
    heat, weight = np.zeros((kinds, side, side), np.float32), np.zeros((side, side), np.float32)
    to_edges = np.zeros((4, side, side), np.float32)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # Small ones last: where boxes meet, the smaller has the cell.
    for left, top, right, bottom, kind in boxes[np.argsort(-areas)]:
        x, y = round((left + right) / 2 / STRIDE), round((top + bottom) / 2 / STRIDE)
        x, y = min(x, side - 1), min(y, side - 1)
        wide, high = max((right - left) * 0.09, 2.7), max((bottom - top) * 0.09, 2.7)
        bell = np.exp(-((grid - x * STRIDE) / wide)[None] ** 2 / 2 - ((grid - y * STRIDE) / high)[:, None] ** 2 / 2)
        heat[int(kind)] = np.maximum(heat[int(kind)], bell)
        mine = bell > 0.1
        mine[y, x] = True
        weight[mine] = (bell / bell[mine].sum())[mine]
        edges = (grid[None] - left, grid[:, None] - top, right - grid[None], bottom - grid[:, None])
        for n, edge in enumerate(edges):
            to_edges[n][mine] = np.broadcast_to(edge, bell.shape)[mine]
    # A rounded centre may lie outside of a thin box.
    return heat, weight, np.maximum(to_edges, 0.5)


def loss_of(heat_logit, size, heat, weight, to_edges):
    p = torch.sigmoid(heat_logit).clamp(1e-4, 1 - 1e-4)
    here = heat.eq(1)
    near = torch.where(here, (1 - p) ** 2 * torch.log(p), (1 - heat) ** 4 * p ** 2 * torch.log(1 - p))
    objects = here.sum().clamp(min=1)
    d = distances(size)
    least, most = torch.minimum(d, to_edges), torch.maximum(d, to_edges)
    area = lambda e: (e[:, 0] + e[:, 2]) * (e[:, 1] + e[:, 3])
    both, hull = area(least), area(most)
    union = area(d) + area(to_edges) - both
    shape = 1 - both / union + (hull - union) / hull
    return -near.sum() / objects, (shape * weight).sum() / weight.sum().clamp(min=1)


def varied(pictures, boxes, rng):
    """A batch of windows, mirrored, resized and recoloured at random."""
    out, found = [], []
    for picture, rows in zip(pictures, boxes):
        rows = rows.copy()
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
            rows[:, [0, 2]] = SIDE_PX - rows[:, [2, 0]]
        cut = WINDOW_PX if rng.random() < 0.5 else int(SIDE_PX * rng.uniform(0.5, 1.0))
        x, y = rng.integers(0, SIDE_PX - cut + 1, 2)
        at = (np.arange(WINDOW_PX) * cut) // WINDOW_PX
        picture = picture[y:y + cut][at][:, x:x + cut][:, at]
        whole = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
        rows[:, :4] = np.clip(rows[:, :4] - (x, y, x, y), 0, cut)
        rows = rows[(rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1]) >= 0.3 * whole]
        rows[:, :4] *= WINDOW_PX / cut
        gain = rng.uniform(0.8, 1.2, 3) * rng.uniform(0.7, 1.3)
        out.append(np.clip(picture * gain.astype(np.float32), 0, 255).transpose(2, 0, 1))
        found.append(targets(rows, len(CLASSES)))
    return [torch.from_numpy(np.ascontiguousarray(np.stack(a), np.float32)) for a in (out, *zip(*found))]


def export(net, path):
    """ONNX with free height and width."""
    dims = {"image": {2: "height", 3: "width"}, "heat": {2: "height/8", 3: "width/8"}, "size": {2: "height/8", 3: "width/8"}}
    torch.onnx.export(
        net.eval(), torch.zeros(1, 3, SIDE_PX, SIDE_PX), path, input_names=["image"], output_names=["heat", "size"],
        dynamic_axes=dims, opset_version=17, dynamo=False)
    graph = onnx.load(path)
    graph.doc_string = "Linefree detector of products and hands; trained on drawn scenes"
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True, help="the Grocery Store Dataset")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--scenes", type=int, default=2400)
    p.add_argument("--steps", type=int, default=1100)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=7)
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    begun = time.time()
    pictures, boxes = many(a.data, "train", a.scenes, a.seed, processes=2)
    print(f"{a.scenes} scenes with {sum(map(len, boxes))} boxes, {time.time() - begun:.0f} s", flush=True)

    net = Detector().to(memory_format=torch.channels_last)
    print(f"{sum(w.numel() for w in net.parameters())} parameters", flush=True)
    decayed = [w for w in net.parameters() if w.ndim > 1]
    plain = [w for w in net.parameters() if w.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0}], 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=a.steps, pct_start=0.1)
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True)
    rng, order, told = np.random.default_rng(a.seed), np.empty(0, int), []
    for step in range(1, a.steps + 1):
        if len(order) < BATCH:
            order = rng.permutation(len(pictures))
        batch, order = order[:BATCH], order[BATCH:]
        image, *wanted = varied(pictures[batch], [boxes[n] for n in batch], rng)
        heat, shape = loss_of(*net.train().raw(image.to(memory_format=torch.channels_last)), *wanted)
        optimiser.zero_grad()
        (heat + 2 * shape).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        mean.update_parameters(net)
        told.append((heat.item(), shape.item()))
        if step % 100 == 0 or step == a.steps:
            h, s = np.mean(told, 0)
            told = []
            print(f"step {step}: heat {h:.3f}, shape {s:.3f}, {time.time() - begun:.0f} s", flush=True)
    export(mean.module, a.out / "product-hand.onnx")
    print(f"{a.out / 'product-hand.onnx'}: {(a.out / 'product-hand.onnx').stat().st_size} bytes")


if __name__ == "__main__":
    main()
