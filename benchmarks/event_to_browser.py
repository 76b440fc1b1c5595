def measure(quick):
    return iter(())
