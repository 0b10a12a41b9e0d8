"""What a run will need before it starts: memory, tokens, floating-point operations, time and disk, by arithmetic."""
