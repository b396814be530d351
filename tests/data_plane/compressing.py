"""Compresses as clients do."""

import gzip
import sys

if sys.version_info >= (3, 14):
    from compression import zstd as library
else:
    from backports import zstd as library


def gzipped(data: bytes) -> bytes:
    """Return one gzip member, without the time: tests that are named by it have the same names in all processes."""
    return gzip.compress(data, 1, mtime=0)


def zstd(data: bytes, level: int = 3, window_bits: int = 0) -> bytes:
    """Return one zstd frame; a window of 0 bits is the level's own."""
    parameter = library.CompressionParameter
    return library.compress(data, options={parameter.compression_level: level, parameter.window_log: window_bits})
