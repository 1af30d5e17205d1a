# Fails with one sentence if this machine lacks something that is needed to build edgemed; otherwise prints nothing.
set -eu

missing() {
    echo "edgemed: $1" >&2
    exit 1
}

"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    missing "Python 3.11 or newer is needed; install it, or choose one: make PYTHON=/path/to/python3.11"
"${PYTHON:-python3}" -c 'import venv, ensurepip' 2>/dev/null ||
    missing "Python's venv module is missing; install it (Debian: apt install python3-venv)."
# CXX may have several words, such as "ccache g++", and an option.
${CXX:-c++} --version >/dev/null 2>&1 ||
    missing "a C++ compiler is needed to build llama.cpp and the engine; install one (Debian: apt install build-essential)."
case "$(uname -s) $(uname -m)" in
"Linux x86_64") ;;
*) [ -n "${EDGEMED_UNTESTED_PLATFORM:-}" ] ||
    missing "only Linux on x86-64 is tested; set EDGEMED_UNTESTED_PLATFORM=1 to continue with $(uname -s) $(uname -m) anyway." ;;
esac
