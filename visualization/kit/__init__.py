"""What all pictures and pages are made with."""
