#!/usr/bin/env bash
# From photographs to the detector of products and hands: draws the scenes, trains, measures. Everything random is
# seeded; sums on another processor or another number of threads round differently.
#   models/training/run_detector.sh DATA WORK     (see README.md for what they are)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=${1:?the Grocery Store Dataset folder} work=${2:?a folder}
python=${PYTHON:-python3}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=1
"$python" "$here/train_detector.py" --data "$data" --out "$work"
"$python" "$here/evaluate_detector.py" --data "$data" --model "$work/product-hand.onnx"
