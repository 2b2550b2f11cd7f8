"""ImageNet VID: annotations, object crops, training and evaluation sets; and a generator of videos of the same form."""
