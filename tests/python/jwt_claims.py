"""Prints header and claims of a JWT, once its signature, its time and its audience are found right.

Arguments: the token, the algorithm that it has to have, the audience, and the file of the public key.
"""

import json
import sys

import jwt

token, algorithm, audience, key = sys.argv[1:]
with open(key, encoding="ascii") as file:
    claims = jwt.decode(
        token,
        file.read(),
        algorithms=[algorithm],
        audience=audience,
        options={"require": ["exp", "iat", "aud"]},
    )
print(json.dumps({"header": jwt.get_unverified_header(token), "claims": claims}))
