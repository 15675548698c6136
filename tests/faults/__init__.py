"""Kills each step before each of its file-system calls, runs it again, and compares with an undisturbed run."""
