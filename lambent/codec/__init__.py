"""The codec: a trained model compresses rows to about their negative ELBO, without loss, and they decode on any machine."""
