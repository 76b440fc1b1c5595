"""What runs the product on one machine: embedded servers and the supervisor of `make run`.

Owns processes, ports, folders and passwords of a first run and of the tests. Never imports Django or the
product's other packages: it starts them as programs.
"""
