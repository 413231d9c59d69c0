"""The figures of the bars, on the val split: gallery from train, questions from val, the model as it is shipped.

Prints one table. Known and unknown: photographs of val whose class is enrolled, and those of the held-out classes while
none of these is enrolled; AUROC is that of the best score. Of like weight: the right class and four drawn from those
whose usual weight (weights.csv: printed contents, usual pieces) is within 10 %, or the nearest four where fewer are.

The recogniser's numbers (temperature, threshold) are those of models/src/recogniser.rs, which were
fitted by --fit on this very split: the figures that depend on them (p, not ranks) are optimistic for that reason.
"""

import argparse
from pathlib import Path

import numpy as np

from features import CLASSES, is_held_out, opened, read_split, run, session

PACKAGES = range(28, 59)
SHOTS = 5
DRAWS = 10
NEAREST = 5
CENTROID_SHARE = 0.75
SCATTER_PRIOR = 1000
CENTRE_PRIOR = 20


def embed(model, data, split):
    paths, labels = read_split(data, split)
    ready = session(str(model))
    return np.stack([run(ready, opened(p)) for p in paths]), labels


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def whitened(gallery, labels):
    """What models/src/whitening.rs does: the gallery's centre and the factor that divides by its scatter."""
    classes, index = np.unique(labels, return_inverse=True)
    means = np.stack([gallery[labels == c].mean(0) for c in classes])
    count = np.bincount(index)
    apart = (gallery - means[index]) / np.sqrt(np.maximum(count - 1, 1))[index][:, None]
    scatter = apart.T @ apart / max(1, (count > 1).sum())
    share = len(gallery) / (len(gallery) + SCATTER_PRIOR)
    scatter = share * scatter + (1 - share) * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    factor = np.linalg.inv(np.linalg.cholesky(scatter)).T
    return means.sum(0) / (len(classes) + CENTRE_PRIOR), factor


def scores(queries, gallery, labels, share=CENTROID_SHARE, nearest=NEAREST):
    """Score of each class, whitened: part cosine to the centroid, part mean cosine of its nearest pictures."""
    centre, factor = whitened(gallery, labels)
    queries, gallery = unit((queries - centre) @ factor), unit((gallery - centre) @ factor)
    classes = np.unique(labels)
    cosine = queries @ gallery.T
    out = np.full((len(queries), CLASSES), -2.0)
    for c in classes:
        rows = gallery[labels == c]
        centroid = rows.mean(0)
        centroid /= np.linalg.norm(centroid)
        near = np.sort(cosine[:, labels == c], 1)[:, -max(1, min(nearest, len(rows) // 5)):].mean(1)
        out[:, c] = share * (queries @ centroid) + (1 - share) * near
    return out


def few(labels, rng, shots=SHOTS):
    return np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:shots] for c in np.unique(labels)])


def top1(s, labels, rows=None):
    right = s.argmax(1) == labels
    return right.mean() if rows is None else right[rows].mean()


def alike(rng):
    """Of each class four others of like weight, drawn anew."""
    lines = (Path(__file__).parent / "weights.csv").read_text().split()[1:]
    grams = np.array([float(line.split(",")[1]) for line in lines])
    out = np.empty((CLASSES, 4), int)
    for c in range(CLASSES):
        apart = np.abs(np.log(grams / grams[c]))
        apart[c] = np.inf
        near = np.flatnonzero(apart < np.log(1.1))
        out[c] = rng.choice(near, 4, replace=False) if len(near) >= 4 else np.argsort(apart)[:4]
    return out


def auroc(known, unknown):
    order = np.concatenate([known, unknown]).argsort().argsort() + 1
    return (order[: len(known)].sum() - len(known) * (len(known) + 1) / 2) / (len(known) * len(unknown))


def figures(train, train_labels, val, val_labels, score=scores):
    rng = np.random.default_rng(0)
    held = np.array([is_held_out(c) for c in val_labels])
    pack = np.isin(val_labels, PACKAGES)
    pack_train = np.isin(train_labels, PACKAGES)
    out = {}
    full = score(val, train, train_labels)
    out["top-1 of 81, all train photos"] = top1(full, val_labels)
    out["top-1 of 31 packages, all train photos"] = top1(
        score(val[pack], train[pack_train], train_labels[pack_train]), val_labels[pack])
    known = ~np.array([is_held_out(c) for c in train_labels])
    best = score(val, train[known], train_labels[known]).max(1)
    out["unknown AUROC, held-out classes not enrolled, all photos"] = auroc(best[~held], best[held])
    sums = {}
    for _ in range(DRAWS):
        some = few(train_labels, rng)
        s = score(val, train[some], train_labels[some])
        pick = some[np.isin(train_labels[some], PACKAGES)]
        packages = score(val[pack], train[pick], train_labels[pick])
        five = np.mean([
            np.argmax(row[np.r_[c, rng.choice(np.delete(np.arange(CLASSES), c), 4, replace=False)]]) == 0
            for row, c in zip(s, val_labels)])
        likes = [alike(rng) for _ in val_labels]
        weighed, weighed_full = (
            np.mean([np.argmax(row[np.r_[c, like[c]]]) == 0 for row, c, like in zip(t, val_labels, likes)])
            for t in (s, full))
        five_full = np.mean([
            np.argmax(row[np.r_[c, rng.choice(np.delete(np.arange(CLASSES), c), 4, replace=False)]]) == 0
            for row, c in zip(full, val_labels)])
        enrolled = some[~np.array([is_held_out(c) for c in train_labels[some]])]
        open_best = score(val, train[enrolled], train_labels[enrolled]).max(1)
        for name, value in (
            ("top-1 of 81, 5 photos", top1(s, val_labels)),
            ("top-1 of 31 packages, 5 photos", top1(packages, val_labels[pack])),
            ("top-1 among all, held-out classes only, 5 photos", top1(s, val_labels, held)),
            ("1 of 5 random candidates, 5 photos", five),
            ("1 of 5 random candidates, all photos", five_full),
            ("1 of 5 candidates of like weight, 5 photos", weighed),
            ("1 of 5 candidates of like weight, all photos", weighed_full),
            ("unknown AUROC, held-out classes not enrolled, 5 photos", auroc(open_best[~held], open_best[held])),
        ):
            sums.setdefault(name, []).append(value)
    return out | {k: np.mean(v) for k, v in sums.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--keep", type=Path, help="where to keep the embeddings (.npz)")
    a = p.parse_args()
    train, train_labels = embed(a.model, a.data, "train")
    val, val_labels = embed(a.model, a.data, "val")
    if a.keep:
        np.savez(a.keep, train=train, train_labels=train_labels, val=val, val_labels=val_labels)
    for name, value in figures(train, train_labels, val, val_labels).items():
        print(f"{name:58} {value:.3f}")


if __name__ == "__main__":
    main()
