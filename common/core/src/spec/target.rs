//! `deployment` of an agent: where it is launched, with the fields that each target needs.

use crate::ids::{HostName, IdError};
use crate::plan::reserved::is_user_name;
use crate::source::{Code, Finding, Span};
use crate::spec::environment::{self, Environment};
use crate::spec::model::{Remote, Target};
use crate::spec::policy::{Container, Kubernetes};
use crate::spec::table::{Findings, Table, scalar};
use crate::spec::yaml::Node;

/// What was read.
pub(super) struct Deployment {
    pub(super) target: Target,
    pub(super) environment: Environment,
    pub(super) workdir: Option<String>,
    pub(super) python: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetWord {
    Localhost,
    Remote,
    Container,
    Kubernetes,
}

pub(super) const TARGETS: [(&str, TargetWord); 4] = [
    ("localhost", TargetWord::Localhost),
    ("remote", TargetWord::Remote),
    ("container", TargetWord::Container),
    ("kubernetes", TargetWord::Kubernetes),
];

/// Which keys a target reads, beside those of all.
fn reads(word: TargetWord) -> &'static [&'static str] {
    match word {
        TargetWord::Localhost => &[],
        TargetWord::Remote => &["host", "user", "ssh_key", "port"],
        TargetWord::Container => {
            &["host", "user", "ssh_key", "port", "image", "network", "container_name"]
        }
        TargetWord::Kubernetes => &["image", "namespace", "service_type"],
    }
}

const FIELDS: [&str; 9] = [
    "host",
    "user",
    "ssh_key",
    "port",
    "image",
    "network",
    "container_name",
    "namespace",
    "service_type",
];

/// Reads the section; where it is absent or wrong, `localhost` is meant. `has_run`: the agent says
/// what it runs.
pub(super) fn deployment(table: &mut Table<'_>, has_run: bool, f: &mut Findings) -> Deployment {
    let mut found = Deployment {
        target: Target::Localhost,
        environment: Environment::default(),
        workdir: None,
        python: None,
    };
    let Some((key, node)) = table.get_with_key("deployment") else { return found };
    let Some(mut table) = Table::new(node, "deployment", f) else { return found };
    table.section = "agents[].deployment".to_owned();
    let (word, named) = target_word(&mut table, f);
    let read = word.unwrap_or(TargetWord::Localhost);
    found.workdir = table.named("workdir", f);
    found.python = table.named("python", f);
    if let Some(node) = table.get("environment") {
        found.environment = environment::read(node, "deployment.environment", f);
    }
    for field in FIELDS {
        if let Some((key, _)) = table.get_with_key(field)
            && word.is_some_and(|w| !reads(w).contains(&field))
        {
            let name = TARGETS.iter().find(|(_, w)| *w == read).map_or("", |(name, _)| name);
            let path = format!("deployment.{field}");
            f.no_effect(key.span, &path, &format!("with `target: {name}`"));
        }
    }
    match read {
        TargetWord::Localhost => {}
        TargetWord::Remote => found.target = remote(&mut table, named, key.span, f),
        TargetWord::Container => {
            f.not_acted_on(key.span, "deployment.target: container");
            let image = image(&mut table, f);
            if image.is_none() && named.is_none() {
                needs_image(key.span, "container", f);
            }
            found.target = Target::Container(Container {
                image,
                network: table.named("network", f),
                name: table.named("container_name", f).or(named.map(|(name, _)| name)),
                host: table.get("host").and_then(|n| host_name(n, "deployment.host", f)),
            });
        }
        TargetWord::Kubernetes => {
            f.not_acted_on(key.span, "deployment.target: kubernetes");
            let image = image(&mut table, f);
            if image.is_none() && !has_run {
                needs_image(key.span, "kubernetes", f);
            }
            found.target = Target::Kubernetes(Kubernetes {
                image,
                namespace: table.named("namespace", f),
                service_type: table.text("service_type", f),
            });
        }
    }
    if let Some((key, _)) = table.get_with_key("password") {
        f.push(
            Finding::warning(
                Code::NotYet,
                key.span,
                format!("`deployment.password`{} is not used", f.of_agent()),
            )
            .about(None, "deployment.password")
            .help("a2arun uses your SSH keys and agent; take the password out of the file"),
        );
    }
    table.finish(f);
    found
}

fn remote(
    table: &mut Table<'_>,
    named: Option<(String, Span)>,
    key: Span,
    f: &mut Findings,
) -> Target {
    let host = match (table.get("host"), named) {
        (Some(node), named) => {
            if let Some((_, span)) = named {
                let message = "`target: host:NAME` and `host` both name a host";
                f.push(
                    Finding::error(Code::Conflict, node.span, message).other(span, "the other one"),
                );
            }
            host_name(node, "deployment.host", f)
        }
        (None, Some((name, span))) => parsed_host(&name, span, f),
        (None, None) => {
            f.push(
                Finding::error(Code::Missing, key, "`target: remote` needs a `host`")
                    .about(None, "deployment.host"),
            );
            None
        }
    };
    let user_span = table.get("user").map(|n| n.span);
    let user = table.text("user", f).filter(|user| {
        let fine = is_user_name(user);
        if !fine {
            let message = format!("`deployment.user` is `{}`, no user name", user.escape_debug());
            f.error(Code::Value, user_span.unwrap_or_default(), message);
        }
        fine
    });
    let ssh_key = table.named("ssh_key", f);
    let ssh_port = table.port("port", f);
    match host {
        Some(host) => Target::Remote(Remote { host, user, ssh_port, ssh_key }),
        None => Target::Localhost,
    }
}

fn image(table: &mut Table<'_>, f: &mut Findings) -> Option<String> {
    let (_, node) = table.get_with_key("image")?;
    let image = table.text("image", f)?;
    if image.is_empty() || image.starts_with('-') || image.contains(char::is_whitespace) {
        let message = format!("`deployment.image` is `{}`, no image name", image.escape_debug());
        f.push(Finding::error(Code::Value, node.span, message).about(None, "deployment.image"));
    }
    Some(image)
}

fn needs_image(key: Span, target: &str, f: &mut Findings) {
    let message = format!("`target: {target}` needs an `image`");
    f.push(Finding::error(Code::Missing, key, message).about(None, "deployment.image"));
}

/// `target`, with the name behind `host:` or `container:`.
fn target_word(
    table: &mut Table<'_>,
    f: &mut Findings,
) -> (Option<TargetWord>, Option<(String, Span)>) {
    let node = table.get("target");
    let text = node.and_then(scalar).unwrap_or_default();
    let span = node.map_or(Span::default(), |n| n.span);
    let forms = [("host:", TargetWord::Remote), ("container:", TargetWord::Container)];
    for (form, word) in forms {
        if let Some(name) = text.strip_prefix(form).map(str::trim).filter(|name| !name.is_empty()) {
            return (Some(word), Some((name.to_owned(), span)));
        }
    }
    (table.word("target", &TARGETS, f), None)
}

/// A host's name, or a finding.
pub(super) fn host_name(node: &Node, path: &str, f: &mut Findings) -> Option<HostName> {
    let Some(text) = scalar(node) else {
        f.wrong_type(node, path, "a host name");
        return None;
    };
    parsed_host(&text, node.span, f)
}

fn parsed_host(text: &str, span: Span, f: &mut Findings) -> Option<HostName> {
    let read: Result<HostName, IdError> = text.parse();
    read.map_err(|e| f.error(Code::Value, span, e.to_string())).ok()
}
