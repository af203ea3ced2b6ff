//! How a value under `config` is written into a variable.

use serde_json::Value;

/// For Python agents: scalars as `str()` writes them, everything else as JSON.
pub(super) fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(n) if n.is_f64() => n.as_f64().map_or_else(|| n.to_string(), float),
        Value::Number(n) => n.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// For all others: JSON, but a text without its quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// As `repr(float)`: the shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
fn float(x: f64) -> String {
    let magnitude = x.abs();
    if x == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{x:?}");
    }
    let text = format!("{x:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, number) = match exponent.strip_prefix('-') {
                Some(number) => ('-', number),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{number:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_look_like_pythons() {
        let cases = [
            (json!(true), "True", "true"),
            (json!(null), "None", "null"),
            (json!(9001), "9001", "9001"),
            (json!(1.0), "1.0", "1.0"),
            (json!(-74.006), "-74.006", "-74.006"),
            (json!(1e16), "1e+16", "1e+16"),
            (json!(1.5e-7), "1.5e-07", "1.5e-7"),
            (json!("a b"), "a b", "a b"),
            (json!(["x", 1]), "[\"x\",1]", "[\"x\",1]"),
            (json!({"b": 1, "a": 2}), "{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"),
        ];
        for (value, py, other) in cases {
            assert_eq!(python(&value), py);
            assert_eq!(plain(&value), other);
        }
    }
}
