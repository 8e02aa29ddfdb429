"""Causal filters with carried state, specified as data: one chain for training, calibration, bench and the daemon.

A stream's chain is a tuple of :class:`toolkit.contract.FilterStage`; :class:`toolkit.filtering.chain.Chain`
runs it, :mod:`toolkit.filtering.design` makes the usual ones. All arithmetic is float32, in the order written
in :mod:`toolkit.filtering.stages`, so that the generated C gives the same bits.
"""
