#!/bin/sh
# From a budget to a network worth publishing: sh docs/campaign.sh RECIPE TRAIN SETS
# RECIPE names the budget and how candidates are trained (runs/x2-326k.toml), TRAIN the training images as a recipe does
# (folder:T91+folder:General100), SETS a folder of benchmark sets. Stopped at any point, the same command goes on.
# Settings, with what is taken without them:
#   HOURS, TRIALS, RUNGS   of the search: the recipe's
#   TOP=1                  how many of the front are trained in full
#   CONTROLS=imdn,rfdn     published networks made to fit the budget, trained just as these are
#   LONGER, WORKERS=1      steps of the full schedule (the recipe's), and how many are trained at once
#   LICENCE                of the weights, for their card
set -eu
recipe=$1 data=$2
export NAS_DATA="$3"
name=$(basename "$recipe" .toml)
scale=$(sed -n 's/^scale *= *\([234]\).*/\1/p' "$recipe")

# Search. The last line of all says how long it took.
begun=$(date +%s)
nas search "$recipe" --data "$data" ${HOURS:+--hours "$HOURS"} ${TRIALS:+--trials "$TRIALS"} ${RUNGS:+--rungs "$RUNGS"}
searched=$(date +%s)

# The best and the controls: the same data, schedule and seed, so that the architecture alone differs.
nas retrain "$name" --top "${TOP:-1}" --controls "${CONTROLS:-imdn,rfdn}" ${LONGER:+--steps "$LONGER"} \
    --workers "${WORKERS:-1}"

# Beside what papers print of networks near in cost; the table says what each was trained on.
mkdir -p published
nas evaluate bicubic --scale "$scale"
nas evaluate "$name" --table
nas evaluate "$name" --table --format markdown > published/table.md
nas front "$name" --png published/front.png

# What is published: the best network of the search with its card, and the whole history without weights.
nas export "$name" --format safetensors --out published --force --license "${LICENCE:-not stated}"
nas import-results "${NAS_RUNS:-runs}/results.db" --runs published
echo "searched for $((searched - begun)) s, trained and measured for $(($(date +%s) - searched)) s"
