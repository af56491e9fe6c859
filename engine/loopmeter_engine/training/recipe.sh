#!/usr/bin/env bash
# The whole training, from nothing to weights: render, then the autoencoder, then the transformer.
#   recipe.sh DIR RENDER_MINUTES AUTOENCODER_MINUTES TRANSFORMER_MINUTES PROCESSES CLIPS
# Two CPU cores:  recipe.sh .cache/train 5 16 35 2 2400
# One H100 with 16 cores:  AUTOENCODER="--batch 64 --rate 1e-3" TRANSFORMER="--batch 96 --rate 1e-3 --compile" \
#   recipe.sh /tmp/train 3 9 15 14 6500
# Not how the shipped weights came about (docs/training-log.md): they took a detour; this has not been run as a whole.
# Resumes: a stage that has a checkpoint in DIR goes on from there.
set -euo pipefail
dir=$1 render=$2 autoencoder=$3 transformer=$4 processes=$5 clips=$6
python=${PYTHON:-python3}
t=loopmeter_engine.training
export OMP_WAIT_POLICY=passive PYTHONUNBUFFERED=1
mkdir -p "$dir"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice "$python" -m $t.corpus "$dir/corpus" \
  --minutes "$render" --processes "$processes" --clips "$clips"
"$python" -m $t.train_autoencoder "$dir/corpus" "$dir" --minutes "$autoencoder" ${AUTOENCODER:-} 2>&1 | tee -a "$dir/autoencoder.log"
"$python" -m $t.train_transformer "$dir/corpus" "$dir" --autoencoder "$dir/autoencoder.pt" \
  --minutes "$transformer" ${TRANSFORMER:-} 2>&1 | tee -a "$dir/transformer.log"
"$python" -m loopmeter_engine.weights_io autoencoder "$dir/autoencoder.pt" "$dir/autoencoder.safetensors"
"$python" -m loopmeter_engine.weights_io transformer "$dir/transformer.pt" "$dir/transformer.safetensors"
