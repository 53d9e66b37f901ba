"""The upload path: from a client's stream to a stored object, a record and a job."""
