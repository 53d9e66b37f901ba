"""Page tokens. A token says where to go on and nothing else: what may be read is checked every time."""

import base64
import binascii

from shared.errors import invalid_field


def encode_token(kind: str, position: str) -> str:
    """Return a token for the page of `kind` that begins after `position`."""
    return base64.urlsafe_b64encode(f"{kind}:{position}".encode()).decode("ascii").rstrip("=")


def decode_token(kind: str, token: str, *, field: str = "page_token") -> str:
    """Return the position in `token`, which was in `field`. Raises InvalidArgument when it is none of this `kind`."""
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _unknown_token(field) from None
    found_kind, _, position = text.partition(":")
    if found_kind != kind:
        raise _unknown_token(field)
    return position


def _unknown_token(field: str) -> Exception:
    return invalid_field(field, "is not a token that this method gave")
