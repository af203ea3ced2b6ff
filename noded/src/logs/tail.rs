//! Where the last lines of a file begin.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK_BYTES: u64 = 64 * 1024;

/// The offset at which the last `lines` lines of the first `size` bytes begin. A last line without
/// its end counts as one.
pub(super) fn start_of_last_lines(file: &File, size: u64, lines: u64) -> io::Result<u64> {
    if lines == 0 {
        return Ok(size);
    }
    let mut found = 0;
    let mut end = size;
    let mut block = vec![0u8; usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX)];
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let len = usize::try_from(end - start).unwrap_or(block.len());
        let part = &mut block[..len];
        file.read_exact_at(part, start)?;
        for (index, byte) in part.iter().enumerate().rev() {
            let at = start + index as u64;
            // The newline that ends the last line begins none.
            if *byte == b'\n' && at + 1 != size {
                found += 1;
                if found == lines {
                    return Ok(at + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn last_lines() {
        let check = |text: &str, lines, want: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let size = text.len() as u64;
            let start = start_of_last_lines(&file, size, lines).unwrap();
            assert_eq!(&text[usize::try_from(start).unwrap()..], want, "{lines} of {text:?}");
        };
        check("a\nb\nc\n", 2, "b\nc\n");
        check("a\nb\nc", 2, "b\nc");
        check("a\nb\n", 9, "a\nb\n");
        check("a\n", 0, "");
        check("", 3, "");
        let long = "x".repeat(100_000) + "\n";
        check(&(long.clone() + &long + "end\n"), 2, &(long + "end\n"));
    }
}
