"""ImageNet VID: annotations, object crops, training lists and episodes. synthetic/ renders videos of the same form."""
