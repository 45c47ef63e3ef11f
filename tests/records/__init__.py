"""Recordings of kernel IPVS, replayed through the core."""
