"""Prints the token that Microsoft's own library makes.

Arguments: resource, name of the policy, its key, and when the token ends in seconds since 1970.
"""

import sys

from azure.iot.device.common.auth import sastoken
from azure.iot.device.common.auth.signing_mechanism import SymmetricKeySigningMechanism

resource, policy, key, expires = sys.argv[1:]
sastoken.time.time = lambda: int(expires) - 3600
print(sastoken.RenewableSasToken(resource, SymmetricKeySigningMechanism(key), policy, ttl=3600))
