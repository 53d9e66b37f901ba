"""Page tokens. A token says where the next page begins and nothing else: what may be read is checked every time."""

import base64
import binascii

from shared.errors import invalid_field


def encode_token(kind: str, position: str) -> str:
    """Return a token for the page of `kind` that begins after `position`."""
    return base64.urlsafe_b64encode(f"{kind}:{position}".encode()).decode("ascii").rstrip("=")


def decode_token(kind: str, token: str) -> str:
    """Return the position in `token`. Raises InvalidArgument when it is no token of this `kind`."""
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _unknown_token() from None
    found_kind, _, position = text.partition(":")
    if found_kind != kind:
        raise _unknown_token()
    return position


def _unknown_token() -> Exception:
    return invalid_field("page_token", "is not a next_page_token of this method")
