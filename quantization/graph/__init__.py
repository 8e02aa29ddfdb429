"""The intermediate form: tensors, ops, rewriting, the forms of a stream's rings."""
