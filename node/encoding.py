"""rlp and MessagePack over declared fields, both ways; knows no record."""

BIG = "big"
"""Marks an integer field that may pass 64 bits: `Annotated[Quote, BIG]`."""
