"""How outside libraries are used everywhere: kernels that need no cache, runtimes that report to nobody."""
