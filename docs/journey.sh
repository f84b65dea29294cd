#!/bin/sh
# From a search to enlarged photographs, with every product on the way: sh docs/journey.sh PHOTO [SETS]
# PHOTO is an image to enlarge, SETS a folder of benchmark sets. The defaults take some minutes on two CPU cores and
# show the way; a network worth using takes a GPU, TRIALS=100, STEPS=2000 and LONGER=100000.
set -eu
photo=$1
sets=${2:-}
trials=${TRIALS:-4} steps=${STEPS:-200} longer=${LONGER:-600} data=${DATA:-photos}
if [ -n "$sets" ]; then export NAS_DATA="$sets"; fi

# Search, and train the knee of its front for longer; measured on the sets where there are any.
nas search --name journey --max-params 100k --max-multi-adds 6G --data "$data" --trials "$trials" --steps "$steps"
nas front journey
nas retrain journey --knee --set steps="$longer"
if [ -n "$sets" ]; then nas evaluate journey --table; fi

# Smaller: without a third of its Multi-Adds, then in 8-bit integers.
nas compress journey --name journey-small --data "$data" --prune 0.67 --quantise int8 \
    --steps "$longer" --max-drop-db "${DROP:-0.5}"
nas front journey-small
pruned=$(ls -d runs/journey-small/stages/*pruned)
int8=$(ls runs/journey-small/stages/*int8/model-int8.onnx)

# Measured side by side on this machine.
nas measure journey "$pruned/weights.safetensors" --engine eager,onnxruntime --output 320x240 --runs 3

# Out of here: one file for other programs, one that needs torch alone.
nas export "$pruned/weights.safetensors" --format onnx --out products/network.onnx
nas export "$pruned/weights.safetensors" --format python --out products/network.py

# In use: the network, the file that was exported, and the one in integers.
nas upscale "$photo" --model "$pruned/weights.safetensors" --out products/by-network.png
nas upscale "$photo" --model products/network.onnx --out products/by-onnx.png
nas upscale "$photo" --model "$int8" --out products/by-int8.png
