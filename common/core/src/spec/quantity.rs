//! Amounts as people write them: `512M`, `2Gi`, `0.5` or `500m` of a CPU.

/// Bytes of `512M`, `2G`, `1.5GiB`, `4096`. K, M, G, T, P are powers of 1024 as in systemd and
/// Docker, with or without `i` and `B`. `None`: it is none, or above 2^63.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.to_ascii_uppercase();
    let power = match unit.as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KI" | "KIB" => 1,
        "M" | "MB" | "MI" | "MIB" => 2,
        "G" | "GB" | "GI" | "GIB" => 3,
        "T" | "TB" | "TI" | "TIB" => 4,
        "P" | "PB" | "PI" | "PIB" => 5,
        _ => return None,
    };
    scaled(number.trim(), 1_u64 << (10 * power))
}

/// Thousandths of a CPU: `2`, `0.5`, `500m`.
pub(super) fn cpu_milli(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => scaled(text, 1000),
    }
}

/// `number × unit`, exact for decimals, rounded down to whole ones.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let kept = &fraction[..fraction.len().min(18)];
    let part: u128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let power = 10_u128.pow(u32::try_from(kept.len()).ok()?);
    let extra = u64::try_from(part * u128::from(unit) / power).ok()?;
    whole.checked_mul(unit)?.checked_add(extra).filter(|n| *n < 1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, n) in [
            ("512M", Some(512 << 20)),
            ("2G", Some(2 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("4096", Some(4096)),
            ("1 kB", Some(1024)),
            ("", None),
            ("G", None),
            ("-1G", None),
            ("1X", None),
            ("1e3", None),
            ("99999999999999999999", None),
            ("9999999P", None),
        ] {
            assert_eq!(bytes(text), n, "{text}");
        }
        for (text, n) in
            [("1", Some(1000)), ("0.5", Some(500)), ("250m", Some(250)), ("x", None), (".", None)]
        {
            assert_eq!(cpu_milli(text), n, "{text}");
        }
    }

    #[test]
    fn no_text_panics() {
        proptest::proptest!(|(text in "[0-9.mMGKiB -]{0,40}")| {
            let _ = (bytes(&text), cpu_milli(&text));
        });
    }
}
