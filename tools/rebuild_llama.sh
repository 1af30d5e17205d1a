# Rebuilds the installed version of llama.cpp. pip caches what it has built, also a build for a GPU whose libraries are
# missing now. Such a build would come back in every new environment, although it cannot be loaded.
set -eu

version=$("$PYTHON" -m pip show llama-cpp-python | sed -n 's/^Version: //p')
echo "edgemed: pip's cached build of llama.cpp cannot be loaded here; rebuilding it takes 4 to 10 minutes."
"$PYTHON" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-cache-dir "llama-cpp-python==$version"
"$PYTHON" -c 'import llama_cpp'
