"""What both services need to be a good gRPC server: one place for errors, health, reflection and options."""
