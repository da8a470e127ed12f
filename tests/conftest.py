import os

# Before torch is loaded: each test process has one core, and the same numbers on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
