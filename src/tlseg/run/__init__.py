"""Stages, resume and workers: the only package that knows what a task is."""
