"""What a person sees of a bench: console, HTML, JSON, plots."""
