"""One command per public data set, from its download to a prepared folder. Nothing but commands is in here."""
