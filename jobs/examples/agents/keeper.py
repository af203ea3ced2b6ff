"""The agent of dotenv-and-secrets: says what it was given, and its key, which it should not."""

import hashlib
import os

NAMES = ("KEEPER_KEY", "PASSPHRASE", "SESSION_TOKEN")

if __name__ == "__main__":
    print(f"keeper: {os.environ['GREETING']}")
    for name in NAMES:
        # What can be shown of a secret: how long it is, and a mark to compare it by.
        value = os.environ[name]
        mark = hashlib.sha256(value.encode()).hexdigest()[:8]
        print(f"keeper: {name} has {len(value)} characters, mark {mark}")
    print(f"keeper: by mistake: my key is {os.environ['KEEPER_KEY']}, keep it")
