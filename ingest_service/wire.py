"""Fields of protobuf messages as bytes, for the few that are too many or too large to be made as objects.

https://protobuf.dev/programming-guides/encoding/. Numbers of fields come from the stubs.
"""

from google.protobuf.message import Message

VARINT, FIXED64, LEN = 0, 1, 2
_SEVEN_BITS = 0x7F


def key(message: type[Message], field: str, wire_type: int) -> bytes:
    """Return what stands in front of a value of this field."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


def varint(number: int) -> bytes:
    """Return `number`, 0 to 2**64 - 1, in groups of seven bits."""
    groups = bytearray()
    while number > _SEVEN_BITS:
        groups.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
