//! From bytes to a card. Only what is no card at all is an error; a member of a wrong type is
//! passed over with a fault, an unknown one without.

use serde_json::{Map, Value};

use crate::card::error::CardError;
use crate::card::interface::{Binding, Interface, ProtocolVersion};
use crate::card::member::{Reader, kind, member};
use crate::card::url::shown;

/// A longer card is refused.
pub const CARD_BYTES_MAX: usize = 1024 * 1024;
/// More interfaces or skills of one card are not read.
const ENTRIES_MAX: usize = 256;

/// Where a card may be found, the newest format first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CardPath {
    /// A2A from 0.3 on (1.0 §14.3).
    AgentCard,
    /// A2A 0.2.
    AgentJson,
    /// The original project's.
    AgentConfiguration,
}

impl CardPath {
    /// In the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::AgentCard, Self::AgentJson, Self::AgentConfiguration];

    /// The path below an agent's URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentCard => "/.well-known/agent-card.json",
            Self::AgentJson => "/.well-known/agent.json",
            Self::AgentConfiguration => "/.well-known/agent-configuration",
        }
    }
}

/// The newest format in which a card says where its agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CardFormat {
    /// A2A 1.0: `supportedInterfaces`.
    V1_0,
    /// A2A 0.3: `url` with `protocolVersion` or transports.
    V0_3,
    /// A2A 0.2: `url` alone.
    V0_2,
    /// The original project's `agent-configuration`.
    Original,
}

impl CardFormat {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "A2A 1.0",
            Self::V0_3 => "A2A 0.3",
            Self::V0_2 => "A2A 0.2",
            Self::Original => "agent-configuration",
        }
    }
}

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name; empty where it has none.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// The agent's own version.
    pub version: Option<String>,
    /// Which format the card has.
    pub format: CardFormat,
    /// Whether it answers piece by piece; `None`: it does not say.
    pub streaming: Option<bool>,
    /// What it can do.
    pub skills: Vec<Skill>,
    /// How callers may prove who they are.
    pub security_schemes: Vec<SecurityScheme>,
    /// Sets of schemes of which one must be met; empty: nothing is asked for.
    pub security: Vec<Vec<String>>,
    /// Media types that it takes.
    pub input_modes: Vec<String>,
    /// Media types that it gives.
    pub output_modes: Vec<String>,
    /// Who provides it.
    pub provider: Option<String>,
    /// Members that we need and that could not be read.
    pub faults: Vec<Fault>,
    interfaces: Vec<Interface>,
}

/// One thing that an agent can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// Its id.
    pub id: String,
    /// Its name; the id where it has none.
    pub name: String,
    /// What it is; may be empty.
    pub description: String,
    /// Words for it.
    pub tags: Vec<String>,
    /// What one could ask.
    pub examples: Vec<String>,
}

/// A way for callers to prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityScheme {
    /// The name under which requirements refer to it.
    pub name: String,
    /// What it is.
    pub kind: SchemeKind,
}

/// Kinds of schemes (1.0 §4.5, the same as OpenAPI 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemeKind {
    /// A key in a header, a query or a cookie.
    ApiKey {
        /// `header`, `query` or `cookie`.
        location: String,
        /// The header's or parameter's name.
        name: String,
    },
    /// HTTP authentication: `Bearer`, `Basic`.
    Http {
        /// Its scheme.
        scheme: String,
    },
    /// OAuth 2.0.
    OAuth2,
    /// OpenID Connect.
    OpenIdConnect,
    /// A client certificate.
    MutualTls,
    /// Something else, as written.
    Other(String),
}

/// A member that we need and that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{member}` of the card is {found}, not {expected}")]
pub struct Fault {
    /// Its name.
    pub member: String,
    /// What it should be.
    pub expected: &'static str,
    /// What it is.
    pub found: &'static str,
}

impl Card {
    /// Reads a card that was found at an A2A path.
    ///
    /// # Errors
    /// When it is no JSON object, or has neither a name nor a place.
    pub fn parse(bytes: &[u8]) -> Result<Self, CardError> {
        Self::parse_at(CardPath::AgentCard, bytes)
    }

    /// Reads a card; at `agent-configuration` a bare `url` means the original's `/query`.
    ///
    /// # Errors
    /// When it is no JSON object, or has neither a name nor a place.
    pub fn parse_at(path: CardPath, bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > CARD_BYTES_MAX {
            return Err(CardError::TooLarge { bytes: bytes.len(), max: CARD_BYTES_MAX });
        }
        // A byte order mark is no JSON (RFC 8259 §8.1), but readers may pass over it.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let value: Value = serde_json::from_slice(bytes).map_err(|error| CardError::NotJson {
            why: error.to_string(),
            begins: begins(bytes),
        })?;
        match value {
            Value::Object(object) => read(path, &object),
            other => Err(CardError::NotAnObject { found: kind(&other) }),
        }
    }

    /// Where it can be called, in the agent's order of preference: `supportedInterfaces`, then
    /// the older members, without repetitions.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }
}

fn begins(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 60;
    shown(&String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]))
}

fn read(path: CardPath, object: &Map<String, Value>) -> Result<Card, CardError> {
    let mut reader = Reader::default();
    let (format, interfaces) = interfaces(&mut reader, path, object);
    let name = reader.text(object, "name").unwrap_or_default();
    if name.is_empty() && interfaces.is_empty() {
        return Err(CardError::NotACard { members: members(object) });
    }
    let streaming = streaming(&mut reader, object);
    let provider = match member(object, "provider") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Object(inner)) => reader.text(inner, "organization"),
        Some(_) | None => None,
    };
    Ok(Card {
        name,
        description: reader.text(object, "description").unwrap_or_default(),
        version: reader.text(object, "version"),
        format,
        streaming,
        skills: skills(&mut reader, object),
        security_schemes: schemes(&mut reader, object),
        security: security(&mut reader, object),
        input_modes: reader.texts(object, "defaultInputModes"),
        output_modes: reader.texts(object, "defaultOutputModes"),
        provider,
        faults: reader.faults,
        interfaces,
    })
}

fn members(object: &Map<String, Value>) -> String {
    const SHOWN_MAX: usize = 8;
    let names: Vec<String> =
        object.keys().take(SHOWN_MAX).map(|name| format!("`{}`", shown(name))).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn interfaces(
    reader: &mut Reader,
    path: CardPath,
    object: &Map<String, Value>,
) -> (CardFormat, Vec<Interface>) {
    let mut found: Vec<Interface> = Vec::new();
    let mut add = |interface: Interface| {
        let same = |i: &Interface| {
            let version = i.version.is_legacy() == interface.version.is_legacy();
            i.url == interface.url && i.binding == interface.binding && version
        };
        if found.len() < ENTRIES_MAX && !found.iter().any(same) {
            found.push(interface);
        }
    };
    // 1.0 §8.3.1. Without a version it is the first one that had this member.
    let supported = reader.list(object, "supportedInterfaces");
    for entry in supported {
        if let Some(interface) = entry_interface(reader, entry, ProtocolVersion::V1_0) {
            add(interface);
        }
    }
    // 0.3 §5.5: the main URL speaks `preferredTransport`, else JSON-RPC.
    let url = reader.text(object, "url");
    let transport = reader.text(object, "preferredTransport");
    let more = reader.list(object, "additionalInterfaces");
    let version = version(reader, object);
    let format = if !supported.is_empty() {
        CardFormat::V1_0
    } else if version.is_some() || transport.is_some() || !more.is_empty() {
        CardFormat::V0_3
    } else if path == CardPath::AgentConfiguration {
        CardFormat::Original
    } else {
        CardFormat::V0_2
    };
    let version = version.unwrap_or(match format {
        CardFormat::V1_0 | CardFormat::V0_3 => ProtocolVersion::V0_3,
        CardFormat::V0_2 | CardFormat::Original => ProtocolVersion::V0_2,
    });
    if let Some(url) = url {
        let binding = match (&transport, format) {
            (Some(transport), _) => Binding::read(transport),
            (None, CardFormat::Original) => Binding::Query,
            (None, CardFormat::V1_0 | CardFormat::V0_3 | CardFormat::V0_2) => Binding::JsonRpc,
        };
        add(Interface { url, binding, version, tenant: None });
    }
    for entry in more {
        if let Some(interface) = entry_interface(reader, entry, version) {
            add(interface);
        }
    }
    (format, found)
}

/// An entry of either list: the two differ in the name of one member.
fn entry_interface(
    reader: &mut Reader,
    entry: &Value,
    fallback: ProtocolVersion,
) -> Option<Interface> {
    let object = match entry {
        Value::Object(object) => object,
        // Some cards list bare URLs.
        Value::String(url) if !url.trim().is_empty() => {
            let url = url.trim().to_owned();
            let binding = Binding::JsonRpc;
            return Some(Interface { url, binding, version: fallback, tenant: None });
        }
        other => {
            reader.fault("supportedInterfaces[]", "an object", other);
            return None;
        }
    };
    let Some(url) = reader.text(object, "url") else {
        let found = member(object, "url").unwrap_or(&Value::Null);
        reader.fault("url", "a text", found);
        return None;
    };
    let binding = reader
        .text(object, "protocolBinding")
        .or_else(|| reader.text(object, "transport"))
        .map_or(Binding::JsonRpc, |text| Binding::read(&text));
    let version = version(reader, object).unwrap_or(fallback);
    Some(Interface { url, binding, version, tenant: reader.text(object, "tenant") })
}

fn version(reader: &mut Reader, object: &Map<String, Value>) -> Option<ProtocolVersion> {
    let text = reader.text(object, "protocolVersion")?;
    let version = ProtocolVersion::read(&text);
    if version.is_none() {
        reader.fault("protocolVersion", "a version", &Value::String(text));
    }
    version
}

fn streaming(reader: &mut Reader, object: &Map<String, Value>) -> Option<bool> {
    match member(object, "capabilities")? {
        Value::Object(inner) => reader.flag(inner, "streaming"),
        // Cards of some frameworks list words.
        Value::Array(words) => Some(words.iter().any(|w| w.as_str() == Some("streaming"))),
        other => {
            reader.fault("capabilities", "an object", other);
            None
        }
    }
}

fn skills(reader: &mut Reader, object: &Map<String, Value>) -> Vec<Skill> {
    let mut skills = Vec::new();
    for entry in reader.list(object, "skills").iter().take(ENTRIES_MAX) {
        let inner = match entry {
            Value::Object(inner) => inner,
            Value::String(word) => {
                let (id, name) = (word.clone(), word.clone());
                let (tags, examples) = (Vec::new(), Vec::new());
                skills.push(Skill { id, name, description: String::new(), tags, examples });
                continue;
            }
            other => {
                reader.fault("skills[]", "an object", other);
                continue;
            }
        };
        let (id, name) = (reader.text(inner, "id"), reader.text(inner, "name"));
        let Some(id) = id.clone().or_else(|| name.clone()) else { continue };
        skills.push(Skill {
            name: name.unwrap_or_else(|| id.clone()),
            id,
            description: reader.text(inner, "description").unwrap_or_default(),
            tags: reader.texts(inner, "tags"),
            examples: reader.texts(inner, "examples"),
        });
    }
    skills
}

fn schemes(reader: &mut Reader, object: &Map<String, Value>) -> Vec<SecurityScheme> {
    let Some(schemes) = reader.object(object, "securitySchemes") else { return Vec::new() };
    let mut found = Vec::new();
    for (name, scheme) in schemes.iter().take(ENTRIES_MAX) {
        match scheme {
            Value::Object(scheme) => {
                found
                    .push(SecurityScheme { name: name.clone(), kind: scheme_kind(reader, scheme) });
            }
            Value::Null => {}
            other => reader.fault("securitySchemes", "an object of objects", other),
        }
    }
    found
}

fn scheme_kind(reader: &mut Reader, scheme: &Map<String, Value>) -> SchemeKind {
    // 0.3 has `type`, as OpenAPI; 1.0 has one member named after the kind.
    if let Some(kind) = reader.text(scheme, "type") {
        return kind_of(reader, &kind, scheme);
    }
    for name in [
        "apiKeySecurityScheme",
        "httpAuthSecurityScheme",
        "oauth2SecurityScheme",
        "openIdConnectSecurityScheme",
        "mtlsSecurityScheme",
    ] {
        if let Some(Value::Object(inner)) = member(scheme, name) {
            return kind_of(reader, name, inner);
        }
    }
    SchemeKind::Other(members(scheme))
}

fn kind_of(reader: &mut Reader, kind: &str, scheme: &Map<String, Value>) -> SchemeKind {
    match kind {
        "apiKey" | "apiKeySecurityScheme" => SchemeKind::ApiKey {
            location: reader
                .text(scheme, "location")
                .or_else(|| reader.text(scheme, "in"))
                .unwrap_or_else(|| "header".to_owned()),
            name: reader.text(scheme, "name").unwrap_or_default(),
        },
        "http" | "httpAuthSecurityScheme" => SchemeKind::Http {
            scheme: reader.text(scheme, "scheme").unwrap_or_else(|| "Bearer".to_owned()),
        },
        "oauth2" | "oauth2SecurityScheme" => SchemeKind::OAuth2,
        "openIdConnect" | "openIdConnectSecurityScheme" => SchemeKind::OpenIdConnect,
        "mutualTLS" | "mtlsSecurityScheme" => SchemeKind::MutualTls,
        other => SchemeKind::Other(other.to_owned()),
    }
}

/// 1.0: `securityRequirements: [{schemes: {NAME: {list: […]}}}]`; before: `security: [{NAME: […]}]`.
fn security(reader: &mut Reader, object: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut sets = Vec::new();
    for name in ["securityRequirements", "security"] {
        for set in reader.list(object, name).iter().take(ENTRIES_MAX) {
            let Value::Object(set) = set else { continue };
            let schemes = match member(set, "schemes") {
                Some(Value::Object(schemes)) => schemes,
                Some(_) | None => set,
            };
            sets.push(schemes.keys().cloned().collect());
        }
        if !sets.is_empty() {
            break;
        }
    }
    sets
}
