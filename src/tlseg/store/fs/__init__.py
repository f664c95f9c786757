"""Folders of this machine and remote stores behind one small value, and files that are whole or not there."""
