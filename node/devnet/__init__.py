"""The devnet: one command that starts a sequencer and those who give it life.

What it is: a supervisor (`supervisor`) that makes a genesis document out of a template
(`template`), starts the sequencer, one process of price reporters (`reporters`) and one of traders
(`traders`), prints what an engineer needs to connect (`banner`), then a line for each block.

What it promises: the same command resumes the same chain; Ctrl-C, SIGTERM or the supervisor's own
death end every child (a pipe's end tells them); a child that dies is reported, actors are started
again, the sequencer's death ends the devnet with an error.

What it does not do: know the rules, or touch the database. Actors are ordinary clients (`client`,
`actor`): they sign transactions and send them by JSON-RPC, and take time from the head block, never
from the wall clock, so that a chain that stood still, or jumped, finds them right.

The keys are the well-known development ones (`accounts`). They protect nothing.
"""
