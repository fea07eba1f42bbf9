"""Real models, real tasks and the runs that compare adapters on them."""
