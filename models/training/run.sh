#!/usr/bin/env bash
# Everything from photographs to the committed model, with one seed. Some minutes on one core.
#   models/training/run.sh DATA BACKBONE WORK     (see README.md for what they are)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?the Grocery Store Dataset folder} backbone=${2:?mobilenetv2_224.onnx} work=${3:?a folder for caches}
python=${PYTHON:-python3}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=1
mkdir -p "$work"
[ -e "$work/cache/train_labels.npy" ] ||
    "$python" "$here/features.py" --data "$data" --backbone "$backbone" --cache "$work/cache" --seed 7
"$python" "$here/train.py" --cache "$work/cache" --backbone "$backbone" --out "$work/out" --seed 7
"$python" "$here/evaluate.py" --data "$data" --model "$work/out/product-embedding.onnx" --keep "$work/embeddings.npz"
