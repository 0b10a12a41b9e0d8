"""The policy update: loss, batches, optimizer and its state."""
