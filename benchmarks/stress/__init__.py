"""How a bundle stands sensors that are worn wrongly, fail or are mistaken: every perturbation by name and size."""
