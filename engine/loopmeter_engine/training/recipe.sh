#!/usr/bin/env bash
# The whole training, from nothing to weights: render; the autoencoder by distances; its decoder sharpened by critics;
# the transformer on its latents, which the sharpening leaves as they are; its student; what the decoder is told of the
# players.
#   recipe.sh DIR RENDER_MINUTES CODEC_MINUTES SHARPEN_MINUTES TRANSFORMER_MINUTES STUDENT_MINUTES TIMBRES_MINUTES \
#     PROCESSES CLIPS
# Two CPU cores:  recipe.sh .cache/next 5 16 20 35 30 90 2 2400
# One H100 with 16 cores:  CODEC="--batch 64 --rate 1e-3" SHARPEN="--batch 48 --frames 32 --rate 4e-4" \
#   TRANSFORMER="--batch 96 --rate 1e-3 --compile" STUDENT="--batch 64" TIMBRES="--batch 48" recipe.sh /tmp/next 3 7 6 9 3 4 14 6500
# Recorded instruments play a part of the stems if a bundle is there: once, on a machine with a network,
#   python -m loopmeter_engine.training.make_bundle .cache/bundle       (see its first lines for what to install)
#   python -m loopmeter_engine.training.pack training.tar --bundle .cache/bundle   (to go on elsewhere)
# and BUNDLE=.cache/bundle recipe.sh ..., or BUNDLE=bundle where the archive was unpacked.
# Not how the shipped weights came about (docs/training-log.md): they took a detour. As a whole this has run only as a
# rehearsal of seconds a stage. Resumes: a stage that has a checkpoint in DIR goes on from there.
set -euo pipefail
dir=$1 render=$2 codec=$3 sharpen=$4 transformer=$5 student=$6 timbres=$7 processes=$8 clips=$9
python=${PYTHON:-python3}
t=loopmeter_engine.training
export OMP_WAIT_POLICY=passive PYTHONUNBUFFERED=1
mkdir -p "$dir/codec" "$dir/sharp"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 nice "$python" -m $t.corpus "$dir/corpus" \
  --minutes "$render" --processes "$processes" --clips "$clips" --tape 0.15 ${BUNDLE:+--bundle "$BUNDLE"}
"$python" -m $t.train_autoencoder "$dir/corpus" "$dir/codec" --minutes "$codec" --unscored 0.25 --bands ${CODEC:-} \
  2>&1 | tee -a "$dir/codec.log"
"$python" -m $t.train_autoencoder "$dir/corpus" "$dir/sharp" --minutes "$sharpen" --unscored 0.25 \
  --start "$dir/codec/autoencoder.pt" --decoder-only --adversarial ${SHARPEN:-} 2>&1 | tee -a "$dir/sharp.log"
"$python" -m $t.train_transformer "$dir/corpus" "$dir" --autoencoder "$dir/sharp/autoencoder.pt" \
  --minutes "$transformer" ${TRANSFORMER:-} 2>&1 | tee -a "$dir/transformer.log"
"$python" -m loopmeter_engine.weights_io autoencoder "$dir/sharp/autoencoder.pt" "$dir/autoencoder.safetensors"
"$python" -m loopmeter_engine.weights_io transformer "$dir/transformer.pt" "$dir/transformer.safetensors"
"$python" -m $t.train_student "$dir/corpus" "$dir" --autoencoder "$dir/sharp/autoencoder.pt" \
  --teacher "$dir/transformer.safetensors" --minutes "$student" ${STUDENT:-} 2>&1 | tee -a "$dir/student.log"
"$python" -m loopmeter_engine.weights_io difference "$dir/student.pt" "$dir/student_difference.safetensors"
"$python" -m $t.train_timbres "$dir/corpus" "$dir" --networks "$dir" --minutes "$timbres" ${TIMBRES:-} \
  2>&1 | tee -a "$dir/timbres.log"
"$python" -m loopmeter_engine.weights_io timbres "$dir/timbres.pt" "$dir/timbres.safetensors"
