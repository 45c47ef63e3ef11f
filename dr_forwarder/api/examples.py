"""Examples: each call as somebody may make it of the tutorial's cluster, and the answer.

They are documentation, and a test makes every call of them to a running director. Of an answer's
objects any part may be left out here, mostly what is another value each time.
"""

from __future__ import annotations

from .calls import Example

_VIP, _VM2, _VM3 = "10.10.10.60", "10.10.10.62", "10.10.10.63"
_KEY = {"protocol": "tcp", "address": _VIP, "port": 80}
_SERVICE = {
    "key": _KEY,
    "scheduler": "wrr",
    "persistent_s": None,
    "mask": "255.255.255.255",
    "flags": 0,
    "slow_start_s": 0,
}

SERVICES = Example(
    [
        {
            "service": _SERVICE,
            "servers": [
                {
                    "server": {"address": _VM3, "port": 80, "weight": 1, "upper": 0, "lower": 0},
                    "active": 0,
                    "persistent": 0,
                    "overloaded": False,
                },
                {
                    "server": {"address": _VM2, "port": 80, "weight": 1, "upper": 0, "lower": 0},
                },
            ],
        }
    ]
)
CONNECTIONS = Example(
    [
        {
            "protocol": "tcp",
            "client": "10.10.10.10",
            "address": _VIP,
            "port": 80,
            "server_port": 80,
            "template": False,
            "removed": False,
            "synced": False,
        }
    ]
)
STATS = Example(
    {
        "services": 1,
        "servers": 2,
        "connections": 1,
        "created": 1,
        "ring_dropped": 0,
        "workers": [{"ring_dropped": 0}],
    }
)
HEALTH = Example(
    [
        {
            "protocol": "tcp",
            "virtual": f"{_VIP}:80",
            "server": f"{_VM2}:80",
            "up": True,
            "failures": 0,
            "successes": 0,
        },
        {"protocol": "tcp", "virtual": f"{_VIP}:80", "server": f"{_VM3}:80", "up": True},
    ]
)
CONFIG = Example(
    {
        "virtuals": [
            {
                "protocol": "tcp",
                "address": _VIP,
                "port": 80,
                "real": [
                    {"address": _VM2, "port": 80, "weight": 1, "line": 4},
                    {"address": _VM3, "port": 80, "weight": 1, "line": 5},
                ],
                "scheduler": "wrr",
                "check": {"service": "http", "request": "/test.html", "receive": "foo"},
                "line": 3,
            }
        ],
        "settings": {"mac": "auto", "connections": 1048576},
    }
)
TRACE = Example(
    [{"record": None, "losses": {"overwritten": 0, "limited": 0}}],
    path="/trace?service=10.10.10.60:80&first=1",
)
DROPS = Example([{"after": None, "service": None, "server": None}], more=True)
EVENTS = Example(
    [{"number": 1, "phase": "starting", "gap": None}],
    path="/events?after=0&follow=false",
    more=True,
)
TIMEOUTS = Example({"tcp_s": 900, "tcp_fin_s": 120, "udp_s": 300})
DAEMONS = Example([])
LINK = Example({"interface": "eth0", "state": "up", "hindrance": None, "changes": 0})
STANDBY = Example({"standby": False})

CHANGES = Example(
    {"results": [0, 0, 0, 17], "warnings": []},
    {
        "changes": [
            {"operation": "add_service", "service": {"key": {**_KEY, "port": 443}}},
            {
                "operation": "add_server",
                "service": {"key": {**_KEY, "port": 443}},
                "server": {"address": _VM2, "weight": 5, "upper": 1000},
            },
            {
                "operation": "edit_server",
                "service": {"key": _KEY},
                "server": {"address": _VM3, "weight": 0},
            },
            {"operation": "add_service", "service": {"key": _KEY, "scheduler": "wlc"}},
        ]
    },
)
SET_TIMEOUTS = Example({"tcp_s": 3600, "tcp_fin_s": 120, "udp_s": 300}, {"tcp_s": 3600})
START_DAEMON = Example({"result": 0}, {"role": "master", "interface": "eth0", "sync_id": 7})
STOP_DAEMON = Example({"result": 0}, path="/daemons/master")
STAND_BY = Example({"standby": True}, {"standby": True})
RELOAD = Example({"notices": []})
OPENAPI = Example({"openapi": "3.1.0"})
ORDER = Example(
    [{"service": _KEY, "server": _VM2}],
    {"order": "drain", "service": _KEY, "server": _VM2, "deadline_s": 3600, "then": "reset"},
)
STANDING = Example(
    [
        {
            "order": {"service": _KEY, "server": _VM2, "then": "reset", "weight": 1},
        }
    ]
)
