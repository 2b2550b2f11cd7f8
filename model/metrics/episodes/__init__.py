"""Episodes: which candidate is the anchor's? Accuracies, their intervals, their breakdown by attribute."""
