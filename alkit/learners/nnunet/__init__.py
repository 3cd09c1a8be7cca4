"""nnU-Net as a learner: it runs in processes of its own, which may belong to another environment of Python."""
