#!/bin/sh
# The training engine on a GPU in one go: sh tests/benchmarks/gpu.sh DATA SETS OUT
# DATA are training images as a recipe names them (folder:T91+folder:BSDS397), SETS a folder of benchmark sets; a file
# for each part lands in OUT. DEVICE=cpu SMALL=1 tries the script where there is no GPU; PARTS takes only some.
set -u
data=$1 sets=$2 out=$3
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
common="--device ${DEVICE:-cuda} --precision ${PRECISION:-bf16}"
if [ -n "${SMALL:-}" ]; then
    step="--networks small --patch 16 --batch 2 --steps 3 --skip 3 --rounds 1 --images 3"
    many="--steps 4 --patch 16 --batch 2 --candidates 2 --workers 1 2"
    long="--steps 4 --patch 16"
else
    step="--networks imdn small random --steps 300 --skip 60"
    many="--candidates 32 --workers 1 2 4 8"
    long="--steps 2000 --patch 48"
fi
mkdir -p "$out"
failed=
part() {
    name=$1
    shift
    case " ${PARTS:-$name} " in *" $name "*) ;; *) return ;; esac
    echo "== $name"
    "$@" >"$out/$name.txt" 2>&1 || failed="$failed $name"
    tail -n 40 "$out/$name.txt"
}
# Correct: bf16 in CUDA graphs against float32 one by one, gone on with, several at once against one at a time.
part tests "$python" -m pytest -m gpu -q "$here/.."
# How fast a step could be, and how far from that it is.
part roofline "$python" "$here/roofline.py" $common $step --profile
# At least 5 times a plain loop with the usual loader.
part training "$python" "$here/training.py" $common $step --workers "${LOADERS:-8}" --compile
# At least 1,000 candidates an hour, the GPU busy for at least 80 % of the time.
part throughput "$python" "$here/throughput.py" $common $many --data "$data"
# A short training on real images, against bicubic.
part set5 "$python" "$here/set5.py" $common $long --train "$data" --data-dir "$sets" --folder "$out/set5"
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
