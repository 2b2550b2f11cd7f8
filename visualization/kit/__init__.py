"""What all pictures and pages are made with: the page, colours, letters, thumbnails, plots, cards of images."""
