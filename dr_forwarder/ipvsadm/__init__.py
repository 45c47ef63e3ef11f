"""The face of ipvsadm. Its command starts fast, because ldirectord calls it often."""

import sys
from types import ModuleType

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from typing import Any


class _Inspect(ModuleType):
    """The module, imported when something of it is asked for that is not to be had without."""

    @staticmethod
    def get_annotations(of: type) -> dict[str, object]:
        """Those of a class itself: Python 3.13's dataclasses ask for them."""
        return dict(of.__dict__.get("__annotations__", {}))  # noqa: RUF063 -- it is that function

    @staticmethod
    def unwrap(member: object) -> object:
        """Give what a member of a class wraps: Python 3.14's dataclasses ask for that."""
        while not isinstance(member, type) and hasattr(member, "__wrapped__"):
            member = member.__wrapped__
        return member

    def __getattr__(self, name: str) -> "Any":
        from importlib import import_module

        return getattr(import_module(self.__name__), name)


if "dataclasses" not in sys.modules and "inspect" not in sys.modules:
    # It describes classes without a docstring; its import takes as long as Python's own start.
    sys.modules["inspect"] = _Inspect("inspect")
    import dataclasses  # noqa: F401 -- keeps what it finds under that name

    del sys.modules["inspect"]
