"""Captures by path: pcap and pcapng files in, pcap files out.

They are read by the same library (the Rust crate pcap-file) as the project's other programs, so nothing else needs to be
installed.
"""

from lvs._lvs import Capture, write_capture as write

__all__ = ["Capture", "write"]
