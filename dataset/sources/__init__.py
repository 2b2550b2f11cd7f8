"""What the preparations of person re-identification and retrieval data sets share."""
