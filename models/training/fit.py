"""Fits the numbers of [model.recogniser] in ../manifest.toml on val, from the embeddings that evaluate.py kept.

Temperature: least negative log likelihood of the right class, 5 photographs of each class enrolled, averaged over
draws. Unknown: logistic regression of "is it enrolled" on the best score, held-out classes not enrolled.
"""

import sys

import numpy as np

from evaluate import few, scores
from features import is_held_out

DRAWS = 4


def main():
    kept = np.load(sys.argv[1])
    train, train_labels, val, val_labels = (kept[k] for k in ("train", "train_labels", "val", "val_labels"))
    rng = np.random.default_rng(1)
    held = np.array([is_held_out(c) for c in val_labels])
    best, enrolled, tables = [], [], []
    for _ in range(DRAWS):
        some = few(train_labels, rng)
        tables.append(scores(val, train[some], train_labels[some]))
        some = some[~np.array([is_held_out(c) for c in train_labels[some]])]
        best.append(scores(val, train[some], train_labels[some]).max(1))
        enrolled.append(~held)

    def loss(temperature):
        total = 0
        for s in tables:
            logits = s / temperature
            top = logits.max(1)
            normaliser = top + np.log(np.exp(logits - top[:, None]).sum(1))
            total += (normaliser - logits[np.arange(len(s)), val_labels]).mean()
        return total / len(tables)

    grid = np.geomspace(0.01, 0.5, 60)
    losses = [loss(t) for t in grid]
    print(f"temperature = {grid[np.argmin(losses)]:.3f}   # loss {min(losses):.3f}")

    x, y = np.concatenate(best), np.concatenate(enrolled).astype(float)
    weight = np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    slope, at = 10.0, float(np.median(x))
    for _ in range(4000):
        p = 1 / (1 + np.exp(-slope * (x - at)))
        g = weight * (p - y)
        slope -= 20 * (g * (x - at)).mean()
        at -= 0.002 * (g * -slope).mean()
    print(f"unknown_score = {at:.3f}\nunknown_width = {1 / slope:.4f}")


if __name__ == "__main__":
    main()
