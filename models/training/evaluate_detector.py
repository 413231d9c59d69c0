"""Average precision of the detector on scenes drawn from what was kept out of training, by pycocotools.

Products: photographs of the val split, and iconic pictures of the held-out classes. The committed file is run by ONNX
Runtime; boxes are decoded as models/src/product_detector.rs does.
"""

import argparse
import contextlib
import io
import time
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from features import session
from scenes import CLASSES, SIDE_PX, many

STRIDE = 8
NMS_IOU = 0.6


def decoded(heat, size, score_min):
    """Rows of left, top, right, bottom, score, class: peaks of 3 x 3, then suppression within each class."""
    out = []
    for kind, plane in enumerate(heat):
        padded = np.pad(plane, 1)
        around = np.max([padded[y:y + plane.shape[0], x:x + plane.shape[1]] for y in range(3) for x in range(3)], 0)
        rows, columns = np.nonzero((plane >= score_min) & (plane >= around))
        left, top, right, bottom = size[:, rows, columns]
        x, y = columns * STRIDE, rows * STRIDE
        boxes = np.stack([x - left, y - top, x + right, y + bottom, plane[rows, columns]], 1)
        kept = []
        for box in boxes[np.argsort(-boxes[:, 4])]:
            if all(overlap(box, k) <= NMS_IOU for k in kept):
                kept.append(box)
        out += [[*box, kind] for box in kept]
    return np.array(out).reshape(-1, 6)


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True, help="the Grocery Store Dataset")
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--scenes", type=int, default=400)
    p.add_argument("--seed", type=int, default=1001)
    a = p.parse_args()
    ready = session(a.model.read_bytes())
    pictures, boxes = many(a.data, "val", a.scenes, a.seed, processes=2)
    images = [{"id": n, "width": SIDE_PX, "height": SIDE_PX} for n in range(a.scenes)]
    truth, found, spent = [], [], []
    for n, (picture, rows) in enumerate(zip(pictures, boxes)):
        for left, top, right, bottom, kind in rows.tolist():
            w, h = right - left, bottom - top
            truth.append({"id": len(truth) + 1, "image_id": n, "category_id": int(kind) + 1,
                          "bbox": [left, top, w, h], "area": w * h, "iscrowd": 0})
        begun = time.perf_counter()
        heat, size = ready.run(None, {"image": picture.transpose(2, 0, 1)[None].astype(np.float32)})
        spent.append(time.perf_counter() - begun)
        for left, top, right, bottom, score, kind in decoded(heat[0], size[0], 0.02):
            left, top, right, bottom = np.clip([left, top, right, bottom], 0, SIDE_PX).tolist()
            found.append({"image_id": n, "category_id": int(kind) + 1, "score": float(score),
                          "bbox": [left, top, right - left, bottom - top]})
    coco = COCO()
    coco.dataset = {"images": images, "annotations": truth,
                    "categories": [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)]}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        results = coco.loadRes(found)
    for kinds in ([1], [2]):
        score = COCOeval(coco, results, "bbox")
        score.params.catIds = kinds
        with contextlib.redirect_stdout(io.StringIO()):
            score.evaluate()
            score.accumulate()
            score.summarize()
        s = score.stats
        count = sum(t["category_id"] in kinds for t in truth)
        print(f"{CLASSES[kinds[0] - 1]}: AP50:95 {s[0]:.3f}, AP50 {s[1]:.3f}, AP75 {s[2]:.3f}, recall of 100 boxes {s[8]:.3f}, {count} boxes")
    for least in (0.2, 0.3, 0.4, 0.5):
        told = []
        for kind in (1, 2):
            hits = wrong = 0
            for n in range(a.scenes):
                mine = [t["bbox"] for t in truth if t["image_id"] == n and t["category_id"] == kind]
                said = sorted((f for f in found if f["image_id"] == n and f["category_id"] == kind and f["score"] >= least),
                              key=lambda f: -f["score"])
                for f in said:
                    corners = lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
                    best = max(mine, key=lambda b: overlap(corners(b), corners(f["bbox"])), default=None)
                    if best is not None and overlap(corners(best), corners(f["bbox"])) >= 0.5:
                        mine.remove(best)
                        hits += 1
                    else:
                        wrong += 1
            count = sum(t["category_id"] == kind for t in truth)
            told.append(f"{CLASSES[kind - 1]} precision {hits / max(hits + wrong, 1):.2f} recall {hits / count:.2f}")
        print(f"score {least}: " + ", ".join(told))
    print(f"one picture: least {min(spent) * 1e3:.1f} ms, median {np.median(spent) * 1e3:.1f} ms, one thread")


if __name__ == "__main__":
    main()
