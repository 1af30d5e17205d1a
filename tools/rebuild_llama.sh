# Rebuilds the installed version of llama.cpp. pip caches what it has built, also a build for a GPU whose libraries are
# missing now. Such a build would come back in every new environment, although it cannot be loaded.
set -eu

echo "edgemed: pip's cached build of llama.cpp cannot be loaded here; rebuilding it takes 4 to 10 minutes."
locked=$(mktemp)
trap 'rm -f "$locked"' EXIT
sed -n '/^llama-cpp-python==/,/[0-9a-f]$/p' requirements.lock >"$locked"
"$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation \
    --force-reinstall --no-cache-dir -r "$locked"
"$PYTHON" -c 'import llama_cpp'
