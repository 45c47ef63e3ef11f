"""Benchmark: what the director costs on this host, beside whatever else the host has.

`sections.py` lists what is measured, `forwarders.py` what it is compared with. All traffic is in
namespaces of its own.
"""
