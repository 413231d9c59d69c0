"""Runs one tracker from PyPI over MOT detections; writes MOT tracks and what tracking alone took.

    python track_peers.py PEER DATA OUT

DATA holds a folder a sequence with det.txt and seqinfo.ini; OUT gets SEQUENCE.txt for each, and timing.json. Each
peer runs with its defaults and is told the frame rate where it asks for it. Reading, conversion to the peer's own
types and writing are not timed.
"""

import configparser
import json
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import numpy as np

ROUNDS = 3


def corners(rows):
    boxes = np.array([r[:4] for r in rows], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


class Roboflow:
    """`trackers`: SORT, ByteTrack, OC-SORT, BoT-SORT (without camera motion: it needs images), C-BIoU."""

    def __init__(self, name, fps, **options):
        import trackers

        self.tracker = getattr(trackers, name)(frame_rate=fps, **options)

    def prepared(self, rows):
        import supervision as sv

        boxes = corners(rows)
        scores = np.array([r[4] for r in rows], dtype=np.float32)
        return sv.Detections(xyxy=boxes, confidence=scores, class_id=np.zeros(len(rows), dtype=int))

    def step(self, detections):
        return self.tracker.update(detections)

    def told(self, result):
        for (x1, y1, x2, y2), number in zip(result.xyxy, result.tracker_id):
            if number >= 0:
                yield int(number), x1, y1, x2 - x1, y2 - y1


class Supervision(Roboflow):
    """`supervision`'s own ByteTrack."""

    def __init__(self, fps):
        import supervision as sv

        self.tracker = sv.ByteTrack(frame_rate=round(fps))

    def step(self, detections):
        return self.tracker.update_with_detections(detections)


class Norfair:
    """`norfair`: intersection over union of boxes, with the threshold of its own MOT example."""

    def __init__(self, fps):
        from norfair import Tracker

        self.tracker = Tracker(distance_function="iou", distance_threshold=0.5)

    def prepared(self, rows):
        from norfair import Detection

        boxes = corners(rows).reshape(-1, 2, 2)
        return [Detection(points=b, scores=np.array([r[4]] * 2)) for b, r in zip(boxes, rows)]

    def step(self, detections):
        return self.tracker.update(detections=detections)

    def told(self, result):
        for t in result:
            (x1, y1), (x2, y2) = t.estimate
            yield t.id, x1, y1, x2 - x1, y2 - y1


class Motpy:
    """`motpy`: constant acceleration of boxes."""

    def __init__(self, fps):
        from motpy import MultiObjectTracker

        self.tracker = MultiObjectTracker(dt=1 / fps)

    def prepared(self, rows):
        from motpy import Detection

        return [Detection(box=b, score=r[4]) for b, r in zip(corners(rows), rows)]

    def step(self, detections):
        return self.tracker.step(detections)

    def told(self, result):
        for t in result:
            x1, y1, x2, y2 = t.box
            yield t.id, x1, y1, x2 - x1, y2 - y1


class Similari:
    """Similari's SORT; one shard, since everybody has one core."""

    def __init__(self, fps):
        from similari import PositionalMetricType, Sort

        self.tracker = Sort(shards=1, bbox_history=1, max_idle_epochs=5, method=PositionalMetricType.iou(0.3))

    def prepared(self, rows):
        from similari import BoundingBox

        return [(BoundingBox.new_with_confidence(*r[:4], r[4]).as_xyaah(), None) for r in rows]

    def step(self, detections):
        return self.tracker.predict(detections)

    def told(self, result):
        for t in result:
            b = t.observed_bbox.as_ltwh()
            yield t.id, b.left, b.top, b.width, b.height


PEERS = {
    "sort": lambda fps: Roboflow("SORTTracker", fps),
    "bytetrack": lambda fps: Roboflow("ByteTrackTracker", fps),
    "oc-sort": lambda fps: Roboflow("OCSORTTracker", fps),
    "bot-sort": lambda fps: Roboflow("BoTSORTTracker", fps, enable_cmc=False),
    "c-biou": lambda fps: Roboflow("CBIoUTracker", fps),
    "supervision": Supervision,
    "norfair": Norfair,
    "motpy": Motpy,
    "similari": Similari,
}


def detections(folder):
    info = configparser.ConfigParser()
    info.read(folder / "seqinfo.ini")
    frames = {}
    for line in (folder / "det.txt").read_text().splitlines():
        f = line.split(",")
        if len(f) >= 7:
            frames.setdefault(int(float(f[0])), []).append([float(v) for v in f[2:7]])
    return float(info["Sequence"]["frameRate"]), [frames.get(i, []) for i in range(1, max(frames) + 1)]


def run(peer, data, out):
    out.mkdir(parents=True, exist_ok=True)
    sequences = {f.parent.name: detections(f.parent) for f in sorted(data.glob("*/det.txt"))}
    frames, best = sum(len(s[1]) for s in sequences.values()), float("inf")
    for _ in range(ROUNDS):
        spent = 0.0
        for name, (fps, rows) in sequences.items():
            tracker, lines, names = PEERS[peer](fps), [], {}
            for number, found in enumerate(rows, 1):
                prepared = tracker.prepared(found)
                began = time.perf_counter()
                result = tracker.step(prepared)
                spent += time.perf_counter() - began
                for key, x, y, w, h in tracker.told(result):
                    track = names.setdefault(key, len(names) + 1)
                    lines.append(f"{number},{track},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,-1,-1,-1\n")
            (out / f"{name}.txt").write_text("".join(lines))
        best = min(best, spent)
    timing = {"frames": frames, "seconds": best, "frames_per_second": frames / best}
    (out / "timing.json").write_text(json.dumps(timing))


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
