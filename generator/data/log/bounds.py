"""What a label, a time and a dwell time may be, in a log and in a request alike: what is read can be visited."""

__all__ = ["LATEST", "LONGEST_DWELL", "LONGEST_LABEL", "PRINTABLE"]

LONGEST_LABEL = 2048  # characters: what browsers and servers agree on for an address
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]+$"  # no line breaks: a vocabulary keeps one label a line
LATEST = 4_102_444_800.0  # unix seconds, the year 2100
LONGEST_DWELL = 1e12  # seconds; beyond any session, and sums of it stay finite in float32
