"""The greatest memory of a process, as a line of code for it."""

PEAK = 'next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))'
"""MiB. ``ru_maxrss`` does not do: in a new process it begins with that of the process that started it."""
