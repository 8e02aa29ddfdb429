"""The pieces that ops and the emitter build C from: context, text, views, weight layouts."""
