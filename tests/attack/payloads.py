"""A few bytes that decompress to gigabytes, one for each codec that the readers accept.

Images were encoded by imagecodecs of black arrays (``level=0`` or ``effort=1``) and packed; streams are made here of a
repeated block.
"""

import base64
import bz2
import gzip
import lzma
import struct
import zlib

GIB = 1 << 30
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]


def _unpacked(text: str) -> bytes:
    return lzma.decompress(base64.b85decode(text), format=lzma.FORMAT_RAW, filters=_FILTERS)


WEBP = _unpacked(  # 16,000 x 16,000 black colour
    r"0RSOVNk&E*00012MM6+kP&iBu0000lfBv5j2M`hc4@5-&0{{"
)
JPEG_XL = _unpacked(  # 20,000 x 20,000 black
    r";Ga$bH(dY#XaQ-v2G3laWYfktL%_nmqCKgr$RJN0$#H~~i=u#4l?O){ImD~;kNUbHMa3I*h9EWhKCBo}|0;RLGs`+E%eF+sE-vBe"
    r"XcR(``nAcfnAa{ZnDPil&$6nJc~5{cxw-6pd4=D)RAN?9fjdjIV-jJ9eP>#gRpXTqmfunl$WJn!q`{y83X^-HB}pgP&U@cdKwQCq"
    r"^z?d*%dE0apZISUHhmp8O1o_vElRAWfXo_LXdBVure7vq{hDP(sCV8O;|x7b<*p7d78hP+q2tfH+#rM!IFY*iP6sqskzjdO4rS;i"
    r"&OAJ;<!-KEvpMXd2E=G~lcVJZ82oRQVJ&9yP;(T<ydnRI>7f4PPJ#r;l}3QajGx9gH<ap)+|mj6?Y-#|*qAo!zL)uH+g5a50000"
)
LERC = _unpacked(  # 40,000 x 40,000 black
    r"-~dGcDqR338A?V&FP_no9A|Xc8wrh!=CKX;y%dWqSC}RgYSlQH+Twe3*$dT5000"
)
JPEG_XR = _unpacked(  # 12,000 x 12,000 black
    r"<2bqi-CY1A;_Lz+_+&ML)QLu%Ef=+->(>fzgVszDlSFNb5>FAcJ@<-R4;)RJ@Owff1}h<g6w;oXM74}2b}8-LsH89B%yDguis3~%"
    r"h@-AUxS$d#lJRoN0A)DXO2+?lKme0J>)c|DYAVXU5MuH+KqTNiU*hN6{#VRsk$rJ_!H`-HrpSFw@!mQ(TYpdMUkHu6XNABX?4IU_"
    r"N1E>~hi##aa{^P0#s8zxnfQqJrKx_mLU4Btip)%X$pvZQ&cyasDua(VXsW&zrp&GrlE`ZtKYe$rg8`kHe^USe00"
)
JPEG_2000 = _unpacked(  # 16,000 x 16,000 black
    r"-~*cg%3T0|liTGnhArT1bAqn^b@k;ikS~(F@cJHvb~cK-SnHDTw;Q}c<sy1nlMl;JSw>flXK-el$RtvxZ0tM6M6#5FbM&Eg5!X#u"
    r"iDr*qzYA?cf;0nz97P&79LeMmeRa=<1vcbkN3t~i4Np?<rYqtjtXjA2)<PZH&cMq5WBxNSA?WCIEBVEpOfH%z1{a<cV;9XCoOa%W"
    r"1p!`(IOjn#<y>wm{GyiFl3q@~SKeko?96vaJZM8h1~Pk5<M(EwM(9zv&$Vn6000"
)


def deflate(size: int, wbits: int = 15) -> bytes:
    """Return zlib data of `size` zeros; gzip with 31."""
    block, coder = bytes(16 << 20), zlib.compressobj(9, zlib.DEFLATED, wbits)
    first = coder.compress(block) + coder.flush(zlib.Z_FULL_FLUSH)
    again = coder.compress(block) + coder.flush(zlib.Z_FULL_FLUSH)
    return first + again * (size // len(block) - 1) + coder.flush()


def zstd(size: int) -> bytes:
    """Return a zstd frame of `size` zeros: blocks of one repeated byte (RFC 8878, 3.1.1.2)."""
    block = 128 << 10
    frame = struct.pack("<IBBQ", 0xFD2FB528, 0b11000000, 13 << 3, size)  # size in 8 bytes, window of 8 MiB
    count = size // block
    blocks = [struct.pack("<I", block << 3 | 1 << 1 | (number == count - 1))[:3] + b"\0" for number in range(count)]
    return frame + b"".join(blocks)


def blosc(size: int) -> bytes:
    """Return the header of a Blosc 1 buffer that claims `size` bytes, of memcpy (github.com/Blosc/c-blosc)."""
    return struct.pack("<BBBBIII", 2, 1, 0x2, 1, min(size, (1 << 31) - 17), 1 << 18, 16 + 64) + bytes(64)


def lz4(size: int) -> bytes:
    """Return an LZ4 block of zeros after its size, as numcodecs writes it; 255 bytes for each byte."""
    claimed = min(size, (1 << 31) - 1)
    body = b"\x1f\0\x01\0" + b"\xff" * ((claimed - 40) // 255 - 1)
    return struct.pack("<I", claimed) + body + b"\0" + b"\x50" + bytes(5)


def xz(size: int) -> bytes:
    """Return streams of xz, one after the other, of `size` zeros."""
    block = 64 << 20
    return lzma.compress(bytes(block), preset=1) * (size // block)


def bzip2(size: int) -> bytes:
    """Return streams of bzip2, one after the other, of `size` zeros."""
    block = 32 << 20
    return bz2.compress(bytes(block)) * (size // block)


def packbits(size: int) -> bytes:
    """Return PackBits of `size` zeros, 128 in two bytes."""
    return b"\x81\0" * (size // 128)


def png(rows: int, columns: int, depth: int = 8, colour: int = 0) -> bytes:
    """Return a black PNG of grey (`colour` 0), RGB (2), palette (3) or RGBA (6)."""
    samples = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    row = 1 + -(-columns * samples * depth // 8)
    pixels = deflate(-(-row * rows // (16 << 20)) * (16 << 20))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, 0))]
    parts += [(b"PLTE", bytes(range(9)))] if colour == 3 else []
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in [*parts, (b"IDAT", pixels), (b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def jpeg(content: bytes, rows: int, columns: int) -> bytes:
    """Return a JPEG whose frame header claims another size; the decoder fills what is missing."""
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", rows, columns) + content[at + 4 :]


def gzipped(text: bytes, size: int) -> bytes:
    """Return gzip data of `text` and spaces to at least `size` bytes."""
    return gzip.compress(text) + deflate(size, 31)
