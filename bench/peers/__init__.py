"""Peers of the appender, each in its own idiom and by the fastest way that it documents.

A peer that is not installed raises `bench.cells.MissingPeer`: its cells are left out, never faked.
"""
