"""Lab: the network of the tutorial on one machine, in one process, as root or as anybody."""

from dr_forwarder.lab.attached import Attached
from dr_forwarder.lab.commands import down, execute, up
from dr_forwarder.lab.errors import LabError, LabUnavailable
from dr_forwarder.lab.lab import Lab
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.network import BREAKERS, Finding, Network, break_, check
from dr_forwarder.lab.observe import Frame, Tap
from dr_forwarder.lab.picture import draw
from dr_forwarder.lab.privilege import acquire_privileges, enter_user_namespace
from dr_forwarder.lab.topology import Host, Topology, with_servers
from dr_forwarder.lab.traffic import Transfer

__all__ = [
    "BREAKERS",
    "Attached",
    "Finding",
    "Frame",
    "Host",
    "Lab",
    "LabError",
    "LabUnavailable",
    "Namespace",
    "Network",
    "Tap",
    "Topology",
    "Transfer",
    "acquire_privileges",
    "break_",
    "check",
    "down",
    "draw",
    "enter_user_namespace",
    "execute",
    "up",
    "with_servers",
]
