#!/usr/bin/env python3
"""Asks a gateway everything that its document describes, and checks the answers against it.

operator_api.py URL TOKEN [OPTION ...]

It ends with 0 if no answer is one of the gateway's own failures, and each has a status, a type and
a body that the document names. Further options go to schemathesis.
"""

import sys

from schemathesis.cli import schemathesis

# These do not end by themselves.
STREAMS = ["/api/v1/events", "/api/v1/messages"]
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
]


def main():
    url, token, *more = sys.argv[1:]
    options = [
        "run", f"{url}/api/v1/openapi.json",
        "--url", url,
        "--header", f"Authorization: Bearer {token}",
        "--checks", ",".join(CHECKS),
        "--phases", "examples,coverage,fuzzing",
        "--max-examples", "5",
        "--seed", "1",
        "--workers", "1",
        "--generation-database", "none",
        "--request-timeout", "20",
        "--continue-on-failure",
        "--no-shrink",
        "--no-color",
        "--warnings", "off",
        "--suppress-health-check", "all",
    ]
    for path in STREAMS:
        options += ["--exclude-path", path]
    schemathesis(options + more, prog_name="st")


if __name__ == "__main__":
    main()
