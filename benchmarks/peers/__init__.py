"""What uploads are measured beside: servers as processes, and the object store's own library."""
