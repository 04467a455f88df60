"""Deciding: who may change what the rules leave open, and what they sign. Pure, like the rules.

The council and its actions, the audit log of what it did, who validates, what a fork leaves in
state, and the lists of refunds that a compensation pays.
"""
