"""What `culvertd --debug-keys FILE` wrote: tshark options, and the ESP keys in them."""
import re
from dataclasses import dataclass


@dataclass
class EspKey:
    spi: int
    encryption: str
    key: bytes        # AEAD: key | salt
    integrity: str
    integrity_key: bytes


class DebugKeys:
    def __init__(self, path):
        self.lines = path.read_text().split("\n")[:-1]

    def tshark_options(self):
        options = ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
        for line in self.lines:
            options += ["-o", line]
        return options

    def esp(self, spi):
        """The key of the SA with `spi`, an int."""
        for line in self.lines:
            if line.startswith("uat:esp_sa:"):
                _, _, _, its_spi, encryption, key, integrity, integrity_key = re.findall(r'"([^"]*)"', line)
                if int(its_spi, 16) == spi:
                    return EspKey(spi, encryption, bytes.fromhex(key[2:]), integrity, bytes.fromhex(integrity_key[2:]))
        raise KeyError(hex(spi))
