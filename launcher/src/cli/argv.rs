//! mpirun's long options with one dash, turned into clap's before it looks.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One dash, several letters: users of mpirun type these.
const ONE_DASH: [&str; 4] = ["-np", "-host", "-hostfile", "-machinefile"];

/// Rewrites `-np 4` and `-np=4` to `--np…`, up to a `--`. Everything else stays as it is.
pub fn rewrite(argv: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut program = false;
    argv.into_iter()
        .map(|word| {
            program |= word == "--";
            if program || !is_one_dash(&word) {
                return word;
            }
            let mut long = b"-".to_vec();
            long.extend_from_slice(word.as_bytes());
            OsString::from_vec(long)
        })
        .collect()
}

fn is_one_dash(word: &OsStr) -> bool {
    let bytes = word.as_bytes();
    let name = bytes.split(|b| *b == b'=').next().unwrap_or(bytes);
    ONE_DASH.iter().any(|option| option.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_before_the_program_are_rewritten() {
        let check = |before: &str, after: &str| {
            let got: Vec<_> = rewrite(before.split(' ').map(OsString::from));
            let want: Vec<_> = after.split(' ').map(OsString::from).collect();
            assert_eq!(got, want);
        };
        check("a2arun -np 8 job.yaml", "a2arun --np 8 job.yaml");
        check("a2arun -np=8 -n 3", "a2arun --np=8 -n 3");
        check("a2arun -hostfile h -- x -np 3", "a2arun --hostfile h -- x -np 3");
        check("a2arun run -np 2 -npx", "a2arun run --np 2 -npx");
    }
}
