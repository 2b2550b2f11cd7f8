"""What raw downloads look like (names, folders, tables, archives), and what the commands that prepare them share."""
