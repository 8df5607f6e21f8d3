"""Framework (pure), snapshot, queue, loop, and plugins one file each."""
