"""What a person does with sensors: record, replay, monitor, diagnose, scan."""
