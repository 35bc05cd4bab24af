"""The base of what the API takes."""

from ninja import Schema


class Body(Schema, extra="forbid"):
    """The body of a request. A field nobody knows is refused and named: it is a mistyped one more often than not."""
