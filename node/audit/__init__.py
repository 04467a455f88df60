"""What a range of blocks would have done with other inputs, and what that is worth to each account.

The counterfactual is replayed by the chain's own `apply_block`, from the state before the range, on
a state in memory that nobody can mistake for the chain's. Corrections change what goes in and
nothing else: prices that were reported, funding numbers with which a block begins, what is left
out. Everything after that follows by the rules. Without corrections it is the honest re-execution:
of an honest branch it makes the very state root, of a lying sequencer's it shows what the lie did.

Read in this order: `corrections`, `counterfactual`, `evidence`, `statement`, `report`.
"""
