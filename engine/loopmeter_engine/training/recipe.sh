#!/usr/bin/env bash
# The whole training, from nothing to weights: render, autoencoder, then decoder and transformer side by side.
#   recipe.sh DIR RECON_MINUTES JOINT_MINUTES PROCESSES CLIPS
# On one H100 with 16 cores: recipe.sh /tmp/train 7 15 14 7000. On two CPU cores the same, with hours for minutes.
set -euo pipefail
dir=$1 recon=$2 joint=$3 processes=$4 clips=$5
python=${PYTHON:-python3}
t=loopmeter_engine.training
mkdir -p "$dir"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice "$python" -m $t.corpus "$dir/corpus" --minutes "$recon" --processes "$processes" --clips "$clips" >"$dir/corpus.log" 2>&1 &
"$python" -m $t.train_autoencoder "$dir/corpus" "$dir" --minutes "$recon" --clips 4500 ${TRAIN_FLAGS:-} >"$dir/recon.log" 2>&1
wait
"$python" -m $t.train_autoencoder "$dir/corpus" "$dir" --adversarial --start "$dir/recon.pt" --minutes "$joint" \
  --batch "${ADVERSARIAL_BATCH:-32}" --rate 3e-4 --clips 2500 ${TRAIN_FLAGS:-} >"$dir/adversarial.log" 2>&1 &
adversarial=$!
"$python" -m $t.train_transformer "$dir/corpus" "$dir" --autoencoder "$dir/recon.pt" --minutes "$joint" \
  --batch "${TRANSFORMER_BATCH:-96}" --rate 1e-3 ${TRAIN_FLAGS:-} >"$dir/transformer.log" 2>&1
wait $adversarial
"$python" -m loopmeter_engine.weights_io autoencoder "$dir/adversarial.pt" "$dir/autoencoder.safetensors"
"$python" -m loopmeter_engine.weights_io transformer "$dir/transformer.pt" "$dir/transformer.safetensors"
echo finished
