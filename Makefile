# Thin: each target is a script in scripts/. PYTHON=python3.12 make test uses that Python.

.PHONY: setup demo test check labextension clean

setup: ; @scripts/setup

demo: setup ; @scripts/demo

test: ; @scripts/test

check: ; @scripts/check

labextension: ; @scripts/labextension develop

clean: ; rm -rf .venv .venv.lock .venv-* node_modules labextension/lib nbpipe/_labextension build dist
