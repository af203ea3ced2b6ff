//! The keys behind a host's name: the reader's list and the documentation's.

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct HostKey {
    /// The key.
    pub key: &'static str,
    /// What may stand behind its `=`.
    pub value: &'static str,
    /// What it does, one line.
    pub doc: &'static str,
}

const fn key(key: &'static str, value: &'static str, doc: &'static str) -> HostKey {
    HostKey { key, value, doc }
}

/// Every key, in the order of the documentation.
pub const KEYS: [HostKey; 10] = [
    key("slots", "1–1000000", "how many instances it takes; `HOST:N` says the same"),
    key("max_slots", "1–1000000", "the bound that also holds with `--oversubscribe`"),
    key(
        "addr",
        "name or address",
        "what stands in URLs, and what is dialled, in place of the name",
    ),
    key("noded_port", "port", "where its noded listens; 7741 if not given"),
    key("labels", "a,b", "for `placement: {labels: …}`"),
    key("groups", "a,b", "more labels: the groups it belongs to"),
    key("gpus", "0–1024", "for `resources: {gpu: …}`"),
    key("ports", "A-B", "where `auto` ports of this host come from"),
    key("user", "name", "for SSH"),
    key("port", "port", "for SSH"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_knows_every_key() {
        for key in KEYS {
            let value = match key.value {
                "a,b" => "a,b",
                "A-B" => "20000-20100",
                "name" | "name or address" => "x",
                _ => "7",
            };
            let read = crate::hostfile::parse(&format!("n1 {}={value}", key.key));
            assert!(read.is_ok(), "{}: {read:?}", key.key);
        }
    }
}
