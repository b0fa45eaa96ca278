"""The experiments of the NormLIME paper (Ahern et al., AAAI 2020) on MNIST, with this library: see README.md here."""
