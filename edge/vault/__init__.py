"""The process that writes: sealed segments, births, holds, ledger and deletion; it cannot read what it keeps."""
