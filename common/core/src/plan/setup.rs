//! `setup`: bash code that is sourced before the agent is exec'ed.
//!
//! Its failure is told apart from the agent's: exit code [`SETUP_FAILED`], a line on stderr, and
//! `$A2ARUN_RUN_DIR/setup` with begin, end and code, from which its time is read as well.

/// The exit code of an instance whose `setup` failed. An agent may end with it as well: only with
/// the file beside it, it is the setup's.
pub const SETUP_FAILED: i32 = 113;

/// Runs the code in the shell that becomes the agent, so that what it exports stays. A trap
/// catches an `exit` in the code; the names begin with two underscores to hurt no variable.
const SCRIPT: &str = r#"__a2arun_end() {
  __a2arun_rc=$?
  trap - EXIT
  if [ -n "${A2ARUN_RUN_DIR:-}" ]; then
    printf '%s %s %s\n' "$__a2arun_from" "${EPOCHREALTIME:-$SECONDS}" "$__a2arun_rc" >"$A2ARUN_RUN_DIR/setup" 2>/dev/null
  fi
  if [ "$__a2arun_rc" -ne 0 ]; then
    printf 'a2arun: setup failed with exit code %s\n' "$__a2arun_rc" >&2
    exit 113
  fi
}
__a2arun_from=${EPOCHREALTIME:-$SECONDS}
__a2arun_code=$1
shift
trap __a2arun_end EXIT
eval "$__a2arun_code"
__a2arun_end
unset -f __a2arun_end
unset __a2arun_rc __a2arun_from __a2arun_code
exec "$@""#;

/// argv that runs `setup` and then becomes `argv`.
pub(super) fn wrap(setup: &str, argv: Vec<String>) -> Vec<String> {
    let head = ["bash", "-c", SCRIPT, "a2arun-setup", setup].map(str::to_owned);
    head.into_iter().chain(argv).collect()
}
