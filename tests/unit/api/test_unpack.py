"""Compressed bodies, decompressed piece by piece."""

import zlib

import pytest

from courier_async.api.unpack import Unpacker


@pytest.mark.parametrize("wbits", [-15, 15, 31])
def test_what_is_left_of_a_last_full_piece_is_unpacked(wbits: int) -> None:
    encoding = "gzip" if wbits == 31 else "deflate"
    for size in range(131_072, 131_400):
        body = b"x" * size
        packer = zlib.compressobj(wbits=wbits)
        unpacker = Unpacker(encoding)
        pieces = [*unpacker.pieces(packer.compress(body) + packer.flush())]
        unpacker.finish()
        assert b"".join(pieces) == body
