#!/usr/bin/env bash
# Everything from photographs to the committed model. Some minutes on one core; nothing in it is random but the draws of
# evaluate.py and fit.py, whose seeds are fixed.
#   models/training/run.sh DATA BACKBONE WORK     (see README.md for what they are)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?the Grocery Store Dataset folder} backbone=${2:?efficientnet-lite0-57934424.pth} work=${3:?a folder}
python=${PYTHON:-python3}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=1
mkdir -p "$work"
"$python" "$here/train.py" --data "$data" --backbone "$backbone" --out "$work/out"
"$python" "$here/evaluate.py" --data "$data" --model "$work/out/product-embedding.onnx" --keep "$work/embeddings.npz"
"$python" "$here/fit.py" "$work/embeddings.npz"
