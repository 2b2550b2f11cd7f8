"""Queries that rank a gallery: distances in tiles, ranks of the matches by counting, metrics of these ranks."""
