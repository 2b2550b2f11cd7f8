"""Rendered videos of look-alike objects in ImageNet VID's layout."""
