#!/usr/bin/env bash
# From recordings to a zero-shot table in one command; see ./run_all.sh --help.
# Checks the command line, makes an environment where none is active, then hands over to
# dbeta_lib.workflow (or, with `test`, to pytest). Exit codes: 0, 1 failed, 2 wrong use, 75 stopped.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    echo "run_all.sh: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python; do
        if command -v "$name" >/dev/null && is_new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and none was found on PATH"
}

# Exit code 2 and one sentence for a wrong command line; needs no installed package.
check_command_line() {
    "$1" -I -B -c 'import sys
sys.path.insert(0, sys.argv[1])
from dbeta_lib.command_line import main
sys.exit(main(sys.argv[2:]))' "$root" "${@:2}"
}

# The python of the active environment, else of .venv, which is made where it is missing or broken.
environment_python() {
    local active=${VIRTUAL_ENV:-}
    if [ -z "$active" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ]; then
        active=${CONDA_PREFIX:-}
    fi
    if [ -n "$active" ]; then
        is_new_enough "$active/bin/python" ||
            fail "the active environment $active has no Python 3.11 or newer; deactivate it or make it anew"
        echo "$active/bin/python"
        return
    fi
    if ! "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
        echo "making $root/.venv" >&2
        "$1" -m venv --clear "$root/.venv" >&2 ||
            fail "could not make .venv; on Debian or Ubuntu 'apt install python3-venv' helps"
    fi
    echo "$root/.venv/bin/python"
}

# pip with its many lines kept in a log: a terminal sees the current one, a failure shows the last.
pip_install() {
    local log=$prefix/dbeta-install.log
    if [ -t 1 ]; then
        "$python" -m pip install --progress-bar off "$@" 2>&1 | tee "$log" |
            awk '{ printf "\r\033[K  %s", substr($0, 1, 76); fflush() } END { printf "\r\033[K" }'
    else
        "$python" -m pip install --progress-bar off "$@" >"$log" 2>&1
    fi
}

# Which build of torch: what is there stays; the user's choice; CUDA where there is a GPU; else CPU.
install_torch() {
    local version choice=${DBETA_TORCH:-}
    version=$(sed -n 's/^torch==//p' "$root/constraints.txt")
    if "$python" -c 'import torch' 2>/dev/null; then
        return
    fi
    if [ -n "$choice" ] && [ "$choice" != cpu ] && [ "$choice" != cuda ]; then
        # shellcheck disable=SC2086  # may be several words: a requirement and options of pip
        pip_install $choice || fail "pip could not install DBETA_TORCH='$choice'; see $prefix/dbeta-install.log"
    elif [ "$choice" = cuda ] || [ "$(uname -s)" != Linux ] ||
        { [ "$choice" != cpu ] && nvidia-smi -L >/dev/null 2>&1; }; then
        pip_install "torch==$version" || fail "pip could not install torch; see $prefix/dbeta-install.log"
    else
        pip_install "torch==$version+cpu" ||
            pip_install --no-deps --retries 0 --timeout 15 \
                --index-url https://download.pytorch.org/whl/cpu "torch==$version+cpu" ||
            fail "no CPU build of torch $version was found; to take the CUDA build (several GB) instead, run: DBETA_TORCH=cuda ./run_all.sh"
    fi
}

has_packages() {
    "$python" -P -c 'import importlib.util as u, sys
sys.exit(not all(map(u.find_spec, ("dbeta_lib", "torch", "papermill"))))' 2>/dev/null
}

# This package and what it needs, at the versions of constraints.txt; nothing when unchanged.
install() {
    local extra=$1 stamp stamps made wanted kept started=$SECONDS
    prefix=$("$python" -c 'import sys; print(sys.prefix)')
    stamp=$prefix/dbeta-installed
    wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum) $root"
    stamps=("$stamp${extra:+-$extra}")
    # What the tests or an extra need includes what a run needs, so their stamps serve it too.
    [ -n "$extra" ] || stamps+=("$stamp"-*)
    for made in "${stamps[@]}"; do
        if [ "$wanted" = "$(cat "$made" 2>/dev/null)" ] && has_packages; then return; fi
    done
    has_packages || rm -f "$stamp"-*
    rm -f "${stamps[0]}"
    if [ -d "$prefix/conda-meta" ]; then
        echo "installing dbeta_lib into $prefix"
        pip_install --no-deps -e "$root" || fail "pip failed; see $prefix/dbeta-install.log"
        "$python" -c 'import torch, papermill, wfdb' ||
            fail "the conda environment lacks packages; run: conda env update -f $root/environment.yml"
    else
        echo "installing into $prefix (the first time: about two minutes and 2.2 GB)"
        install_torch
        # A torch that was there already stays, whatever constraints.txt says.
        kept=$("$python" -c 'from importlib.metadata import version; print(version("torch").split("+")[0])')
        sed "s/^torch==.*/torch==$kept/" "$root/constraints.txt" >"$prefix/dbeta-constraints.txt"
        pip_install -c "$prefix/dbeta-constraints.txt" -e "$root${extra:+[$extra]}" || {
            tail -n 5 "$prefix/dbeta-install.log" >&2
            fail "pip failed; the whole log is $prefix/dbeta-install.log"
        }
        echo "installed in $((SECONDS - started)) s"
    fi
    echo "$wanted" >"${stamps[0]}"
}

system_python=$(find_python)
if [ "${1:-}" = test ]; then
    python=$(environment_python "$system_python")
    install dev,formats
    cd "$root"
    # One thread for each worker: two threads on a busy machine cost more time than they save.
    OMP_NUM_THREADS=1 exec "$python" -m pytest -q -n 2 "${@:2}"
fi

check_command_line "$system_python" "$@" || exit $?
for argument in "$@"; do
    case $argument in -h | --help) exit 0 ;; esac
done
python=$(environment_python "$system_python")
# Hours before a notebook would ask for it.
case " $*" in *" neurokit=true"* | *"=neurokit=true"*) install features ;; *) install '' ;; esac
exec "$python" -P -m dbeta_lib.workflow "$@"
