"""The .etl file: writing, reading, recovering, exporting."""
