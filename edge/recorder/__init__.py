"""The process that listens: ring in RAM, clip on a press, sealed before it leaves; it cannot write."""
