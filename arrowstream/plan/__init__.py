"""From the pipeline a user built to the plan that runs."""
