"""Who is calling. Until identity is configured there is one fixed local owner."""

LOCAL_OWNER = "local"


def owner_of(context: object) -> str:
    """Return the owner on whose behalf a call is made."""
    del context
    return LOCAL_OWNER
