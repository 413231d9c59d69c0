"""Scores tracks against MOT ground truth with TrackEval; prints JSON.

    python score_tracks.py DATA TRACKS...

DATA holds a folder a sequence with gt.txt, each TRACKS folder a file SEQUENCE.txt. As MOTChallenge does for MOT15:
boxes match from an overlap of 0.5 on (HOTA: 0.05 to 0.95), ground truth of flag 0 is left out. The combined score
counts all sequences as one.
"""

import json
import os
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import numpy as np
from trackeval.metrics import CLEAR, HOTA, Identity


def read(path, truth):
    """Rows of a MOT file by frame: number and left, top, width, height."""
    frames = {}
    for line in path.read_text().splitlines():
        if not line.strip():
            continue
        f = line.split(",")
        if truth and float(f[6]) == 0:
            continue
        frames.setdefault(int(float(f[0])), []).append((int(float(f[1])), *map(float, f[2:6])))
    return frames


def overlaps(a, b):
    """Intersection over union of every pair."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    a, b = a[:, None], b[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    return shared / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared)


def sequence(truth, tracks):
    """What TrackEval's metrics want to know of one sequence."""
    last = max([*truth, *tracks], default=0)
    names = [sorted({r[0] for rows in side.values() for r in rows}) for side in (truth, tracks)]
    index = [{name: i for i, name in enumerate(n)} for n in names]
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": [], "num_timesteps": last}
    for frame in range(1, last + 1):
        boxes = []
        for side, key, numbers in zip((truth, tracks), ("gt_ids", "tracker_ids"), index):
            rows = side.get(frame, [])
            data[key].append(np.array([numbers[r[0]] for r in rows], dtype=int))
            boxes.append(np.array([r[1:] for r in rows], dtype=float).reshape(-1, 4))
        data["similarity_scores"].append(overlaps(*boxes))
    for key, numbers in zip(("gt", "tracker"), names):
        data[f"num_{key}_ids"] = len(numbers)
        data[f"num_{key}_dets"] = sum(map(len, data[f"{key}_ids"]))
    return data


def figures(hota, clear, identity):
    mean = lambda key: 100 * float(np.mean(hota[key]))
    return {
        "hota": mean("HOTA"),
        "det_a": mean("DetA"),
        "ass_a": mean("AssA"),
        "idf1": 100 * float(identity["IDF1"]),
        "mota": 100 * float(clear["MOTA"]),
        "switches": int(clear["IDSW"]),
    }


def score(data, folder):
    metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
    results = [{} for _ in metrics]
    for gt in sorted(data.glob("*/gt.txt")):
        name = gt.parent.name
        pair = sequence(read(gt, True), read(folder / f"{name}.txt", False))
        for metric, result in zip(metrics, results):
            result[name] = metric.eval_sequence(pair)
    combined = figures(*(m.combine_sequences(r) for m, r in zip(metrics, results)))
    each = {name: figures(*(r[name] for r in results)) for name in results[0]}
    return {**combined, "sequences": each}


if __name__ == "__main__":
    quiet = sys.stdout
    sys.stdout = open(os.devnull, "w")
    scores = {Path(f).name: score(Path(sys.argv[1]), Path(f)) for f in sys.argv[2:]}
    sys.stdout = quiet
    print(json.dumps(scores))
