#!/usr/bin/env bash
# The central comparison with a larger network and more steps, where a GPU is at hand.
#
#     benchmarks/central_gpu.sh PTB-XL [options of dbeta sweep]
#
# PTB-XL: its folder, all 21,837 records or a part. Five seeds of eight rows, first on these, then on
# a large synthetic cohort made here; what is finished is not run again. Results go to
# benchmarks/results/sweeps-gpu and sweeps-gpu-cohort, beside those of the CPU, and notebook 08 reads
# them: ./run_all.sh --profile ptbxl --only 08 --data ptb-xl=PTB-XL --set sweeps=FOLDER (absolute)
set -euo pipefail
[ $# -ge 1 ] || { echo "name the folder of PTB-XL: benchmarks/central_gpu.sh DIR" >&2; exit 2; }
data=$(realpath -- "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
sweep=(dbeta sweep notebooks/sweeps/central.yaml)
"${sweep[@]}" --profile gpu --data "ptb-xl=$data" --out runs/gpu/sweeps \
    --keep benchmarks/results/sweeps-gpu "${@:2}"
"${sweep[@]}" --profile cohort --out runs/cohort/sweeps \
    --keep benchmarks/results/sweeps-gpu-cohort "${@:2}"
