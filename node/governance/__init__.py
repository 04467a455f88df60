"""Deciding: who may change what the rules leave open. Pure, like the rules.

So far there is the council, whose members and threshold stand in state. What it may decide, how it
proposes, and how signatures are counted comes with governance itself.
"""
