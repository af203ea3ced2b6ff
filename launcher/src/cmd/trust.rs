//! `trust init`, `trust issue`: an authority, and certificates with names of ours.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use a2arun_core::exit_code::LauncherCode;
use a2arun_core::ids::HostName;
use a2arun_rt::files::{Durability, write_atomic};
use a2arun_rt::tls::{Holder, TrustDir};
use anyhow::Context as _;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::cli::{TrustInitArgs, TrustIssueArgs, TrustVerb};
use crate::cmd::{Context, Failure};
use crate::output::say;

/// Clocks of hosts differ.
const SKEW: Duration = Duration::from_secs(2 * 3600);
const LEAF_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);

pub(super) fn trust(verb: &TrustVerb, context: &Context) -> anyhow::Result<u8> {
    match verb {
        TrustVerb::Init(args) => init(args, context),
        TrustVerb::Issue(args) => issue(args, context),
    }?;
    Ok(LauncherCode::Ok.code())
}

fn dir(given: Option<&Path>, context: &Context) -> anyhow::Result<TrustDir> {
    context.trust_dir(given).ok_or_else(|| {
        let message =
            "there is no place for the trust folder: neither HOME nor XDG_CONFIG_HOME is set";
        Failure::new(LauncherCode::Usage, message).hint("name one with --dir DIR").into()
    })
}

fn init(args: &TrustInitArgs, context: &Context) -> anyhow::Result<()> {
    let dir = dir(args.dir.as_deref(), context)?;
    let shown = dir.path().display();
    for path in [dir.ca_cert(), dir.ca_key()] {
        if path.exists() && !args.force {
            let message = format!("there is an authority in {shown} already");
            return Err(Failure::new(LauncherCode::Usage, message)
                .hint("a2arun trust issue HOST makes a host's certificate with it")
                .hint("--force replaces it; every host then needs a new certificate")
                .into());
        }
    }
    make_dir(dir.path())?;
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .context("cannot get random bytes")?;
    let domain: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let key = KeyPair::generate().context("cannot make a key")?;
    let mut params =
        params(&format!("a2arun://{domain}/ca"), &format!("a2arun {domain}"), CA_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let cert = params.self_signed(&key).context("cannot sign the authority")?;
    let issuer = Issuer::new(params, key);
    // The key first: a certificate without its key would refuse to be replaced.
    write(&dir.ca_key(), &issuer.key().serialize_pem(), 0o600)?;
    write(&dir.ca_cert(), &cert.pem(), 0o644)?;
    leaf(&issuer, &dir, Holder::Head, &format!("a2arun://{domain}/head"), "head")?;
    say(&format!(
        "trust domain {domain} is in {shown}\n\
         hint: a2arun trust issue HOST... makes a folder for each host"
    ));
    Ok(())
}

fn issue(args: &TrustIssueArgs, context: &Context) -> anyhow::Result<()> {
    let dir = dir(args.dir.as_deref(), context)?;
    let (issuer, domain) = authority(&dir)?;
    let out = match &args.out {
        Some(out) => context.cwd.join(out),
        None => dir.path().join("issued"),
    };
    let ca = fs::read_to_string(dir.ca_cert()).context("cannot read the authority")?;
    let targets: Vec<(PathBuf, Holder, String, String)> = match args.role.as_deref() {
        Some([role, name]) => vec![viewer(role, name, &domain, &out)?],
        Some(_) | None => args.hosts.iter().map(|host| host_target(host, &domain, &out)).collect(),
    };
    for (path, holder, _, _) in &targets {
        let cert = TrustDir::new(path).cert(*holder);
        if cert.exists() && !args.force {
            let message = format!("{} is there already", cert.display());
            return Err(Failure::new(LauncherCode::Usage, message)
                .hint("--force replaces it")
                .into());
        }
    }
    for (path, holder, uri, name) in targets {
        make_dir(&path)?;
        let target = TrustDir::new(&path);
        leaf(&issuer, &target, holder, &uri, &name)?;
        write(&target.ca_cert(), &ca, 0o644)?;
        say(&format!("{name}: {}", path.display()));
    }
    Ok(())
}

fn host_target(host: &HostName, domain: &str, out: &Path) -> (PathBuf, Holder, String, String) {
    let uri = format!("a2arun://{domain}/host/{host}");
    (out.join(host.as_str()), Holder::Host, uri, host.to_string())
}

fn viewer(
    role: &str,
    name: &str,
    domain: &str,
    out: &Path,
) -> anyhow::Result<(PathBuf, Holder, String, String)> {
    if role != "viewer" {
        let message = format!("there is no role `{role}` to be given away");
        return Err(Failure::new(LauncherCode::Usage, message)
            .hint("--role viewer NAME makes a certificate that may read")
            .into());
    }
    // A name becomes a folder and a part of a URI.
    let name: a2arun_core::ids::AgentId = name.parse().map_err(|_| {
        let message = format!("`{name}` is no name for a viewer");
        Failure::new(LauncherCode::Usage, message)
    })?;
    let uri = format!("a2arun://{domain}/viewer/{name}");
    Ok((out.join(name.as_str()), Holder::Head, uri, name.to_string()))
}

fn authority(dir: &TrustDir) -> anyhow::Result<(Issuer<'static, KeyPair>, String)> {
    let domain = dir.domain().context("cannot use the authority")?;
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let key = KeyPair::from_pem(&read(dir.ca_key())?).context("cannot use the authority's key")?;
    let cert = CertificateDer::from_pem_slice(read(dir.ca_cert())?.as_bytes())
        .context("cannot use the authority's certificate")?;
    let issuer = Issuer::from_ca_cert_der(&cert, key).context("cannot use the authority")?;
    Ok((issuer, domain.to_string()))
}

fn params(uri: &str, name: &str, life: Duration) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let uri = Ia5String::try_from(uri)
        .with_context(|| format!("`{name}` cannot stand in a certificate: it is not ASCII"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SKEW);
    params.not_after = epoch + now + life;
    Ok(params)
}

fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    dir: &TrustDir,
    holder: Holder,
    uri: &str,
    name: &str,
) -> anyhow::Result<()> {
    let key = KeyPair::generate().context("cannot make a key")?;
    let mut params = params(uri, name, LEAF_LIFE)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match holder {
        Holder::Head => ExtendedKeyUsagePurpose::ClientAuth,
        Holder::Host => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    params.use_authority_key_identifier_extension = true;
    let cert = params.signed_by(&key, issuer).with_context(|| format!("cannot sign {name}"))?;
    write(&dir.key(holder), &key.serialize_pem(), 0o600)?;
    write(&dir.cert(holder), &cert.pem(), 0o644)
}

fn make_dir(path: &Path) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    write_atomic(path, text.as_bytes(), mode, Durability::Disk)
        .with_context(|| format!("cannot write {}", path.display()))
}
