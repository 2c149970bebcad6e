"""The incident officer's computer, which holds the private key: keys, open, verify, export, report."""
