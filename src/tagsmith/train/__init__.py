"""From tagged documents to weights: recipes, the training loop, and what it takes to be killed and go on."""
