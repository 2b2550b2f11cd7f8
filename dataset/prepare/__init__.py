"""One module per public data set: from its download to a prepared folder."""
