"""The face of ipvsadm. Its command starts fast, because ldirectord calls it often."""

import sys
from types import ModuleType


class _Later(ModuleType):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> object:
        from importlib import import_module

        return getattr(import_module(self.__name__), name)


if "dataclasses" not in sys.modules and "inspect" not in sys.modules:
    # It describes classes without a docstring; its import takes as long as Python's own start.
    sys.modules["inspect"] = _Later("inspect")
    import dataclasses  # noqa: F401 -- keeps what it finds under that name

    del sys.modules["inspect"]
