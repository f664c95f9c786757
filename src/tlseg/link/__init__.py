"""Identify nuclei from frame to frame: links, gaps, divisions and lineages."""

from tlseg.link.lineage import Lineage, relabelled, with_tracks
from tlseg.link.link import link_objects
from tlseg.link.settings import LinkSettings

__all__ = ["Lineage", "LinkSettings", "link_objects", "relabelled", "with_tracks"]
