"""What both flows of edgetool share: records, data, filters, the model, the command line."""

__version__ = "0.1.0"
