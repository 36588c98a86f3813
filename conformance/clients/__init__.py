"""Programs in other languages that answer the line protocol of `spec/protocol.md`."""
