# Builds llama.cpp anew, in the version that is installed. pip keeps what it built once, whatever for: a build for a GPU
# whose libraries are not there comes back to every later environment, and cannot be loaded.
set -eu

version=$("$PYTHON" -m pip show llama-cpp-python | sed -n 's/^Version: //p')
echo "edgemed: the llama.cpp that pip had kept cannot be loaded here; building it anew takes about 4 minutes."
"$PYTHON" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-cache-dir "llama-cpp-python==$version"
"$PYTHON" -c 'import llama_cpp'
