"""Who makes blocks: the mempool, the sequencer that drives the chain, and the core's seam.

The chain below does not know which engine drives it (DESIGN section 6): `Blockchain.execute`,
`commit` and `import_block` are all that a driver needs.
"""
