"""The process that runs for months: sources kept, models loaded, sinks fed, configuration reloaded."""
