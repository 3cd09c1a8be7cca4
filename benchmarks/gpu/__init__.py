"""What a machine with a GPU and no network can tell: tests, speed, and the ISIC protocol at full size."""
