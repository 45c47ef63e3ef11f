"""What pyproject.toml cannot say: the extensions, and the tag of its wheel."""

from setuptools import setup

setup(
    cffi_modules=["csrc/build.py:ffibuilder", "csrc/build.py:bench"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
