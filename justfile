# The same commands that CI runs.

default:
    @just --list

# format, clippy, unit tests, docs
check:
    scripts/test check

# end-to-end tests, or those whose name contains NAME
e2e NAME='':
    scripts/test e2e {{NAME}}

# builds and runs the quick example
demo:
    scripts/demo

# licences, bans and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny check bans licenses sources

# kills daemons under load; see scripts/storm
storm *ARGS:
    scripts/storm {{ARGS}}

# side by side with mpirun, mpiexec, srun, ssh, supervisord
bench *ARGS:
    scripts/bench {{ARGS}}
