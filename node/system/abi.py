"""Ethereum's ABI coding, as far as the system contracts need it: strict, and fast where it matters.

A sequence of static words is coded by one `struct` call when all its integers are small and not
negative, and word by word otherwise; tests compare both with eth_abi. What is longer than a word
(strings, bytes, arrays, tuples) is decoded in the one layout that every encoder makes: tails in
order, without gaps, padded with zeros. Offsets that point elsewhere are refused, so that decoding
takes no longer than the calldata is long.
"""

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812  # it is a class, whatever its name
from typing import Any, NamedTuple

WORD = 32

Parameter = Mapping[str, Any]
"""One entry of `inputs`, `outputs` or `components` in an ABI document."""
Values = Sequence[Any]

_CODES = {(8, False): "B", (16, False): "H", (32, False): "I", (64, False): "Q", (256, False): "Q",
          (8, True): "b", (16, True): "h", (32, True): "i", (64, True): "q",
          (256, True): "q"}  # fmt: skip
"""How `struct` codes an integer of (bits, signed) that is small and not negative."""


class AbiType(NamedTuple):
    """A type of the ABI: how its values become bytes, and words become values."""

    name: str
    """Canonical, as a signature has it: "uint256", "(int64,bool)[]"."""
    encode: Callable[[Any], bytes]
    """Whole words; OverflowError for an integer outside of the type's range."""
    decode: Callable[[bytes], Any] | None = None
    """From one word, ValueError if it is dirty; None for what is not one static word."""
    read: Callable[[bytes, int], tuple[Any, int]] | None = None
    """From a position: the value and where it ends; ValueError. None for one static word."""
    words: int = 1
    """How many it takes in the head."""
    is_dynamic: bool = False
    lowest: int = 0
    highest: int = 0
    """Of an integer's range, else 0."""
    pad: int = 0
    """Bytes before the value, in the fast form."""
    code: str = ""
    """How `struct` codes the value after its padding; empty if there is no fast form."""


class Coder:
    """Codes a sequence of types: arguments, return values, the data of events, fields of errors."""

    __slots__ = (
        "_bools",
        "_packer",
        "_plain",
        "_signed",
        "_unpacker",
        "_zeros",
        "size",
        "types",
    )

    def __init__(self, types: Sequence[AbiType]) -> None:
        self.types = tuple(types)
        self.size = WORD * sum(each.words for each in types)
        """Bytes of the head; of everything, if all types are static."""
        self._packer = self._unpacker = None
        self._plain = all(each.decode is not None for each in types)
        if all(each.code for each in types):
            self._packer = Struct(">" + "".join(f"{each.pad}x{each.code}" for each in types))
            self._unpacker = Struct(">" + "".join(f"{each.pad}s{each.code}" for each in types))
        self._zeros = tuple(bytes(each.pad) for each in types)
        self._signed = tuple(index for index, each in enumerate(types) if each.lowest < 0)
        self._bools = tuple(
            WORD * index + WORD - 1 for index, each in enumerate(types) if each.name == "bool"
        )

    def encode(self, values: Values) -> bytes:
        """Return the encoded values; OverflowError if an integer does not fit its type."""
        if self._packer is None:
            return self._encode_each(values)
        try:
            packed = self._packer.pack(*values)
        except StructError:
            return self._encode_each(values)
        for index in self._signed:
            if values[index] < 0:
                start = WORD * index
                end = start + self.types[index].pad
                packed = packed[:start] + b"\xff" * (end - start) + packed[end:]
        return packed

    def _encode_each(self, values: Values) -> bytes:
        heads: list[bytes] = []
        tails: list[bytes] = []
        tail_at = self.size
        for each, value in zip(self.types, values, strict=True):
            encoded = each.encode(value)
            if each.is_dynamic:
                heads.append(tail_at.to_bytes(WORD, "big"))
                tails.append(encoded)
                tail_at += len(encoded)
            else:
                heads.append(encoded)
        return b"".join(heads + tails)

    def decode(self, data: bytes, offset: int = 0) -> Values:
        """Return the values that stand from `offset` on; as in Solidity, more may follow them.

        Raises ValueError for missing bytes and for a word outside of its type's range.
        """
        if len(data) < offset + self.size:
            raise ValueError(f"{len(data) - offset} bytes of arguments, {self.size} needed")
        if self._unpacker is None:
            return self._decode_each(data, offset) if self._plain else self.read(data, offset)[0]
        fields = self._unpacker.unpack_from(data, offset)
        values = fields[1::2]
        pads = self._zeros
        for index in self._signed:
            if values[index] < 0:
                pads = (*pads[:index], b"\xff" * self.types[index].pad, *pads[index + 1 :])
        if fields[::2] != pads:
            return self._decode_each(data, offset)
        for at in self._bools:
            if data[offset + at] > 1:
                raise ValueError("a bool is 0 or 1")
        return values

    def _decode_each(self, data: bytes, offset: int) -> Values:
        values = []
        for each in self.types:
            assert each.decode is not None, "a plain sequence has one word for each"
            values.append(each.decode(data[offset : offset + WORD]))
            offset += WORD
        return values

    def read(self, data: bytes, start: int) -> tuple[Values, int]:
        """Return the values that stand from `start` on, in their one layout, and where they end.

        Raises ValueError as `decode` does, and for a tail that is not where the last one ended.
        """
        if len(data) < start + self.size:
            raise ValueError(f"{len(data) - start} bytes of values, {self.size} needed")
        values = []
        at, end = start, start + self.size
        for each in self.types:
            if each.decode is not None:
                values.append(each.decode(data[at : at + WORD]))
            else:
                assert each.read is not None, "what is not one word is read from a position"
                if not each.is_dynamic:
                    value, _ = each.read(data, at)
                elif _read_number(data, at) != end - start:
                    raise ValueError("a tail does not follow the one before")
                else:
                    value, end = each.read(data, end)
                values.append(value)
            at += WORD * each.words
        return values, end

    def clamp(self, values: Values) -> Values:
        """Return the values with every integer moved into its type's range."""
        return [
            max(each.lowest, min(value, each.highest)) if each.highest else value
            for each, value in zip(self.types, values, strict=True)
        ]


def signature(name: str, types: Sequence[AbiType]) -> str:
    """Return what a selector or topic is the hash of: "transfer(address,uint256)"."""
    return f"{name}({','.join(each.name for each in types)})"


def parse_type(parameter: Parameter) -> AbiType:
    """Return the type of a parameter of an ABI document; ValueError if it is not known here."""
    name: str = parameter["type"]
    if name.endswith("[]"):
        return _array(parse_type({**parameter, "type": name[:-2]}))
    if name in _SIMPLE:
        return _SIMPLE[name]
    if name == "tuple":
        return _tuple([parse_type(component) for component in parameter["components"]])
    for prefix, make in _SIZED.items():
        if name.startswith(prefix) and name[len(prefix) :].isdecimal():
            return make(int(name[len(prefix) :]))
    raise ValueError(f"unknown ABI type {name}")


# --- one static word -----------------------------------------------------------------------------


def _integer(bits: int, *, signed: bool) -> AbiType:
    lowest = -(1 << bits - 1) if signed else 0
    highest = (1 << bits - signed) - 1
    name = f"{'int' if signed else 'uint'}{bits}"

    def check(value: int) -> int:
        if not lowest <= value <= highest:
            raise OverflowError(f"{value} is no {name}")
        return value

    def encode(value: int) -> bytes:
        return check(value).to_bytes(WORD, "big", signed=signed)

    def decode(word: bytes) -> int:
        value = int.from_bytes(word, "big", signed=signed)
        if not lowest <= value <= highest:
            raise ValueError(f"0x{word.hex()} is no {name}")
        return value

    code = _CODES.get((bits, signed), "")
    pad = WORD - min(bits, 64) // 8
    return AbiType(name, encode, decode, lowest=lowest, highest=highest, pad=pad, code=code)


def _fixed_bytes(size: int) -> AbiType:
    def encode(value: bytes) -> bytes:
        if len(value) > size:
            raise OverflowError(f"{len(value)} bytes for a bytes{size}")
        return value.ljust(WORD, b"\x00")

    def decode(word: bytes) -> bytes:
        if any(word[size:]):
            raise ValueError(f"0x{word.hex()} is no bytes{size}")
        return word[:size]

    return AbiType(f"bytes{size}", encode, decode, code="32s" if size == WORD else "")


def _encode_address(value: bytes) -> bytes:
    if len(value) != 20:
        raise OverflowError(f"{len(value)} bytes for an address")
    return bytes(12) + value


def _decode_address(word: bytes) -> bytes:
    if any(word[:12]):
        raise ValueError(f"0x{word.hex()} is no address")
    return word[12:]


def _encode_bool(value: object) -> bytes:
    return _TRUE if value else _FALSE


def _decode_bool(word: bytes) -> bool:
    if word == _TRUE:
        return True
    if word == _FALSE:
        return False
    raise ValueError("a bool is 0 or 1")


_TRUE = (1).to_bytes(WORD, "big")
_FALSE = bytes(WORD)


# --- what is longer ------------------------------------------------------------------------------


def _encode_bytes(value: bytes) -> bytes:
    padding = bytes(-len(value) % WORD)
    return len(value).to_bytes(WORD, "big") + value + padding


def _encode_string(value: str) -> bytes:
    return _encode_bytes(value.encode())


def _read_number(data: bytes, at: int) -> int:
    if len(data) < at + WORD:
        raise ValueError("an offset or a length is missing")
    return int.from_bytes(data[at : at + WORD], "big")


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    first = at + WORD
    last = first + _read_number(data, at)
    end = last + -(last - first) % WORD
    if len(data) < end:
        raise ValueError("bytes end before their length")
    if any(data[last:end]):
        raise ValueError("bytes are padded with zeros")
    return data[first:last], end


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    value, end = _read_bytes(data, at)
    return value.decode(), end  # UnicodeDecodeError is a ValueError


def _array(item: AbiType) -> AbiType:
    def encode(values: Values) -> bytes:
        return len(values).to_bytes(WORD, "big") + Coder([item] * len(values)).encode(values)

    def read(data: bytes, at: int) -> tuple[Values, int]:
        count = _read_number(data, at)
        if count * item.words * WORD > len(data) - at:
            raise ValueError("an array ends before its length")
        return Coder([item] * count).read(data, at + WORD)

    return AbiType(f"{item.name}[]", encode, read=read, is_dynamic=True)


def _tuple(types: Sequence[AbiType]) -> AbiType:
    coder = Coder(types)
    is_dynamic = any(each.is_dynamic for each in types)
    words = 1 if is_dynamic else coder.size // WORD

    def read(data: bytes, at: int) -> tuple[Values, int]:
        if not is_dynamic:
            return tuple(coder.decode(data, at)), at + coder.size
        values, end = coder.read(data, at)
        return tuple(values), end

    return AbiType(signature("", types), coder.encode, None, read, words, is_dynamic)


_SIMPLE = {
    "address": AbiType("address", _encode_address, _decode_address, pad=12, code="20s"),
    "bool": AbiType("bool", _encode_bool, _decode_bool, pad=31, code="?"),
    "string": AbiType("string", _encode_string, read=_read_string, is_dynamic=True),
    "bytes": AbiType("bytes", _encode_bytes, read=_read_bytes, is_dynamic=True),
}
_SIZED: dict[str, Callable[[int], AbiType]] = {
    "uint": lambda bits: _integer(bits, signed=False),
    "int": lambda bits: _integer(bits, signed=True),
    "bytes": _fixed_bytes,
}
