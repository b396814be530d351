"""Reads how long a Vorbis packet lasts: Vorbis I specification §4."""

import struct

_MODE_BITS = 41  # the flag of the block, then the types of window and transform, both 0, and the mapping


class VorbisBlocks:
    """The sizes of the blocks of one Vorbis stream, in samples."""

    def __init__(self, identification: bytes) -> None:
        """Read the first header, which begins with its type and `vorbis`."""
        self.rate = int(struct.unpack_from("<I", identification, 12)[0]) if len(identification) >= 16 else 0
        sizes = identification[28] if len(identification) > 28 else 0
        self._sizes = 1 << (sizes & 15), 1 << (sizes >> 4)
        self._flags: list[int] = []  # by mode
        self._before = 0

    def read_setup(self, setup: bytes) -> None:
        """Read the modes, which stand at the end of the third header."""
        bits = int.from_bytes(setup.rstrip(b"\0"), "little")
        end = bits.bit_length() - 1  # the last bit that is set ends the header
        flags: list[int] = []
        for count in range(1, 65):
            at = end - _MODE_BITS * count
            if at < 6 or bits >> at + 1 & 0xFFFFFFFF:
                return
            flags.insert(0, bits >> at & 1)
            if (bits >> at - 6 & 0x3F) + 1 == count:
                self._flags = flags

    def samples(self, first: int) -> float:
        """Return the samples of the packet that begins with this byte; at least, if the modes are not known."""
        if first & 1:  # a header
            return 0.0
        if not self._flags:
            return self._sizes[0] / 2
        mode = first >> 1 & (1 << (len(self._flags) - 1).bit_length()) - 1
        size = self._sizes[self._flags[mode]] if mode < len(self._flags) else self._sizes[0]
        samples = (self._before + size) / 4 if self._before else 0.0
        self._before = size
        return samples
