"""The bytes on the wire (PROTOCOL.md): framing, packets, decoder, ledger, and the codec in C."""
