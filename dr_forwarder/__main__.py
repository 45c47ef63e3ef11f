"""``python -m dr_forwarder`` is the command `dr-forwarder`."""

from .cli import main

main()
