"""Episodes, where one anchor has to be told among candidates: accuracies, their intervals, their breakdown by attribute."""
