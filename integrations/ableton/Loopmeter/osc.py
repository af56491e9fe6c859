"""OSC 1.0 messages of the types i, f and s: all that the bridge sends and takes."""

import struct


def encode(address, *values):
    """A message. ``int``, ``float`` and ``str`` become i, f and s."""
    types = "," + "".join("s" if isinstance(v, str) else "i" if isinstance(v, int) else "f" for v in values)
    return _padded(address) + _padded(types) + b"".join(_argument(value) for value in values)


def decode(datagram):
    """``(address, [values])``, or ``None`` for anything else, bundles included."""
    try:
        address, at = _string(datagram, 0)
        types, at = _string(datagram, at)
        if not address.startswith("/") or not types.startswith(","):
            return None
        values = []
        for kind in types[1:]:
            if kind == "s":
                value, at = _string(datagram, at)
            elif kind in "if":
                value = struct.unpack_from(">" + kind, datagram, at)[0]
                at += 4
            else:
                return None
            values.append(value)
    except (ValueError, struct.error):
        return None
    return address, values


def _argument(value):
    if isinstance(value, str):
        return _padded(value)
    return struct.pack(">i" if isinstance(value, int) else ">f", value)


def _padded(text):
    data = text.encode("utf-8") + b"\0"
    return data + b"\0" * (-len(data) % 4)


def _string(data, at):
    end = data.index(b"\0", at)
    return data[at:end].decode("utf-8"), end // 4 * 4 + 4
