//! `card`: shows what an agent says of itself, and what of that nobody could use.

use std::path::PathBuf;

use a2arun_core::card::{Binding, Card, CardWarning, SchemeKind, check};
use a2arun_core::exit_code::LauncherCode;
use a2arun_core::lines::visible;
use a2arun_core::mask::Mask;
use serde::Serialize;
use tokio::time::timeout;

use crate::a2a::{AskError, Asked, Client, Found, Lookup, find_card};
use crate::cli::{CardArgs, OutputFormat};
use crate::cmd::asked::{asked, failure};
use crate::cmd::{Context, Failure};
use crate::output::{print_json, print_line, say};

pub(super) async fn card(args: &CardArgs, context: &Context) -> anyhow::Result<u8> {
    let (asked, mask) = asked(&args.target, None, context).await?;
    let cert_file = context.var("SSL_CERT_FILE").filter(|v| !v.is_empty()).map(PathBuf::from);
    let client = Client::new(args.header.clone(), cert_file);
    // Cancel safe: what was opened is closed.
    let lookup = timeout(args.timeout, find_card(&client, &asked.url)).await;
    let who = || asked.who.clone();
    let lookup = lookup.map_err(|_| {
        let (after, doing) = (args.timeout, String::new());
        failure(&AskError::Late { who: who(), after, doing })
    })?;
    let lookup = lookup.map_err(|source| failure(&AskError::Unreachable { who: who(), source }))?;
    let mut found = match lookup {
        Lookup::Found(found) => found,
        Lookup::Refused { at, status } => {
            let (who, url) = (asked.who.clone(), at.to_string());
            return Err(failure(&AskError::Refused { who, url, status }));
        }
        Lookup::None(said) => {
            let mut failure =
                Failure::new(LauncherCode::AgentFailed, format!("{} has no card", asked.who));
            for (at, said) in said {
                failure = failure.hint(format!("{at}: {said}"));
            }
            return Err(failure.into());
        }
    };
    found.raw = mask.bytes(&found.raw);
    mask_card(&mut found.card, &mask);
    if args.raw {
        let text = String::from_utf8_lossy(&found.raw);
        print_line(&if context.stdout_terminal { visible(&text) } else { text.into_owned() })?;
        return Ok(LauncherCode::Ok.code());
    }
    let names: Vec<&str> = asked.names.iter().map(String::as_str).collect();
    let warnings = check(&found.card, asked.view(&names));
    match args.output.output {
        OutputFormat::Json => print_json(&CardJson::of(&asked, &found, &warnings))?,
        OutputFormat::Jsonl => {
            print_line(&serde_json::to_string(&CardJson::of(&asked, &found, &warnings))?)?;
        }
        OutputFormat::Human | OutputFormat::Quiet => {
            let text = human(&asked, &found);
            print_line(&if context.stdout_terminal { visible(&text) } else { text })?;
        }
    }
    if matches!(args.output.output, OutputFormat::Human) {
        let style = context.stderr_style(args.output);
        let warn = |text: &str| say(&format!("{} {}", style.warning("warning:"), visible(text)));
        found.card.faults.iter().for_each(|fault| warn(&fault.to_string()));
        warnings.iter().for_each(|warning| warn(&warning.to_string()));
        if let Some(warning) = warnings.first() {
            say(&format!("hint: {}", warning.hint()));
        }
    }
    Ok(LauncherCode::Ok.code())
}

/// What an agent wrote of itself in its own words.
fn mask_card(card: &mut Card, mask: &Mask) {
    let skills = card.skills.iter_mut().flat_map(|s| [&mut s.name, &mut s.description]);
    for text in [&mut card.name, &mut card.description].into_iter().chain(skills) {
        *text = mask.text(text);
    }
}

fn human(asked: &Asked, found: &Found) -> String {
    let card = &found.card;
    let version = card.version.as_deref().map(|v| format!(" {v}")).unwrap_or_default();
    let mut text = format!("{}{version}\n", or_dash(&card.name));
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<12} {value}\n"));
    if !card.description.is_empty() {
        row("does", &card.description.replace('\n', " "));
    }
    row("card", &format!("{}, at {}", card.format.as_str(), found.at));
    row("called at", &asked.url.to_string());
    for interface in card.interfaces() {
        let tenant = interface.tenant.as_deref().map(|t| format!(", tenant {t}"));
        let tenant = tenant.unwrap_or_default();
        let words = match &interface.binding {
            // It has no versions.
            Binding::Query => format!("POST /query at {}", interface.url),
            binding => format!("{binding} {} at {}{tenant}", interface.version, interface.url),
        };
        row("interface", &words);
    }
    row("streams", card.streaming.map_or("does not say", |yes| if yes { "yes" } else { "no" }));
    if let Some(provider) = &card.provider {
        row("provider", provider);
    }
    for (name, modes) in [("takes", &card.input_modes), ("gives", &card.output_modes)] {
        if !modes.is_empty() {
            row(name, &modes.join(", "));
        }
    }
    for scheme in &card.security_schemes {
        row("security", &format!("{}: {}", scheme.name, scheme_words(&scheme.kind)));
    }
    for skill in &card.skills {
        let id = if skill.id == skill.name { String::new() } else { format!(" ({})", skill.id) };
        let what = if skill.description.is_empty() { "" } else { ": " };
        let description = skill.description.replace('\n', " ");
        row("skill", &format!("{}{id}{what}{description}", skill.name));
    }
    text
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn scheme_words(kind: &SchemeKind) -> String {
    match kind {
        SchemeKind::ApiKey { location, name } => format!("an API key in the {location} `{name}`"),
        SchemeKind::Http { scheme } => format!("HTTP {scheme}"),
        SchemeKind::OAuth2 => "OAuth 2".to_owned(),
        SchemeKind::OpenIdConnect => "OpenID Connect".to_owned(),
        SchemeKind::MutualTls => "a client certificate".to_owned(),
        SchemeKind::Other(text) => text.clone(),
    }
}

/// `card --output json`.
#[derive(Debug, Serialize)]
struct CardJson<'a> {
    agent: &'a str,
    url: String,
    card_url: String,
    format: &'a str,
    name: &'a str,
    description: &'a str,
    version: Option<&'a str>,
    streaming: Option<bool>,
    interfaces: Vec<InterfaceJson<'a>>,
    skills: Vec<SkillJson<'a>>,
    security: Vec<SchemeJson<'a>>,
    faults: Vec<String>,
    warnings: Vec<WarningJson<'a>>,
}

#[derive(Debug, Serialize)]
struct InterfaceJson<'a> {
    url: &'a str,
    binding: &'a str,
    version: String,
    tenant: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct SkillJson<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    tags: &'a [String],
}

#[derive(Debug, Serialize)]
struct SchemeJson<'a> {
    name: &'a str,
    kind: String,
}

#[derive(Debug, Serialize)]
struct WarningJson<'a> {
    card_url: &'a str,
    url: &'a str,
    message: String,
}

impl<'a> CardJson<'a> {
    fn of(asked: &'a Asked, found: &'a Found, warnings: &'a [CardWarning]) -> Self {
        let card: &Card = &found.card;
        Self {
            agent: &asked.who,
            url: asked.url.to_string(),
            card_url: found.at.to_string(),
            format: card.format.as_str(),
            name: &card.name,
            description: &card.description,
            version: card.version.as_deref(),
            streaming: card.streaming,
            interfaces: card
                .interfaces()
                .iter()
                .map(|i| InterfaceJson {
                    url: &i.url,
                    binding: i.binding.as_str(),
                    version: i.version.to_string(),
                    tenant: i.tenant.as_deref(),
                })
                .collect(),
            skills: card
                .skills
                .iter()
                .map(|s| SkillJson {
                    id: &s.id,
                    name: &s.name,
                    description: &s.description,
                    tags: &s.tags,
                })
                .collect(),
            security: card
                .security_schemes
                .iter()
                .map(|s| SchemeJson { name: &s.name, kind: scheme_words(&s.kind) })
                .collect(),
            faults: card.faults.iter().map(ToString::to_string).collect(),
            warnings: warnings
                .iter()
                .map(|w| WarningJson { card_url: &w.card_url, url: &w.url, message: w.to_string() })
                .collect(),
        }
    }
}
