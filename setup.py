"""What pyproject.toml cannot say: the extensions, and the tag of its wheel."""

import os

from setuptools import setup

WITHOUT_CORE = "DR_WITHOUT_CORE" in os.environ  # the Makefile compiles it by itself, in place
EXTENSIONS = ["csrc/build.py:ffibuilder", "csrc/build.py:bench"]

setup(
    cffi_modules=[] if WITHOUT_CORE else EXTENSIONS,
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
